"""The reflection protocol and the making of a schema, without a server."""

import itertools
from collections.abc import Iterable
from contextlib import suppress

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha import reflection_pb2

from remote_client._schema.budget import Budget
from remote_client._schema.protobuf.reflection import ReflectionReader
from remote_client._schema.protobuf.services import describe, describe_files
from remote_client.errors import SchemaError

from .library import library

Request, Response = reflection_pb2.ServerReflectionRequest, reflection_pb2.ServerReflectionResponse


def services(*names: str) -> bytes:
    return Response(list_services_response={"service": [{"name": name} for name in names]}).SerializeToString()


def files(protos: Iterable[FileDescriptorProto]) -> bytes:
    data = [proto.SerializeToString() for proto in protos]
    return Response(file_descriptor_response={"file_descriptor_proto": data}).SerializeToString()


def asked(requests: Iterable[bytes]) -> list[str]:
    parsed = [Request.FromString(each) for each in requests]
    return [
        f"{each.WhichOneof('message_request')} {getattr(each, each.WhichOneof('message_request'))}" for each in parsed
    ]


def test_whole_closures() -> None:
    reader = ReflectionReader()
    assert asked(reader.requests()) == ["list_services "]
    reader.feed(services("grpc.reflection.v1alpha.ServerReflection", "a.S", "b.T"))
    assert asked(reader.requests()) == ["file_containing_symbol a.S", "file_containing_symbol b.T"]
    closure = [FileDescriptorProto(name="a", dependency=["b"]), FileDescriptorProto(name="b")]
    reader.feed(files(closure))
    reader.feed(files(closure[1:]))
    assert reader.requests() == []
    assert reader.services == ["a.S", "b.T"]
    assert sorted(reader.files) == ["a", "b"]


def test_file_by_file() -> None:
    reader = ReflectionReader()
    reader.requests()
    reader.feed(services("a.S"))
    reader.requests()
    # Files of protobuf itself are never asked for.
    reader.feed(files([FileDescriptorProto(name="a", dependency=["b", "google/protobuf/struct.proto"])]))
    assert asked(reader.requests()) == ["file_by_filename b"]
    reader.feed(files([FileDescriptorProto(name="b", dependency=["c", "a"])]))
    assert asked(reader.requests()) == ["file_by_filename c"]
    reader.feed(files([FileDescriptorProto(name="c")]))
    assert reader.requests() == []


def test_a_file_that_never_comes_is_asked_for_once() -> None:
    reader = ReflectionReader()
    reader.requests()
    reader.feed(files([FileDescriptorProto(name="a", dependency=["b"])]))
    assert asked(reader.requests()) == ["file_by_filename b"]
    reader.feed(files([FileDescriptorProto(name="other")]))
    assert reader.requests() == []
    with pytest.raises(SchemaError, match="the file b is not described"):
        describe_files(reader.files.values(), [])


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"\xff\xff", "an answer that cannot be read"),
        (Response(error_response={"error_code": 5, "error_message": "no\x1bthing"}).SerializeToString(), "no thing"),
        (
            Response(file_descriptor_response={"file_descriptor_proto": [b"\xff\xff"]}).SerializeToString(),
            "cannot be read",
        ),
    ],
)
def test_bad_answers(answer: bytes, told: str) -> None:
    with pytest.raises(SchemaError, match=told):
        ReflectionReader().feed(answer)


def test_limits() -> None:
    many = [FileDescriptorProto(name=str(number)) for number in range(11)]
    ReflectionReader(Budget(limits={"files": 10})).feed(files(many[:10]))
    with pytest.raises(SchemaError, match="more than 10 files"):
        ReflectionReader(Budget(limits={"files": 10})).feed(files(many))
    reader = ReflectionReader(Budget(limits={"bytes": 1000}))
    with pytest.raises(SchemaError, match="1,000 bytes"):
        for _ in range(1000):  # the same file again and again costs, too
            reader.feed(files([FileDescriptorProto(name="a")]))


def test_a_service_nobody_describes() -> None:
    with pytest.raises(SchemaError, match=r"lists the service a\.S but does not describe it"):
        describe({}, ["a.S"])


