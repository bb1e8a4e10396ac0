"""The order in which types that refer to each other are made. Knows no schemas; no recursion, whatever the depth."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Groups(Generic[K]):
    """Groups of nodes that refer to each other (strongly connected components, by Tarjan's algorithm).

    Args:
        references: gives the nodes that one refers to. Asked once for each node.
    """

    def __init__(self, references: Callable[[K], Iterable[K]]) -> None:
        self._references = references
        self._found: dict[K, int] = {}
        """When each node was found; grouped ones are never looked at again."""
        self._lowest: dict[K, int] = {}
        self._open: dict[K, None] = {}
        """The nodes that have no group yet, in the order in which they were found."""

    def of(self, start: K) -> Iterator[list[K]]:
        """Yield the groups that can be reached from a node and were not yielded before, each after all it refers to."""
        way = [] if start in self._found else [self._enter(start)]
        while way:
            node, waiting = way[-1]
            new = next((each for each in waiting if self._is_new(node, each)), None)
            if new is not None:
                way.append(self._enter(new))
                continue
            way.pop()
            if way:
                around = way[-1][0]
                self._lowest[around] = min(self._lowest[around], self._lowest[node])
            if self._lowest[node] == self._found[node]:
                yield self._close(node)

    def _enter(self, node: K) -> tuple[K, Iterator[K]]:
        self._found[node] = self._lowest[node] = len(self._found)
        self._open[node] = None
        return node, iter(self._references(node))

    def _is_new(self, node: K, other: K) -> bool:
        if other not in self._found:
            return True
        if other in self._open:
            self._lowest[node] = min(self._lowest[node], self._found[other])
        return False

    def _close(self, first: K) -> list[K]:
        group: list[K] = []
        while first not in group[-1:]:
            group.append(self._open.popitem()[0])
        return group[::-1]
