"""Callables of the user's: how those that may block run, and how they are pickled."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from importlib import import_module
from operator import attrgetter
from typing import Any

from .._concurrency import threads as _threads
from .._objects.copying import Immutable
from .._text.cleaning import type_name
from ..errors import PicklingError

WAYS = (
    "Give a function that the other process can import, remote_client.auth.BearerToken(env=...) with the name of an "
    "environment variable, or BearerToken(file=...) with a file's path"
)


class ByName:
    """What a function is pickled as: its name, never what it holds, which may be credentials.

    cloudpickle would copy a function of a script's with the values that it uses.

    Raises:
        PicklingError: it cannot be imported: it is a lambda, a local function, a `partial` or a method of an object.
    """

    def __init__(self, function: Callable[..., Any], what: str) -> None:
        self._names = getattr(function, "__module__", None), getattr(function, "__qualname__", None)
        try:
            known = self._names[0] and _imported(*self._names) == function
        except (ImportError, AttributeError, TypeError):
            known = False
        if not known:
            name = self._names[1] or type_name(function)  # not its repr, which may show what it holds
            raise PicklingError(f"{what}: {name} cannot be imported, and what it holds is not pickled. {WAYS}")

    def __reduce__(self) -> Any:
        return _found, self._names


def _imported(module: Any, name: Any) -> Any:
    return attrgetter(name)(import_module(module))


def _found(module: str, name: str) -> Any:
    try:
        return _imported(module, name)
    except (ImportError, AttributeError):
        raise PicklingError(
            f"{module}.{name} cannot be imported here: put it into a module that every process has"
        ) from None


def off_loop(function: Callable[..., Any]) -> Callable[..., Any]:
    """A user's function as one that runs it in a thread, where it may block, and returns a coroutine. Async ones stay.

    One that never returns holds up neither a call that is over, nor the end of the process.
    """
    return function if inspect.iscoroutinefunction(function) else OffLoop(function)


class OffLoop(Immutable):
    """See `off_loop`. It can be pickled if the function can be imported."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        functools.update_wrapper(self, function)

    async def __call__(self, *args: Any) -> Any:
        result = await _threads.run_in_thread(self._function, *args)
        return await result if inspect.isawaitable(result) else result

    def __eq__(self, other: object) -> bool:
        return isinstance(other, OffLoop) and other._function == self._function

    def __hash__(self) -> int:
        return hash((OffLoop, self._function))

    def __reduce__(self) -> Any:
        return OffLoop, (ByName(self._function, "metadata"),)
