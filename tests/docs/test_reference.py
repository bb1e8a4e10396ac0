"""Every public name has an entry in `docs/reference/`, and an example on the page of the entry.

An object that several modules export, such as `ConnectionInfo`, has one entry; the pages of the other modules name it.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from remote_client._transport.status_codes import http_error_class

from ..support.inside_caikit import NAMES as INSIDE_CAIKIT
from ..support.readme import DOCS, blocks
from ..unit.test_public_names import PUBLIC

FOLDER = DOCS / "reference"
NAMES = PUBLIC | {"remote_client.caikit": INSIDE_CAIKIT}
PAGES = {
    "remote_client": "client.md",
    "remote_client.sync.bulk": "bulk.md",
    "remote_client.ray": "engines.md",
    "remote_client.spark": "engines.md",
} | {f"remote_client.{page.stem}": page.name for page in FOLDER.glob("*.md") if page.stem not in ("client", "engines")}
"""The page of each module: where its names are listed."""
OWN_PAGES = {"remote_client.errors": "errors.md", "remote_client.sync.errors": "errors.md"}
"""Modules that are names of other modules: their pages are their entries."""


@cache
def entries(page: Path) -> frozenset[str]:
    """Return the full names that a page has `:::` directives for."""
    lines = map(str.strip, page.read_text().splitlines())
    return frozenset(line.removeprefix("::: ") for line in lines if line.startswith("::: "))


@cache
def used(page: Path) -> frozenset[str]:
    """Return the full names of what a page's examples use: beyond an import, and outside comments and strings."""
    imports: dict[str, str] = {}
    found: set[str] = set()
    for block in blocks(page):
        if block.language == "python":
            tree = ast.parse(block.text)
            imports |= imported(tree)
            found |= set(filter(None, (full_name(node, imports) for node in ast.walk(tree))))
    return frozenset(found)


def imported(tree: ast.AST) -> dict[str, str]:
    """Return the full names of what a block imports, by the names that it gives them."""
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            tops = [(name, name.name.partition(".")[0]) for name in node.names]
            names |= {name.asname or top: name.name if name.asname else top for name, top in tops}
        elif isinstance(node, ast.ImportFrom):
            names |= {name.asname or name.name: f"{node.module}.{name.name}" for name in node.names}
    return names


def full_name(node: ast.AST, imports: dict[str, str]) -> str | None:
    """Return the full name of an imported name, or of an attribute of one."""
    if isinstance(node, ast.Name):
        return imports.get(node.id)
    if isinstance(node, ast.Attribute) and (module := full_name(node.value, imports)) is not None:
        return f"{module}.{node.attr}"
    return None


def same(module: str, name: str) -> Iterator[tuple[str, str]]:
    """Yield the modules that export an object, with the full names that it has there."""
    yield module, f"{module}.{name}"
    for other, names in PUBLIC.items():
        if module in PUBLIC and other != module and name in names and value(other, name) is value(module, name):
            yield other, f"{other}.{name}"


def value(module: str, name: str) -> Any:
    return getattr(import_module(module), name)


def listed(module: str, name: str) -> bool:
    """Whether a module's page names what another page has the entry of."""
    page = FOLDER / PAGES[module]
    return f"{module}.{name}" in entries(page) or f"`{name}`" in page.read_text()


def missing(module: str) -> Iterator[str]:
    """Yield what the reference lacks for the names of a module."""
    for name in sorted(NAMES[module]):
        full_names = {full: FOLDER / PAGES[home] for home, full in same(module, name)}
        homes = {page for full, page in full_names.items() if full in entries(page)}
        homes |= {FOLDER / OWN_PAGES[full] for full in full_names if full in OWN_PAGES}
        if not homes:
            yield f"{name}: no `::: {module}.{name}`"
        elif not any(used(home) & full_names.keys() for home in homes):
            yield f"{name}: no example uses it"
        if not listed(module, name):
            yield f"{name}: not listed on {PAGES[module]}"


@pytest.mark.parametrize("module", NAMES)
def test_public_names_have_an_entry_and_an_example(module: str) -> None:
    found = list(missing(module))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("page", sorted(FOLDER.glob("*.md")), ids=lambda page: page.stem)
def test_entries_are_public_names_and_stand_once(page: Path) -> None:
    public = {f"{module}.{name}" for module, names in NAMES.items() for name in names}
    assert entries(page) <= public
    for other in FOLDER.glob("*.md"):
        assert other == page or not entries(other) & entries(page)


def test_the_tree_of_errors_is_that_of_the_classes() -> None:
    tree = next(block.text for block in blocks(FOLDER / "errors.md") if block.text.startswith("RemoteClientError\n"))
    above: list[str] = []
    found: dict[str, list[str]] = {}
    for branch, name, others in re.findall(r"^([│├└─ ]*)(\w+)[^\[\n]*(?:\[(.*)\])?$", tree, re.MULTILINE):
        above[len(branch) // 4 :] = [name]
        found[name] = [*above[-2:-1], *filter(None, others.split(", "))]
    kinds = [value("remote_client.errors", name) for name in PUBLIC["remote_client.errors"]]
    bases = {kind.__name__: [base.__name__ for base in kind.__bases__] for kind in kinds}
    assert found == bases | {"RemoteClientError": []}


def test_the_table_of_http_statuses_is_that_of_the_client() -> None:
    rows = re.findall(r"^\| ([\d, ]+|others) \| `(\w+)` \|$", (FOLDER / "errors.md").read_text(), re.MULTILINE)
    listed = {int(status): name for statuses, name in rows if statuses != "others" for status in statuses.split(",")}
    other = dict(rows)["others"]
    found = {status: http_error_class(status).__name__ for status in range(400, 600)}
    assert found == dict.fromkeys(found, other) | listed
