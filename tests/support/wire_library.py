"""A small library as a caikit runtime would describe it: file descriptors made in code, and their classes."""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pool, message_factory, struct_pb2
from google.protobuf.descriptor_pb2 import DescriptorProto, FileDescriptorProto

from remote_client.testing import _builder as builder
from remote_client.testing._caikit_files import INFO_SERVICE, info_files

__all__ = ["INFO_SERVICE", "SERVICE", "Library", "add_field", "add_map", "library_files"]
SERVICE = "caikit.runtime.Test.TestService"


def add_field(
    message: DescriptorProto, name: str, number: int, kind: str, *, repeated: bool = False, optional: bool = False
) -> None:
    """A field with any number; `kind` is a scalar's name, or a type's full name with a dot in front."""
    builder.add_field(message, name, kind.removeprefix("."), repeated=repeated, optional=optional)
    message.field[-1].number, message.field[-1].proto3_optional = number, optional


def add_map(message: DescriptorProto, full_name: str, name: str, number: int) -> None:
    """A map from str to str with any number; `full_name` is the message's."""
    builder.add_map(message, full_name, name, "string", "string")
    message.field[-1].number = number


def library_files() -> dict[str, FileDescriptorProto]:
    """The files of the library, by name."""
    data = builder.new_file("sample_data.proto", "caikit_data_model.test")
    builder.add_field(data.message_type.add(name="SampleInputType"), "name", "string")
    tree = data.message_type.add(name="Tree")
    builder.add_field(tree, "label", "string")
    builder.add_field(tree, "children", "caikit_data_model.test.Tree", repeated=True)
    output = data.message_type.add(name="SampleOutputType")
    builder.add_field(output, "greeting", "string")
    builder.add_field(output, "tree", "caikit_data_model.test.Tree")

    service_file = builder.new_file("testservice.proto", "caikit.runtime.Test", [data.name])
    request = service_file.message_type.add(name="SampleTaskRequest")
    builder.add_field(request, "sample_input", "caikit_data_model.test.SampleInputType")
    builder.add_field(request, "tree", "caikit_data_model.test.Tree", optional=True)
    service = service_file.service.add(name="TestService")
    for prefix, (client, server) in builder.STREAMS.items():
        service.method.add(
            name=f"{prefix}SampleTaskPredict",
            input_type=".caikit.runtime.Test.SampleTaskRequest",
            output_type=".caikit_data_model.test.SampleOutputType",
            client_streaming=client,
            server_streaming=server,
        )
    return {data.name: data, service_file.name: service_file, **info_files()}


class Library:
    """The library's descriptor pool and message classes."""

    def __init__(self) -> None:
        self.pool = descriptor_pool.DescriptorPool()
        self.pool.AddSerializedFile(struct_pb2.DESCRIPTOR.serialized_pb)
        for file in library_files().values():
            self.pool.AddSerializedFile(file.SerializeToString())

    def new(self, full_name: str, /, **fields: Any) -> Any:
        """A message."""
        return message_factory.GetMessageClass(self.pool.FindMessageTypeByName(full_name))(**fields)
