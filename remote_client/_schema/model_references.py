"""Models that other models' core schemas refer to instead of repeating them.

pydantic copies the core schema of each model into those of all that have a field of it, directly or not: the time and
memory for the types of a server grow with the square of their number.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from contextvars import ContextVar
from typing import Any, ForwardRef, get_args

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema, to_json

from .budget import Budget

_MARK = "remote_client_by_reference"
_MOST_MODELS, _MOST_FIELDS = 32, 10_000
"""Of models that get copies of each other's core schemas: as many levels deep, and as many fields of all copies."""
_MOST_LEVELS = 32
"""Of validators that hold each other. They are freed one inside of the other: some hundreds overflow a small stack."""
_LEVELS = "__remote_levels__"
_Models = Set[type[BaseModel]]
_later: ContextVar[_Models] = ContextVar("later", default=frozenset())
"""Models that `complete` completes after the one at hand."""
_told: ContextVar[_Models] = ContextVar("told", default=frozenset())
"""Models whose JSON schemas are being made."""

_inside: ContextVar[list[int] | None] = ContextVar("inside", default=None)
"""The levels of the models inside of the one at hand."""


def _core_schema(cls: type[BaseModel], source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
    if not vars(cls).get("__pydantic_complete__") and cls not in _later.get():
        return _own_core_schema(cls, source, handler)
    levels = vars(cls).get(_LEVELS, 0)
    if levels >= _MOST_LEVELS:
        return core_schema.with_info_plain_validator_function(
            lambda value, info: _made(cls, value, info), ref=_reference(cls), metadata={_MARK: True}
        )
    _note_inside(levels)
    # pydantic-core takes a complete class's own validator and serializer, and does not look at what stands in the
    # place of its fields. It does not where a class is rebuilt by force, or where plugins wrap validators.
    inner = core_schema.with_info_plain_validator_function(
        lambda value, info: _validated(cls, value, info),
        serialization=core_schema.plain_serializer_function_ser_schema(
            lambda value, info: _dumped(cls, value, info), info_arg=True
        ),
    )
    return core_schema.model_schema(cls, inner, ref=_reference(cls), metadata={_MARK: True})


def _own_core_schema(cls: type[BaseModel], source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
    inside: list[int] = []
    token = _inside.set(inside)
    try:
        schema = handler(source)
    finally:
        _inside.reset(token)
    levels = 1 + max(inside, default=0)
    setattr(cls, _LEVELS, levels)
    _note_inside(levels)
    return schema


def _note_inside(levels: int) -> None:
    around = _inside.get()
    if around is not None:
        around.append(levels)


def _json_schema(cls: type[BaseModel], schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
    is_reference = _MARK in schema.get("metadata", {})
    if is_reference and cls in _told.get():
        # What stands for a schema that is not made yet must have no `$ref` itself: pydantic would look it up.
        return {"allOf": [handler(core_schema.definition_reference_schema(_reference(cls)))]}
    if is_reference:
        return handler(cls.__pydantic_core_schema__)
    token = _told.set(_told.get() | {cls})
    try:
        return handler(schema)
    finally:
        _told.reset(token)


def complete(models: Sequence[type[BaseModel]], namespace: Mapping[str, Any], budget: Budget) -> None:
    """Complete models that refer to each other.

    A few get copies of their core schemas in each other's, as pydantic has it: quick to validate. Where these would be
    many or large, each refers to those that are not complete yet, which are looked up when a value is validated.

    Args:
        models: the models.
        namespace: what their forward references stand for.
        budget: counts the fields that pydantic reads.
    """
    fields = sum(len(each.model_fields) for each in models)
    is_small = len(models) <= _MOST_MODELS and len(models) * fields <= _MOST_FIELDS
    later = set() if is_small else set(models)
    token = _later.set(later)
    try:
        for model in models:
            budget.spend("nodes", fields if is_small else len(model.model_fields))
            later.discard(model)
            # pydantic copies the namespace: of many models each gets what it needs.
            needed = namespace if is_small else {name: namespace[name] for name in _forward_references(model)}
            model.model_rebuild(_types_namespace=needed)
    finally:
        _later.reset(token)


def _forward_references(model: type[BaseModel]) -> Iterator[str]:
    """Yield the names that the annotations of a model's fields refer to."""
    waiting: list[Any] = [each.annotation for each in model.model_fields.values()]
    while waiting:
        kind = waiting.pop()
        if isinstance(kind, ForwardRef):
            yield kind.__forward_arg__
        waiting += get_args(kind)


def _reference(cls: type[BaseModel]) -> str:
    """Return the name of the class among a JSON schema's definitions."""
    return f"{cls.__module__}.{cls.__qualname__}:{id(cls)}"


def _made(cls: type[BaseModel], value: Any, info: ValidationInfo) -> Any:
    own = cls.__pydantic_validator__
    if info.mode == "json":
        return own.validate_json(to_json(value, inf_nan_mode="constants"), context=info.context)
    return own.validate_python(value, context=info.context)


def _validated(cls: type[BaseModel], value: Any, info: ValidationInfo) -> tuple[Any, Any, set[str]]:
    made = _made(cls, value, info)
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


class ByReference(BaseModel):
    """The base of models whose fields do not become part of other models' core schemas."""

    # cloudpickle copies these methods, with what they refer to, into pickles of handles.
    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return _core_schema(cls, source, handler)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return _json_schema(cls, schema, handler)
