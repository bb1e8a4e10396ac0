"""docs/stability.md: its tables agree with what the tests run on."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ..support.readme import DOCS
from ..unit.test_public_names import PUBLIC

ROOT = DOCS.parent
PAGE = (DOCS / "stability.md").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def rows(heading: str) -> Iterator[list[str]]:
    """The cells of the tables under a heading, without those of heads."""
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    for table in re.findall(r"^\|[-| ]+\|\n((?:\|.*\n)+)", section, re.MULTILINE):
        for row in table.splitlines():
            yield [cell.strip() for cell in row.strip("|").split("|")]


def pins(name: str, python: str = "3.11") -> dict[str, str]:
    """The versions in a file of requirements, as a Python has them."""
    environment = {"python_version": python}
    lines = (ROOT / "tests" / "requirements" / f"{name}.txt").read_text().splitlines()
    wanted = [Requirement(line) for line in lines if line and not line.startswith("#")]
    held = [each for each in wanted if each.marker is None or each.marker.evaluate(environment)]
    return {canonicalize_name(each.name): next(iter(each.specifier)).version for each in held}


def test_the_public_modules_are_those_listed() -> None:
    ((modules, _), *_) = rows("What is stable")
    assert {name.replace("`.", "`remote_client.").strip("`") for name in modules.split(", ")} == {
        *PUBLIC,
        "remote_client.caikit",
    }


def test_the_pythons_are_those_of_the_classifiers_and_the_next() -> None:
    listed = re.findall(r"3\.\d+", " ".join(first for first, _ in rows("Pythons")))
    promised = [each.rpartition(" ")[2] for each in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", each)]
    assert listed[:-1] == promised
    assert f'"{listed[-1]}"]' in (ROOT / "noxfile.py").read_text()


def test_only_systems_that_are_tested_have_a_classifier() -> None:
    systems = [each for each in PROJECT["classifiers"] if each.startswith("Operating System")]
    assert systems == ["Operating System :: POSIX :: Linux"]
    everything = [cells[0] for cells in rows("Systems") if cells[1] == "everything on this page"]
    assert everything == ["Linux, x86-64, glibc"]


def test_every_dependency_has_its_versions() -> None:
    listed = {canonicalize_name(cells[0].partition(",")[0]): (cells[1], cells[2]) for cells in rows("Dependencies")}
    lowest, pinned = pins("lowest"), pins("client")
    assert listed == {name: (lowest[name], pinned[name]) for name in listed}
    assert {canonicalize_name(Requirement(each).name) for each in PROJECT["dependencies"]} <= listed.keys()


def test_every_extra_is_told() -> None:
    listed = {name for cells in rows("Extras") for name in re.findall(r"`(\w+)`", cells[0])}
    assert listed == PROJECT["optional-dependencies"].keys()


def test_the_protobuf_beside_caikit() -> None:
    assert f"protobuf is {pins('runtime')['protobuf']}," in " ".join(PAGE.split())


@pytest.mark.parametrize("server", ["caikit's runtime", "the client inside caikit"])
def test_the_caikit_of_the_tests(server: str) -> None:
    assert [cells[1] for cells in rows("Servers") if cells[0] == server] == [pins("runtime")["caikit"]]


def test_the_lowest_caikit() -> None:
    (extra,) = PROJECT["optional-dependencies"]["caikit"]
    lowest = extra.removeprefix("caikit>=").partition(",")[0]
    assert f"| | {lowest} | the same but slow ones" in PAGE


def test_the_engines_of_the_tests() -> None:
    engines = pins("engines")
    (versions,) = [cells[1] for cells in rows("Servers") if cells[0] == "Ray, Dask, Spark"]
    assert versions == ", ".join(engines[name] for name in ("ray", "dask", "pyspark"))


def test_the_conventions_that_spans_follow() -> None:
    (version,) = re.findall(r"semantic conventions (\d+\.\d+)", (DOCS / "tracing.md").read_text())
    assert f"the client follows {version}," in PAGE
