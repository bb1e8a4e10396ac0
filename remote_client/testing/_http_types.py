"""The pydantic models of a runtime's HTTP side, made of the messages as caikit makes them.

They check requests, write answers, and have the JSON schemas of the OpenAPI document.
"""

from __future__ import annotations

import base64
import binascii
import enum
from collections.abc import Callable, Mapping
from functools import reduce
from operator import or_
from typing import Annotated, Any, ForwardRef

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainSerializer,
    ValidationInfo,
    WithJsonSchema,
    create_model,
)
from pydantic import Field as PydanticField

from .._schema.protobuf.fields import Field, is_map, is_repeated, map_entry, python_type, sequence_field
from .._schema.protobuf.types import Types

_CONFIG = ConfigDict(
    extra="forbid", protected_namespaces=(), ser_json_inf_nan="constants", ser_json_timedelta="iso8601"
)
_LIST: Any = list  # Any, as type checkers refuse type arguments that are values
_DICT: Any = dict
ANSWER = "answer"
"""The context of an answer's validation."""
REFERENCE = "#/components/schemas/{model}"


class HttpTypes:
    """The models of messages, made once each. Unset fields are null."""

    def __init__(self, types: Types) -> None:
        self._types = types
        self._models: dict[str, type[BaseModel]] = {}
        self._forward: dict[str, str] = {}

    def model(self, message: Descriptor, defaults: Mapping[str, Any] | None = None) -> type[BaseModel]:
        """Return the model of a message; `defaults` has those of some fields, which the document then shows."""
        if message.full_name not in self._models:
            self._models[message.full_name] = self._made(message, defaults or {})
        return self._models[message.full_name]

    def kind(self, field: Field) -> Any:
        """Return the type of a field."""
        if field.is_oneof:
            return reduce(or_, [*map(self._member, field.members), None])
        member = field.members[0]
        if is_map(member):
            key, value = map_entry(member)
            return _DICT[self._single(key), self._single(value)]
        kind = self._single(member)
        if is_repeated(member):
            return _LIST[kind]
        return kind | None if field.optional else kind

    def fields(self, message: Descriptor) -> dict[str, Field]:
        """Return the fields of a message by name."""
        return {field.name: field for field in self._types.fields(message)}

    def _made(self, message: Descriptor, defaults: Mapping[str, Any]) -> type[BaseModel]:
        self._forward[message.full_name] = f"_type_{len(self._forward)}"
        kinds = {name: self.kind(field) for name, field in self.fields(message).items()}
        made = new_model(message.full_name, kinds, defaults)
        own = self._forward.pop(message.full_name)
        made.model_rebuild(_types_namespace={own: made}, raise_errors=not self._forward)
        return made

    def _single(self, field: FieldDescriptor) -> Any:
        kind = python_type(field, self._message, self._types.of)
        if kind is bytes:
            return Annotated[
                bytes,
                BeforeValidator(_decoded),
                PlainSerializer(_encoded, when_used="json"),
                WithJsonSchema({"type": "string", "format": "binary"}),
            ]
        if isinstance(kind, type) and issubclass(kind, enum.Enum):
            return Annotated[kind, BeforeValidator(_member_of(kind)), PlainSerializer(_name, when_used="json")]
        return kind

    def _message(self, message: Descriptor) -> Any:
        if message.full_name in self._forward:
            return ForwardRef(self._forward[message.full_name])
        return self.model(message)

    def _member(self, member: FieldDescriptor) -> Any:
        """Return the type of a oneof's member. The messages that hold lists are plain lists over HTTP."""
        inner = sequence_field(member.message_type)
        return self._single(member) if inner is None else _LIST[self._single(inner)]


def new_model(name: str, kinds: Mapping[str, Any], defaults: Mapping[str, Any] | None = None) -> type[BaseModel]:
    """Return a model, whose fields are all None by default unless `defaults` has them."""
    shown = defaults or {}
    fields: dict[str, Any] = {
        field: (kind, PydanticField(default=shown[field]))
        if field in shown
        else (kind, PydanticField(default_factory=_none))  # the schema shows no default
        for field, kind in kinds.items()
    }
    return create_model(name, __config__=_CONFIG, **fields)


def _none() -> None:
    return None


def _decoded(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return base64.b64decode(value.encode(), validate=True)
    except binascii.Error:
        raise ValueError("expected text in base64") from None


def _encoded(value: bytes | None) -> str | None:
    return None if value is None else base64.b64encode(value).decode()


def _member_of(kind: type[enum.Enum]) -> Callable[[Any, ValidationInfo], Any]:
    """Return the function that finds the member an answer means. In a request, names are no members, as in caikit."""

    def member(value: Any, info: ValidationInfo) -> Any:
        name = value.name if isinstance(value, enum.Enum) else value
        return kind.__members__.get(name, value) if info.context == ANSWER else value

    return member


def _name(value: enum.Enum | None) -> str | None:
    return None if value is None else value.name
