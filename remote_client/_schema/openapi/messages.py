"""The base classes of the pydantic models made from JSON schemas, and how they read the unions of caikit's answers."""

from __future__ import annotations

from collections.abc import Mapping, Set
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationInfo

from ..._text.tables import table
from ..dynamic_types import DynamicModel
from .values import ADDITIONS

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
    """Whether a model's JSON is the same as its Python values: no text stands for bytes or times, and no name in front
    of a union's value tells its member.
    """
    return bool(getattr(kind, PLAIN, False))


def untagger(unions: Mapping[str, bool], names: frozenset[str]) -> Any:
    """Puts the members of unions where the schema has the union.

    caikit answers with the member's own name, `<union>_<type>` unless the module chose another, and with
    `{"values": [...]}` for a list; its schema tells neither.
    """
    longest = max(map(len, unions))

    def untag(cls: type[BaseModel], value: Any, info: ValidationInfo) -> Any:
        if info.mode != "json" or not isinstance(value, dict):
            return value
        untagged = dict(value)
        absent = {each for each in unions if untagged.get(each) is None}
        for key in value.keys() - names if absent else ():
            owner = _owner(key, absent, longest, only=info.context is not ADDITIONS)
            if owner is not None:
                untagged[owner] = untagged.pop(key)
                absent -= {owner} if untagged[owner] is not None else set()
        for name, lists in unions.items():
            given = untagged.get(name)
            if lists and isinstance(given, dict) and given.keys() == {"values"}:
                untagged[name] = given["values"]
        return untagged

    return classmethod(untag)


def _owner(key: str, unions: Set[str], longest: int, *, only: bool) -> str | None:
    """The union that a member's name starts with, the longest one; else the only one there is, if that is meant."""
    end = key.rfind("_", 0, longest + 1)
    while end != -1:
        if key[:end] in unions:
            return key[:end]
        end = key.rfind("_", 0, end)
    return next(iter(unions)) if only and len(unions) == 1 else None
