"""What a user gives as a JSON request's values, in terms of JSON's own types."""

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
ARGUMENT = object()
"""pydantic's context where an answer's JSON is read as an argument."""
ADDITIONS = object()
"""pydantic's context where an answer may have fields that its schema has not."""
_JSON = frozenset({type(None), str, bool, int, float})


class JsonAnswer(dict[str, Any]):
    """An answer's JSON object. Handed back as an argument it is read as JSON: its bytes and times are text."""


class _Row(dict[str, Any]):
    """A table's row, which may also be given where a list is."""


def validated(model: type[M], values: Any) -> M:
    """Return a model of values that may be of other libraries.

    Raises:
        ValidationError: they do not fit.
    """
    try:
        return model.model_validate(values)
    except (ValidationError, AttributeError):  # protobuf's Struct is a mapping that has no `get`
        told = plain(values)
    try:
        return model.model_validate(told)
    except ValidationError:
        with suppress(ValidationError):
            if _has(told, JsonAnswer):
                return model.model_validate_json(
                    to_json(plain(told, text=True), inf_nan_mode="constants"), context=ARGUMENT
                )
            if _has(told, _Row):
                return model.model_validate(_listed(told))
        raise


def plain(value: Any, *, text: bool = False) -> Any:
    """A value in terms of JSON's types: objects of other pydantic types as mappings, other libraries' as Python's.

    Bytes and times stay, or become text where nothing tells that they are meant.
    """
    if value.__class__ in _JSON:
        return value
    value = native(value)
    if isinstance(value, str):
        return plain_text(value)
    if value is None or isinstance(value, (bool, int, float)):
        return value
    if isinstance(value, BaseModel):
        return {name: plain(each, text=text) for name, each in given_fields(value).items() if each is not None}
    if isinstance(value, Mapping):
        told = {_key(key): plain(each, text=text) for key, each in value.items()}
        return type(value)(told) if isinstance(value, (JsonAnswer, _Row)) else told
    if is_row(value) and (row := row_of(value)) is not None:
        return plain(_Row(row), text=text)
    if isinstance(value, (list, tuple)):
        return [plain(each, text=text) for each in value]
    if (items := items_of(value)) is not value:
        return plain(items, text=text)
    if hasattr(type(value), "__iter__") and not isinstance(value, (bytes, bytearray, memoryview)):
        return [plain(each, text=text) for each in collect(value)]
    return _text(value) if text else value


def _text(value: Any) -> str:
    """The text that JSON has for a value."""
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
        return str(key)  # JSON has no other keys, and OpenAPI does not tell what they stand for
    if isinstance(key, str):
        return plain_text(key)
    raise ValueError(f"expected str keys in JSON, not {type_name(key)}")


def _has(value: Any, kind: type[Any]) -> bool:
    if isinstance(value, dict):
        return isinstance(value, kind) or any(_has(each, kind) for each in value.values())
    return isinstance(value, list) and any(_has(each, kind) for each in value)


def _listed(value: Any) -> Any:
    """The values with lists in the place of rows."""
    if isinstance(value, _Row):
        return [*value.values()]
    if isinstance(value, dict):
        return {key: _listed(each) for key, each in value.items()}
    return [_listed(each) for each in value] if isinstance(value, list) else value
