"""The gRPC server reflection protocol, without I/O: requests out, file descriptors in.

https://github.com/grpc/grpc/blob/master/doc/server-reflection.md. v1 and v1alpha are the same messages in two packages,
so one private definition serves both. `ReflectionReader` says what to ask next; whoever does the I/O asks it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
from google.protobuf.message import DecodeError

from ..errors import SchemaError, clean

PATHS = tuple(f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo" for version in ("v1", "v1alpha"))

MAX_FILES = 2_000
MAX_BYTES = 16 * 1024 * 1024

_MODULES = (
    any_pb2,
    descriptor_pb2,
    duration_pb2,
    empty_pb2,
    field_mask_pb2,
    struct_pb2,
    timestamp_pb2,
    wrappers_pb2,
)
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


class ReflectionReader:
    """Learns all files of a server: ask `requests()`, give each answer to `feed()`, until there are no requests.

    Raises (from `feed`):
        SchemaError: an answer cannot be read, or the server describes more than `MAX_FILES` or `MAX_BYTES`.
    """

    def __init__(self, skip: Sequence[str] = ("grpc.",)) -> None:
        self.services: list[str] = []
        self.files: dict[str, descriptor_pb2.FileDescriptorProto] = {}
        self._skip = tuple(skip)
        self._asked: set[str] = set()
        self._size = 0
        self._pending: list[bytes] = [_CLASSES["Request"](list_services="").SerializeToString()]

    def requests(self) -> list[bytes]:
        """What to ask next, each a message of its own on one call; each has one answer."""
        # Some servers send whole closures, others the one file asked for.
        for file in list(self.files.values()):
            for name in file.dependency:
                if name not in self.files and name not in WELL_KNOWN_FILES:
                    self._ask(file_by_filename=name)
        pending, self._pending = self._pending, []
        return pending

    def feed(self, data: bytes) -> None:
        """One answer to the last requests."""
        try:
            answer = _CLASSES["Response"].FromString(data)
        except DecodeError:
            raise SchemaError("the server's reflection answered something that is no reflection answer") from None
        if answer.HasField("error_response"):
            error = answer.error_response
            raise SchemaError(f"reflection: {clean(error.error_message)} (gRPC status {error.error_code})")
        self._take_files(answer.file_descriptor_response.file_descriptor_proto)
        for service in answer.list_services_response.service:
            if not service.name.startswith(self._skip):
                self.services.append(service.name)
                self._ask(file_containing_symbol=service.name)

    def _take_files(self, files: Iterable[bytes]) -> None:
        for data in files:
            self._size += len(data)
            try:
                file = descriptor_pb2.FileDescriptorProto.FromString(data)
            except DecodeError:
                raise SchemaError("the server's reflection sent a file descriptor that cannot be read") from None
            self.files.setdefault(file.name, file)
            if len(self.files) > MAX_FILES or self._size > MAX_BYTES:
                raise SchemaError(f"the server describes more than {MAX_FILES} files or {MAX_BYTES} bytes")

    def _ask(self, **request: str) -> None:
        ((kind, name),) = request.items()
        if f"{kind} {name}" not in self._asked:
            self._asked.add(f"{kind} {name}")
            self._pending.append(_CLASSES["Request"](**request).SerializeToString())
