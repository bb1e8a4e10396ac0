"""The order of the types in a written file."""

from __future__ import annotations

from collections.abc import Mapping

from .._schema.type_order import Groups

_MOST_IN_A_CIRCLE = 32
_MOST_LEVELS = 100
"""Of types that use each other: pydantic 2.11 goes through them by five calls a level, of Python's one thousand."""


class Order:
    """Puts types in the order of their names, but each after those that it uses.

    Python needs that of enums that are defaults, and pydantic of chains: it makes a model of those that it names, and
    would go through a whole chain of incomplete ones. Types in a circle of more than a few use only those above them,
    and none uses those at the top of a hundred levels.

    Args:
        uses: the types, each with those that its fields name.
        names: the types' names.

    Attributes:
        kinds: the types in their order.
    """

    def __init__(self, uses: Mapping[type, list[type]], names: Mapping[type, str]) -> None:
        self._uses = uses
        groups = Groups[type](lambda kind: sorted(uses[kind], key=names.__getitem__))
        self.kinds: list[type] = []
        self._places: dict[type, int] = {}
        self._levels: dict[type, int] = {}
        for start in sorted(uses, key=names.__getitem__):
            for group in groups.of(start):
                if len(group) > _MOST_IN_A_CIRCLE:
                    for kind in reversed(group):  # the deepest first: most of what each uses is above it
                        self._add([kind])
                else:
                    self._add(sorted(group, key=names.__getitem__))

    def _add(self, group: list[type]) -> None:
        """Put types that may all use each other below the others."""
        below = (self._levels.get(used, 0) for kind in group for used in self._uses[kind])
        level = len(group) + max((each for each in below if each < _MOST_LEVELS), default=0)
        self._levels.update(dict.fromkeys(group, level))
        self._places.update(dict.fromkeys(group, len(self.kinds)))
        self.kinds += group

    def may_use_all(self, kind: type) -> bool:
        """Whether a type may use all types that its fields name."""
        return all(self.may_use(kind, used) for used in self._uses[kind])

    def may_use(self, kind: type, used: type) -> bool:
        """Whether a type may use another one."""
        place, above = self._places[kind], self._places[used]
        return above == place or (above < place and self._levels[used] < _MOST_LEVELS)
