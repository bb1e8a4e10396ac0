"""How values of types that are no objects are checked, and what JSON has for them. Nothing is told of schemas here."""

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
from .values import ARGUMENT, plain


def _from_json(kind: type[Any], read: Callable[[str], Any], info: ValidationInfo, value: Any) -> Any:
    """A value of a type that JSON only has as text: in JSON it is text, in Python nothing but the type itself."""
    if info.mode == "json":
        if isinstance(value, str):
            return read(value)
    elif isinstance(value, kind) and not (kind is date and isinstance(value, datetime)):
        if getattr(value, "nanosecond", 0) or getattr(value, "nanoseconds", 0):  # pandas has them
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
    result: bytes = _from_json(bytes, _base64, info, value)
    return result


def _timed(kind: type[Any]) -> BeforeValidator:
    return BeforeValidator(lambda value, info: _from_json(kind, lambda text: text, info, value))


def _aware(value: datetime) -> datetime:
    if value.utcoffset() is None:
        raise ValueError("expected a datetime with a time zone, as datetime.now(timezone.utc) gives")
    return value


def _open(value: Any, info: ValidationInfo) -> Any:
    return value if info.mode == "json" else plain(value, text=True)


BYTES: Any = Annotated[
    bytes,
    BeforeValidator(_bytes),
    # pydantic's own base64 has another alphabet, of which the runtime drops what it does not know.
    PlainSerializer(lambda value: base64.b64encode(value).decode(), when_used="json"),
]
OPEN: Any = Annotated[Any, BeforeValidator(_open)]
"""Any JSON value."""
_INTEGER: Any = Annotated[int, Strict(), PydanticField(ge=-(2**63), le=2**64 - 1)]


def _large_double(value: Any) -> float:
    with suppress(OverflowError):
        if value.__class__ is int and float(value) == value:
            return float(value)
    raise ValueError


class _Exact:
    """Takes floats, and the integers that are one: pydantic's strict float rounds whatever has a `__float__`."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        number = core_schema.float_schema(strict=True)
        small = core_schema.int_schema(strict=True, ge=-EXACT_INTEGER, le=EXACT_INTEGER)
        large = core_schema.no_info_plain_validator_function(_large_double)
        integer = core_schema.union_schema([core_schema.chain_schema([small, number]), large], mode="left_to_right")
        # A smart union is done at a first member that fits as it is: lists of floats cost as much as without it.
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
    "number": Annotated[float, _Exact()],
    "boolean": Annotated[bool, Strict()],
    "string": Annotated[str, Strict()],
    "null": None,
}
FORMATS: dict[str, Any] = {
    "binary": BYTES,
    "date-time": Annotated[datetime, _timed(datetime), AfterValidator(_aware)],
    "date": Annotated[date, _timed(date)],
    "time": Annotated[time, _timed(time)],
    "duration": Annotated[timedelta, _timed(timedelta)],
}


_FAILING_FAST = {"list", "dict"} if "fail_fast" in core_schema.DictSchema.__annotations__ else {"list"}
"""The core schemas that can; those of maps with newer versions of pydantic."""


class _FailFast:
    """One error for the first wrong item of a list or a map, instead of one for each of millions."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        schema = handler(source)
        return {**schema, "fail_fast": True} if schema["type"] in _FAILING_FAST else schema


_FAIL_FAST = _FailFast()


def list_of(kind: Any) -> Any:
    """The type of a list."""
    # Strict, so that an iterator is not used up by a first look: see `plain`.
    return Annotated[list[kind], Strict(), _FAIL_FAST]


def map_of(kind: Any) -> Any:
    """The type of a map with names."""
    return Annotated[dict[str, kind], _FAIL_FAST]


class OneOf:
    """One error for a value that fits no member of a union, instead of one for each."""

    def __init__(self, members: Sequence[Any]) -> None:
        self._expected = listed(map(spelled, members), len(members))

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], Any]) -> Any:
        schema = handler(source)
        if schema["type"] == "union":
            schema["custom_error_type"] = "one_of"
            schema["custom_error_message"] = f"expected one of {self._expected}"
        return schema


def choice(values: Sequence[Any]) -> Any:
    """An enum. Of caikit's the schema has the numbers, which requests take, and answers have the names."""
    if any(isinstance(each, (list, dict)) for each in values):
        return OPEN
    expected = listed(map(json.dumps, values), len(values))
    allowed = {(isinstance(each, bool), each) for each in values}
    numbers = any(isinstance(each, int) and not isinstance(each, bool) for each in values)
    only_text = all(each is None or isinstance(each, str) for each in values)

    def check(value: Any, info: ValidationInfo) -> Any:
        if info.mode == "json" and info.context is not ARGUMENT and isinstance(value, str):
            return value
        for each in enum_candidates(value):
            if isinstance(each, (str, int, float)) and (isinstance(each, bool), each) in allowed:
                if isinstance(each, int) and not isinstance(each, bool):
                    return int(each)
                return plain_text(each) if isinstance(each, str) else each
        hint = ": the OpenAPI document does not tell the names' numbers" if numbers and isinstance(value, str) else ""
        raise ValueError(f"expected one of {expected}, not {short_repr(value)}{hint}")

    return Annotated[str if only_text else int | str if numbers else Any, BeforeValidator(check)]


def bare(kind: Any) -> Any:
    """A type as a reader wants it: without the marks that check its values."""
    if get_origin(kind) is Annotated:
        return bare(get_args(kind)[0])
    arguments = [bare(each) for each in get_args(kind)]
    if not arguments:
        return kind
    if get_origin(kind) in (Union, UnionType):
        return reduce(or_, arguments)
    return get_origin(kind)[tuple(arguments)]


def spelled(kind: Any) -> str:
    """A type's name in an error message."""
    kind = bare(kind)
    return str(kind) if get_args(kind) else str(getattr(kind, "__name__", kind))
