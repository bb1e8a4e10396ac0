"""Checked conversion of single values: Python's scalars and protobuf's well-known types.

The `as_*` functions take a user's value and return one for protobuf, or raise a TypeError or ValueError that says what
was expected. protobuf itself accepts some wrong values: a bool for a float, bytes for a string, and a float that is too
large, as infinity.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from google.protobuf import struct_pb2
from pydantic import BaseModel

from ..._concurrency.iterators import collect
from ..._text.cleaning import short_repr, type_name
from ..foreign_values import (
    EXACT_INTEGER,
    exact_double,
    given_fields,
    is_exact_float32,
    is_row,
    items_of,
    native,
    plain_text,
    row_of,
)

FLOAT32_MAX = 3.4028235677973366e38  # the largest double that rounds to a finite float
EXACT_INTEGER32 = 2**24  # as EXACT_INTEGER, of float32


def as_bool(value: Any) -> bool:
    if isinstance(value, bool) or type_name(value) in ("bool_", "bool"):  # numpy's is called bool_, since 2.0 bool
        return bool(value)
    if isinstance(found := native(value), bool):
        return found
    raise TypeError(f"expected bool, not {type_name(value)}")


def as_int(value: Any) -> int:
    if not isinstance(value, bool):
        try:
            return operator.index(value)
        except TypeError:
            pass
        found = native(value)
        if isinstance(found, int) and not isinstance(found, bool):
            return found
    raise TypeError(f"expected int, not {type_name(value)}")


def as_float(value: Any) -> float:
    if value.__class__ is int and -EXACT_INTEGER <= value <= EXACT_INTEGER:
        return float(value)
    try:
        return exact_double(value)
    except TypeError:
        raise TypeError(f"expected float, not {type_name(value)}") from None
    except ValueError as error:
        raise ValueError(f"{short_repr(value)} {error}") from None


def as_float32(value: Any) -> float:
    if value.__class__ is int and -EXACT_INTEGER32 <= value <= EXACT_INTEGER32:
        return float(value)
    number: float = value if value.__class__ is float else as_float(value)
    if math.isfinite(number):
        if abs(number) >= FLOAT32_MAX:
            raise ValueError(f"{number!r} is out of the range of float32")
        if number is not value and not is_exact_float32(value, number):
            raise ValueError(f"{short_repr(value)} is not exact as float32")
    return number


def as_str(value: Any) -> str:
    if value.__class__ is str:
        return value
    found = value if isinstance(value, str) else native(value)
    if isinstance(found, str):
        return plain_text(found)
    raise TypeError(f"expected str, not {type_name(value)}")


def as_bytes(value: Any) -> bytes:
    for found in (value, native(value)):
        if isinstance(found, (bytes, bytearray, memoryview)):
            return bytes(found)
    raise TypeError(f"expected bytes, not {type_name(value)}")


def as_items(value: Any) -> Any:
    """Return the items of a repeated field, of any iterable but text, bytes and mappings."""
    if isinstance(value, (list, tuple)):
        return value
    value = items_of(native(value))
    if isinstance(value, (str, bytes, bytearray, Mapping)) or not hasattr(type(value), "__iter__"):
        raise TypeError(f"expected a list, not {type_name(value)}")
    return collect(value)


def as_mapping(value: Any) -> Mapping[Any, Any]:
    """Return the items of a map, of a mapping or a table's row."""
    found = value if isinstance(value, Mapping) else row_of(value)
    if found is None:
        raise TypeError(f"expected a mapping, not {type_name(value)}")
    return found


def set_timestamp(message: Any, value: Any) -> None:
    found = value if isinstance(value, datetime) else native(value)
    if not isinstance(found, datetime):
        raise TypeError(f"expected datetime, not {type_name(value)}")
    if found.utcoffset() is None:
        raise ValueError("expected a datetime with a time zone, as datetime.now(timezone.utc) gives")
    message.FromDatetime(found)
    if more := getattr(found, "nanosecond", 0):  # pandas has those below the microsecond
        message.FromNanoseconds(message.ToNanoseconds() + more)


def get_timestamp(message: Any) -> datetime:
    moment: datetime = message.ToDatetime(tzinfo=UTC)
    return moment


def set_duration(message: Any, value: Any) -> None:
    found = value if isinstance(value, timedelta) else native(value)
    if not isinstance(found, timedelta):
        raise TypeError(f"expected timedelta, not {type_name(value)}")
    message.FromTimedelta(found)
    if more := getattr(found, "nanoseconds", 0):
        message.FromNanoseconds(message.ToNanoseconds() + more)


