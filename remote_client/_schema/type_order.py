"""The order in which to make types that refer to each other, found without recursion, whatever the depth."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class Groups(Generic[K]):
    """Groups of nodes that refer to each other: strongly connected components, by Tarjan's algorithm.

    `references` returns the nodes that a node refers to. It is called once per node.
    """

    def __init__(self, references: Callable[[K], Iterable[K]]) -> None:
        self._references = references
        self._found: dict[K, int] = {}
        """Nodes in the order in which they were found: their indices in Tarjan's algorithm."""
        self._lowest: dict[K, int] = {}
        self._open: dict[K, None] = {}
        """The nodes without a group, in the order in which they were found."""

    def of(self, start: K) -> Iterator[list[K]]:
        """Yield the new groups that can be reached from a node, in the order of dependencies."""
        path = [] if start in self._found else [self._enter(start)]
        while path:
            node, waiting = path[-1]
            new = next((other for other in waiting if self._is_new(node, other)), None)
            if new is not None:
                path.append(self._enter(new))
                continue
            path.pop()
            if path:
                parent = path[-1][0]
                self._lowest[parent] = min(self._lowest[parent], self._lowest[node])
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
