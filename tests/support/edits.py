"""What people do to a file that `remote-client stubs` wrote."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

from .packages import needs

TASK, MODULE = "SampleTask", "SampleModule"
Edit = Callable[[Path], None]
"""Edits a file. Afterwards it has, or imports, `SampleTask` and `SampleModule`."""


def _renamed(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    for name in (TASK, MODULE):
        text = re.sub(rf"class {name}\(", f"class My{name}(", text)
        text = re.sub(rf"(?<=[(\[]){name}(?=[)\]])", f"My{name}", text)  # as a base, and in the answer of `train`
    file.write_text(f"{text}\n\n{TASK}, {MODULE} = My{TASK}, My{MODULE}\n", encoding="utf-8")


def _without_methods(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for each in _classes(tree, TASK):
        each.body = [part for part in each.body if getattr(part, "name", "run") == "run"]
    file.write_text(ast.unparse(tree), encoding="utf-8")


def _without_other_classes(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    tree.body = [each for each in tree.body if not _is_declared(each) or each in _classes(tree, TASK, MODULE)]
    file.write_text(ast.unparse(tree), encoding="utf-8")


def _classes_elsewhere(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    moved = [each for each in tree.body if isinstance(each, ast.ClassDef) and _is_declared(each)]
    tree.body = [each for each in tree.body if each not in moved]
    _write_beside(file, "moved", tree, moved)
    text = f"{ast.unparse(tree)}\nfrom {file.stem}_moved import {TASK}, {MODULE}\n"
    file.write_text(text, encoding="utf-8")


def _methods_elsewhere(file: Path) -> None:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    moved = []
    for each in _classes(tree, TASK, MODULE):
        for method in each.body:
            if isinstance(method, ast.AsyncFunctionDef | ast.FunctionDef) and method.name == "train":
                method.returns = ast.Name("object")  # the class is not known there
        base = ast.ClassDef(f"{each.name}Methods", bases=[], keywords=[], body=each.body, decorator_list=[])
        each.bases.insert(0, ast.Name(base.name))
        each.body = [ast.Pass()]
        moved.append(base)
    _write_beside(file, "methods", tree, moved)
    place = next(index for index, each in enumerate(tree.body) if _is_declared(each))
    tree.body.insert(place, ast.ImportFrom(f"{file.stem}_methods", [ast.alias(each.name) for each in moved], 0))
    file.write_text(ast.unparse(ast.fix_missing_locations(tree)), encoding="utf-8")


def _reformatted(file: Path) -> None:
    needs("ruff")
    options = ["line-length=60", 'format.quote-style="single"', "indent-width=2"]
    command = [sys.executable, "-m", "ruff", "format", "--isolated", "--no-cache", str(file)]
    subprocess.run([*command, *(f"--config={each}" for each in options)], check=True, capture_output=True, timeout=60)


def _write_beside(file: Path, what: str, tree: ast.Module, classes: Iterable[ast.ClassDef]) -> None:
    """Write classes into another file of the folder, with the imports and the types of the first."""
    imports = [each for each in tree.body if isinstance(each, ast.ImportFrom)]
    types = [each.name for each in tree.body if isinstance(each, ast.ClassDef) and not _is_declared(each)]
    given = ast.ImportFrom(file.stem, [ast.alias(name) for name in types], 0)
    names = ast.ImportFrom("__future__", [ast.alias("annotations")], 0)
    rest = [each for each in imports if each.module != "__future__"]
    made = ast.fix_missing_locations(ast.Module([names, *rest, given, *classes], []))
    file.with_name(f"{file.stem}_{what}.py").write_text(ast.unparse(made), encoding="utf-8")


def _is_declared(statement: ast.stmt) -> bool:
    return isinstance(statement, ast.ClassDef) and bool(statement.decorator_list)


def _classes(tree: ast.Module, *names: str) -> list[ast.ClassDef]:
    return [each for each in tree.body if isinstance(each, ast.ClassDef) and each.name in names]


EDITS: dict[str, Edit] = {
    "renamed classes": _renamed,
    "without some methods": _without_methods,
    "without the other classes": _without_other_classes,
    "classes in another file": _classes_elsewhere,
    "methods in another file": _methods_elsewhere,
    "formatted otherwise": _reformatted,
}
