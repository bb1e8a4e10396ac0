"""Reads values of settings through pydantic, which importing this module loads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from inspect import Parameter, signature
from typing import TYPE_CHECKING, Any, NotRequired, Required

from pydantic import ConfigDict, GetCoreSchemaHandler, TypeAdapter, ValidationError, with_config
from pydantic_core import CoreSchema, core_schema
from typing_extensions import TypedDict

from .._text.closest import closest

if TYPE_CHECKING:
    from .checked import Settings


def read(kind: type[Settings], values: dict[str, Any]) -> dict[str, Any]:
    """Return values as the fields of settings hold them.

    Raises:
        ValueError: a key is missing or unknown, or a value cannot be converted; the message has all problems.
    """
    adapter: TypeAdapter[dict[str, Any]] = _adapter(kind)  # type: ignore[arg-type]  # mypy finds classes unhashable
    try:
        return adapter.validate_python(values)
    except ValidationError as error:
        problems = "; ".join(_problem(kind, problem) for problem in error.errors(include_input=False))
    del values  # a traceback shows a frame's variables, where it is asked to
    raise ValueError(problems)  # here: pydantic's error has the values


def schema_of(kind: type[Settings], handler: GetCoreSchemaHandler) -> CoreSchema:
    """Return pydantic's schema of settings."""
    return core_schema.no_info_plain_validator_function(
        kind.of, json_schema_input_schema=handler.generate_schema(_mapping(kind))
    )


@cache
def _adapter(kind: type[Settings]) -> TypeAdapter[dict[str, Any]]:
    return TypeAdapter(_mapping(kind))


def _mapping(kind: type[Settings]) -> Any:
    """Return the type of mappings that settings are made of."""
    arguments = signature(kind).parameters.values()
    keys = {
        argument.name: (Required if argument.default is Parameter.empty else NotRequired)[argument.annotation]
        for argument in arguments
    }
    made: Any = TypedDict(kind.__name__, keys)  # type: ignore[misc]  # pyright: ignore[reportArgumentType]
    return with_config(ConfigDict(extra="forbid"))(made)


def _problem(kind: type[Settings], error: Mapping[str, Any]) -> str:
    path = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        close = closest(path, [field.name for field in fields(kind)])
        return f"unknown key {path!r}" + (f", did you mean {close!r}?" if close else "")
    return ": ".join(part for part in (path, error["msg"].removeprefix("Value error, ")) if part)
