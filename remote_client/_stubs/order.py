"""The order of the types in a written file."""

from __future__ import annotations

from collections.abc import Mapping

from .._schema.graphs import Groups

_MOST_IN_A_CIRCLE = 32


class Order:
    """Puts types in the order of their names, but each after those that it uses.

    Python needs that of enums that are defaults, and pydantic of chains: it makes a model of those that it names, and
    would go through a whole chain of incomplete ones. Types in a circle of more than a few use only those above them.

    Args:
        uses: the types, each with those that its fields name.
        names: the types' names.

    Attributes:
        kinds: the types in their order.
    """

    def __init__(self, uses: Mapping[type, list[type]], names: Mapping[type, str]) -> None:
        groups = Groups[type](lambda kind: sorted(uses[kind], key=names.__getitem__))
        self.kinds: list[type] = []
        self._in_large_circles: set[type] = set()
        for start in sorted(uses, key=names.__getitem__):
            for group in groups.of(start):
                if len(group) > _MOST_IN_A_CIRCLE:
                    self._in_large_circles.update(group)
                    self.kinds += reversed(group)  # the deepest first: most of what each uses is above it
                else:
                    self.kinds += sorted(group, key=names.__getitem__)
        self._places = {kind: place for place, kind in enumerate(self.kinds)}

    def is_in_large_circle(self, kind: type) -> bool:
        """Whether a type may use only those above it."""
        return kind in self._in_large_circles

    def is_above(self, one: type, other: type) -> bool:
        """Whether a type stands above another one, or is the same."""
        return self._places[one] <= self._places[other]
