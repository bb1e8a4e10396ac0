"""Attributes of classes that are created on first access."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any


class LazyAttribute:
    """An attribute of a class that is created on first access, as it needs types that may not exist yet.

    Args:
        create: creates the attribute; a function becomes a method.
    """

    def __init__(self, create: Callable[[], Any]) -> None:
        self._create = create
        self._value: Any = None

    def __set_name__(self, owner: type, name: str) -> None:
        self._owner, self._name = owner, name

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        value = self.__func__
        if vars(self._owner).get(self._name) is self:
            setattr(self._owner, self._name, value)  # replaces the descriptor: later calls do not come here
        return value.__get__(instance, owner) if inspect.isfunction(value) else value

    @property
    def __func__(self) -> Any:
        # `unittest.mock` finds the descriptor in the class's `__dict__`, and looks here for a coroutine function.
        # No `cached_property`: in Python 3.11 it has a lock for all instances, which a fork may leave locked.
        if self._value is None:
            self._value = self._create()
        return self._value
