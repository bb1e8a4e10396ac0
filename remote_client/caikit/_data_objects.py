"""caikit's data objects by name, and as the JSON of its HTTP server. Sends nothing."""

from __future__ import annotations

import base64
import dataclasses
import enum
import json
import re
import threading
from collections.abc import Mapping
from datetime import date, datetime
from functools import cache
from io import BytesIO
from typing import Any

from caikit.core.data_model import DataBase
from caikit.runtime.names import ServiceType, get_service_package_name
from caikit.runtime.service_factory import ServicePackageFactory

from ..errors import ConfigurationError, InvalidResponseError

_CONSTANT = re.compile(rb"NaN|Infinity")
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


def as_json(value: Any) -> Any:
    """Return a value as the JSON that caikit's HTTP server reads.

    A union is named after the field and not after its member, a list of a union is a plain list, an enum its number and
    bytes are base64. Fields without a value are left out.
    """
    if isinstance(value, enum.Enum):
        return value.value
    if value is None or isinstance(value, (str, bool, int, float)):
        return value
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode()
    if isinstance(value, (datetime, date)):
        return value.isoformat()
    if isinstance(value, Mapping):
        return {str(key): as_json(item) for key, item in value.items()}
    if _is_object(value):
        fields = {field.name: as_json(getattr(value, field.name)) for field in dataclasses.fields(value)}
        if [*fields] == ["values"]:  # caikit's sequences: protobuf has no unions of lists
            return fields["values"] or []
        return {name: item for name, item in fields.items() if item is not None}
    if hasattr(value, "tolist"):  # numpy's arrays and numbers
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
        return kind.from_proto(kind.get_proto_class().FromString(data))
    except Exception as error:  # protobuf's DecodeError, and whatever a data object's own checks raise
        raise InvalidResponseError(f"the answer is not a valid {kind.__name__}: {error}") from error


def from_http(kind: Any, data: bytes) -> Any:
    """Return the data object of an answer over HTTP: a file if the type can be written to one, else JSON.

    Raises:
        InvalidResponseError: the answer is not of this type.
    """
    try:
        if kind.supports_file_operations:
            return kind.from_file(BytesIO(data))
        if _CONSTANT.search(data):  # caikit writes them bare, and reads them quoted
            return kind.from_json(json.loads(data, parse_constant=str))
        return kind.from_json(data.decode())
    except Exception as error:
        raise InvalidResponseError(f"the answer is not a valid {kind.__name__}: {error}") from error
