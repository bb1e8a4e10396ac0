"""Values of other libraries as native Python values: enums, decimals, scalars of numpy, pandas and Arrow, table rows.

They are recognised by their methods, so that no library is imported, and only if a value does not fit as it is.
"""

from __future__ import annotations

import dataclasses
import enum
import numbers
import operator
import struct
from collections.abc import Mapping
from contextlib import suppress
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic import BaseModel

EXACT_INTEGER = 2**53
"""Larger integers are not all exact as a double."""
_MOST_DIGITS = 400
"""Decimals with more digits than any double do not become integers, which would take long."""


def native(value: Any) -> Any:
    """Return the native value of another library's scalar or of an enum's member; else the value."""
    if isinstance(value, enum.Enum):
        return native(value.value)
    if isinstance(value, Decimal):
        return _number(value)
    if isinstance(value, numbers.Number):
        item = getattr(value, "item", None)  # numpy's
        return value if item is None else item()
    return native(value.as_py()) if hasattr(value, "as_py") else value


def enum_candidates(value: Any) -> tuple[Any, ...]:
    """Return the names and numbers by which a value may be found in a server's enum, the likeliest first."""
    found = native(value)
    if not isinstance(value, enum.Enum):
        return (found,)
    return (found, value.name) if isinstance(found, str) else (value.name, found)


def given_fields(value: BaseModel) -> dict[str, Any]:
    """Return the fields of a pydantic object, with extra fields, without those that `model_construct` left out."""
    fields = vars(value)
    return {name: fields[name] for name in type(value).model_fields if name in fields} | (value.model_extra or {})


def _number(value: Decimal) -> Any:
    """Return the int or float that equals a decimal; the decimal itself if there is none."""
    if not value.is_finite():
        return float(value)
    if value.adjusted() < _MOST_DIGITS and value == value.to_integral_value():
        return int(value)
    number = float(value)
    return number if Decimal(repr(number)) == value else value


def plain_text(value: str) -> str:
    """Return the text of a str. A subclass, such as an enum, may have another `__str__`."""
    return str.__str__(value.value if isinstance(value, enum.Enum) else value)


def exact_double(value: Any) -> float:
    """Return a number as a double.

    Raises:
        TypeError: the value is not a number.
        ValueError: the number is not exact as a double.
    """
    value = native(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, (str, bytes, bytearray, bool)) or not hasattr(value, "__float__"):
        raise TypeError
    with suppress(TypeError):  # an array of one float has an `__index__` that raises
        value = operator.index(value)
    try:
        number = float(value)
    except OverflowError:
        raise ValueError("is too large for a double") from None
    if (isinstance(value, int) and number != value) or isinstance(value, Decimal):
        raise ValueError("is not exact as a double")
    return number


def is_exact_float32(value: Any, number: float) -> bool:
    """Return whether a number survives as float32: floats may be rounded, integers and decimals must be exact."""
    exact = native(value)
    rounded: float = struct.unpack("f", struct.pack("f", number))[0]
    with suppress(TypeError):
        return operator.index(exact) == rounded
    return not isinstance(value, Decimal) or any(float(f"{rounded:.{digits}g}") == number for digits in range(6, 10))


def row_of(value: Any, known: Mapping[str, Any] | None = None) -> Mapping[Any, Any] | None:
    """Return a table's row (a named tuple, a `Series` of pandas) or a dataclass instance as a mapping; None for others.

    The `Index` of pandas' `itertuples` is left out unless it is among the known fields.
    """
    row: dict[Any, Any]
    if hasattr(value, "_asdict"):
        row = value._asdict()
        if next(iter(row), None) == "Index" and "Index" not in (known or ()):
            del row["Index"]
    elif is_series(value):
        row = value.to_dict()
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        row = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    else:
        return None
    return {key: None if type(item).__name__ in ("NAType", "NaTType") else item for key, item in row.items()}


def is_series(value: Any) -> bool:
    """Return whether a value is a row or a column of pandas, which have the same type."""
    return hasattr(value, "to_dict") and hasattr(value, "dtype") and hasattr(value, "index")


def is_row(value: Any) -> bool:
    """Return whether a value is a row: `row_of` returns a mapping for it, and it is not a column."""
    if is_series(value):
        return all(isinstance(label, str) for label in value.index)
    return hasattr(value, "_asdict") or (dataclasses.is_dataclass(value) and not isinstance(value, type))


def table_rows(value: Any) -> list[Any] | None:
    """Return the rows of a table of pandas, polars or Arrow, whose iterators yield columns; None for other values."""
    if len(getattr(value, "shape", ())) == 2:
        for name, arguments in (("to_pylist", ()), ("to_dicts", ()), ("to_dict", ("records",))):
            if hasattr(value, name):
                rows: list[Any] = getattr(value, name)(*arguments)
                return rows
    return None


def items_of(value: Any) -> Any:
    """Return an array or a column of numpy, pandas or Arrow as a list; any other value as it is."""
    for name in ("tolist", "to_pylist"):
        if hasattr(value, name) and (hasattr(value, "dtype") or hasattr(value, "type")):
            return getattr(value, name)()
    return value
