"""The order of the types in a written file."""

from __future__ import annotations

from collections.abc import Mapping

from .._schema.type_order import Groups

_MAX_CYCLE = 32
_MAX_LEVELS = 100
"""The nesting of types: pydantic 2.11 makes five recursive calls a level, and Python allows a thousand."""


class Order:
    """The order of a file's types: by name, but after the types that they use.

    An enum must stand before its members are defaults. A model must stand after the models of its fields, as pydantic
    recurses through a chain of incomplete ones. In a large cycle, types use only those above them; no type uses one
    that is a hundred levels deep.

    Args:
        uses: type -> the types that its fields name.
        names: the types' names.

    Attributes:
        kinds: the types in order.
    """

    def __init__(self, uses: Mapping[type, list[type]], names: Mapping[type, str]) -> None:
        self._uses = uses
        groups = Groups[type](lambda kind: sorted(uses[kind], key=names.__getitem__))
        self.kinds: list[type] = []
        self._places: dict[type, int] = {}
        self._levels: dict[type, int] = {}
        for start in sorted(uses, key=names.__getitem__):
            for group in groups.of(start):
                if len(group) > _MAX_CYCLE:
                    for kind in reversed(group):  # the deepest first, so that most types stand below those they use
                        self._add([kind])
                else:
                    self._add(sorted(group, key=names.__getitem__))

    def _add(self, group: list[type]) -> None:
        """Append types that may use each other."""
        below = (self._levels.get(used, 0) for kind in group for used in self._uses[kind])
        level = len(group) + max((depth for depth in below if depth < _MAX_LEVELS), default=0)
        self._levels.update(dict.fromkeys(group, level))
        self._places.update(dict.fromkeys(group, len(self.kinds)))
        self.kinds += group

    def may_use_all(self, kind: type) -> bool:
        """Return whether a type may use all types that its fields name."""
        return all(self.may_use(kind, used) for used in self._uses[kind])

    def may_use(self, kind: type, used: type) -> bool:
        """Return whether a type may use another one."""
        place, above = self._places[kind], self._places[used]
        return above == place or (above < place and self._levels[used] < _MAX_LEVELS)
