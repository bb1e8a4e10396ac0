"""Names that are fine for protobuf and mean something to Python or pydantic: they work, there and back."""

from __future__ import annotations

import contextlib
import keyword
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FieldDescriptorProto

from remote_client.errors import SchemaError
from tests.support.protobuf import can_be_field
from tests.support.wire import WireServer
from tests.support.wire_library import add_field, add_map

from .test_hostile import describe, odd_file, round_trip

FIELDS = [
    *("json", "copy", "dict", "schema", "construct", "validate", "model_dump", "model_fields", "model_config"),
    *("from", "self", "cls", "class", "None", "True", "import", "lambda", "async", "match", "type", "print"),
    *("_x", "__x", "__class__", "__init__", "__dict__", "__slots__", "__annotations__", "__pydantic_fields__", "_"),
    *("m", "v", "d", "x", "e", "t", "i", "k", "o", "fill", "raise_at", "FAILURES", "MODEL_0", "encode_0", "field"),
    "values",
    *("args", "kwargs", "timeout", "metadata", "DESCRIPTOR", "SerializeToString", "Odd", "name", "value", "X", "T0"),
    *("SetInParent", "HasField", "WhichOneof", "MergeFrom", "MergeFromString", "FromString", "ClearField", "CopyFrom"),
    *("list", "str", "int", "setattr", "getattr", "isinstance", "Mapping", "__builtins__", "__debug__"),
]


@pytest.mark.parametrize("name", FIELDS)
async def test_a_field(wire: WireServer, name: str) -> None:
    file = odd_file()
    add_field(file.message_type[0], name, 1, "string")
    message = file.message_type[0]
    add_field(message, "other", 2, ".odd.Odd", repeated=True)
    add_field(message, "one", 3, ".odd.Odd")
    if not can_be_field(name):
        with pytest.raises(SchemaError, match="implementation in Python"):
            await describe(wire, file)
        return
    got = await round_trip(wire, file, **{name: "a", "other": [{name: "b"}], "one": {name: "c"}})
    assert got == {
        name: "a",
        "other": [{name: "b", "other": [], "one": None}],
        "one": {name: "c", "other": [], "one": None},
    }


async def test_all_of_them_at_once(wire: WireServer) -> None:
    """Names that had to be changed do not run into each other."""
    file = odd_file()
    names = [*filter(can_be_field, FIELDS)]
    for number, name in enumerate(names, 1):
        add_field(file.message_type[0], name, number, "int64")
        file.message_type[0].field[-1].json_name = f"json{number}"  # proto3 wants them to differ
    values = {name: number for number, name in enumerate(names)}
    assert await round_trip(wire, file, **values) == values


@pytest.mark.parametrize(
    "names", [("_x", "x"), ("x", "_x", "__x"), ("from", "from_"), ("from_", "from"), ("json", "json_", "json__")]
)
async def test_names_that_become_alike(wire: WireServer, names: tuple[str, ...]) -> None:
    file = odd_file()
    for number, name in enumerate(names, 1):
        add_field(file.message_type[0], name, number, "string")
        file.message_type[0].field[-1].json_name = f"json{number}"
    values = {name: name for name in names}
    assert await round_trip(wire, file, **values) == values


@pytest.mark.parametrize("name", ["class", "None", "BaseModel", "RemoteMessage", "str", "int", "list", "_Hidden", "T0"])
async def test_a_message(wire: WireServer, name: str) -> None:
    file = odd_file()
    add_field(file.message_type.add(name=name), "x", 1, "string")
    add_field(file.message_type[0], "a", 1, f".odd.{name}")
    add_field(file.message_type[0], "b", 2, f".odd.{name}", repeated=True)
    add_field(file.message_type[0], "c", 3, "string")
    values = {"a": {"x": "1"}, "b": [{"x": "2"}], "c": "3"}
    assert await round_trip(wire, file, **values) == values


