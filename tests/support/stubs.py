"""Files that `remote_client._stubs.writer` writes: imported as users import them, and looked at for what they do."""

from __future__ import annotations

import ast
import importlib.util
import sys
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from remote_client._schema.declaration import declaration_of, is_declared
from remote_client._schema.declared.matching import match
from remote_client._schema.rpc import ServiceDescription
from remote_client.settings import Protocol

_PACKAGES = {
    *("__future__", "builtins", "collections.abc", "datetime", "enum", "pathlib", "typing", "pydantic"),
    *("remote_client", "remote_client.sync", "remote_client.declare"),
}


@contextmanager
def imported(text: str, folder: Path) -> Iterator[ModuleType]:
    """The module of a file with this text, as long as the context lasts."""
    name = f"stubs_{uuid.uuid4().hex}"
    file = folder / f"{name}.py"
    file.write_text(text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
        yield module
    finally:
        del sys.modules[name]
        file.unlink()


def check_declarations(module: ModuleType, description: ServiceDescription, protocol: Protocol) -> None:
    """Let each class be bound to what the server offers, as `client.model(name, Class)` does."""
    declared = [each for each in vars(module).values() if is_declared(each) and each.__module__ == module.__name__]
    assert len(declared) == len(description.tasks) + len(description.trainings)
    for each in declared:
        tasks, training = match(declaration_of(each), description, protocol)
        assert {task for task, _ in tasks} <= {*description.tasks}
        assert (training is not None) == hasattr(each, "train")


def check_only_defines(text: str) -> None:
    """Assert that a file has imports, classes, methods and literals, and nothing that runs but decorators of ours."""
    docstring, *statements = ast.parse(text).body
    assert _is_docstring(docstring)
    names = set[str]()
    for statement in statements:
        if isinstance(statement, ast.ImportFrom):
            assert statement.module in _PACKAGES
            assert all((each.asname or each.name).lstrip("_") == each.name for each in statement.names)
            bound = [each.asname or each.name for each in statement.names]
        else:
            assert isinstance(statement, ast.ClassDef)
            _check_class(statement)
            bound = [statement.name]
        assert names.isdisjoint(bound), bound
        names.update(bound)


def _check_class(found: ast.ClassDef) -> None:
    assert [type(each) for each in found.bases] == [ast.Name]
    assert not found.keywords
    for each in found.decorator_list:
        assert _called(each) == "module"
        _check_arguments(each)
    if found.name == "_Message":
        return  # the file's own
    names = set[str]()
    for statement in found.body[1:] if _is_docstring(found.body[0]) else found.body:
        name = _check_member(statement)
        assert name not in names
        names.add(name)


def _check_member(statement: ast.stmt) -> str:
    if isinstance(statement, ast.AnnAssign):
        assert isinstance(statement.target, ast.Name)
        _check_annotation(statement.annotation)
        if isinstance(statement.value, ast.Attribute):
            assert isinstance(statement.value.value, ast.Name)  # an enum's member
        elif _called(statement.value) == "Field":
            _check_arguments(statement.value)
        else:
            _check_literal(statement.value)
        return statement.target.id
    if isinstance(statement, ast.Assign):
        (target,) = statement.targets
        assert isinstance(target, ast.Name)
        assert isinstance(ast.literal_eval(statement.value), int)
        return target.id
    assert isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef))
    for each in statement.decorator_list:
        assert _called(each) == "taskmethod"
        _check_arguments(each)
    arguments = statement.args
    assert (arguments.vararg, arguments.kwarg, arguments.posonlyargs) == (None, None, [])
    for argument in [*arguments.args[1:], *arguments.kwonlyargs]:
        _check_annotation(argument.annotation)
    for default in [*arguments.defaults, *arguments.kw_defaults]:
        _check_literal(default)
    _check_annotation(statement.returns)
    text, end = statement.body
    assert _is_docstring(text)
    assert isinstance(end, ast.Raise)
    assert isinstance(end.exc, ast.Name)
    return statement.name


def _check_arguments(call: Any) -> None:
    assert not call.args
    for each in call.keywords:
        if isinstance(each.value, ast.Attribute):
            assert isinstance(each.value.value, ast.Name)
        else:
            _check_literal(each.value)


def _check_literal(value: Any) -> None:
    if _called(value) == "float":
        (argument,) = value.args
        assert not value.keywords
        assert argument.value in ("nan", "inf", "-inf")
    elif isinstance(value, (ast.List, ast.Dict)):
        for each in value.elts if isinstance(value, ast.List) else [*value.keys, *value.values]:
            _check_literal(each)
    else:
        told = ast.literal_eval(value)
        assert told is None or type(told) in (bool, int, float, str, bytes)


def _check_annotation(kind: Any) -> None:
    for each in ast.walk(kind):
        allowed = (ast.Name, ast.Load, ast.Subscript, ast.Tuple, ast.BinOp, ast.BitOr, ast.Constant)
        assert isinstance(each, allowed), ast.dump(each)
        if isinstance(each, ast.Constant):
            assert each.value is None


def _called(value: Any) -> str:
    """The name of the function that is called; nothing for anything else."""
    return value.func.id.lstrip("_") if isinstance(value, ast.Call) and isinstance(value.func, ast.Name) else ""


def _is_docstring(statement: ast.stmt) -> bool:
    if not isinstance(statement, ast.Expr) or not isinstance(statement.value, ast.Constant):
        return False
    told = statement.value.value
    assert isinstance(told, str)
    assert told.isprintable()
    return True
