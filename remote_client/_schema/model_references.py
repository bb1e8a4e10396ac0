"""Models that other models' core schemas refer to instead of copying their core schemas.

pydantic copies the core schema of a model into those of all models that contain it, directly or not: the time and
memory for a server's types would grow with the square of their number.
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
"""The most models that get copies of each other's core schemas, and the most fields of all copies."""
_MOST_LEVELS = 32
"""The deepest nesting of validators. They are freed recursively: some hundreds overflow a small stack."""
_LEVELS = "__remote_levels__"
_Models = Set[type[BaseModel]]
_later: ContextVar[_Models] = ContextVar("later", default=frozenset())
"""Models that `complete` completes after the current one."""
_in_progress: ContextVar[_Models] = ContextVar("in_progress", default=frozenset())
"""Models whose JSON schemas are being made."""
_inner_levels: ContextVar[list[int] | None] = ContextVar("inner_levels", default=None)
"""The levels of the models inside the current one."""


def _core_schema(cls: type[BaseModel], source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
    if not vars(cls).get("__pydantic_complete__") and cls not in _later.get():
        return _own_core_schema(cls, source, handler)
    levels = vars(cls).get(_LEVELS, 0)
    if levels >= _MOST_LEVELS:
        return core_schema.with_info_plain_validator_function(
            lambda value, info: _validated(cls, value, info), ref=_reference(cls), metadata={_MARK: True}
        )
    _add_level(levels)
    # pydantic-core uses the validator and serializer of a complete class, and ignores the replacement of its fields.
    # The replacement serves classes that are rebuilt by force, and plugins that wrap validators.
    inner = core_schema.with_info_plain_validator_function(
        lambda value, info: _validated_fields(cls, value, info),
        serialization=core_schema.plain_serializer_function_ser_schema(
            lambda value, info: _dumped(cls, value, info), info_arg=True
        ),
    )
    return core_schema.model_schema(cls, inner, ref=_reference(cls), metadata={_MARK: True})


def _own_core_schema(cls: type[BaseModel], source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
    inner: list[int] = []
    token = _inner_levels.set(inner)
    try:
        schema = handler(source)
    finally:
        _inner_levels.reset(token)
    levels = 1 + max(inner, default=0)
    setattr(cls, _LEVELS, levels)
    _add_level(levels)
    return schema


def _add_level(levels: int) -> None:
    outer = _inner_levels.get()
    if outer is not None:
        outer.append(levels)


def _json_schema(cls: type[BaseModel], schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
    is_reference = _MARK in schema.get("metadata", {})
    if is_reference and cls in _in_progress.get():
        # A placeholder of an unfinished schema must not have a `$ref` itself: pydantic would look it up.
        return {"allOf": [handler(core_schema.definition_reference_schema(_reference(cls)))]}
    if is_reference:
        return handler(cls.__pydantic_core_schema__)
    token = _in_progress.set(_in_progress.get() | {cls})
    try:
        return handler(schema)
    finally:
        _in_progress.reset(token)


def complete(models: Sequence[type[BaseModel]], namespace: Mapping[str, Any], budget: Budget) -> None:
    """Complete models that refer to each other.

    A few small models get copies of each other's core schemas, pydantic's way, which validates fast. Otherwise a model
    refers to those that are not complete yet, which are looked up when a value is validated.
    """
    fields = sum(len(model.model_fields) for model in models)
    is_small = len(models) <= _MOST_MODELS and len(models) * fields <= _MOST_FIELDS
    later = set() if is_small else set(models)
    token = _later.set(later)
    try:
        for model in models:
            budget.spend("nodes", fields if is_small else len(model.model_fields))
            later.discard(model)
            # pydantic copies the namespace: of many models, each gets only the names it needs.
            needed = namespace if is_small else {name: namespace[name] for name in _forward_references(model)}
            model.model_rebuild(_types_namespace=needed)
    finally:
        _later.reset(token)


def _forward_references(model: type[BaseModel]) -> Iterator[str]:
    """Yield the names that the annotations of a model's fields refer to."""
    waiting: list[Any] = [field.annotation for field in model.model_fields.values()]
    while waiting:
        kind = waiting.pop()
        if isinstance(kind, ForwardRef):
            yield kind.__forward_arg__
        waiting += get_args(kind)


def _reference(cls: type[BaseModel]) -> str:
    """Return the name of a class in a JSON schema's definitions."""
    return f"{cls.__module__}.{cls.__qualname__}:{id(cls)}"


def _validated(cls: type[BaseModel], value: Any, info: ValidationInfo) -> Any:
    own = cls.__pydantic_validator__
    if info.mode == "json":
        return own.validate_json(to_json(value, inf_nan_mode="constants"), context=info.context)
    return own.validate_python(value, context=info.context)


def _validated_fields(cls: type[BaseModel], value: Any, info: ValidationInfo) -> tuple[Any, Any, set[str]]:
    model = _validated(cls, value, info)
    return vars(model), model.__pydantic_extra__, model.__pydantic_fields_set__


def _dumped(cls: type[BaseModel], value: Any, info: Any) -> Any:
    fields, extra = value if isinstance(value, tuple) else (value, None)
    model = cls.model_construct(**fields, **(extra or {}))
    return model.model_dump(
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
    """The base of models that other models' core schemas refer to."""

    # Thin, as cloudpickle copies these methods with the globals they use into pickles of handles.
    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return _core_schema(cls, source, handler)

    @classmethod
    def __get_pydantic_json_schema__(cls, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return _json_schema(cls, schema, handler)