def get_duration(message: Any) -> timedelta:
    span: timedelta = message.ToTimedelta()
    return span


def set_struct(message: Any, value: Any) -> None:
    found = value if isinstance(value, Mapping) else (row_of(value) or _json_value(value))
    if not isinstance(found, Mapping):
        raise TypeError(f"expected a mapping of JSON values, not {type_name(value)}")
    for key, item in found.items():
        set_value(message.fields[key if key.__class__ is str else _json_key(key)], item)


def set_list(message: Any, value: Any) -> None:
    found = items_of(value)
    if not isinstance(found, (list, tuple)):
        raise TypeError(f"expected a list of JSON values, not {type_name(value)}")
    for item in found:
        set_value(message.values.add(), item)


def set_value(message: Any, value: Any) -> None:
    """Set any JSON value. An integer that is not exact as a double is refused: it would arrive as another number."""
    kind = value.__class__
    if kind is str:
        message.string_value = value
    elif kind is float:
        message.number_value = value
    elif value is None:
        message.null_value = struct_pb2.NULL_VALUE
    elif kind is bool:
        message.bool_value = value
    elif isinstance(value, Mapping):
        message.struct_value.SetInParent()
        set_struct(message.struct_value, value)
    elif kind is list or kind is tuple:
        message.list_value.SetInParent()
        set_list(message.list_value, value)
    elif kind is int:
        if abs(value) > EXACT_INTEGER:
            raise ValueError(f"{short_repr(value)} is not exact as a JSON number over gRPC; send it as a string")
        message.number_value = value
    else:
        set_value(message, _json_value(value))


def _json_key(key: Any) -> str:
    name = native(key)
    if not isinstance(name, str):
        raise TypeError(f"expected str keys in JSON, not {type_name(key)}")
    return plain_text(name)


def _json_value(value: Any) -> Any:
    """Return a value of another library as a Python value that JSON has."""
    if isinstance(value, BaseModel):
        return {name: item for name, item in given_fields(value).items() if item is not None}
    found = row_of(value) if is_row(value) else items_of(native(value))
    if isinstance(found, str):
        return plain_text(found)
    if isinstance(found, (list, tuple)):
        return [*found]
    if isinstance(found, (dict, bool)) or found is None:
        return found
    if type_name(found) == "bool_":
        return bool(found)
    if isinstance(found, int):
        return int(found)
    try:
        return as_float(found)
    except TypeError:
        raise TypeError(f"expected a JSON value, not {type_name(value)}") from None


def get_struct(message: Any) -> dict[str, Any]:
    return {key: get_value(item) for key, item in message.fields.items()}


def get_list(message: Any) -> list[Any]:
    return [get_value(item) for item in message.values]


def get_value(message: Any) -> Any:
    kind = message.WhichOneof("kind")
    if kind == "struct_value":
        return get_struct(message.struct_value)
    if kind == "list_value":
        return get_list(message.list_value)
    return None if kind in (None, "null_value") else getattr(message, kind)


class WellKnownType(NamedTuple):
    """The Python type of a well-known message type, and the functions that set and get a message."""

    python_type: Any
    set: Callable[[Any, Any], None]
    get: Callable[[Any], Any]


def _wrapper(python_type: type, convert: Callable[[Any], Any]) -> WellKnownType:
    def set_wrapped(message: Any, value: Any) -> None:
        message.value = convert(value)

    return WellKnownType(python_type, set_wrapped, operator.attrgetter("value"))


WELL_KNOWN = {
    "google.protobuf.Timestamp": WellKnownType(datetime, set_timestamp, get_timestamp),
    "google.protobuf.Duration": WellKnownType(timedelta, set_duration, get_duration),
    "google.protobuf.Struct": WellKnownType(dict[str, Any], set_struct, get_struct),
    "google.protobuf.ListValue": WellKnownType(list[Any], set_list, get_list),
    "google.protobuf.Value": WellKnownType(Any, set_value, get_value),
    "google.protobuf.BoolValue": _wrapper(bool, as_bool),
    "google.protobuf.StringValue": _wrapper(str, as_str),
    "google.protobuf.BytesValue": _wrapper(bytes, as_bytes),
    "google.protobuf.DoubleValue": _wrapper(float, as_float),
    "google.protobuf.FloatValue": _wrapper(float, as_float32),
    **{f"google.protobuf.{kind}Value": _wrapper(int, as_int) for kind in ("Int32", "Int64", "UInt32", "UInt64")},
}
