"""Declared modules: a class that says what a model's module can do, so that editors and type checkers know it too.

    @module("00110203-0405-0607-0809-0a0b02dd0e0f", "SampleModule", "0.1.0", task="SampleTask")
    class SampleModule(RemoteModuleBase):
        @taskmethod()
        async def run(self, sample_input: SampleInput, throw: bool = False) -> SampleOutput:
            raise NotImplementedError

Methods are written without a body; whoever calls them calls the server. Annotations are the user's own types: pydantic
models, dataclasses, plain types. `AsyncIterable` parameters and `AsyncIterator` results make the streaming kinds. The
decorators are called as caikit's are.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, field
from types import UnionType
from typing import Annotated, Any, NewType, NotRequired, Required, TypeVar, Union, get_args, get_origin, get_type_hints

from .errors import ConfigurationError

F = TypeVar("F", bound=Callable[..., Any])
C = TypeVar("C", bound=type)

_TASK = "__remote_task__"
_DECLARED = "__remote_module__"
_STREAMS = (AsyncIterable, AsyncIterator)
_PLAIN_STREAMS = (*_STREAMS, Iterable, Iterator)


@dataclass(frozen=True)
class DeclaredMethod:
    """One method of a declared module.

    Attributes:
        name: its name.
        task: the task's name; empty for `train`.
        signature: its parameters without `self`, with types instead of their names.
        streams: its streamed parameters, and the types of their items.
        result: the type of the answer, or of each answer.
        output_streaming: whether there are many answers.
        data_object: caikit's class of the answer, of a method of a caikit module.
    """

    name: str
    task: str
    signature: inspect.Signature = field(repr=False)
    streams: dict[str, Any]
    result: Any
    output_streaming: bool
    data_object: Any = None

    @property
    def input_streaming(self) -> bool:
        """Whether there are streamed parameters."""
        return bool(self.streams)


@dataclass(frozen=True)
class SchemaPath:
    """Where a declared module's schema is. It is read when it is first needed.

    Attributes:
        beside: the class that names it.
        name: the file's path from the file of that class.
    """

    beside: type
    name: str


@dataclass(frozen=True)
class Declaration:
    """What a declared module's class says.

    Attributes:
        module: the class.
        id: the module's id; empty where it is not told.
        name: the module's name.
        version: its version.
        methods: its methods.
        train: its training; None where it declares none.
        schema: the schema of its servers; None where the class names none.
    """

    module: type
    id: str
    name: str
    version: str
    methods: tuple[DeclaredMethod, ...]
    train: DeclaredMethod | None
    schema: SchemaPath | None = None

    @property
    def tasks(self) -> tuple[str, ...]:
        """The tasks that the module has, in the order of its methods."""
        return tuple(dict.fromkeys(method.task for method in self.methods))


registry: dict[str, type] = {}
"""Module id -> declared class. A model whose module is here gets that class by itself."""


def task(declared: C) -> C:
    """Declare a task: a class whose name is the task's, for `taskmethod` and `module`."""
    return declared


def taskmethod(task: str | type | None = None) -> Callable[[F], F]:
    """Declare a method of a task.

    Args:
        task: the task, or its name such as `SampleTask`; the module's without it.
    """

    def mark(method: F) -> F:
        setattr(method, _TASK, _name(task))
        return method

    return mark


def module(
    id: str = "", name: str = "", version: str = "", *, task: str | type | None = None, schema: str | None = None
) -> Callable[[C], C]:
    """Declare a module. Models whose module has this id are of this class from now on.

    Args:
        id: the module's id.
        name: its name; the class's without it.
        version: its version.
        task: the task of methods that name none.
        schema: the path of a schema file, relative to the Python file of the class. `remote-client stubs -o` and
            `remote-client schema -o` write such files. Models of the class then do not ask the server for its
            interface. The file is read on first use; derived classes inherit it.
    """

    def mark(declared: C) -> C:
        path = None if schema is None else SchemaPath(declared, schema)
        setattr(declared, _DECLARED, (id, name or declared.__name__, version, _name(task), path))
        if id:
            registry[id] = declared
        return declared

    return mark


def _name(task: str | type | None) -> str:
    return task.__name__ if isinstance(task, type) else task or ""


