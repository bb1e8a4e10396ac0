"""The requirement files and the noxfile agree with what pyproject.toml promises."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

from tests.support.packages import main_only

ROOT = Path(__file__).parent.parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ENGINES = ("ray", "dask", "spark")
OWN = ("caikit", *ENGINES)
"""They have environments of their own: caikit the runtime's, and one of noxfile.py's."""
EXTRAS = [each for name, extra in PROJECT["optional-dependencies"].items() if name not in OWN for each in extra]
PROMISED = [Requirement(each) for each in (*PROJECT["dependencies"], *EXTRAS)]
PYTHONS = re.findall(r"^Programming Language :: Python :: (3\.\d+)$", "\n".join(PROJECT["classifiers"]), re.MULTILINE)
"""The Pythons that the classifiers name."""


def listed(name: str) -> list[Requirement]:
    lines = (ROOT / "tests" / "requirements" / name).read_text().splitlines()
    return [Requirement(line) for line in lines if line and not line.startswith("#")]


def pinned(name: str, python: str) -> dict[str, Version]:
    """What a file installs on a Python."""
    here = [each for each in listed(name) if each.marker is None or each.marker.evaluate({"python_version": python})]
    versions = {canonicalize_name(each.name): Version(str(each.specifier).removeprefix("==")) for each in here}
    assert len(versions) == len(here), "a name twice"
    return versions


def floor(requirement: Requirement) -> Version:
    (lowest,) = (each for each in requirement.specifier if each.operator == ">=")
    return Version(lowest.version)


def test_the_lowest_python_gets_the_floors() -> None:
    pins = pinned("lowest.txt", PYTHONS[0])
    promised = {canonicalize_name(each.name): floor(each) for each in PROMISED}
    assert {name: pins.get(name) for name in promised} == promised


def test_the_runtime_has_what_the_client_inside_caikit_needs() -> None:
    pins = pinned("runtime.txt", PYTHONS[0])
    needed = map(Requirement, [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["caikit"]])
    assert [str(each) for each in needed if pins[canonicalize_name(each.name)] not in each.specifier] == []


@pytest.mark.parametrize("engine", ENGINES)
def test_the_engines_floors_are_what_is_tested(engine: str) -> None:
    pins = pinned("engines.txt", PYTHONS[0])
    promised = {
        canonicalize_name(each.name): floor(each) for each in map(Requirement, PROJECT["optional-dependencies"][engine])
    }
    assert {name: pins.get(name) for name in promised} == promised


def test_later_pythons_get_what_pyproject_allows() -> None:
    for python in (*PYTHONS, "3.14"):
        pins = pinned("lowest.txt", python)
        wrong = [str(each) for each in PROMISED if pins[canonicalize_name(each.name)] not in each.specifier]
        assert wrong == [], python


def test_the_tools_of_the_lowest_are_the_pinned_ones() -> None:
    rest = (ROOT / "tests" / "requirements" / "lowest.txt").read_text().rpartition("\n# ")[2].splitlines()[1:]
    assert len(rest) > 20
    assert set(rest) <= set((ROOT / "tests" / "requirements" / "client.txt").read_text().splitlines())


def test_the_newest_take_the_same_helpers() -> None:
    names = {canonicalize_name(each.name) for each in listed("newest.txt")}
    assert names <= set(pinned("lowest.txt", PYTHONS[0]))
    assert not names & {canonicalize_name(each.name) for each in PROMISED}


def test_the_classifiers_begin_where_pyproject_does() -> None:
    minors = [int(each.removeprefix("3.")) for each in PYTHONS]
    assert minors == list(range(minors[0], minors[-1] + 1))
    assert SpecifierSet(PROJECT["requires-python"]) == SpecifierSet(f">={PYTHONS[0]}")


def test_a_python_that_does_not_start_is_skipped_by_name(tmp_path: Path) -> None:
    main_only("nox")
    for name in ("python3.13", "python3.14"):  # as pyenv's shims for versions that are not switched on
        shim = tmp_path / name
        shim.write_text("#!/bin/sh\necho pyenv: command not found >&2\nexit 127\n")
        shim.chmod(0o755)
    # Of the real ones the first starts and no other is here: what pyenv has is not looked at.
    (tmp_path / "python3.11").symlink_to(sys.executable)
    told = subprocess.run(
        [sys.executable, "-m", "nox", "--noxfile", ROOT / "noxfile.py", "--session", "tests-3.13", "tests-3.14"],
        env={**os.environ, "PATH": f"{tmp_path}:/nowhere", "PYENV_ROOT": str(tmp_path), "NO_COLOR": "1"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert told.returncode == 0, told.stderr
    for version in ("3.13", "3.14"):
        assert f"Session tests-{version} skipped: no Python {version} starts on this machine" in told.stderr
