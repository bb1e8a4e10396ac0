"""Reads declared modules: their methods, types and schema files. The decorators are in `remote_client.declare`."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from types import UnionType
from typing import (
    Annotated,
    Any,
    NamedTuple,
    NewType,
    NotRequired,
    Required,
    Union,
    get_args,
    get_origin,
    get_type_hints,
)

from ..declare import MODULE_MARK, TASK_MARK
from ..errors import ConfigurationError, InputError

_STREAMS = (AsyncIterable, AsyncIterator)
_BLOCKING_STREAMS = (*_STREAMS, Iterable, Iterator)


class DeclaredMethod(NamedTuple):
    """One method of a declared module.

    Attributes:
        name: its name.
        task: the task's name; empty for `train`.
        signature: its parameters without `self`, annotated with types rather than their names.
        streams: the types of the items, by streamed parameter.
        result: the type of the answer, or of one answer of a stream.
        output_streaming: whether it returns a stream of answers.
        data_object: caikit's class of the answer, for a method of a caikit module.
    """

    name: str
    task: str
    signature: inspect.Signature
    streams: dict[str, Any]
    result: Any
    output_streaming: bool
    data_object: Any = None

    @property
    def input_streaming(self) -> bool:
        """Whether there are streamed parameters."""
        return bool(self.streams)


class SchemaPath(NamedTuple):
    """The schema file of a declared module. It is read on first use.

    Attributes:
        beside: the class that names it.
        name: its path, relative to the file of that class.
    """

    beside: type
    name: str


class Declaration(NamedTuple):
    """The contents of a declared module's class.

    Attributes:
        module: the class.
        id: the module's id; empty if the class names none.
        name: the module's name.
        version: its version.
        methods: its methods.
        train: its training; None if it declares none.
        schema: the schema of its servers; None if the class names none.
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
        """The tasks of the methods, in their order."""
        return tuple(dict.fromkeys(method.task for method in self.methods))


def is_declared(candidate: Any) -> bool:
    """Return whether this is a declared module's class."""
    return isinstance(candidate, type) and MODULE_MARK in vars(candidate)


def check_has_bodies(module: type) -> None:
    """Raise an InputError for a class that is not declared: its objects need the configuration of a model."""
    if not any(map(is_declared, module.__mro__)):
        raise InputError(f"{module.__name__}: missing required argument: model_config")


def declaration_of(module: type) -> Declaration:
    """Return the declaration of a class.

    Raises:
        ConfigurationError: the class is not declared, or a method's annotations cannot be used.
    """
    marked = [(base, *vars(base)[MODULE_MARK]) for base in module.__mro__ if is_declared(base)]
    if not marked:
        raise ConfigurationError(f"{module.__name__} is no declared module: put @module(id, name, version) above it")
    _, id, name, version, task, _ = marked[0]
    schema = next((SchemaPath(base, path) for base, *_, path in marked if path is not None), None)
    methods = [
        _method(module, method, getattr(method, TASK_MARK) or task)
        for _, method in inspect.getmembers(module, inspect.isfunction)
        if hasattr(method, TASK_MARK)
    ]
    train = next((vars(base)["train"] for base in _own_bases(module) if "train" in vars(base)), None)
    if isinstance(train, classmethod):  # as in caikit
        train = train.__func__
    training = _method(module, train, "") if inspect.isfunction(train) else None
    return Declaration(module, id, name, version, tuple(methods), training, schema)


def declaration_with_bodies(module: type) -> Declaration:
    """Return the declaration of a class that serves its methods: a body that overrides a declared one needs no mark.

    Raises:
        ConfigurationError: see `declaration_of`.
    """
    declaration = declaration_of(module)
    methods = {method.name: method for method in declaration.methods}
    task = next(vars(base)[MODULE_MARK][3] for base in module.__mro__ if is_declared(base))
    for base in module.__mro__:
        for name, method in vars(base).items():
            if name not in methods and hasattr(method, TASK_MARK) and callable(getattr(module, name)):
                methods[name] = _method(module, method, getattr(method, TASK_MARK) or task)
    return declaration._replace(methods=tuple(methods.values()))


def _own_bases(module: type) -> list[type]:
    """Return the class and its bases up to the next declared module."""
    _, *others = filter(is_declared, module.__mro__)
    return [base for base in module.__mro__ if not any(issubclass(other, base) for other in others)]


def _method(module: type, method: Callable[..., Any], task: str) -> DeclaredMethod:
    where = f"{module.__name__}.{method.__name__}"
    if not task and method.__name__ != "train":
        raise ConfigurationError(f"{where}: name its task, as in @taskmethod('SampleTask')")
    try:
        hints = get_type_hints(method, include_extras=True)
    except NameError as error:
        raise ConfigurationError(f"{where}: {error}; annotations must be known where the module is declared") from None
    stream_types = _BLOCKING_STREAMS if getattr(module, "is_blocking", False) else _STREAMS
    _, *parameters = inspect.signature(method).parameters.values()
    annotated: list[inspect.Parameter] = []
    streams: dict[str, Any] = {}
    for parameter in parameters:
        name = parameter.name
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) or name not in hints:
            raise ConfigurationError(f"{where}: {name}: every parameter needs a name and an annotation")
        item = _item_type(hints[name], stream_types) if method.__name__ != "train" else None
        if item is not None:
            streams[name] = item
        annotated.append(parameter.replace(annotation=hints[name]))
    result = hints.get("return", Any)
    answer = _answer_type(result)
    signature = inspect.Signature(annotated, return_annotation=result)
    return DeclaredMethod(
        method.__name__, task, signature, streams, result if answer is None else answer, answer is not None
    )


def stripped(kind: Any) -> Any:
    """Return a type without qualifiers (`Annotated`, `Required`) and without aliases (`NewType`, `type X = ...`)."""
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
    """Return the members of a union, or the type itself if it is none."""
    kind = stripped(kind)
    return tuple(map(stripped, get_args(kind))) if get_origin(kind) in (Union, UnionType) else (kind,)


def _item_type(kind: Any, stream_types: tuple[Any, ...]) -> Any:
    """Return the type of a streamed parameter's items, or None if neither it nor a member of its union is a stream."""
    members = members_of(kind)
    if not any(get_origin(member) in stream_types for member in members):
        return None
    return next(get_args(member)[0] for member in members if get_origin(member) in (*_BLOCKING_STREAMS, list))


def _answer_type(kind: Any) -> Any:
    """Return the type of one answer of a stream, or None for a single answer."""
    kind = stripped(kind)
    origin = get_origin(kind)
    if isinstance(origin, type) and issubclass(origin, (AsyncIterable, Iterator)):
        return get_args(kind)[0]
    return None
