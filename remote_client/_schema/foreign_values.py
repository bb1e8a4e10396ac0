"""Values of other libraries as Python's own: enums, decimals, scalars of numpy, pandas and Arrow, and tables' rows.

They are recognised by what they can do, never by their library, and looked at only where a value does not fit as it is.
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
"""Integers beyond are not all exact as a double."""
_MOST_DIGITS = 400
"""A decimal of more digits than any double has is not made an integer, which would take long."""


def native(value: Any) -> Any:
    """Return a scalar of another library, or what an enum's member stands for, as Python's own; else the value."""
    if isinstance(value, enum.Enum):
        return native(value.value)
    if isinstance(value, Decimal):
        return _number(value)
    if isinstance(value, numbers.Number):
        item = getattr(value, "item", None)  # numpy's
        return value if item is None else item()
    return native(value.as_py()) if hasattr(value, "as_py") else value


def enum_candidates(value: Any) -> tuple[Any, ...]:
    """Return what may stand for a value in an enum of the server's: of an enum's member its text, name and number."""
    if not isinstance(value, enum.Enum):
        return (native(value),)
    told = native(value)
    return (told, value.name) if isinstance(told, str) else (value.name, told)


def given_fields(value: BaseModel) -> dict[str, Any]:
    """Return what a pydantic object holds, with its extra fields, without what `model_construct` left out."""
    told = vars(value)
    return {name: told[name] for name in type(value).model_fields if name in told} | (value.model_extra or {})


def _number(value: Decimal) -> Any:
    """The int or float that is the same number; the decimal itself where there is none."""
    if not value.is_finite():
        return float(value)
    if value.adjusted() < _MOST_DIGITS and value == value.to_integral_value():
        return int(value)
    number = float(value)
    return number if Decimal(repr(number)) == value else value


def plain_text(value: str) -> str:
    """Return the text of a str's subclass, whatever its `__str__` says: that of an enum's member is its name."""
    return str.__str__(value.value if isinstance(value, enum.Enum) else value)


def exact_double(value: Any) -> float:
    """Return the double that a number is.

    Raises:
        TypeError: it is no number.
        ValueError: it is one that no double holds.
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
    """Whether a number is the same as float32. A float is rounded, as each is; what is exact elsewhere must not be."""
    exact = native(value)
    rounded: float = struct.unpack("f", struct.pack("f", number))[0]
    with suppress(TypeError):
        return operator.index(exact) == rounded
    return not isinstance(value, Decimal) or any(float(f"{rounded:.{digits}g}") == number for digits in range(6, 10))


def row_of(value: Any, known: Mapping[str, Any] | None = None) -> Mapping[Any, Any] | None:
    """Return a table's row (a named tuple, a `Series` of pandas) or a dataclass's object as a mapping; None for others.

    Args:
        value: what may be one.
        known: the fields to fill. Without an `Index` among them, that of pandas' `itertuples` is left out.
    """
    row: dict[Any, Any]
    if hasattr(value, "_asdict"):
        row = value._asdict()
        if next(iter(row), None) == "Index" and "Index" not in (known or ()):
            del row["Index"]
    elif is_series(value):
        row = value.to_dict()
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        row = {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    else:
        return None
    return {key: None if type(each).__name__ in ("NAType", "NaTType") else each for key, each in row.items()}


def is_series(value: Any) -> bool:
    """Whether this is a row or a column of pandas: nothing but its place tells which."""
    return hasattr(value, "to_dict") and hasattr(value, "dtype") and hasattr(value, "index")


def is_row(value: Any) -> bool:
    """Whether `row_of` has a mapping for a value, and it is no column."""
    if is_series(value):
        return all(isinstance(each, str) for each in value.index)
    return hasattr(value, "_asdict") or (dataclasses.is_dataclass(value) and not isinstance(value, type))


def table_rows(value: Any) -> list[Any] | None:
    """Return the rows of a table of pandas, polars or Arrow, which itself iterates its columns; None for others."""
    if len(getattr(value, "shape", ())) == 2:
        for name, arguments in (("to_pylist", ()), ("to_dicts", ()), ("to_dict", ("records",))):
            if hasattr(value, name):
                rows: list[Any] = getattr(value, name)(*arguments)
                return rows
    return None


def items_of(value: Any) -> Any:
    """Return an array or a column of numpy, pandas or Arrow as a list; anything else as it is."""
    for name in ("tolist", "to_pylist"):
        if hasattr(value, name) and (hasattr(value, "dtype") or hasattr(value, "type")):
            return getattr(value, name)()
    return value
