"""Tables of the explanation pages that the code and the project's files decide."""

from __future__ import annotations

import ast
import re
import tomllib
from pathlib import Path

import remote_client

from ..support.readme import DOCS

MODULES = {"PyYAML": "yaml", "grpcio": "grpc", "protobuf": "google"}
"""The modules of dependencies that have another name."""
PACKAGE = Path(remote_client.__file__).parent


def dependencies() -> set[str]:
    """The names of the packages that an installation without extras brings."""
    project = tomllib.loads((DOCS.parent / "pyproject.toml").read_text())["project"]
    return {re.split(r"[<>=!~\[; ]", each)[0] for each in project["dependencies"]}


def first_column(page: str, heading: str) -> set[str]:
    """The names in the first column of the table under a heading."""
    section = (DOCS / page).read_text().partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    return set(re.findall(r"^\| `([^`]+)` \|", section, re.MULTILINE))


def imported() -> set[str]:
    """The top-level modules that the package imports anywhere."""
    nodes = [node for file in PACKAGE.rglob("*.py") for node in ast.walk(ast.parse(file.read_text()))]
    plain = {name.name for node in nodes if isinstance(node, ast.Import) for name in node.names}
    from_other = {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom) and not node.level}
    return {name.partition(".")[0] for name in plain | from_other}


def test_the_page_on_security_lists_all_dependencies() -> None:
    assert first_column("security.md", "Dependencies") == dependencies()


def test_the_package_imports_all_of_its_dependencies() -> None:
    assert {MODULES.get(name, name) for name in dependencies()} <= imported()
