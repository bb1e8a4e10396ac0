"""The base classes of the pydantic models made from JSON schemas, and how they read the unions of caikit's answers."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationInfo

from ..._text.tables import table
from ..dynamic_types import DynamicModel
from .values import ALLOW_UNKNOWN_FIELDS

PLAIN = "__remote_plain__"


class JsonMessage(DynamicModel):
    """The base of the pydantic models made from a server's JSON schemas. Bytes are base64 in JSON."""

    model_config = ConfigDict(
        protected_namespaces=(),
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        revalidate_instances="always",
        ser_json_inf_nan="constants",
    )

    def _repr_html_(self) -> str:
        return table(type(self).__name__, self)


class ClosedMessage(JsonMessage):
    model_config = ConfigDict(extra="forbid")


class OpenMessage(JsonMessage):
    model_config = ConfigDict(extra="allow")


def is_plain(kind: Any) -> bool:
    """Return whether a model's JSON equals its Python values: without bytes, times, and unions tagged by a name."""
    return bool(getattr(kind, PLAIN, False))


def union_reader(unions: Mapping[str, bool], names: frozenset[str]) -> Any:
    """Return the "before" validator of a model with unions, for caikit's answers.

    caikit names a union's value after the member, `<union>_<type>` unless the module chooses another name, and wraps a
    list as `{"values": [...]}`. Its schema shows neither.

    Args:
        unions: the fields that are unions, and whether all members are lists.
        names: the names of all fields.
    """
    longest = max(map(len, unions))

    def read_unions(cls: type[BaseModel], value: Any, info: ValidationInfo) -> Any:
        if info.mode != "json" or not isinstance(value, dict):
            return value
        fields = dict(value)
        absent = {union for union in unions if fields.get(union) is None}
        for key in value.keys() - names if absent else ():
            union = _union_of(key, absent, longest, only=info.context is not ALLOW_UNKNOWN_FIELDS)
            if union is not None:
                fields[union] = fields.pop(key)
                absent -= {union} if fields[union] is not None else set()
        for name, is_list in unions.items():
            answer = fields.get(name)
            if is_list and isinstance(answer, dict) and answer.keys() == {"values"}:
                fields[name] = answer["values"]
        return fields

    return classmethod(read_unions)


def _union_of(key: str, unions: Set[str], longest: int, *, only: bool) -> str | None:
    """Return the union with the longest name that prefixes the key; with `only`, else the only one there is."""
    end = key.rfind("_", 0, longest + 1)
    while end != -1:
        if key[:end] in unions:
            return key[:end]
        end = key.rfind("_", 0, end)
    return next(iter(unions)) if only and len(unions) == 1 else None
