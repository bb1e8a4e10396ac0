"""Servers that describe themselves oddly, wrongly or with malice: a SchemaError, or it works."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto

from remote_client._client.client import RemoteClient
from remote_client.errors import DeadlineExceededError, InputError, RemoteCallError, SchemaError, UnsupportedError
from remote_client.settings import CallOptions
from tests.support.wire import WireServer
from tests.support.wire_library import add_field, library_files

SERVICE = "odd.OddService"


def odd_file(**more: Any) -> FileDescriptorProto:
    """`OddTaskPredict` from `Odd` to `Odd`; `Odd` is yet to be filled."""
    file = FileDescriptorProto(name="odd.proto", package="odd", syntax="proto3", **more)
    file.message_type.add(name="Odd")
    method = file.service.add(name="OddService").method.add(name="OddTaskPredict")
    method.input_type = method.output_type = ".odd.Odd"
    return file


async def describe(wire: WireServer, *files: FileDescriptorProto, services: tuple[str, ...] = (SERVICE,)) -> Any:
    """What the client makes of a server with these files."""
    sent = {file.name: file.SerializeToString().hex() for file in files}
    await wire.faults(services=services, files=sent)
    async with RemoteClient(wire.info(timeout=10)) as client:
        async with asyncio.timeout(20):
            return await client.describe()


async def round_trip(wire: WireServer, file: FileDescriptorProto, **values: Any) -> dict[str, Any]:
    """Values through the method's own codec, there and back; by model and by dict the same."""
    (method,) = (await describe(wire, file)).tasks["OddTask"].methods
    data = method.codec.encode("", (), values)
    model = method.codec.decode(data, "pydantic")
    # A model is a value, too.
    assert type(model).model_validate_json(model.model_dump_json()) == model
    plain: dict[str, Any] = method.codec.decode(data, "dict")
    return plain


# -- broken protocol --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("raw", ["ff", "00", "2203ffffff", "22050a03ffffff", "3a040a02ffff", "22040a02ffff", "0a"])
async def test_garbage_for_an_answer(wire: WireServer, raw: str) -> None:
    await wire.faults(reflection_raw=raw)
    async with RemoteClient(wire.info(timeout=5)) as client:
        with pytest.raises(SchemaError):
            await client.describe()


@pytest.mark.parametrize("raw", ["", "3200", "0a00", "2200"])
async def test_an_answer_without_services(wire: WireServer, raw: str) -> None:
    """A runtime that offers nothing is odd, and not wrong."""
    await wire.faults(reflection_raw=raw)
    async with RemoteClient(wire.info(timeout=5)) as client:
        assert not (await client.describe()).tasks
        with pytest.raises(UnsupportedError, match="GetModelsInfo"):
            await client.models()


async def test_an_error_is_told_without_its_colours(wire: WireServer) -> None:
    broken = odd_file(dependency=["missing.proto"])
    with pytest.raises(SchemaError) as caught:
        await describe(wire, broken)
    assert "no such file" in str(caught.value)
    assert "\x1b" not in str(caught.value)


async def test_answers_without_end(wire: WireServer) -> None:
    files = {"odd.proto": FileDescriptorProto(name="odd.proto", dependency=["file1.proto"]).SerializeToString().hex()}
    await wire.faults(services=[SERVICE], files=files, reflection_endless=True)
    async with RemoteClient(wire.info(timeout=1)) as client:
        with pytest.raises(SchemaError, match="more than 1 seconds") as caught:
            await client.describe()
    assert isinstance(caught.value, DeadlineExceededError)


async def test_too_many_files_and_too_many_bytes(wire: WireServer) -> None:
    many = [FileDescriptorProto(name=f"file{index}.proto") for index in range(10_001)]
    with pytest.raises(SchemaError, match="more than"):
        await describe(wire, *many)
    large = odd_file()
    large.options.java_package = "x" * (17 << 20)
    with pytest.raises(SchemaError, match="more than"):
        await describe(wire, large)


async def test_the_same_large_file_again_and_again(wire: WireServer) -> None:
    large = odd_file()
    large.options.java_package = "x" * (5 << 20)
    with pytest.raises(SchemaError, match="more than"):
        await describe(wire, large, services=tuple(f"odd.Service{index}" for index in range(8)))


async def test_reflection_that_drips_has_a_deadline(wire: WireServer) -> None:
    await wire.faults(reflection_hang=True)
    async with RemoteClient(wire.info(timeout=0.2)) as client:
        with pytest.raises(DeadlineExceededError):
            await client.describe()


# -- broken files -----------------------------------------------------------------------------------------------------


def _circle() -> list[FileDescriptorProto]:
    return [odd_file(dependency=["other.proto"]), FileDescriptorProto(name="other.proto", dependency=["odd.proto"])]


def _named(message: str = "Other", field: str = "fine", package: str | None = None) -> list[FileDescriptorProto]:
    file = odd_file()
    if package is not None:
        file.package = package
    add_field(file.message_type.add(name=message), field, 1, "string")
    return [file]


def _unknown_type() -> list[FileDescriptorProto]:
    file = odd_file()
    add_field(file.message_type[0], "x", 1, ".odd.Nowhere")
    return [file]


