"""Models that other models' core schemas refer to instead of repeating them.

pydantic copies the core schema of each model into those of all that have a field of it, directly or not: the time and
memory for the types of a server grow with the square of their number.
"""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema, to_json

_MARK = "remote_client_by_reference"


class ByReference(BaseModel):
    """The base of models whose fields do not become part of other models' core schemas."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        if not vars(cls).get("__pydantic_complete__"):
            return handler(source)
        # pydantic-core takes a complete class's own validator and serializer, and does not look at what stands in the
        # place of its fields. It does not where a class is rebuilt by force, or where plugins wrap validators.
        inner = core_schema.with_info_plain_validator_function(
            lambda value, info: _validated(cls, value, info),
            serialization=core_schema.plain_serializer_function_ser_schema(
                lambda value, info: _dumped(cls, value, info), info_arg=True
            ),
        )
        return core_schema.model_schema(cls, inner, ref=_reference(cls), metadata={_MARK: True})

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(cls.__pydantic_core_schema__ if _MARK in schema.get("metadata", {}) else schema)


def _reference(cls: type[BaseModel]) -> str | None:
    """Return the name of the class among a JSON schema's definitions; None where its own core schema has one."""
    whole: Any = cls.__pydantic_core_schema__
    holds_itself = whole.get("schema", {}).get("type") == "definition-ref"
    return None if holds_itself else f"{cls.__module__}.{cls.__qualname__}:{id(cls)}"


def _validated(cls: type[BaseModel], value: Any, info: ValidationInfo) -> tuple[Any, Any, set[str]]:
    own = cls.__pydantic_validator__
    if info.mode == "json":
        made = own.validate_json(to_json(value, inf_nan_mode="constants"), context=info.context)
    else:
        made = own.validate_python(value, context=info.context)
    return vars(made), made.__pydantic_extra__, made.__pydantic_fields_set__


def _dumped(cls: type[BaseModel], value: Any, info: Any) -> Any:
    fields, extra = value if isinstance(value, tuple) else (value, None)
    made = cls.model_construct(**fields, **(extra or {}))
    return made.model_dump(
        mode=info.mode,
        include=info.include,
        exclude=info.exclude,
        by_alias=info.by_alias,
        exclude_unset=info.exclude_unset,
        exclude_defaults=info.exclude_defaults,
        exclude_none=info.exclude_none,
        context=info.context,
    )
