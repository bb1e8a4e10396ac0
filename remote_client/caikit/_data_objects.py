"""caikit's data objects by name, and as the JSON of its HTTP server. Sends nothing."""

from __future__ import annotations

import base64
import dataclasses
import enum
import json
import re
import threading
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import cache
from io import BytesIO
from typing import Any

import numpy as np
from caikit.core.data_model import DataBase
from caikit.interfaces.common.data_model import Sequence, Vector1D
from caikit.runtime.names import ServiceType, get_service_package_name
from caikit.runtime.service_factory import ServicePackageFactory
from google.protobuf.descriptor import FieldDescriptor

from .._schema.protobuf.fields import is_repeated
from ..errors import ConfigurationError, InputError, InvalidResponseError
from ._decoding import decoder

_CONSTANT = re.compile(rb"NaN|Infinity")
_SCALARS = {
    FieldDescriptor.TYPE_BOOL: "bool",
    FieldDescriptor.TYPE_BYTES: "bytes",
    FieldDescriptor.TYPE_DOUBLE: "float",
    FieldDescriptor.TYPE_FLOAT: "float",
    FieldDescriptor.TYPE_STRING: "str",
}
_PYTHON_TYPES = {"google.protobuf.Struct": "dict", "google.protobuf.Timestamp": "datetime"}
_own_from_file: Any = DataBase.from_file
_own_from_json: Any = DataBase.from_json
"""Those that types of data objects may override."""
_lock = threading.Lock()


def data_object(name: str, service: ServiceType) -> Any:
    """Return the data object of a name.

    caikit makes those of requests together with its services: a process that serves none makes them here, once.

    Raises:
        ConfigurationError: there is none, as `runtime.library` is not the module's library.
    """
    try:
        return _known(name, service)
    except ValueError:
        pass
    with _lock:
        _make_services()
    try:
        return _known(name, service)
    except ValueError as error:
        raise ConfigurationError(
            f"caikit has no data object {name}: set runtime.library to the library of the module ({error})"
        ) from error


def _known(name: str, service: ServiceType) -> Any:
    try:
        return DataBase.get_class_for_name(name)
    except ValueError as error:
        if "Conflicting" not in str(error):  # caikit logs every miss as an error
            raise
        return DataBase.get_class_for_name(f"{get_service_package_name(service)}.{name}")


@cache
def _make_services() -> None:
    for service in (ServiceType.INFERENCE, ServiceType.TRAINING):
        ServicePackageFactory.get_service_package(service)


def checked(method: str, kind: Any, values: Mapping[str, Any]) -> tuple[Any, Any]:
    """Return the data object with these values, and its protobuf message.

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
    set_present(method, made, message)
    return made, message


def set_present(method: str, made: Any, message: Any) -> None:
    """Set the fields of a data object that caikit has left unset in its message though they have a value.

    These are data objects without a value, and unions, whose values caikit drops if no member takes them.

    Raises:
        InputError: no member of a union takes the value.
    """
    for field in dataclasses.fields(made):
        value = getattr(made, field.name)
        if value is not None:
            _set_present(method, made, message, field.name, value)


def _set_present(method: str, made: Any, message: Any, name: str, value: Any) -> None:
    union = message.DESCRIPTOR.oneofs_by_name.get(name)
    member = name if union is None else made.which_oneof(name)
    if isinstance(value, DataBase) and member is not None:
        getattr(message, member).SetInParent()
    elif union is not None and message.WhichOneof(name) is None:
        expected = " or ".join(field.name.removeprefix(f"{name}_") for field in union.fields)
        raise InputError(f"{method}(): {name}: expected {expected}, got {_shown(value)}")


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


def as_json(value: Any) -> Any:
    """Return a value as the JSON that caikit's HTTP server reads.

    A union is named after the field and not after its member, a list of a union is a plain list, an enum its number and
    bytes are base64. A time without a zone is a local one, as in a `Timestamp`. Fields without a value are left out.
    """
    if isinstance(value, enum.Enum):
        return value.value
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode()
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.astimezone()).isoformat()
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in value.items()}
    if isinstance(value, Sequence):  # protobuf has no unions of lists
        return as_json(value.values or [])
    if _is_object(value):
        fields = {field.name: as_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
        return {name: item for name, item in fields.items() if item is not None}
    if isinstance(value, (np.ndarray, np.generic)):
        return as_json(value.tolist())
    return [as_json(item) for item in value]


def _is_object(value: Any) -> bool:
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def from_proto(kind: Any, data: bytes) -> Any:
    """Return the data object of an answer over gRPC.

    Raises:
        InvalidResponseError: the answer is not of this type.
    """
    try:
        return decoder(kind)(kind.get_proto_class().FromString(data))
    except Exception as error:  # protobuf's DecodeError, and whatever a data object's own checks raise
        raise InvalidResponseError(f"the answer is not a valid {kind.__name__}: {error}") from error


def is_unreadable_file(kind: Any) -> bool:
    """Return whether a data object can be written to a file but not read from one."""
    return bool(kind.supports_file_operations) and kind.from_file.__func__ is _own_from_file.__func__


def from_http(kind: Any, data: bytes) -> Any:
    """Return the data object of a single answer over HTTP: a file if the type can be written to one, else JSON.

    Raises:
        InvalidResponseError: the answer is not of this type.
    """
    if not kind.supports_file_operations:
        return from_json(kind, data)
    try:
        return kind.from_file(BytesIO(data))
    except Exception as error:
        raise InvalidResponseError(f"the answer is not a valid {kind.__name__}: {error}") from error


def from_json(kind: Any, data: bytes) -> Any:
    """Return the data object of an answer over HTTP that is always JSON, such as an item of a stream.

    Raises:
        InvalidResponseError: the answer is not of this type.
    """
    try:
        # `Vector1D` and `ListOfVector1D` have a `from_json` of their own.
        renamed = _has_vectors(kind) and kind.from_json.__func__ is _own_from_json.__func__
        if not renamed and not _CONSTANT.search(data):
            return kind.from_json(data.decode())
        values = json.loads(data, parse_constant=str)  # caikit writes NaN bare, and reads it quoted
        return kind.from_json(_named_vectors(values, kind.get_proto_class().DESCRIPTOR) if renamed else values)
    except Exception as error:
        raise InvalidResponseError(f"the answer is not a valid {kind.__name__}: {error}") from error


_VECTOR: str = Vector1D.get_proto_class().DESCRIPTOR.full_name


@cache
def _has_vectors(kind: Any) -> bool:
    seen, left = set(), [kind.get_proto_class().DESCRIPTOR]
    while left:
        message = left.pop()
        if message.full_name not in seen:
            seen.add(message.full_name)
            left += [field.message_type for field in message.fields if field.message_type is not None]
    return _VECTOR in seen


def _named_vectors(value: Any, message: Any) -> Any:
    """Name the data of vectors as protobuf does: caikit writes them without their type, and cannot read that."""
    if isinstance(value, list):
        return [_named_vectors(item, message) for item in value]
    if not isinstance(value, dict) or message is None:
        return value
    if message.full_name == _VECTOR:
        return {"data_pyfloatsequence": value["data"]}
    if message.GetOptions().map_entry:
        return {key: _named_vectors(item, message.fields_by_name["value"].message_type) for key, item in value.items()}
    kinds = {name: field.message_type for name, field in message.fields_by_name.items()}
    return {key: _named_vectors(item, kinds.get(key)) for key, item in value.items()}
