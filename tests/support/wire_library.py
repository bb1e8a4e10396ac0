"""A small library as a caikit runtime would describe it: file descriptors made in code, and their classes."""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pool, message_factory, struct_pb2
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto

_F = FieldDescriptorProto
_SCALARS = {"string": _F.TYPE_STRING, "int64": _F.TYPE_INT64, "bool": _F.TYPE_BOOL, "bytes": _F.TYPE_BYTES}
SERVICE = "caikit.runtime.Test.TestService"
INFO_SERVICE = "caikit.runtime.info.InfoService"
KINDS = {"": (False, False), "ServerStreaming": (False, True), "ClientStreaming": (True, False)}
KINDS["BidiStreaming"] = (True, True)


def add_field(
    message: DescriptorProto, name: str, number: int, kind: str, *, repeated: bool = False, optional: bool = False
) -> None:
    """A field; `kind` is a scalar's name, or a type's full name with a dot in front."""
    field = message.field.add(name=name, number=number, label=_F.LABEL_REPEATED if repeated else _F.LABEL_OPTIONAL)
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type, field.type_name = _F.TYPE_MESSAGE, kind
    if optional:
        field.proto3_optional, field.oneof_index = True, len(message.oneof_decl)
        message.oneof_decl.add(name=f"_{name}")


def add_map(message: DescriptorProto, full_name: str, name: str, number: int) -> None:
    """A map from str to str; `full_name` is the message's."""
    entry_name = "".join(word.title() for word in name.split("_")) + "Entry"
    entry = message.nested_type.add(name=entry_name)
    entry.options.map_entry = True
    add_field(entry, "key", 1, "string")
    add_field(entry, "value", 2, "string")
    add_field(message, name, number, f".{full_name}.{entry_name}", repeated=True)


def library_files() -> dict[str, FileDescriptorProto]:
    """The files of the library, by name."""
    data = FileDescriptorProto(name="sample_data.proto", package="caikit_data_model.test", syntax="proto3")
    add_field(data.message_type.add(name="SampleInputType"), "name", 1, "string")
    tree = data.message_type.add(name="Tree")
    add_field(tree, "label", 1, "string")
    add_field(tree, "children", 2, ".caikit_data_model.test.Tree", repeated=True)
    output = data.message_type.add(name="SampleOutputType")
    add_field(output, "greeting", 1, "string")
    add_field(output, "tree", 2, ".caikit_data_model.test.Tree")

    service_file = FileDescriptorProto(name="testservice.proto", package="caikit.runtime.Test", syntax="proto3")
    service_file.dependency.append("sample_data.proto")
    request = service_file.message_type.add(name="SampleTaskRequest")
    add_field(request, "sample_input", 1, ".caikit_data_model.test.SampleInputType")
    add_field(request, "tree", 2, ".caikit_data_model.test.Tree", optional=True)
    service = service_file.service.add(name="TestService")
    for prefix, (client, server) in KINDS.items():
        service.method.add(
            name=f"{prefix}SampleTaskPredict",
            input_type=".caikit.runtime.Test.SampleTaskRequest",
            output_type=".caikit_data_model.test.SampleOutputType",
            client_streaming=client,
            server_streaming=server,
        )
    return {file.name: file for file in (data, service_file, _info_file())}


def _info_file() -> FileDescriptorProto:
    """As caikit's own `InfoService`."""
    package = "caikit.runtime.info"
    info = FileDescriptorProto(name="infoservice.proto", package=package, syntax="proto3")
    info.dependency.append("google/protobuf/struct.proto")
    model = info.message_type.add(name="ModelInfo")
    for name, number, kind in (("model_path", 1, "string"), ("name", 2, "string"), ("size", 3, "int64")):
        add_field(model, name, number, kind)
    add_field(model, "metadata", 4, ".google.protobuf.Struct")
    add_field(model, "loaded", 7, "bool")
    add_field(model, "module_id", 5, "string")
    add_map(model, f"{package}.ModelInfo", "module_metadata", 6)
    add_field(info.message_type.add(name="ModelInfoRequest"), "model_names", 1, "string", repeated=True)
    add_field(info.message_type.add(name="ModelInfoResponse"), "models", 1, f".{package}.ModelInfo", repeated=True)
    info.message_type.add(name="RuntimeInfoRequest")
    runtime = info.message_type.add(name="RuntimeInfoResponse")
    add_map(runtime, f"{package}.RuntimeInfoResponse", "python_packages", 1)
    add_field(runtime, "runtime_version", 2, "string")
    service = info.service.add(name="InfoService")
    for name, stem in (("GetModelsInfo", "ModelInfo"), ("GetRuntimeInfo", "RuntimeInfo")):
        request, answer = f".{package}.{stem}Request", f".{package}.{stem}Response"
        service.method.add(name=name, input_type=request, output_type=answer)
    return info


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
