"""What was sent with a call, kept out of what its error tells, leads to, and shows in the variables of its frames."""

from __future__ import annotations

import base64
import binascii
import contextlib
import functools
import html
import inspect
import json
import os
import re
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from pathlib import Path
from types import FrameType, TracebackType
from typing import Any, ParamSpec, TypeVar
from urllib.parse import quote, quote_plus

E = TypeVar("E", bound=BaseException)
P = ParamSpec("P")
R = TypeVar("R")
Sent = Iterable[tuple[str, str | bytes]]
"""Metadata, of which nothing is told."""

_SHORTEST = 4
"""Characters of a secret; shorter ones are found in any text."""
_SCHEMES = frozenset(["basic", "bearer", "digest", "hoba", "mutual", "negotiate", "ntlm", "scram", "token", "apikey"])
"""Words before credentials that are none."""
_PLAIN = re.compile(r"[A-Za-z0-9_.~-]*")
"""What is written alike everywhere."""
_HIDDEN, _MARK = "[redacted]", "\ufdd0"
"""What stands for a secret; and meanwhile, as no text has it, so that no other secret is found in it."""
_PACKAGE = __name__.partition(".")[0]
_NAME = f"{_PACKAGE}."
GENERATED = f"<{_PACKAGE} "
"""How the file names of generated code begin."""
_OURS = (f"{Path(__file__).parents[1]}{os.sep}", GENERATED)
_MAY_GO_ON = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR | inspect.CO_GENERATOR


# -- texts ------------------------------------------------------------------------------------------------------------


def redacted(told: Any, metadata: Sent) -> Any:
    """Return what a server told, text or JSON, without the values of the metadata it was sent.

    A value is hidden whole and word by word, and in the forms that text takes in URLs, HTML, JSON and Python; bytes as
    base64 and as text. Values and words of fewer than four characters stay.
    """
    parts = {each for _, value in metadata for each in _parts(value) if len(each) >= _SHORTEST}
    if not parts:
        return told
    return _without(told, sorted({form for each in parts for form in _forms(each)}, key=len, reverse=True))


def _parts(value: str | bytes) -> Iterator[str]:
    """Yield a value as text, its words, and the user's name and password in a word of `Basic`."""
    if len(value) < _SHORTEST:
        return
    if isinstance(value, bytes):
        for encoded in (base64.b64encode(value), base64.urlsafe_b64encode(value)):
            yield from (encoded.decode(), encoded.decode().rstrip("="))
        yield from (value.decode("utf-8", "replace"), value.decode("latin-1"), repr(value)[2:-1], value.hex())
        return
    words = value.split()
    yield from (value, value.strip())
    for word in words:
        if word.lower() not in _SCHEMES:
            yield from (word, word.rstrip("="))
    if len(words) == 2 and words[0].lower() == "basic":
        with contextlib.suppress(binascii.Error):
            pair = base64.b64decode(words[1]).decode("utf-8", "replace")
            yield from (pair, *pair.split(":", 1)[1:])


def _forms(text: str) -> tuple[str, ...]:
    if _PLAIN.fullmatch(text):
        return (text,)
    in_urls = (quote(text), quote(text, safe=""), quote_plus(text))
    in_json = (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1])
    return (text, *in_urls, html.escape(text), html.escape(text, quote=False), *in_json, repr(text)[1:-1])


def _without(told: Any, secrets: list[str]) -> Any:
    if isinstance(told, str):
        for secret in secrets:
            told = told.replace(secret, _MARK)
        return told.replace(_MARK, _HIDDEN)
    if isinstance(told, Mapping):
        return {_without(name, secrets): _without(each, secrets) for name, each in told.items()}
    if isinstance(told, list):
        return [_without(each, secrets) for each in told]
    is_number = isinstance(told, (int, float)) and not isinstance(told, bool)
    return _HIDDEN if is_number and any(each in str(told) for each in secrets) else told


# -- causes -----------------------------------------------------------------------------------------------------------


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """An exception, what caused it, what caused that, and so on."""
    while error is not None:
        yield error
        error = error.__cause__


def with_cause(failure: E, error: BaseException, metadata: Sent, more: str = "") -> E:
    """Return the failure with what caused it, unless that, or what `more` it knows, repeats a secret.

    Libraries' errors have frames and attributes that hold the request: they are dropped.

    Raise it where no exception is being handled: that would be its context.
    """
    told = list(_chain(error))
    shown = [f"{each!r} {each}" for each in told] + [more]
    for each in told:
        each.__traceback__ = None
        if each.__suppress_context__:
            each.__context__ = None
        for name in ("request", "response"):  # httpx's
            with contextlib.suppress(AttributeError):
                if not {name, f"_{name}"}.isdisjoint(vars(each)):
                    setattr(each, name, None)
    failure.__cause__ = error if redacted(shown, metadata) == shown else None
    return failure


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what led to it, each once."""
    waiting, seen = [error], set[int]()
    while waiting:
        each = waiting.pop()
        if id(each) in seen:
            continue
        seen.add(id(each))
        waiting += [other for other in (each.__cause__, each.__context__) if other is not None]
        if isinstance(each, BaseExceptionGroup):
            waiting += each.exceptions
        yield each


# -- frames -----------------------------------------------------------------------------------------------------------


def clear_frames(error: BaseException) -> None:
    """Have the traceback of an error, and those of what led to it, keep no variables of this package's functions.

    They hold requests and metadata, and some tools show them. The frames of functions that ended are emptied. Those of
    coroutines are left out, as one may still run, and emptying its frame would end it; they stay where the error is a
    bug of this package, whose place they tell. The function that calls this drops its own variables itself. The
    contexts that this package suppresses are dropped, too.
    """
    for each in _chain(error):
        is_ours = type(each).__module__.startswith(_NAME)
        if each.__suppress_context__ and is_ours:
            each.__context__ = None
        steps = list(_steps(each))
        running, ended = (steps[:1], steps[1:]) if each is error else ([], steps)
        keeps_all = not is_ours and _is_bug(each, steps)
        kept = [*running, *(step for step in ended if _emptied(step.tb_frame) or keeps_all)]
        for step, following in zip(kept, [*kept[1:], None], strict=False):
            step.tb_next = following
        each.__traceback__ = kept[0] if kept else None


def _steps(error: BaseException) -> Iterator[TracebackType]:
    step = error.__traceback__
    while step is not None:
        yield step
        step = step.tb_next


def _emptied(frame: FrameType) -> bool:
    """Empty a frame of this package; whether it could be, or is another's."""
    code = frame.f_code
    if code.co_filename.startswith(_OURS):
        if code.co_flags & _MAY_GO_ON:
            return False
        with contextlib.suppress(RuntimeError):  # it is just running
            frame.clear()
    return True


def _is_bug(error: BaseException, steps: list[TracebackType]) -> bool:
    """Whether an error that is none of this package's comes from its code, and is none of asyncio's."""
    ours = bool(steps) and steps[-1].tb_frame.f_code.co_filename.startswith(_OURS)
    return ours and isinstance(error, Exception) and not isinstance(error, (TimeoutError, StopIteration))


def clears_frames(method: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, Coroutine[Any, Any, R]]:
    """Have a coroutine function `clear_frames`, its arguments too, when it raises."""

    @functools.wraps(method)
    async def called(*args: P.args, **kwargs: P.kwargs) -> R:
        work = method(*args, **kwargs)
        del args, kwargs
        try:
            return await work
        except BaseException as error:
            clear_frames(error)
            raise

    return called