def _method_type() -> list[FileDescriptorProto]:
    file = odd_file()
    file.service[0].method[0].input_type = ".odd.Nowhere"
    return [file]


def _twice() -> list[FileDescriptorProto]:
    file = odd_file()
    file.message_type.add(name="Odd")
    return [file]


def _same_number() -> list[FileDescriptorProto]:
    file = odd_file()
    add_field(file.message_type[0], "a", 1, "string")
    add_field(file.message_type[0], "b", 1, "string")
    return [file]


def _future() -> list[FileDescriptorProto]:
    file = odd_file()
    file.syntax, file.edition = "editions", 99999
    return [file]


def _strange_kind() -> list[FileDescriptorProto]:
    file = odd_file()
    file.message_type[0].field.add(name="x", number=1, label=1, type=FieldDescriptorProto.TYPE_MESSAGE)
    return [file]


BROKEN = {
    "circle": _circle(),
    "itself": [odd_file(dependency=["odd.proto"])],
    "name of a message": _named(message="1x"),
    "empty name": _named(message=""),
    "quote in a name": _named(field="a'b"),
    "code in a name": _named(field="x): import os; (y"),
    "newline in a name": _named(field="x\ny"),
    "unicode name": _named(field="é"),
    "package": _named(package="a b"),
    "unknown type": _unknown_type(),
    "unknown type of a method": _method_type(),
    "two of a name": _twice(),
    "two of a number": _same_number(),
    "future edition": _future(),
    "message without type": _strange_kind(),
    "service elsewhere": [FileDescriptorProto(name="odd.proto", package="odd")],
}


@pytest.mark.parametrize("files", BROKEN.values(), ids=BROKEN)
async def test_files_that_are_wrong(wire: WireServer, files: list[FileDescriptorProto]) -> None:
    with pytest.raises(SchemaError) as caught:
        await describe(wire, *files)
    assert str(caught.value).isprintable()


async def test_protobufs_own_files_are_protobufs(wire: WireServer) -> None:
    file = odd_file(dependency=["google/protobuf/struct.proto"])
    add_field(file.message_type[0], "x", 1, ".google.protobuf.Struct")
    lie = FileDescriptorProto(name="google/protobuf/struct.proto", package="google.protobuf", syntax="proto3")
    lie.message_type.add(name="Struct")
    described = await describe(wire, file, lie)
    (method,) = described.tasks["OddTask"].methods
    assert method.codec.decode(method.codec.encode("", ({"a": [1, None]},), {}), "dict") == {"x": {"a": [1, None]}}


async def test_deeply_nested_types(wire: WireServer) -> None:
    file = odd_file()
    message = file.message_type[0]
    for _ in range(60):
        message = message.nested_type.add(name="N")
    assert (await describe(wire, file)).tasks


async def test_a_long_chain_of_types(wire: WireServer) -> None:
    """Each message has one of the next type: a thousand types deep is more than Python's stack takes."""
    file = odd_file()
    for index in range(1000):
        add_field(file.message_type.add(name=f"M{index}"), "next", 1, f".odd.M{(index + 1) % 1000}")
    add_field(file.message_type[0], "first", 1, ".odd.M0")
    try:
        (method,) = (await describe(wire, file)).tasks["OddTask"].methods
    except SchemaError:
        return
    data = method.codec.encode("", ({"next": {"next": {}}},), {})
    assert method.codec.decode(data, "dict")["first"]["next"]["next"] == {"next": None}


async def test_a_metadata_callable_that_fails_is_not_swallowed(wire: WireServer) -> None:
    def broken() -> dict[str, str]:
        raise ZeroDivisionError

    async with RemoteClient(wire.info(), metadata=broken) as client:
        for call in (client.describe(), client.models(), client.model("foo")):
            with pytest.raises(ZeroDivisionError):
                await call
    assert CallOptions().metadata == ()


# -- trees ------------------------------------------------------------------------------------------------------------


def tree(depth: int) -> dict[str, Any]:
    node: dict[str, Any] = {"label": "leaf", "children": []}
    for level in range(depth):
        node = {"label": str(level), "children": [node, {"label": "side", "children": []}]}
    return node


async def test_trees_in_both_directions(wire: WireServer) -> None:
    async with RemoteClient(wire.info()) as client:
        model = await client.model("foo", task="SampleTask")
        answer = await model.run({"name": "a"}, tree=tree(40))
        assert answer.tree.model_dump() == tree(40)
        again = await model.with_options(output="dict").run({"name": "a"}, tree=answer.tree)
        assert again["tree"] == tree(40)


@pytest.mark.parametrize("depth", [110, 1000, 20_000])
async def test_trees_too_deep_for_protobuf(wire: WireServer, depth: int) -> None:
    async with RemoteClient(wire.info()) as client:
        model = await client.model("foo", task="SampleTask")
        with pytest.raises((InputError, RemoteCallError)):
            await model.run({"name": "a"}, tree=tree(depth))
        assert (await model.run({"name": "a"})).greeting == "Hello a"


async def test_the_honest_library_still_works(wire: WireServer) -> None:
    services = ("caikit.runtime.Test.TestService", "caikit.runtime.info.InfoService")
    assert list((await describe(wire, *library_files().values(), services=services)).tasks) == ["SampleTask"]
