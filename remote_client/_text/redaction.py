"""Keeps a call's metadata and requests out of its errors: their texts, their causes, and the frames of tracebacks."""

from __future__ import annotations

import base64
import binascii
import contextlib
import functools
import inspect
import os
import re
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from types import FrameType, TracebackType
from typing import Any, ParamSpec, TypeVar

E = TypeVar("E", bound=BaseException)
P = ParamSpec("P")
R = TypeVar("R")
Secrets = Iterable[tuple[str, str | bytes]]
"""The metadata of a call."""

_SHORTEST = 4
"""Characters of a secret; shorter ones occur in any text."""
_SCHEMES = frozenset(["basic", "bearer", "digest", "hoba", "mutual", "negotiate", "ntlm", "scram", "token", "apikey"])
"""Words before credentials that are no secrets."""
_PLAIN = re.compile(r"[A-Za-z0-9_.~-]*")
"""Texts that no format escapes."""
_HIDDEN, _MARK = "[redacted]", "\ufdd0"
"""The replacement of a secret, and a mark for it that no text contains, so that no other secret is found in it."""
_PACKAGE = __name__.partition(".")[0]
_NAME = f"{_PACKAGE}."
GENERATED = f"<{_PACKAGE} "
"""The prefix of the file names of generated code."""
_OURS = (os.path.join(os.path.dirname(os.path.dirname(__file__)), ""), GENERATED)
_RESUMABLE = inspect.CO_COROUTINE | inspect.CO_ASYNC_GENERATOR | inspect.CO_GENERATOR


# -- texts ------------------------------------------------------------------------------------------------------------


def redacted(answer: Any, metadata: Secrets) -> Any:
    """Return a server's text or JSON without the values of the metadata that was sent.

    A value is hidden as a whole and word by word, also as URLs, HTML, JSON and Python escape it; bytes are hidden as
    base64 and as text. Values and words of fewer than four characters stay.
    """
    parts = {part for _, value in metadata for part in _parts(value) if len(part) >= _SHORTEST}
    if not parts:
        return answer
    return _without(answer, sorted({form for part in parts for form in _forms(part)}, key=len, reverse=True))


def masked(data: bytes, metadata: Secrets) -> bytes:
    """Return bytes in which the values of the metadata are as many asterisks: lengths inside, as protobuf's, stay true.

    The same forms of the same values are hidden as in `redacted`.
    """
    parts = {part for _, value in metadata for part in _parts(value) if len(part) >= _SHORTEST}
    for form in sorted({form.encode() for part in parts for form in _forms(part)}, key=len, reverse=True):
        data = data.replace(form, b"*" * len(form))
    return data


def _parts(value: str | bytes) -> Iterator[str]:
    """Yield a value as text, its words, and the user's name and password of `Basic` credentials."""
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
    import html  # here, as these take milliseconds to import, and few texts need them
    import json
    from urllib.parse import quote, quote_plus

    in_urls = (quote(text), quote(text, safe=""), quote_plus(text))
    in_json = (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1])
    return (text, *in_urls, html.escape(text), html.escape(text, quote=False), *in_json, repr(text)[1:-1])


def _without(answer: Any, secrets: list[str]) -> Any:
    if isinstance(answer, str):
        for secret in secrets:
            answer = answer.replace(secret, _MARK)
        return answer.replace(_MARK, _HIDDEN)
    if isinstance(answer, Mapping):
        return {_without(name, secrets): _without(value, secrets) for name, value in answer.items()}
    if isinstance(answer, list):
        return [_without(item, secrets) for item in answer]
    is_number = isinstance(answer, (int, float)) and not isinstance(answer, bool)
    return _HIDDEN if is_number and any(secret in str(answer) for secret in secrets) else answer


# -- causes -----------------------------------------------------------------------------------------------------------


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an error, its cause, the cause of that, and so on."""
    while error is not None:
        yield error
        error = error.__cause__


def with_cause(failure: E, error: BaseException, metadata: Secrets, more: str = "") -> E:
    """Return the failure with its cause, unless the texts of the cause, or `more`, contain a secret.

    The cause loses its frames and its attributes `request` and `response`, which hold the request.

    Raise the failure outside of `except` blocks: the handled exception would become its context.
    """
    chain = list(_chain(error))
    texts = [f"{linked!r} {linked}" for linked in chain] + [more]
    for linked in chain:
        linked.__traceback__ = None
        if linked.__suppress_context__:
            linked.__context__ = None
        for name in ("request", "response"):  # of httpx
            with contextlib.suppress(AttributeError):
                if not {name, f"_{name}"}.isdisjoint(vars(linked)):
                    setattr(linked, name, None)
    failure.__cause__ = error if redacted(texts, metadata) == texts else None
    return failure


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and, once, every cause, context and member of a group that leads to it."""
    waiting, seen = [error], set[int]()
    while waiting:
        linked = waiting.pop()
        if id(linked) in seen:
            continue
        seen.add(id(linked))
        waiting += [other for other in (linked.__cause__, linked.__context__) if other is not None]
        if isinstance(linked, BaseExceptionGroup):
            waiting += linked.exceptions
        yield linked


# -- frames -----------------------------------------------------------------------------------------------------------


def clear_frames(error: BaseException) -> None:
    """Remove the variables of this package's functions from the tracebacks of an error, its causes and its contexts.

    They hold requests and metadata, and some tools show them. Frames of functions that have ended are cleared. Frames
    of coroutines are removed from the traceback, as clearing one that still runs would end it; they stay if the error
    is a bug of this package, which they locate. The caller drops its own variables. Contexts that this package
    suppresses are removed, too.
    """
    for linked in _chain(error):
        is_ours = type(linked).__module__.startswith(_NAME)
        if linked.__suppress_context__ and is_ours:
            linked.__context__ = None
        steps = list(_steps(linked))
        running, ended = (steps[:1], steps[1:]) if linked is error else ([], steps)
        keeps_all = not is_ours and _is_bug(linked, steps)
        kept = [*running, *(step for step in ended if _clear(step.tb_frame) or keeps_all)]
        for step, following in zip(kept, [*kept[1:], None], strict=False):
            step.tb_next = following
        linked.__traceback__ = kept[0] if kept else None


def _steps(error: BaseException) -> Iterator[TracebackType]:
    step = error.__traceback__
    while step is not None:
        yield step
        step = step.tb_next


def _clear(frame: FrameType) -> bool:
    """Clear a frame of this package. Return False if it may still run."""
    code = frame.f_code
    if code.co_filename.startswith(_OURS):
        if code.co_flags & _RESUMABLE:
            return False
        with contextlib.suppress(RuntimeError):  # it runs
            frame.clear()
    return True


def _is_bug(error: BaseException, steps: list[TracebackType]) -> bool:
    """Return whether an error is a bug: one of Python's errors, raised by this package's code."""
    ours = bool(steps) and steps[-1].tb_frame.f_code.co_filename.startswith(_OURS)
    return ours and isinstance(error, Exception) and not isinstance(error, (TimeoutError, StopIteration))


def clears_frames(method: Callable[P, Coroutine[Any, Any, R]]) -> Callable[P, Coroutine[Any, Any, R]]:
    """Return a coroutine function that clears the frames of its errors, and drops its arguments."""

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
