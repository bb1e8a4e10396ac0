"""Arguments as data objects and protobuf messages; errors name the argument that does not fit. Sends nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import numpy as np
from caikit.core.data_model import DataBase
from google.protobuf.descriptor import FieldDescriptor

from .._schema.protobuf.fields import is_repeated
from ..errors import InputError

_SCALARS = {
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_BYTES: "bytes",
    FieldDescriptor.TYPE_DOUBLE: "float",
    FieldDescriptor.TYPE_FLOAT: "float",
    FieldDescriptor.TYPE_STRING: "str",
}
_own_fill_proto: Any = DataBase.fill_proto
_PYTHON_TYPES = {"google.protobuf.Struct": "dict", "google.protobuf.Timestamp": "datetime"}


def checked(method: str, kind: Any, values: Mapping[str, Any]) -> Any:
    """Return the protobuf message of the data object with these values.

    Args:
        method: the name of the method, for errors.
        kind: the type of the data object.
        values: field -> value.

    Raises:
        InputError: a value does not fit its field.
    """
    values = {name: _plain_list(kind, name, value) for name, value in values.items()}
    try:
        made = kind(**values)
        message = made.to_proto()
    except Exception as error:  # whatever protobuf, and the data objects' own checks, raise
        raise InputError(f"{method}(): {_misfit(kind, values) or error}") from error
    set_present(f"{method}(): ", made, message)
    return message


def unchecked(method: str, kind: Any, values: Mapping[str, Any]) -> Any:
    """As `checked`, for a data object that becomes part of another one, with which it is checked. Returns no message.

    Raises:
        InputError: its constructor refuses a value.
    """
    values = {name: _plain_list(kind, name, value) for name, value in values.items()}
    try:
        return kind(**values)
    except Exception as error:  # whatever the data objects' own checks raise
        raise InputError(f"{method}(): {_misfit(kind, values) or error}") from error


def set_present(place: str, made: Any, message: Any) -> None:
    """Set the fields of a data object that caikit has left unset in its message though they have a value.

    These are data objects without a value, and unions, whose values caikit drops if no member takes them.

    Args:
        place: what errors begin with: the method, and the path of the data object.
        made: the data object.
        message: its message.

    Raises:
        InputError: no member of a union takes the value.
    """
    kind: Any = type(made)
    for name in _unset_by_caikit(kind):
        value = getattr(made, name)
        if isinstance(value, DataBase):
            member = name if name in message.DESCRIPTOR.fields_by_name else made.which_oneof(name)
            if member is None:
                raise InputError(f"{place}{name}: {_expected(message, name)}, got {_shown(value)}")
            inner = getattr(message, member)
            inner.SetInParent()
            if value.backend is None:  # which may read its values anew each time
                set_present(f"{place}{name}.", value, inner)
        elif isinstance(value, list) and name in message.DESCRIPTOR.fields_by_name:
            for index, (item, inner) in enumerate(zip(value, getattr(message, name), strict=False)):
                item_kind: Any = type(item)
                if isinstance(item, DataBase) and _unset_by_caikit(item_kind) and item.backend is None:
                    set_present(f"{place}{name}[{index}].", item, inner)
        elif value is not None and name in message.DESCRIPTOR.oneofs_by_name and message.WhichOneof(name) is None:
            raise InputError(f"{place}{name}: {_expected(message, name)}, got {_shown(value)}")


@cache
def _unset_by_caikit(kind: Any) -> list[str]:
    """Return the fields of a type that are messages or unions; none for a type that writes its message itself."""
    if not hasattr(kind, "__dataclass_fields__") or kind.fill_proto is not _own_fill_proto:
        return []
    known = kind.get_proto_class().DESCRIPTOR.fields_by_name
    names = [field.name for field in dataclasses.fields(kind)]
    return [name for name in names if name not in known or known[name].message_type]


def _expected(message: Any, union: str) -> str:
    return "expected " + " or ".join(map(_member_name, message.DESCRIPTOR.oneofs_by_name[union].fields))


def _member_name(field: FieldDescriptor) -> str:
    kind = field.message_type
    if kind is not None and kind.full_name.endswith("Sequence") and "values" in kind.fields_by_name:
        return f"a list of {_type_name(kind.fields_by_name['values'])}"
    return _type_name(field)


def _plain_list(kind: Any, name: str, value: Any) -> Any:
    """Return the value of a union as a list of Python's own values if it has several: caikit loses other ones."""
    if name not in kind.get_proto_class().DESCRIPTOR.oneofs_by_name:
        return value
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, (list, tuple)):
        return [item.tolist() if isinstance(item, np.generic) else item for item in value]
    return value


def _misfit(kind: Any, values: Mapping[str, Any]) -> str | None:
    """Return the path of the first value that does not fit, and why; None if no single one is wrong."""
    message = kind.get_proto_class().DESCRIPTOR
    for name, value in values.items():
        if name not in message.fields_by_name and name not in message.oneofs_by_name:
            return f"{name}: there is no such parameter"
        failure = _failure(kind, name, value)
        if failure is None:
            continue
        for place, item, alone in _items(kind, name, value):
            why = _failure(kind, name, alone)
            if why is None:
                continue
            if isinstance(item, DataBase) and (inner := _misfit(type(item), item.to_kwargs())):
                return f"{name}{place}.{inner}"
            if alone is not item:
                return f"{name}{place}: {_reason(kind, name, why, of_item=True)}, got {_shown(item)}"
        return f"{name}: {_reason(kind, name, failure)}, got {_shown(value)}"
    return None


def _failure(kind: Any, name: str, value: Any) -> Exception | None:
    try:
        kind(**{name: value}).to_proto()
    except Exception as error:
        return error
    return None


def _items(kind: Any, name: str, value: Any) -> Iterator[tuple[str, Any, Any]]:
    """Yield the place of every item of a field's value, the item, and a value with this item only."""
    if isinstance(value, DataBase):
        yield "", value, value
    elif isinstance(value, Mapping) and _failure(kind, name, {}) is None:
        yield from ((f"[{key!r}]", item, {key: item}) for key, item in value.items())
    elif isinstance(value, (list, tuple)) and _failure(kind, name, []) is None:
        yield from ((f"[{index}]", item, [item]) for index, item in enumerate(value))


def _reason(kind: Any, name: str, error: Exception, *, of_item: bool = False) -> str:
    """Return what a field, or an item of it, takes; if it takes the value's type, why it does not take the value."""
    field = kind.get_proto_class().DESCRIPTOR.fields_by_name.get(name)
    if field is None or not isinstance(error, (AttributeError, TypeError)):
        return str(error)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        return f"expected {_type_name(field.message_type.fields_by_name['value'])}" if of_item else "expected dict"
    if is_repeated(field):
        type_name = _type_name(field) if field.enum_type is None else f"{field.enum_type.name}'s number"
        return f"expected {type_name}" if of_item else f"expected a list of {type_name}"
    return f"expected {_type_name(field)}"


def _type_name(field: FieldDescriptor) -> str:
    named = field.message_type or field.enum_type
    return _SCALARS.get(field.type, "int") if named is None else _PYTHON_TYPES.get(named.full_name, named.name)


def _shown(value: Any) -> str:
    text = type(value).__name__
    return f"{text} ({value!r:.80})" if isinstance(value, (str, int, float)) else text