def is_declared(candidate: Any) -> bool:
    """Whether this is a declared module's class."""
    return isinstance(candidate, type) and _DECLARED in vars(candidate)


def declaration_of(module: type) -> Declaration:
    """What a class declares.

    Raises:
        ConfigurationError: it is no declared module, or a method's annotations cannot be used.
    """
    declared = [vars(each)[_DECLARED] for each in module.__mro__ if _DECLARED in vars(each)]
    if not declared:
        raise ConfigurationError(f"{module.__name__} is no declared module: put @module(id, name, version) above it")
    id, name, version, task, _ = declared[0]
    schema = next((path for *_, path in declared if path is not None), None)
    methods = [
        _method(module, method, getattr(method, _TASK) or task)
        for _, method in inspect.getmembers(module, inspect.isfunction)
        if hasattr(method, _TASK)
    ]
    train = next((vars(each)["train"] for each in _own_bases(module) if "train" in vars(each)), None)
    trained = _method(module, train, "") if inspect.isfunction(train) else None
    return Declaration(module, id, name, version, tuple(methods), trained, schema)


def _own_bases(module: type) -> list[type]:
    """A class and its bases, without another declared module and what that is made of."""
    _, *others = [each for each in module.__mro__ if _DECLARED in vars(each)]
    return [each for each in module.__mro__ if not any(issubclass(other, each) for other in others)]


def _method(module: type, method: Callable[..., Any], task: str) -> DeclaredMethod:
    where = f"{module.__name__}.{method.__name__}"
    if not task and method.__name__ != "train":
        raise ConfigurationError(f"{where}: name its task, as in @taskmethod('SampleTask')")
    try:
        hints = get_type_hints(method, include_extras=True)
    except NameError as error:
        raise ConfigurationError(f"{where}: {error}; annotations must be known where the module is declared") from None
    # In a module of the blocking client plain iterables are the streams.
    streams_of = _PLAIN_STREAMS if getattr(module, "is_blocking", False) else _STREAMS
    _, *parameters = inspect.signature(method).parameters.values()
    told: list[inspect.Parameter] = []
    streams: dict[str, Any] = {}
    for each in parameters:
        if each.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD) or each.name not in hints:
            raise ConfigurationError(f"{where}: {each.name}: every parameter needs a name and an annotation")
        item = _item(hints[each.name], streams_of) if method.__name__ != "train" else None
        if item is not None:
            streams[each.name] = item
        told.append(each.replace(annotation=hints[each.name]))
    result = hints.get("return", Any)
    answers = _answers(result)
    signature = inspect.Signature(told, return_annotation=result)
    return DeclaredMethod(
        method.__name__, task, signature, streams, result if answers is None else answers, answers is not None
    )


def stripped(kind: Any) -> Any:
    """A type without its marks (`Annotated`, `Required`) and without names for it (`NewType`, `type X = ...`)."""
    while True:
        origin = get_origin(kind) or kind
        if origin in (Annotated, Required, NotRequired) or getattr(origin, "__name__", "") == "ReadOnly":
            kind = get_args(kind)[0]
        elif isinstance(kind, NewType):
            kind = kind.__supertype__
        elif hasattr(origin, "__value__") and hasattr(origin, "__type_params__"):
            kind = origin.__value__ if origin is kind else origin.__value__[get_args(kind)]
        else:
            return kind


def members_of(kind: Any) -> tuple[Any, ...]:
    """The members of a union; anything else is its own only one."""
    kind = stripped(kind)
    return tuple(map(stripped, get_args(kind))) if get_origin(kind) in (Union, UnionType) else (kind,)


def _item(kind: Any, streams: tuple[Any, ...]) -> Any:
    """The type of a stream's items; None for what is no stream. Of a union one member must be one of `streams`."""
    members = members_of(kind)
    if not any(get_origin(each) in streams for each in members):
        return None
    return next(get_args(each)[0] for each in members if get_origin(each) in (*_STREAMS, Iterable, Iterator, list))


def _answers(kind: Any) -> Any:
    """The type of each of many answers; None where there is one."""
    kind = stripped(kind)
    origin = get_origin(kind)
    if isinstance(origin, type) and issubclass(origin, (AsyncIterable, Iterator)):
        return get_args(kind)[0]
    return None
