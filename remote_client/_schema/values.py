"""Checked conversion of single values: Python's scalars and protobuf's well-known types.

Each `as_*` takes what a user may give and returns what protobuf takes, or raises a TypeError or ValueError that says
what was expected. They exist because protobuf itself lets some wrong values pass: a bool for a float, bytes for a
string, an infinity for a float that is too large.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf import struct_pb2

from ..errors import kind_of, shown

FLOAT32_MAX = 3.4028235677973366e38  # the largest double that rounds to a finite float
EXACT_INTEGER = 2**53  # integers beyond are not exact as a double, which is all JSON numbers are over gRPC


def as_bool(value: Any) -> bool:
    if isinstance(value, bool) or kind_of(value) in ("bool_", "bool"):  # numpy's is called bool_, since 2.0 bool
        return bool(value)
    raise TypeError(f"expected bool, not {kind_of(value)}")


def as_int(value: Any) -> int:
    if not isinstance(value, bool):
        try:
            return operator.index(value)
        except TypeError:
            pass
    raise TypeError(f"expected int, not {kind_of(value)}")


def as_float(value: Any) -> float:
    if isinstance(value, (str, bytes, bytearray, bool)) or not hasattr(value, "__float__"):
        raise TypeError(f"expected float, not {kind_of(value)}")
    try:
        return float(value)
    except OverflowError:
        raise ValueError(f"{kind_of(value)} is too large for a double") from None


def as_float32(value: Any) -> float:
    number = as_float(value)
    if math.isfinite(number) and abs(number) >= FLOAT32_MAX:
        raise ValueError(f"{number!r} is out of the range of float32")
    return number


def as_str(value: Any) -> str:
    if isinstance(value, str):
        return str(value)
    raise TypeError(f"expected str, not {kind_of(value)}")


def as_bytes(value: Any) -> bytes:
    if isinstance(value, (bytes, bytearray, memoryview)):
        return bytes(value)
    raise TypeError(f"expected bytes, not {kind_of(value)}")


def as_items(value: Any) -> Any:
    """The items of a repeated field: any iterable but text, bytes and mappings; an array as its list."""
    if isinstance(value, (list, tuple)):
        return value
    if hasattr(value, "tolist") and hasattr(value, "dtype"):
        value = value.tolist()
    if isinstance(value, (str, bytes, bytearray, Mapping)) or not hasattr(type(value), "__iter__"):
        raise TypeError(f"expected a list, not {kind_of(value)}")
    return list(value)


def set_timestamp(message: Any, value: Any) -> None:
    if not isinstance(value, datetime):
        raise TypeError(f"expected datetime, not {kind_of(value)}")
    if value.utcoffset() is None:
        raise ValueError("expected a datetime with a time zone, as datetime.now(timezone.utc) gives")
    message.FromDatetime(value)


def get_timestamp(message: Any) -> datetime:
    moment: datetime = message.ToDatetime(tzinfo=UTC)
    return moment


def set_duration(message: Any, value: Any) -> None:
    if not isinstance(value, timedelta):
        raise TypeError(f"expected timedelta, not {kind_of(value)}")
    message.FromTimedelta(value)


def get_duration(message: Any) -> timedelta:
    span: timedelta = message.ToTimedelta()
    return span


def set_struct(message: Any, value: Any) -> None:
    if not isinstance(value, Mapping):
        raise TypeError(f"expected a mapping of JSON values, not {kind_of(value)}")
    for key, item in value.items():
        if not isinstance(key, str):
            raise TypeError(f"expected str keys in JSON, not {kind_of(key)}")
        set_value(message.fields[key], item)


def set_list(message: Any, value: Any) -> None:
    if not isinstance(value, (list, tuple)):
        raise TypeError(f"expected a list of JSON values, not {kind_of(value)}")
    for item in value:
        set_value(message.values.add(), item)


def set_value(message: Any, value: Any) -> None:
    """Any JSON value. An integer that a double cannot hold is refused: it would arrive as another number."""
    if value is None:
        message.null_value = struct_pb2.NULL_VALUE
    elif isinstance(value, bool):
        message.bool_value = value
    elif isinstance(value, str):
        message.string_value = value
    elif isinstance(value, Mapping):
        message.struct_value.SetInParent()
        set_struct(message.struct_value, value)
    elif isinstance(value, (list, tuple)):
        message.list_value.SetInParent()
        set_list(message.list_value, value)
    else:
        if isinstance(value, int) and abs(value) > EXACT_INTEGER:
            raise ValueError(f"{shown(value)} is not exact as a JSON number over gRPC; send it as a string")
        try:
            message.number_value = as_float(value)
        except TypeError:
            raise TypeError(f"expected a JSON value, not {kind_of(value)}") from None


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


def _wrapper(convert: Callable[[Any], Any]) -> tuple[Callable[[Any, Any], None], Callable[[Any], Any]]:
    def set_wrapped(message: Any, value: Any) -> None:
        message.value = convert(value)

    return set_wrapped, operator.attrgetter("value")


WELL_KNOWN: dict[str, tuple[Any, Callable[[Any, Any], None], Callable[[Any], Any]]] = {
    # full name: the Python type, how a message is set, how it is read
    "google.protobuf.Timestamp": (datetime, set_timestamp, get_timestamp),
    "google.protobuf.Duration": (timedelta, set_duration, get_duration),
    "google.protobuf.Struct": (dict[str, Any], set_struct, get_struct),
    "google.protobuf.ListValue": (list[Any], set_list, get_list),
    "google.protobuf.Value": (Any, set_value, get_value),
    "google.protobuf.BoolValue": (bool, *_wrapper(as_bool)),
    "google.protobuf.StringValue": (str, *_wrapper(as_str)),
    "google.protobuf.BytesValue": (bytes, *_wrapper(as_bytes)),
    "google.protobuf.DoubleValue": (float, *_wrapper(as_float)),
    "google.protobuf.FloatValue": (float, *_wrapper(as_float32)),
    **{f"google.protobuf.{kind}Value": (int, *_wrapper(as_int)) for kind in ("Int32", "Int64", "UInt32", "UInt64")},
}
