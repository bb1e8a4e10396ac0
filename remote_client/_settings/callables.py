"""Users' callables: running those that may block, and pickling them."""

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
    """The pickled form of a function: its name, without the values it uses, which may be credentials.

    cloudpickle would copy a script's function with these values.

    Raises:
        PicklingError: the function cannot be imported: it is a lambda, a local function, a `partial` or a bound method.
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
    """Return an async function that runs a user's function in a thread, where it may block; async functions stay.

    A function that never returns delays neither the end of its call nor that of the process.
    """
    return function if inspect.iscoroutinefunction(function) else OffLoop(function)


class OffLoop(Immutable):
    """A function that runs in a thread; see `off_loop`. It can be pickled if the function can be imported."""

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
