"""Values of declared types and of messages: arguments for bodies, and bodies' answers for the wire."""

from __future__ import annotations

import dataclasses
import enum
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ValidationError

from .._schema.declaration import DeclaredMethod, members_of
from .._schema.declared.answers import converter_to
from .._schema.declared.mismatches import served_names, stream_item
from .._schema.declared.types import adapter
from .._schema.rpc import RemoteRPCDescriptor
from ..errors import InvalidArgumentError
from ._services import rows_of

_LIST: Any = list  # Any, as type checkers refuse type arguments that are values


class Arguments:
    """Makes the arguments of a declared method from a request's values.

    Args:
        method: the declared method.
        rpc: the runtime's method, as a client sees it.
    """

    def __init__(self, method: DeclaredMethod, rpc: RemoteRPCDescriptor) -> None:
        served, names = rpc.signature.parameters, served_names(method, rpc)
        is_training = bool(rpc.module)
        self._types: dict[str, Any] = {}
        self._converters: dict[str, Any] = {}
        self._nullable: set[str] = set()
        for name, parameter in method.signature.parameters.items():
            kind = method.streams.get(name, parameter.annotation)
            known = served.get(names.get(name, name))
            if known is None:
                continue
            item = stream_item(known.annotation)
            if is_training and (rows := rows_of(kind)) is not None:
                kind, item = _LIST[rows], Any
            self._types[name] = adapter(kind)
            self._converters[name] = converter_to(kind, item)
            if parameter.default is parameter.empty and type(None) in members_of(kind):
                self._nullable.add(name)

    def read(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments, as the declared types, without those that the method does not take.

        Raises:
            InvalidArgumentError: a value does not fit its declared type.
        """
        values: dict[str, Any] = dict.fromkeys(self._nullable)
        return values | {name: self.value(name, value) for name, value in given.items() if name in self._types}

    def value(self, name: str, value: Any) -> Any:
        """Return the value of one parameter, or one item of a streamed one.

        Raises:
            InvalidArgumentError: it does not fit the declared type.
        """
        convert = self._converters[name]
        try:
            return self._types[name].validate_python(convert(value) if convert else value)
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            where = ".".join(map(str, (name, *problem["loc"])))
            raise InvalidArgumentError(f"{where}: {problem['msg']}") from None


def plain(value: Any) -> Any:
    """Return an answer of a body as mappings and lists, with the defaults of unset fields."""
    if isinstance(value, BaseModel):
        return {name: plain(item) for name, item in value if item is not None}
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        found = ((field.name, getattr(value, field.name)) for field in dataclasses.fields(value))
        return {name: plain(item) for name, item in found if item is not None}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item) for item in value]
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, enum.Enum) and isinstance(value.value, str):
        return value.value
    return value
