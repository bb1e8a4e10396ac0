"""Copying, by `copy.copy` and `copy.deepcopy`, of objects whose pickles are something else."""

from __future__ import annotations

from typing import Any, Self


class Immutable:
    """An object whose copy is the object itself."""

    __slots__ = ()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: Any) -> Self:
        return self


class Handle:
    """An object whose copies share its connections."""

    def __copy__(self) -> Self:
        copy = object.__new__(type(self))
        vars(copy).update(vars(self))
        return copy

    def __deepcopy__(self, memo: Any) -> Self:
        return self.__copy__()
