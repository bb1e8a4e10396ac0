"""pydantic types for the types in signatures of caikit modules: a model for every data object."""

from __future__ import annotations

import dataclasses
import enum
import numbers
from functools import partial, reduce
from types import NoneType, UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BeforeValidator, ConfigDict, create_model

from ...errors import ConfigurationError
from .types import either


class CaikitTypes:
    """The pydantic models of data objects' classes, made once per class."""

    def __init__(self) -> None:
        self._models: dict[Any, Any] = {}

    def of(self, kind: Any) -> Any:
        """Return the pydantic type for a type of caikit."""
        if get_origin(kind) is Annotated:
            return self.of(get_args(kind)[0])
        arguments = get_args(kind)
        if get_origin(kind) in (Union, UnionType):
            return reduce(either, map(self.of, arguments))
        if get_origin(kind) is not None:
            # JsonDict is recursive: its values are any JSON.
            values = Any if "JsonDict" in str(kind) else self.of(arguments[-1])
            return list[values] if get_origin(kind) is list else dict[arguments[0], values]  # type: ignore[valid-type]
        if not isinstance(kind, type) or kind is NoneType or issubclass(kind, bool):
            return Any if isinstance(kind, str) else kind
        if issubclass(kind, enum.Enum):
            # Over HTTP, answers have the member's name.
            return Annotated[kind, BeforeValidator(partial(_member, kind))]
        if issubclass(kind, numbers.Number):  # numpy's types, which give the size on the wire
            return int if issubclass(kind, numbers.Integral) else float
        if not is_data_object_class(kind):
            return kind
        data_object: Any = kind
        fields = {field.name: field.type for field in dataclasses.fields(data_object)}
        # caikit wraps a list as a message because protobuf has no unions of lists. Over HTTP it is the list.
        sequence = get_args(self.of(fields["values"])) if list(fields) == ["values"] else ()
        model = self._model(kind)
        return either(list[sequence[0]], model) if sequence else model  # type: ignore[valid-type]

    def _model(self, kind: Any) -> Any:
        if kind not in self._models:
            self._models[kind] = Any  # for fields of the same type
            fields: dict[str, Any] = {
                field.name: (either(self.of(field.type), None), None) for field in dataclasses.fields(kind)
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
    """Return whether this is the class of a caikit data object."""
    return isinstance(kind, type) and hasattr(kind, "get_proto_class") and dataclasses.is_dataclass(kind)


def _member(kind: Any, value: Any) -> Any:
    return kind.__members__.get(value, value) if isinstance(value, str) else value
