"""The order in which types that refer to each other are made."""

from __future__ import annotations

import random

import pytest

from remote_client._schema.type_order import Groups


def groups(graph: dict[str, str], *starts: str) -> list[str]:
    found = Groups(graph.__getitem__)
    return ["".join(group) for start in starts for group in found.of(start)]


@pytest.mark.parametrize(
    ("graph", "expected"),
    [
        ({"a": ""}, ["a"]),
        ({"a": "a"}, ["a"]),
        ({"a": "b", "b": "c", "c": ""}, ["c", "b", "a"]),
        ({"a": "bc", "b": "d", "c": "d", "d": ""}, ["d", "b", "c", "a"]),
        ({"a": "b", "b": "c", "c": "a"}, ["abc"]),
        ({"a": "bb", "b": "cd", "c": "b", "d": "d"}, ["d", "bc", "a"]),
        ({"a": "b", "b": "ac", "c": "d", "d": "c"}, ["cd", "ab"]),
    ],
)
def test_a_group_comes_after_all_it_refers_to(graph: dict[str, str], expected: list[str]) -> None:
    assert groups(graph, "a") == expected


def test_no_group_comes_twice() -> None:
    graph = {"a": "c", "b": "ac", "c": "d", "d": "c"}
    assert groups(graph, "a", "b", "a") == ["cd", "a", "b"]


def test_groups_of_random_graphs() -> None:
    draw = random.Random(7)
    for _ in range(200):
        graph = {node: draw.choices(range(12), k=draw.randrange(3)) for node in range(12)}
        reached = {node: {node} for node in graph}
        for _ in graph:
            for node, others in graph.items():
                reached[node] |= {more for each in others for more in reached[each]}
        found = Groups(graph.__getitem__)
        order = [group for start in graph for group in found.of(start)]
        done: set[int] = set()
        for group in order:
            assert all(set(group) == {each for each in reached[node] if node in reached[each]} for node in group)
            done |= set(group)
            assert all(reached[node] <= done for node in group)
        assert sorted(done) == sorted(graph)


def test_depth_is_no_limit() -> None:
    found = Groups(lambda node: [node + 1] if node < 100_000 else [0])
    assert [len(group) for group in found.of(0)] == [100_001]
