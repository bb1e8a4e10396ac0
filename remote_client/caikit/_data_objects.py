"""caikit's data objects by name, and as the JSON of its HTTP server. Sends nothing."""

from __future__ import annotations

import base64
import dataclasses
import enum
import json
import re
import threading
from collections.abc import Mapping
from datetime import datetime
from functools import cache
from io import BytesIO
from typing import Any

import numpy as np
from caikit.core.data_model import DataBase
from caikit.interfaces.common.data_model import Sequence, Vector1D
from caikit.runtime.names import ServiceType, get_service_package_name
from caikit.runtime.service_factory import ServicePackageFactory

from ..errors import ConfigurationError, InvalidResponseError
from ._decoding import decoder

_CONSTANT = re.compile(rb"NaN|Infinity")
_own_from_file: Any = DataBase.from_file
_own_from_json: Any = DataBase.from_json
"""Those that types of data objects may override."""
_lock = threading.Lock()


@cache
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
