"""Protobuf schemas of any size, each large in another way."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto

from remote_client._schema.budget import Budget, Kind
from remote_client._schema.protobuf import services as protobuf_services
from remote_client._schema.rpc import ServiceDescription

from .odd_schemas import MANAGEMENT

Shape = Callable[[int], list[FileDescriptorProto]]
SHAPES: dict[str, Shape] = {}
NO_LIMITS: dict[Kind, int] = dict.fromkeys(("bytes", "parts", "files", "names", "types", "nodes"), 10**9)

_DESCRIBED = count()
_MOST_FIELDS = 1_000


def describe(files: list[FileDescriptorProto], budget: Budget | None = None) -> ServiceDescription:
    """Describe all services of the files, with types that no description before had."""
    for file in files:
        file.options.go_package = str(next(_DESCRIBED))
    services = [f"{file.package}.{each.name}" for file in files for each in file.service]
    return protobuf_services.describe({file.name: file for file in files}, services, budget or Budget(limits=NO_LIMITS))


def _shape(make: Callable[[FileDescriptorProto, int], None]) -> Callable[[FileDescriptorProto, int], None]:
    """A schema of one file, `large.proto`, which the function fills. Without a service a task takes the first type."""

    def files(size: int) -> list[FileDescriptorProto]:
        file = FileDescriptorProto(name="large.proto", package="large", syntax="proto3")
        make(file, size)
        if not file.service:
            _service(file, ["ATask"], file.message_type[0].name)
        return [file]

    SHAPES[make.__name__] = files
    return make


def _service(file: FileDescriptorProto, tasks: Sequence[str], kind: str) -> None:
    service = file.service.add(name="LargeService")
    for task in tasks:
        service.method.add(name=f"{task}Predict", input_type=f".large.{kind}", output_type=f".large.{kind}")


def _message(file: FileDescriptorProto, name: str) -> DescriptorProto:
    message = file.message_type.add(name=name)
    _field(message, "flag", "bool")
    return message


def _field(message: DescriptorProto, name: str, kind: str, oneof: int | None = None) -> None:
    """Add a field of a scalar, or of a message (`M1`) or enum (`E1`)."""
    field = message.field.add(name=name, number=len(message.field) + 1, label=1, oneof_index=oneof)
    if kind[0].islower():
        field.type = FieldDescriptorProto.Type.Value(f"TYPE_{kind.upper()}")
    else:
        field.type = FieldDescriptorProto.TYPE_ENUM if kind[0] == "E" else FieldDescriptorProto.TYPE_MESSAGE
        field.type_name = f".large.{kind}"


def _root(file: FileDescriptorProto, kinds: Sequence[str], name: str = "Root") -> None:
    """Add the message that has a field of each kind, by way of others: protobuf has no messages of 10,000 messages."""
    root = _message(file, name)
    for start in range(0, len(kinds), _MOST_FIELDS):
        branch = _message(file, f"{name}{start}")
        _field(root, f"b{start}", f"{name}{start}")
        for i, kind in enumerate(kinds[start : start + _MOST_FIELDS]):
            _field(branch, f"f{i}", kind)


@_shape
def messages(file: FileDescriptorProto, size: int) -> None:
    _root(file, [f"M{i}" for i in range(size)])
    for i in range(size):
        _message(file, f"M{i}")


@_shape
def requests(file: FileDescriptorProto, size: int) -> None:
    service = file.service.add(name="LargeService")
    for i in range(size):
        _message(file, f"M{i}")
        service.method.add(name=f"A{i}TaskPredict", input_type=f".large.M{i}", output_type=f".large.M{i}")


@_shape
def nested_messages(file: FileDescriptorProto, size: int) -> None:
    _root(file, [f"Around.N{i}" for i in range(size)])
    around = _message(file, "Around")
    for i in range(size):
        _field(around.nested_type.add(name=f"N{i}"), "flag", "bool")


@_shape
def fields(file: FileDescriptorProto, size: int) -> None:
    root = _message(file, "Root")
    for i in range(size):
        _field(root, f"f{i}", "bool")


@_shape
def optional_fields(file: FileDescriptorProto, size: int) -> None:
    root = _message(file, "Root")
    for i in range(size):
        _field(root, f"f{i}", "bool", oneof=i)
        root.oneof_decl.add(name=f"_f{i}")


@_shape
def members_of_a_union(file: FileDescriptorProto, size: int) -> None:
    root = _message(file, "Root")
    root.oneof_decl.add(name="union")
    for i in range(size):
        _message(file, f"M{i}")
        _field(root, f"m{i}", f"M{i}", oneof=0)


@_shape
def enums(file: FileDescriptorProto, size: int) -> None:
    root = _message(file, "Root")
    for i in range(size):
        file.enum_type.add(name=f"E{i}").value.add(name=f"ZERO{i}", number=0)
        _field(root, f"e{i}", f"E{i}")


@_shape
def values_of_an_enum(file: FileDescriptorProto, size: int) -> None:
    _field(_message(file, "Root"), "kind", "E")
    enum = file.enum_type.add(name="E")
    for i in range(size):
        enum.value.add(name=f"V{i}", number=i)


@_shape
def fields_of_a_large_enum(file: FileDescriptorProto, size: int) -> None:
    _root(file, [f"M{i}" for i in range(size)])
    enum = file.enum_type.add(name="E")
    for i in range(size):
        enum.value.add(name=f"V{i}", number=i)
        _field(_message(file, f"M{i}"), "kind", "E")


@_shape
def methods(file: FileDescriptorProto, size: int) -> None:
    _message(file, "Root")
    _service(file, [f"A{i}Task" for i in range(size)], "Root")


@_shape
def methods_of_a_large_type(file: FileDescriptorProto, size: int) -> None:
    root = _message(file, "Root")
    for i in range(size):
        _field(root, f"f{i}", "bool")
    _service(file, [f"A{i}Task" for i in range(size)], "Root")


@_shape
def chain(file: FileDescriptorProto, size: int) -> None:
    for i in range(size):
        message = _message(file, f"M{i}")
        if i + 1 < size:
            _field(message, "next", f"M{i + 1}")


@_shape
def circle(file: FileDescriptorProto, size: int) -> None:
    for i in range(size):
        _field(_message(file, f"M{i}"), "next", f"M{(i + 1) % size}")


@_shape
def chain_in_both_directions(file: FileDescriptorProto, size: int) -> None:
    for i in range(size):
        message = _message(file, f"M{i}")
        if i + 1 < size:
            _field(message, "next", f"M{i + 1}")
        if i:
            _field(message, "previous", f"M{i - 1}")


@_shape
def layers(file: FileDescriptorProto, size: int) -> None:
    """Each of four types of a layer has fields of all four of the next: there are more ways than types."""
    for i in range(size):
        message = _message(file, f"M{i}")
        for j in range(4 * (i // 4 + 1), min(4 * (i // 4 + 2), size)):
            _field(message, f"m{j}", f"M{j}")


@_shape
def large_type_in_all(file: FileDescriptorProto, size: int) -> None:
    _root(file, [f"M{i}" for i in range(size)])
    hub = _message(file, "Hub")
    for i in range(size):
        _field(hub, f"f{i}", "bool")
        _field(_message(file, f"M{i}"), "hub", "Hub")


@_shape
def star(file: FileDescriptorProto, size: int) -> None:
    """One type has fields of all others, which all have one of it."""
    _root(file, [f"M{i}" for i in range(size)], "Hub")
    for i in range(size):
        _field(_message(file, f"M{i}"), "hub", "Hub")


@_shape
def options(file: FileDescriptorProto, size: int) -> None:
    """What stands at the head of a file, beside its types."""
    file.options.java_package = "x" * 100 * size
    messages(file, size)


def _files(size: int) -> list[FileDescriptorProto]:
    file = FileDescriptorProto(name="large.proto", package="large", syntax="proto3")
    _root(file, [f"M{i}" for i in range(size)])
    found = []
    for i in range(size):
        found.append(FileDescriptorProto(name=f"m{i}.proto", package="large", syntax="proto3"))
        _message(found[-1], f"M{i}")
        file.dependency.append(f"m{i}.proto")
    _service(file, ["ATask"], "Root")
    return [*found, file]


def _trainings(size: int) -> list[FileDescriptorProto]:
    file = FileDescriptorProto(name="large.proto", package="large", syntax="proto3")
    _message(file, "Parameters")
    _field(_message(file, "Root"), "parameters", "Parameters")
    _service(file, [f"A{i}Task" for i in range(size)], "Parameters")
    service = file.service.add(name="LargeTrainingService")
    for i in range(size):
        name = f"A{i}TaskModuleTrain"
        service.method.add(name=name, input_type=".large.Root", output_type=".large.Parameters")
    return [file, MANAGEMENT]


SHAPES |= {"files": _files, "trainings": _trainings}
