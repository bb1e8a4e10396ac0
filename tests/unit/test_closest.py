"""The names that error messages suggest."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Sequence
from itertools import repeat

import pytest

from remote_client._text import closest as closest_module
from remote_client._text.closest import closest


def test_the_most_alike_name() -> None:
    assert closest("grok", ["block", "group", "grog", "x"]) == "grog"
    assert closest("grok", ["x", "y", ""]) is None
    assert closest("", ["x"]) is None


@pytest.mark.parametrize(("wanted", "name"), [("abc" * 10, "acb" * 10), ("a" * 5_000, "a" * 5_000), ("a", "b")])
def test_letters_are_compared_only_so_often(monkeypatch: pytest.MonkeyPatch, wanted: str, name: str) -> None:
    compared = 0

    class Counting(difflib.SequenceMatcher[str]):
        def set_seq1(self, a: Sequence[str]) -> None:
            nonlocal compared
            compared += len(a) * len(wanted)
            super().set_seq1(a)

    monkeypatch.setattr(difflib, "SequenceMatcher", Counting)
    closest(wanted, [name] * 600_000)
    assert compared <= closest_module.WORK


def test_only_the_first_names_are_looked_at() -> None:
    seen = 0

    def names() -> Iterator[str]:
        nonlocal seen
        for each in repeat("no name that is like it"):
            seen += 1
            yield each

    assert closest("foo", names()) is None
    assert seen <= 10_001
