"""Attributes of classes that are made when they are first looked at."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


class LateAttribute:
    """An attribute of a class that is made when it is first looked at: it may take types that are not made yet.

    Args:
        make: makes it; a function becomes a method.
    """

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._value: Any = None

    def __set_name__(self, owner: type, name: str) -> None:
        self._owner, self._name = owner, name

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        made = self._made
        if vars(self._owner).get(self._name) is self:
            setattr(self._owner, self._name, made)  # calls find it there, without coming here again
        return made.__get__(instance, owner) if inspect.isfunction(made) else made

    @property
    def _made(self) -> Any:
        # No `cached_property`: in Python 3.11 it has a lock for all instances, which a fork may leave locked.
        if self._value is None:
            self._value = self._make()
        return self._value

    @property
    def __func__(self) -> Any:
        # Where it is found in the class's `__dict__`: `unittest.mock` replaces a coroutine function by an awaitable.
        return self._made
