"""The pictures in `docs/pictures/` show what the program is, and are what the scripts draw now."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from xml.etree import ElementTree

import pytest

from docs.pictures import draw

from ..support.readme import DOCS

ROOT = DOCS.parent
PACKAGE = ROOT / "remote_client"
PICTURES = sorted(DOCS.joinpath("pictures").glob("*.svg"))
ELEMENT = "{http://www.w3.org/2000/svg}"


def layers() -> list[set[str]]:
    """The layers of the package's own contract, from top to bottom."""
    contracts = tomllib.loads(ROOT.joinpath("pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (found,) = (each["layers"] for each in contracts if each.get("containers") == ["remote_client"])
    return [set(layer.split(" | ")) for layer in found]


def sides() -> Iterator[tuple[str, str]]:
    """Each name in the way of a call, and its file."""
    for step in draw.read("way-of-a-call")["step"]:
        for side in ("out", "back"):
            if side in step:
                yield step["file"], step[side]["name"]


def defined(body: list[ast.stmt], prefix: str = "") -> Iterator[str]:
    """The classes and functions of a file, methods with and without their class."""
    for each in body:
        if isinstance(each, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield f"{prefix}{each.name}"
            yield each.name
        if isinstance(each, ast.ClassDef):
            yield from defined(each.body, f"{each.name}.")


def test_the_architecture_has_the_layers_of_the_contract() -> None:
    assert [set(layer) for layer in draw.read("architecture")["layer"]] == layers()


def test_the_architecture_has_every_package_once() -> None:
    drawn = [name for layer in draw.read("architecture")["layer"] for name in layer]
    modules = {each.stem for each in PACKAGE.glob("*.py")} | {
        each.parent.name for each in PACKAGE.glob("*/__init__.py")
    }
    assert sorted(drawn) == sorted(modules - {"__init__"})


@pytest.mark.parametrize(("file", "name"), list(sides()))
def test_the_way_of_a_call_names_what_its_files_define(file: str, name: str) -> None:
    assert name in set(defined(ast.parse(PACKAGE.joinpath(file).read_text()).body))


def test_the_way_of_a_call_names_packages_that_exist() -> None:
    text = draw.read("way-of-a-call")
    named = re.findall(r"_\S+/", text["note"])
    assert named
    assert all(PACKAGE.joinpath(path).is_dir() for path in named)


def test_the_drawings_are_what_the_script_draws() -> None:
    for name, drawn in draw.pictures().items():
        assert DOCS.joinpath("pictures", name).read_text() == drawn, "`make pictures` draws it anew"


@pytest.mark.parametrize("picture", PICTURES, ids=lambda path: path.name)
def test_a_picture_stands_alone(picture: Path) -> None:
    """A browser that shows it as an image runs and loads nothing."""
    text = picture.read_text()
    tree: Any = ElementTree.fromstring(text)
    assert tree.get("viewBox")
    assert not list(tree.iter(f"{ELEMENT}script"))
    assert not re.search(r"""(?:href=|url\(|@import\s)["']?(?!["'#])\S""", text)


@pytest.mark.parametrize("picture", PICTURES, ids=lambda path: path.name)
def test_a_picture_has_a_light_and_a_dark_form(picture: Path) -> None:
    other = {"light": "dark", "dark": "light"}
    name, _, scheme = picture.stem.rpartition("-")
    assert picture.stem == "terminal" or picture.with_stem(f"{name}-{other[scheme]}").exists()


@pytest.mark.parametrize(("page", "folder"), [("speed.md", ""), ("contributing.md", "docs/")])
def test_the_site_shows_a_picture_in_the_colours_of_its_page(page: str, folder: str) -> None:
    hooks = pytest.importorskip("docs.hooks")
    given = SimpleNamespace(file=SimpleNamespace(src_uri=page), meta={})
    shown = hooks.on_page_markdown(f"![Bars]({folder}pictures/summary-light.svg)", given)
    assert shown == "![Bars](pictures/summary-light.svg#only-light) ![Bars](pictures/summary-dark.svg#only-dark)"