def test_circular_files() -> None:
    circle = {
        "a": FileDescriptorProto(name="a", dependency=["b"]),
        "b": FileDescriptorProto(name="b", dependency=["a"]),
    }
    with pytest.raises(SchemaError, match="in a circle"):
        describe(circle, [])


def test_files_that_two_others_need_are_no_circle() -> None:
    """As older runtimes have them: a request's file depends on two, of which one depends on the other."""
    dependencies = {"request": ["leaf", "zoo"], "zoo": ["leaf"], "leaf": [], "other": ["zoo", "leaf", "request"]}
    files = {name: FileDescriptorProto(name=name, dependency=each) for name, each in dependencies.items()}
    for order in itertools.permutations(files):
        assert not describe({name: files[name] for name in order}, []).tasks


@pytest.mark.parametrize("closures", [True, False])
def test_a_diamond_of_imports_in_the_order_of_grpcios_reflection(closures: bool) -> None:
    """grpcio sends a file's whole closure, as it comes to each import; others send the one file asked for."""
    dependencies = {"a": ["b", "c"], "c": ["b", "d"], "b": ["d"], "d": []}
    protos = [FileDescriptorProto(name=name, dependency=each) for name, each in dependencies.items()]
    protos[0].service.add(name="S")
    reader = ReflectionReader()
    reader.requests()
    reader.feed(services("S"))
    reader.requests()
    reader.feed(files(protos if closures else protos[:1]))
    while requests := reader.requests():
        for request in requests:
            name = Request.FromString(request).file_by_filename
            reader.feed(files(each for each in protos if each.name == name))
    told = {each.name: each for each in protos}
    assert describe({name: told[name] for name in reader.files}, reader.services).tasks == {}


def test_invalid_files() -> None:
    bad = FileDescriptorProto(name="a", syntax="proto3")
    bad.message_type.add(name="no name; import os")
    with pytest.raises(SchemaError, match="is not valid"):
        describe({"a": bad}, [])


def nested(start: bytes, around: int, end: bytes = b"") -> bytes:
    """A file of messages inside of messages."""
    data = b""
    for _ in range(3000):
        data = start + (varint(len(data)) if around else b"") + data + end
    return b"\x0a\x01a" + (b"\x22" + varint(len(data)) if around else b"") + data


def varint(number: int) -> bytes:
    return bytes([number & 127 | 128]) + varint(number >> 7) if number > 127 else bytes([number])


UNREADABLE = {
    "cut off": b"\x0a\x01a\x22\x05\x0a",
    "messages in each other": nested(b"\x1a", 1),
    "groups in each other": nested(b"\x53", 0, b"\x54"),
    "a name that is no UTF-8": b"\x0a\x01\xff",
    "a message's name that is no UTF-8": b"\x0a\x01a\x22\x03\x0a\x01\xff",
    "a package that is no UTF-8": b"\x0a\x01a\x12\x01\xff",
    "an import that is no UTF-8": b"\x0a\x01a\x1a\x01\xff",
    "a type's name that is no UTF-8": b"\x0a\x01a\x22\x0f\x0a\x01a\x12\x0a\x0a\x01a\x18\x01\x28\x0b\x32\x01\xff",
}


@pytest.mark.parametrize("data", UNREADABLE.values(), ids=UNREADABLE)
def test_a_file_that_cannot_be_read(data: bytes) -> None:
    with pytest.raises(SchemaError) as caught:
        describe_files([data], [])
    assert str(caught.value).isprintable()
    reader = ReflectionReader()
    reader.requests()
    with suppress(SchemaError):  # it reads no more of a file than it needs
        reader.feed(b"\x22" + varint(len(data) + 1 + len(varint(len(data)))) + b"\x0a" + varint(len(data)) + data)
        reader.requests()


def test_a_long_chain_of_files() -> None:
    chain = {str(n): FileDescriptorProto(name=str(n), dependency=[str(n + 1)]) for n in range(1500)}
    chain["1500"] = FileDescriptorProto(name="1500")
    assert describe(chain, []).tasks == {}


def test_an_enum_python_cannot_have() -> None:
    file = library()
    color = next(each for each in file.enum_type if each.name == "Color")
    color.value.add(name="mro", number=9)
    with pytest.raises(SchemaError, match="cannot be an enum"):
        describe({file.name: file}, ["caikit.runtime.Unit.UnitService"])
