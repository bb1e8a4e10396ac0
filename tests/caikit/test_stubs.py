"""tests/typing/stubs, by which type checkers know caikit, tell the truth about the installed caikit."""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from caikit.core import ModuleBase
from caikit.core.data_model import JobStatus
from caikit.core.exceptions.caikit_core_exception import CaikitCoreException, CaikitCoreStatusCode
from caikit.core.model_management.job_base import JobInfo
from caikit.interfaces.common.data_model import ConnectionInfo, ConnectionTlsInfo, IntSequence, Sequence
from caikit.runtime.names import ServiceType
from caikit.runtime.service_factory import ServicePackage, ServicePackageFactory
from caikit.runtime.types.caikit_runtime_exception import CaikitRuntimeException
from sample_lib.modules import SampleModule

STUBS = Path(__file__).parent.parent / "typing" / "stubs"
INSTANCES: dict[Any, Any] = {
    CaikitCoreException: CaikitCoreException(CaikitCoreStatusCode.FATAL, ""),
    CaikitRuntimeException: CaikitRuntimeException(grpc.StatusCode.OK, ""),
    ConnectionInfo: ConnectionInfo("h"),
    ConnectionTlsInfo: ConnectionTlsInfo(),
    JobInfo: JobInfo(JobStatus.QUEUED),
    ModuleBase: SampleModule,
    Sequence: IntSequence([1]),
    ServicePackage: ServicePackageFactory.get_service_package(ServiceType.INFO),
}
"""What has the variables of a class: an instance, and of modules a class, which the decorator gave its names."""


def module_of(file: Path) -> str:
    parts = file.relative_to(STUBS).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def definitions(body: list[ast.stmt], prefix: str = "") -> Iterator[tuple[str, ast.stmt]]:
    """Yield the public classes, functions and variables of a stub with their names."""
    for node in body:
        match node:
            case ast.ClassDef(name=name):
                yield f"{prefix}{name}", node
                yield from definitions(node.body, f"{prefix}{name}.")
            case ast.FunctionDef(name=name):
                yield f"{prefix}{name}", node
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield f"{prefix}{name}", node


def is_public(name: str) -> bool:
    return not any(part.startswith("_") and part != "__init__" for part in name.split("."))


DEFINED = [
    pytest.param(module_of(file), name, node, id=f"{module_of(file)}.{name}")
    for file in sorted(STUBS.rglob("*.pyi"))
    for name, node in definitions(ast.parse(file.read_text()).body)
    if is_public(name)
]
CLASSES = [each for each in DEFINED if isinstance(each.values[2], ast.ClassDef)]
FUNCTIONS = [each for each in DEFINED if isinstance(each.values[2], ast.FunctionDef)]
VARIABLES = [each for each in DEFINED if isinstance(each.values[2], ast.AnnAssign)]


def installed(module: str, name: str) -> Any:
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    return found


def kind_of(node: ast.FunctionDef) -> str:
    kinds = {"classmethod", "property", "staticmethod"} & {ast.unparse(each) for each in node.decorator_list}
    return kinds.pop() if kinds else "function"


def stubbed_parameters(node: ast.FunctionDef) -> list[tuple[str, str, bool]]:
    """Return the names, the kinds and whether there is a default; without `self` and `cls`."""
    arguments, kinds = node.args, inspect.Parameter
    names = [each.arg for each in arguments.args]
    required = len(names) - len(arguments.defaults)
    found = [(name, kinds.POSITIONAL_OR_KEYWORD.name, index >= required) for index, name in enumerate(names)]
    if arguments.vararg:
        found.append((arguments.vararg.arg, kinds.VAR_POSITIONAL.name, False))
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        found.append((argument.arg, kinds.KEYWORD_ONLY.name, default is not None))
    if arguments.kwarg:
        found.append((arguments.kwarg.arg, kinds.VAR_KEYWORD.name, False))
    return [each for each in found if each[0] not in ("self", "cls")]


def installed_parameters(function: Any) -> list[tuple[str, str, bool]]:
    found = inspect.signature(function).parameters.values()
    rows = [(each.name, each.kind.name, each.default is not inspect.Parameter.empty) for each in found]
    return [each for each in rows if each[0] not in ("self", "cls")]


def test_there_are_stubs() -> None:
    assert (len(CLASSES) > 20, len(FUNCTIONS) > 40, len(VARIABLES) > 30) == (True, True, True)


@pytest.mark.parametrize(("module", "name", "node"), CLASSES)
def test_classes_have_these_bases(module: str, name: str, node: ast.ClassDef) -> None:
    known = {each.__name__ for each in inspect.getmro(installed(module, name))}
    assert {ast.unparse(base).partition("[")[0] for base in node.bases} <= {*known, "abc.ABC", "threading.Thread"}


@pytest.mark.parametrize(("module", "name", "node"), FUNCTIONS)
def test_functions_take_these_parameters(module: str, name: str, node: ast.FunctionDef) -> None:
    owner = installed(module, name.rpartition(".")[0]) if "." in name else None
    function = installed(module, name)
    if kind_of(node) == "property":
        assert isinstance(function, property)
        return
    assert (kind_of(node) == "classmethod") == (owner is not None and inspect.ismethod(function))
    if name == "DataBase.__init__":  # of each data object it is made anew
        function = ConnectionInfo.__init__
    elif name == "ConnectionInfo.__init__":  # its own takes anything, for the sake of the union
        assert [each[0] for each in stubbed_parameters(node)] == list(inspect.get_annotations(owner))
        return
    assert stubbed_parameters(node) == installed_parameters(function)


@pytest.mark.parametrize(("module", "name", "node"), VARIABLES)
def test_variables_are_there(module: str, name: str, node: ast.AnnAssign) -> None:
    owner, _, attribute = name.rpartition(".")
    found = installed(module, owner) if owner else importlib.import_module(module)
    assert hasattr(INSTANCES.get(found, found), attribute)
