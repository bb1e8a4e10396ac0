"""The types of values other than objects: how pydantic validates and serializes them. Knows no schemas."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import date, datetime, time, timedelta
from functools import reduce
from operator import or_
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import AfterValidator, BeforeValidator, PlainSerializer, Strict, ValidationInfo
from pydantic import Field as PydanticField
from pydantic_core import core_schema

from ..._text.cleaning import listed, short_repr, type_name
from ..foreign_values import EXACT_INTEGER, enum_candidates, plain_text
from .values import ANSWER_AS_ARGUMENT, to_json_types


def _text_in_json(kind: type[Any], read: Callable[[str], Any], info: ValidationInfo, value: Any) -> Any:
    """Validate a value that is text in JSON. In Python it must have the type itself."""
    if info.mode == "json":
        if isinstance(value, str):
            return read(value)
    elif isinstance(value, kind) and not (kind is date and isinstance(value, datetime)):
        if getattr(value, "nanosecond", 0) or getattr(value, "nanoseconds", 0):  # types of pandas
            raise ValueError("expected whole microseconds: more digits would be lost in JSON")
        return value
    raise ValueError(f"expected {kind.__name__}, not {type_name(value)}")


def _base64(value: Any) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError(f"expected base64: {error}") from None


def _bytes(value: Any, info: ValidationInfo) -> bytes:
    if isinstance(value, (bytearray, memoryview)):
        value = bytes(value)
    result: bytes = _text_in_json(bytes, _base64, info, value)
    return result


def _time_validator(kind: type[Any]) -> BeforeValidator:
    return BeforeValidator(lambda value, info: _text_in_json(kind, lambda text: text, info, value))


def _require_time_zone(value: datetime) -> datetime:
    if value.utcoffset() is None:
        raise ValueError("expected a datetime with a time zone, as datetime.now(timezone.utc) gives")
    return value


def _any_json(value: Any, info: ValidationInfo) -> Any:
    return value if info.mode == "json" else to_json_types(value, text=True)


BYTES: Any = Annotated[
    bytes,
    BeforeValidator(_bytes),
    # pydantic's own base64 is URL-safe: the runtime silently drops the characters it does not know.
    PlainSerializer(lambda value: base64.b64encode(value).decode(), when_used="json"),
]
ANY_JSON: Any = Annotated[Any, BeforeValidator(_any_json)]
"""Any JSON value."""
_INTEGER: Any = Annotated[int, Strict(), PydanticField(ge=-(2**63), le=2**64 - 1)]


def _large_double(value: Any) -> float:
    with suppress(OverflowError):
        if value.__class__ is int and float(value) == value:
            return float(value)
    raise ValueError


class _ExactFloat:
    """Accepts floats and exact integers. pydantic's strict float rounds any object with a `__float__`."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        number = core_schema.float_schema(strict=True)
        small = core_schema.int_schema(strict=True, ge=-EXACT_INTEGER, le=EXACT_INTEGER)
        large = core_schema.no_info_plain_validator_function(_large_double)
        integer = core_schema.union_schema([core_schema.chain_schema([small, number]), large], mode="left_to_right")
        # A smart union ends at a member that fits exactly: lists of floats cost no more than without it.
        python = core_schema.union_schema(
            [core_schema.is_instance_schema(float), integer],
            custom_error_type="double",
            custom_error_message="expected float",
        )
        return core_schema.json_or_python_schema(
            json_schema=number, python_schema=python, serialization=core_schema.simple_ser_schema("float")
        )


SCALARS: dict[str, Any] = {
    "integer": _INTEGER,
    "number": Annotated[float, _ExactFloat()],
    "boolean": Annotated[bool, Strict()],
    "string": Annotated[str, Strict()],
    "null": None,
}
FORMATS: dict[str, Any] = {
    "binary": BYTES,
    "date-time": Annotated[datetime, _time_validator(datetime), AfterValidator(_require_time_zone)],
    "date": Annotated[date, _time_validator(date)],
    "time": Annotated[time, _time_validator(time)],
    "duration": Annotated[timedelta, _time_validator(timedelta)],
}


_FAILING_FAST = {"list", "dict"} if "fail_fast" in core_schema.DictSchema.__annotations__ else {"list"}
"""The core schemas that have `fail_fast`: maps only in newer versions of pydantic."""


class _FailFast:
    """Stops at the first invalid item of a list or a map, which may have millions."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        schema = handler(source)
        return {**schema, "fail_fast": True} if schema["type"] in _FAILING_FAST else schema


_FAIL_FAST = _FailFast()


def list_of(kind: Any) -> Any:
    """Return the type of a list."""
    # Strict, or validation would consume an iterator that `to_json_types` has to read.
    return Annotated[list[kind], Strict(), _FAIL_FAST]


def map_of(kind: Any) -> Any:
    """Return the type of a map with text keys."""
    return Annotated[dict[str, kind], _FAIL_FAST]


class OneOf:
    """Reports one error for a value that fits no member of a union, instead of one per member."""

    def __init__(self, members: Sequence[Any]) -> None:
        self._expected = listed(map(type_text, members), len(members))

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        schema = handler(source)
        if schema["type"] == "union":
            schema["custom_error_type"] = "one_of"
            schema["custom_error_message"] = f"expected one of {self._expected}"
        return schema


def enum_of(values: Sequence[Any]) -> Any:
    """Return the type of an enum. caikit's schema lists numbers, which requests take; answers have the names."""
    if any(isinstance(value, (list, dict)) for value in values):
        return ANY_JSON
    expected = listed(map(json.dumps, values), len(values))
    allowed = {(isinstance(value, bool), value) for value in values}
    numbers = any(isinstance(value, int) and not isinstance(value, bool) for value in values)
    only_text = all(value is None or isinstance(value, str) for value in values)

    def check(value: Any, info: ValidationInfo) -> Any:
        if info.mode == "json" and info.context is not ANSWER_AS_ARGUMENT and isinstance(value, str):
            return value
        for candidate in enum_candidates(value):
            if isinstance(candidate, (str, int, float)) and (isinstance(candidate, bool), candidate) in allowed:
                if isinstance(candidate, int) and not isinstance(candidate, bool):
                    return int(candidate)
                return plain_text(candidate) if isinstance(candidate, str) else candidate
        hint = ": the OpenAPI document has the numbers without names" if numbers and isinstance(value, str) else ""
        raise ValueError(f"expected one of {expected}, not {short_repr(value)}{hint}")

    return Annotated[str if only_text else int | str if numbers else Any, BeforeValidator(check)]


def bare(kind: Any) -> Any:
    """Return a type without `Annotated` metadata at any depth."""
    if get_origin(kind) is Annotated:
        return bare(get_args(kind)[0])
    arguments = [bare(argument) for argument in get_args(kind)]
    if not arguments:
        return kind
    if get_origin(kind) in (Union, UnionType):
        return reduce(or_, arguments)
    return get_origin(kind)[tuple(arguments)]


def type_text(kind: Any) -> str:
    """Return a type's name for error messages."""
    kind = bare(kind)
    return str(kind) if get_args(kind) else str(getattr(kind, "__name__", kind))
