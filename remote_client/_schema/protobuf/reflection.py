"""The gRPC server reflection protocol, without I/O: requests out, file descriptors in.

https://github.com/grpc/grpc/blob/master/doc/server-reflection.md. v1 and v1alpha have the same messages in two
packages, so that one private definition serves both.
"""

from __future__ import annotations

from typing import Any

from google.protobuf import (
    any_pb2,
    descriptor_pb2,
    descriptor_pool,
    duration_pb2,
    empty_pb2,
    field_mask_pb2,
    message_factory,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError

from ..._text.cleaning import clean
from ...errors import SchemaError
from ..budget import Budget
from .wire import count_parts, most_parts

PATHS = tuple(f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo" for version in ("v1", "v1alpha"))

_MODULES = (any_pb2, descriptor_pb2, duration_pb2, empty_pb2, field_mask_pb2, struct_pb2, timestamp_pb2, wrappers_pb2)
WELL_KNOWN_FILES: dict[str, bytes] = {module.DESCRIPTOR.name: module.DESCRIPTOR.serialized_pb for module in _MODULES}
"""protobuf's own files, taken from protobuf and never from a server."""

_Type = descriptor_pb2.FieldDescriptorProto.Type
_MESSAGES: dict[str, list[tuple[str, int, Any, bool]]] = {
    "Request": [
        ("file_by_filename", 3, "string", False),
        ("file_containing_symbol", 4, "string", False),
        ("list_services", 7, "string", False),
    ],
    "Response": [
        ("file_descriptor_response", 4, "Files", False),
        ("list_services_response", 6, "Services", False),
        ("error_response", 7, "Error", False),
    ],
    "Files": [("file_descriptor_proto", 1, "bytes", True)],
    "Services": [("service", 1, "Service", True)],
    "Service": [("name", 1, "string", False)],
    # The fields of a file that name other files to request. Unknown fields cost only their bytes.
    "File": [("name", 1, "string", False), ("dependency", 3, "string", True)],
    "Error": [("error_code", 1, "int32", False), ("error_message", 2, "string", False)],
}


def _message_classes() -> dict[str, type[Any]]:
    file = descriptor_pb2.FileDescriptorProto(name="reflection.proto", package="r", syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for field, number, kind, repeated in fields:
            entry = message.field.add(name=field, number=number, label=3 if repeated else 1)
            if kind in _MESSAGES:
                entry.type, entry.type_name = _Type.TYPE_MESSAGE, f".r.{kind}"
            else:
                entry.type = _Type.Value(f"TYPE_{kind.upper()}")
                if name == "Request":  # a oneof, so that list_services="" is sent
                    entry.oneof_index = 0
        if name == "Request":
            message.oneof_decl.add(name="message_request")
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(file.SerializeToString())
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"r.{name}")) for name in _MESSAGES}


_CLASSES = _message_classes()
_FEW = 1 << 19
"""So many objects of protobuf's need no counting."""
_UNREADABLE = {"Response": "sent an answer that cannot be read", "File": "sent a file descriptor that cannot be read"}


class ReflectionReader:
    """Requests all files of a server: send `requests()`, `feed()` the answers, until there are no more requests.

    Methods raise a SchemaError if an answer cannot be read, or the server describes more than the budget allows.

    Attributes:
        services: the names that the server listed.
        files: its serialized files, by their names.
    """

    def __init__(self, budget: Budget | None = None) -> None:
        self.services: list[str] = []
        self.files: dict[str, bytes] = {}
        self._budget = budget or Budget()
        self._rounds = self._most_parts = 0
        self._seen: set[bytes] = set()
        self._named: set[str] = set()
        """The files that were received, or that others depend on."""
        self._missing: list[str] = []
        """The dependencies that the last answers named."""
        self._pending: list[bytes] = [_CLASSES["Request"](list_services="").SerializeToString()]

    def requests(self) -> list[bytes]:
        """Return the next messages to send on the call. Every one has one answer."""
        self._rounds += 1
        # Some servers send a file with its dependencies, others the file alone.
        missing = [_CLASSES["Request"](file_by_filename=name) for name in self._missing if name not in self.files]
        pending = [*self._pending, *(request.SerializeToString() for request in missing)]
        self._pending.clear()
        self._missing.clear()
        return pending

    def feed(self, data: bytes) -> None:
        """Process one answer to the last requests. An answer of megabytes takes a while: use a thread."""
        self._budget.spend("bytes", len(data))
        answer = self._parsed("Response", data, _CLASSES["Response"].DESCRIPTOR)
        if answer.HasField("error_response"):
            error = answer.error_response
            raise SchemaError(f"reflection: {clean(error.error_message)} (gRPC status {error.error_code})")
        for file in answer.file_descriptor_response.file_descriptor_proto:
            self._take_file(file)
        for name in dict.fromkeys(service.name for service in answer.list_services_response.service):
            self._take_service(name)

    def _parsed(self, kind: str, data: bytes, descriptor: Descriptor) -> Any:
        self._most_parts += most_parts(data, descriptor)
        if self._most_parts > _FEW:
            count_parts(data, descriptor, self._budget)
        try:
            return _CLASSES[kind].FromString(data)
        except (DecodeError, UnicodeDecodeError, RecursionError):  # protobuf in Python raises the last two
            raise SchemaError(f"the server's reflection {_UNREADABLE[kind]}") from None

    def _take_file(self, data: bytes) -> None:
        if data in self._seen:  # servers send the files that several services need several times
            return
        self._seen.add(data)
        file = self._parsed("File", data, descriptor_pb2.FileDescriptorProto.DESCRIPTOR)
        if file.name not in self.files:
            self._name(file.name)
            self.files[file.name] = data
            self._missing += [name for name in file.dependency if name not in WELL_KNOWN_FILES and self._name(name)]

    def _name(self, file: str) -> bool:
        """Count a file unless it was. Return whether this is its first time."""
        if file in self._named:
            return False
        self._budget.spend("files")
        self._named.add(self._budget.check_name(file))
        return True

    def _take_service(self, name: str) -> None:
        if self._rounds > 1:
            raise SchemaError("the server's reflection lists services where it was asked for files")
        if not name.startswith("grpc."):
            self._budget.spend("names")
            self.services.append(self._budget.check_name(name))
            self._pending.append(_CLASSES["Request"](file_containing_symbol=name).SerializeToString())