@pytest.mark.parametrize("kind", ["union", "optional", "map"])
@pytest.mark.parametrize("name", ["json", "from", "_x", "class", "model_config", "self"])
async def test_other_kinds_of_fields(wire: WireServer, name: str, kind: str) -> None:
    file = odd_file()
    message = file.message_type[0]
    value: Any = "a"
    if kind == "union":
        message.oneof_decl.add(name=name)
        for number, (member, scalar) in enumerate({"text_member": "string", "int_member": "int64"}.items(), 1):
            add_field(message, member, number, scalar)
            message.field[-1].oneof_index = 0
    elif kind == "optional":
        add_field(message, name, 1, "string", optional=True)
    else:
        add_map(message, "odd.Odd", name, 1)
        value = {"class": "a", "": "b"}
    assert await round_trip(wire, file, **{name: value}) == {name: value}


ENUMS = {
    "plain": ("A", "B"),
    "methods of enums": ("name", "value", "_missing_", "_value_"),
    "mro": ("mro", "ok"),
    "keywords": tuple(keyword.kwlist),
    "underscores": ("_A", "__B", "_C_"),
    "dunder": ("__init__", "ok"),
    "dunder of classes": ("__class__", "__new__", "__members__"),
    "methods of int": ("real", "numerator", "bit_length", "from_bytes"),
    "internals": ("_ignore_", "_order_", "_generate_next_value_", "_name_", "_sunder_"),
}


@pytest.mark.parametrize("members", ENUMS.values(), ids=ENUMS)
async def test_an_enum(wire: WireServer, members: tuple[str, ...]) -> None:
    file = odd_file()
    enum = file.enum_type.add(name="Kind")
    for number, member in enumerate(members):
        enum.value.add(name=member, number=number)
    field = file.message_type[0].field.add(name="kind", number=1, label=1, type=FieldDescriptorProto.TYPE_ENUM)
    field.type_name = ".odd.Kind"
    try:
        got = await round_trip(wire, file, kind=1)
    except SchemaError:
        assert members != ENUMS["plain"]
        return
    assert got == {"kind": members[1]}
    (method,) = (await describe(wire, file)).tasks["OddTask"].methods
    for number, member in enumerate(members):
        data = method.codec.encode("", (member,), {})
        assert method.codec.decode(data, "dict") == {"kind": member}
        assert int(method.codec.decode(data, "pydantic").kind) == number


async def test_an_enums_aliases_and_unknown_numbers(wire: WireServer) -> None:
    file = odd_file()
    enum = file.enum_type.add(name="Kind")
    enum.options.allow_alias = True
    for name, number in (("A", 0), ("B", 5), ("ALSO_B", 5), ("MINUS", -3)):
        enum.value.add(name=name, number=number)
    field = file.message_type[0].field.add(name="kind", number=1, label=1, type=FieldDescriptorProto.TYPE_ENUM)
    field.type_name = ".odd.Kind"
    (method,) = (await describe(wire, file)).tasks["OddTask"].methods
    for given, number in (("ALSO_B", 5), ("MINUS", -3), (5, 5)):
        assert int(method.codec.decode(method.codec.encode("", (given,), {}), "pydantic").kind) == number
    unknown = method.codec.decode(b"\x08\x63", "pydantic")
    assert int(unknown.kind) == 99
    assert unknown.kind.name == "UNRECOGNIZED_99"
    assert unknown.model_dump_json()


async def test_two_fields_with_one_json_name(wire: WireServer) -> None:
    file = odd_file()
    add_field(file.message_type[0], "fooBar", 1, "string")
    add_field(file.message_type[0], "foo_bar", 2, "string")
    with contextlib.suppress(SchemaError):  # proto3 forbids it; protobuf's versions differ
        assert await round_trip(wire, file, fooBar="a", foo_bar="b") == {"fooBar": "a", "foo_bar": "b"}


async def test_a_proto2_file(wire: WireServer) -> None:
    file = odd_file()
    file.syntax = "proto2"
    add_field(file.message_type[0], "a", 1, "string")
    file.message_type[0].field.add(name="must", number=2, label=2, type=FieldDescriptorProto.TYPE_STRING)
    file.message_type[0].field.add(
        name="preset", number=3, label=1, type=FieldDescriptorProto.TYPE_INT64, default_value="7"
    )
    got = await round_trip(wire, file, a="x", must="y", preset=0)
    assert (got["a"], got["must"], got["preset"]) == ("x", "y", 0)
