"""The types of caikit's own modules as pydantic's: a model for each data object."""

from __future__ import annotations

import dataclasses
import enum
import numbers
from functools import partial, reduce
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BeforeValidator, ConfigDict, create_model

from ...errors import ConfigurationError


class CaikitTypes:
    """The pydantic models of data objects' classes, made once per class."""

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
