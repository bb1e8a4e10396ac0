"""Converts the values of JSON requests: other libraries' types, answers handed back, rows of tables."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from contextlib import suppress
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import to_json

from ..._concurrency.iterators import collect
from ..._text.cleaning import short_repr, type_name
from ..foreign_values import given_fields, is_row, items_of, native, plain_text, row_of

M = TypeVar("M", bound=BaseModel)
ANSWER_AS_ARGUMENT = object()
"""pydantic's context when an answer's JSON is validated as an argument."""
ALLOW_UNKNOWN_FIELDS = object()
"""pydantic's context when an answer may have fields that its schema lacks."""
_JSON = frozenset({type(None), str, bool, int, float})


class JsonAnswer(dict[str, Any]):
    """An answer's JSON object. As an argument it is validated as JSON: its bytes and times are text."""


class _Row(dict[str, Any]):
    """A table's row. It is also valid as a list."""


def validated(model: type[M], values: Any) -> M:
    """Return a model of values, which may be of other libraries' types. Raises a ValidationError."""
    try:
        return model.model_validate(values)
    except (ValidationError, AttributeError):  # protobuf's Struct is a mapping without `get`
        converted = to_json_types(values)
    try:
        return model.model_validate(converted)
    except ValidationError:
        with suppress(ValidationError):
            if _contains(converted, JsonAnswer):
                data = to_json(to_json_types(converted, text=True), inf_nan_mode="constants")
                return model.model_validate_json(data, context=ANSWER_AS_ARGUMENT)
            if _contains(converted, _Row):
                return model.model_validate(_rows_as_lists(converted))
        raise


def to_json_types(value: Any, *, text: bool = False) -> Any:
    """Convert a value to JSON's types: models become dicts, other libraries' types Python's.

    Bytes and times stay, or become text with `text`, for values whose type the schema does not give.
    """
    if value.__class__ in _JSON:
        return value
    value = native(value)
    if isinstance(value, str):
        return plain_text(value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, BaseModel):
        fields = given_fields(value)
        return {name: to_json_types(item, text=text) for name, item in fields.items() if item is not None}
    if isinstance(value, Mapping):
        converted = {_key(key): to_json_types(item, text=text) for key, item in value.items()}
        return type(value)(converted) if isinstance(value, (JsonAnswer, _Row)) else converted
    if is_row(value) and (row := row_of(value)) is not None:
        return to_json_types(_Row(row), text=text)
    if isinstance(value, (list, tuple)):
        return [to_json_types(item, text=text) for item in value]
    if (items := items_of(value)) is not value:
        return to_json_types(items, text=text)
    if hasattr(type(value), "__iter__") and not isinstance(value, (bytes, bytearray, memoryview)):
        return [to_json_types(item, text=text) for item in collect(value)]
    return _text(value) if text else value


def _text(value: Any) -> str:
    """Return the text of bytes or a time in JSON."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        return base64.b64encode(bytes(value)).decode()
    if isinstance(value, (datetime, date, time)):
        return value.isoformat()
    if isinstance(value, Decimal):
        raise ValueError(f"{short_repr(value)} is not exact as a JSON number; send it as a string")
    raise ValueError(f"expected a JSON value, not {type_name(value)}")


def _key(key: Any) -> str:
    key = native(key)
    if isinstance(key, int) and not isinstance(key, bool):
        return str(key)  # JSON has only text keys, and the document does not give their type
    if isinstance(key, str):
        return plain_text(key)
    raise ValueError(f"expected str keys in JSON, not {type_name(key)}")


def _contains(value: Any, kind: type[Any]) -> bool:
    if isinstance(value, dict):
        return isinstance(value, kind) or any(_contains(item, kind) for item in value.values())
    return isinstance(value, list) and any(_contains(item, kind) for item in value)


def _rows_as_lists(value: Any) -> Any:
    if isinstance(value, _Row):
        return [*value.values()]
    if isinstance(value, dict):
        return {key: _rows_as_lists(item) for key, item in value.items()}
    return [_rows_as_lists(item) for item in value] if isinstance(value, list) else value
