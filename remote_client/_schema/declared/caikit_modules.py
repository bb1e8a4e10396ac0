"""caikit's own module classes as declarations, for users who have caikit. caikit is never imported from here."""

from __future__ import annotations

import dataclasses
import enum
import inspect
import numbers
import sys
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from functools import cache, partial, reduce
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BeforeValidator, ConfigDict, create_model

from ...declare import Declaration, DeclaredMethod
from ...errors import ConfigurationError

_ITERABLE: Any = Iterable
_ASYNC_ITERABLE: Any = AsyncIterable
_ASYNC_ITERATOR: Any = AsyncIterator


def module_of_id(id: str) -> type | None:
    """The caikit module of an id, if caikit was imported and knows it."""
    registries = sys.modules.get("caikit.core.registries")
    return None if registries is None else registries.module_registry().get(id)


def is_caikit_module(candidate: Any) -> bool:
    """Whether this is the class of a caikit module."""
    return isinstance(candidate, type) and hasattr(candidate, "MODULE_ID") and hasattr(candidate, "TRAIN_SIGNATURE")


@cache
def declaration_of_caikit(module: Any) -> Declaration:
    """What the class of a caikit module says, with a pydantic model for each of its data objects. Made once.

    Raises:
        ConfigurationError: a type of it cannot be used.
    """
    types = _Types()
    methods = [
        _method(signature.method_name, task.__name__, signature, types)
        for task in module.tasks
        for _, _, signature in module.get_inference_signatures(task)
    ]
    train = module.TRAIN_SIGNATURE
    trains = train is not None and train.return_type is not None and train.parameters is not None
    return Declaration(
        module,
        module.MODULE_ID,
        module.MODULE_NAME,
        module.MODULE_VERSION,
        tuple(methods),
        _method("train", "", train, types) if trains else None,
    )


def _method(name: str, task: str, signature: Any, types: _Types) -> DeclaredMethod:
    parameters = []
    streams: dict[str, Any] = {}
    for each, annotation in signature.parameters.items():
        item = _streamed(annotation)
        kind = types.of(annotation if item is None else item)
        if item is not None:
            if task:
                streams[each] = kind
            kind = _ITERABLE[kind] | _ASYNC_ITERABLE[kind]
        default = signature.default_parameters.get(each, inspect.Parameter.empty)
        parameters.append(
            inspect.Parameter(each, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=kind)
        )
    answers = _streamed(signature.return_type)
    data_object = signature.return_type if answers is None else answers
    result = types.of(data_object) if task else Any
    returned = result if answers is None else _ASYNC_ITERATOR[result]
    # Python wants parameters with a default last; who calls by position gives what caikit's own method takes.
    parameters.sort(key=lambda each: each.default is not inspect.Parameter.empty)
    told = inspect.Signature(parameters, return_annotation=returned)
    return DeclaredMethod(name, task, told, streams, result, answers is not None, data_object if task else None)


def _streamed(kind: Any) -> Any:
    """The type of the items of caikit's `DataStream`; None for anything else."""
    origin = get_origin(kind)
    return get_args(kind)[0] if getattr(origin, "__name__", "") == "DataStream" else None


class _Types:
    """A pydantic model for each data object's class, each made once."""

    def __init__(self) -> None:
        self._models: dict[Any, Any] = {}

    def of(self, kind: Any) -> Any:
        """The type that stands for one of caikit's."""
        if get_origin(kind) is Annotated:
            return self.of(get_args(kind)[0])
        arguments = get_args(kind)
        if get_origin(kind) in (Union, UnionType):
            return reduce(_either, map(self.of, arguments))
        if get_origin(kind) is not None:
            # A JSON object is a dict of itself: any of JSON's values.
            values = Any if "JsonDict" in str(kind) else self.of(arguments[-1])
            return list[values] if get_origin(kind) is list else dict[arguments[0], values]  # type: ignore[valid-type]
        if not isinstance(kind, type) or kind is NoneType or issubclass(kind, bool):
            return Any if isinstance(kind, str) else kind
        if issubclass(kind, enum.Enum):
            # Answers over HTTP have the name.
            return Annotated[kind, BeforeValidator(partial(_member, kind))]
        if issubclass(kind, numbers.Number):  # numpy's types say how many bits are on the wire
            return int if issubclass(kind, numbers.Integral) else float
        if not is_data_object_class(kind):
            return kind
        message: Any = kind
        fields = {each.name: each.type for each in dataclasses.fields(message)}
        # A sequence is a message only because protobuf has no unions of lists; over HTTP it is the list.
        sequence = get_args(self.of(fields["values"])) if list(fields) == ["values"] else ()
        model = self._model(kind)
        return _either(list[sequence[0]], model) if sequence else model  # type: ignore[valid-type]

    def _model(self, kind: Any) -> Any:
        if kind not in self._models:
            self._models[kind] = Any  # inside of itself
            fields: dict[str, Any] = {
                each.name: (_either(self.of(each.type), None), None) for each in dataclasses.fields(kind)
            }
            try:
                self._models[kind] = create_model(
                    kind.__name__,
                    __module__=kind.__module__,
                    __doc__=kind.__doc__,
                    __config__=ConfigDict(protected_namespaces=()),
                    **fields,
                )
            except Exception as error:
                raise ConfigurationError(f"{kind.__name__} cannot be a pydantic model: {error}") from error
        return self._models[kind]


def is_data_object_class(kind: Any) -> bool:
    """Whether this is the class of one of caikit's data objects."""
    return isinstance(kind, type) and hasattr(kind, "get_proto_class") and dataclasses.is_dataclass(kind)


def _member(kind: Any, value: Any) -> Any:
    return kind.__members__.get(value, value) if isinstance(value, str) else value


def _either(one: Any, other: Any) -> Any:
    return Union[one, other]  # noqa: UP007 - Any has no |
