"""How objects are copied, by `copy.copy` and `copy.deepcopy`, that are pickled in another form."""

from __future__ import annotations

from typing import Any, Self


class Immutable:
    """A copy is the object itself."""

    __slots__ = ()

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: Any) -> Self:
        return self


class Handle:
    """A copy has the same connections."""

    def __copy__(self) -> Self:
        made = object.__new__(type(self))
        vars(made).update(vars(self))
        return made

    def __deepcopy__(self, memo: Any) -> Self:
        return self.__copy__()
