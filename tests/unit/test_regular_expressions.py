"""Every regular expression of the package takes time in proportion to the text: a server decides about its length.

Python does not count the steps of a match, so that texts of two lengths are timed: made of pieces that the expression's
own letters suggest, again and again, behind a beginning and before an end that matches nothing.
"""

from __future__ import annotations

import ast
import importlib
import itertools
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import remote_client

ROOT = Path(remote_client.__file__).parent
SHORT, LONG = 1_000, 4_000
"""Letters. What is linear takes four times as long, what is quadratic sixteen times."""
SOON = 1e-3
"""Seconds in which nothing quadratic reads the long text."""
METHODS = {"match", "fullmatch", "search", "findall", "finditer", "sub", "subn", "split"}
LETTERS = 'aA0_.- \n"(<,;:=/é'


class Use(NamedTuple):
    """A regular expression, and a method by which the package applies it."""

    where: str
    pattern: re.Pattern[Any]
    method: str


def _is_re(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Name)
        and node.func.value.id == "re"
        and node.func.attr in METHODS | {"compile"}
    )


def _flags(call: ast.Call) -> int:
    named = [getattr(re, each.attr, None) for each in ast.walk(call) if isinstance(each, ast.Attribute)]
    return sum(int(each) for each in named if isinstance(each, re.RegexFlag))


def _methods(tree: ast.Module) -> dict[str, set[str]]:
    """The methods of expressions that a module calls, by the names on which it does."""
    called: dict[str, set[str]] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.attr in METHODS:
            called.setdefault(node.value.id, set()).add(node.attr)
    return called


def _uses() -> Iterator[Use]:
    for path in sorted(ROOT.rglob("*.py")):
        tree, where = ast.parse(path.read_text()), path.relative_to(ROOT).as_posix()
        called = _methods(tree)
        named = {
            id(node.value): node.targets[0].id
            for node in tree.body
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
        }
        for node in ast.walk(tree):
            if not _is_re(node):
                continue
            assert isinstance(node, ast.Call)
            assert isinstance(node.func, ast.Attribute)
            if not isinstance(node.args[0], ast.Constant):
                found = [*_of_module(path, where)]
                assert found or "re.escape" in ast.unparse(node.args[0]), f"{where}:{node.lineno}: what is it made of?"
                yield from found
                continue
            source: Any = node.args[0].value
            pattern = re.compile(source, _flags(node))
            methods = (
                {node.func.attr} if node.func.attr != "compile" else called.get(named.get(id(node), ""), {"search"})
            )
            for method in methods:
                yield Use(f"{where}:{node.lineno}", pattern, method)


def _of_module(path: Path, where: str) -> Iterator[Use]:
    """The expressions that a module makes of others: all that its variables hold."""
    name = ".".join(("remote_client", *path.relative_to(ROOT).with_suffix("").parts))
    for variable, value in vars(importlib.import_module(name)).items():
        for number, each in enumerate(_held(value)):
            yield Use(f"{where}:{variable}[{number}]", each, "search")


def _held(value: Any) -> Iterator[re.Pattern[Any]]:
    if isinstance(value, re.Pattern):
        yield value
    elif isinstance(value, (list, tuple)):
        for each in value:
            yield from _held(each)


USES = list(_uses())


def _texts(pattern: re.Pattern[Any], size: int, pieces: tuple[str, ...]) -> Iterator[Any]:
    piece = "".join(pieces)
    for begin, end in (("", ""), ("", "!"), ("a.", "\n")):
        text = begin + piece * (size // len(piece)) + end
        yield text.encode("latin-1") if isinstance(pattern.pattern, bytes) else text


def _pieces(pattern: re.Pattern[Any]) -> Iterator[tuple[str, ...]]:
    source = pattern.pattern.decode("latin-1") if isinstance(pattern.pattern, bytes) else pattern.pattern
    words = re.findall(r"[A-Za-z][A-Za-z _/-]*", source)
    own = [each for each in source if ord(each) < 256 and not each.isalnum() and each not in "^$*?|()[]{}"]
    single = [*dict.fromkeys([*LETTERS, *own, *words])]
    yield from ((each,) for each in single)
    yield from itertools.permutations(single, 2)


def _seconds(use: Use, text: Any) -> float:
    begun = time.thread_time()
    if use.method in ("sub", "subn"):
        use.pattern.sub(text[:0], text)
    elif use.method == "finditer":
        list(use.pattern.finditer(text))
    else:
        getattr(use.pattern, use.method)(text)
    return time.thread_time() - begun


def _is_linear(use: Use, pieces: tuple[str, ...]) -> bool:
    for short, long in zip(_texts(use.pattern, SHORT, pieces), _texts(use.pattern, LONG, pieces), strict=True):
        if _seconds(use, long) < SOON:
            continue
        taken = [min(_seconds(use, text) for _ in range(3)) for text in (short, long)]
        if taken[1] > SOON and taken[1] > 9 * taken[0]:
            return False
    return True


def test_the_expressions_are_found() -> None:
    assert len(USES) > 40
    assert {"fullmatch", "search", "sub"} <= {use.method for use in USES}
    assert any("[" in use.where for use in USES)


@pytest.mark.parametrize("use", USES, ids=lambda use: f"{use.where}-{use.method}")
def test_a_regular_expression_is_linear(use: Use) -> None:
    slow = next((pieces for pieces in _pieces(use.pattern) if not _is_linear(use, pieces)), None)
    assert slow is None, f"{use.pattern.pattern!r} is quadratic on {''.join(slow or ())!r}"


@pytest.mark.parametrize(
    ("pattern", "method"), [(r"\s*<html", "search"), (r"a*a*b", "match"), (r"x.*y", "findall"), (r"\w+@", "sub")]
)
def test_a_quadratic_expression_would_be_noticed(pattern: str, method: str) -> None:
    use = Use("", re.compile(pattern), method)
    assert not all(_is_linear(use, pieces) for pieces in _pieces(use.pattern))
