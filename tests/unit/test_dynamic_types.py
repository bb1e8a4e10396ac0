"""Learned types: one class for each schema in a process, pickled with what of the schema they need."""

from __future__ import annotations

import copy
import gc
import pickle
import pickletools
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto

from remote_client._schema import dynamic_types
from remote_client._schema.budget import Budget
from remote_client._schema.openapi import document as openapi
from remote_client._schema.protobuf import services as protobuf_services
from remote_client._schema.rpc import ServiceDescription
from tests.support.wire_library import INFO_SERVICE, SERVICE, add_field, add_map, library_files

NOW = datetime(2026, 1, 2, tzinfo=UTC)
PROTOCOLS = range(2, pickle.HIGHEST_PROTOCOL + 1)


def one_file(syntax: str = "proto3") -> FileDescriptorProto:
    """A file with everything in it, as many libraries are."""
    file = FileDescriptorProto(name="one.proto", package="one", syntax=syntax)
    file.dependency.append("google/protobuf/timestamp.proto")
    outer = file.message_type.add(name="Outer")
    inner = outer.nested_type.add(name="Inner")
    add_field(inner, "text", 1, "string")
    mood = outer.enum_type.add(name="Mood")
    mood.value.add(name="CALM", number=0)
    mood.value.add(name="WILD", number=1)
    add_field(outer, "inner", 1, ".one.Outer.Inner")
    add_field(outer, "outer", 2, ".one.Outer")
    add_field(outer, "other", 3, ".one.Other")
    add_field(outer, "at", 4, ".google.protobuf.Timestamp")
    field = outer.field.add(
        name="mood", number=5, label=FieldDescriptorProto.LABEL_OPTIONAL, type_name=".one.Outer.Mood"
    )
    field.type = FieldDescriptorProto.TYPE_ENUM
    other = file.message_type.add(name="Other")
    add_field(other, "outer", 1, ".one.Outer", repeated=True)
    add_field(file.message_type.add(name="Unrelated"), "secret_name", 1, "string")
    service = file.service.add(name="OneService")
    method = {"input_type": ".one.Outer", "output_type": ".one.Outer"}
    service.method.add(name="OneTaskPredict", **method)
    service.method.add(name="TwoTaskPredict", input_type=".one.Unrelated", output_type=".one.Unrelated")
    return file


def described(*files: FileDescriptorProto, services: Any = ("one.OneService",)) -> ServiceDescription:
    return protobuf_services.describe({each.name: each for each in files}, services)


DOCUMENT = {
    "openapi": "3.1.0",
    "paths": {
        "/api/v1/task/tree": {
            "post": {
                "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Request"}}}},
                "responses": {
                    "200": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Tree"}}}}
                },
            }
        }
    },
    "components": {
        "schemas": {
            "Request": {"type": "object", "properties": {"inputs": {"$ref": "#/components/schemas/Unrelated"}}},
            "Unrelated": {"type": "object", "title": "a.Unrelated", "properties": {"secret_name": {"type": "string"}}},
            "Tree": {
                "type": "object",
                "title": "a.Tree",
                "properties": {
                    "label": {"type": "string"},
                    "inline": {"type": "object", "title": "a.Inline", "properties": {"x": {"type": "integer"}}},
                    "children": {"type": "array", "items": {"$ref": "#/components/schemas/Tree"}},
                },
            },
        }
    },
}


def rich() -> tuple[ServiceDescription, Any]:
    """A description and an object of its types, over gRPC."""
    description = described(one_file())
    types = description.types
    outer = types["one.Outer"]
    nested = outer(inner=types["one.Outer.Inner"](text="in"), mood="WILD", other={"outer": [{}, {"mood": 77}]})
    return description, outer(outer=nested, other={"outer": [nested]})


def rich_json() -> tuple[ServiceDescription, Any]:
    """The same over HTTP."""
    description = openapi.describe_parsed(DOCUMENT)
    tree = description.types["a.Tree"]
    return description, tree(label="top", inline={"x": 2**60}, children=[tree(label="leaf"), tree(children=[])])


@pytest.mark.parametrize("number", PROTOCOLS)
@pytest.mark.parametrize("make", [rich, rich_json])
def test_objects_are_what_they_were(make: Any, number: int) -> None:
    description, value = make()
    found = pickle.loads(pickle.dumps(value, number))
    assert found == value
    assert type(found) is type(value)
    assert found.model_fields_set == value.model_fields_set
    for kind in description.types.values():
        assert pickle.loads(pickle.dumps(kind, number)) is kind


@pytest.mark.parametrize("make", [rich, rich_json])
def test_objects_outlive_their_description(make: Any) -> None:
    made = make()[1]
    pickled, told = pickle.dumps(made), made.model_dump()
    del made
    dynamic_types._recent.clear()
    gc.collect()
    one, other = pickle.loads(pickled), pickle.loads(pickled)
    assert one == other
    assert type(one) is type(other)
    assert one.model_dump() == told
    description, value = make()  # a server that is asked later
    assert value == one
    assert type(one) in description.types.values()


@pytest.mark.parametrize("make", [rich, rich_json])
def test_descriptions_share_what_they_have_alike(make: Any) -> None:
    one, other = make()[0], make()[0]
    assert one is not other
    assert one.types.keys() == other.types.keys()
    assert all(one.types[name] is other.types[name] for name in one.types)


def test_types_that_differ_are_apart() -> None:
    changed = one_file()
    add_field(changed.message_type[1], "more", 2, "string")
    one, other = described(one_file()), described(changed)
    assert one.types["one.Other"] is not other.types["one.Other"]
    assert one.types["one.Outer"] is not other.types["one.Outer"]  # it has one of those
    assert one.types["one.Outer.Inner"] is not other.types["one.Outer.Inner"]  # its part is that of Outer
    assert one.types["one.Unrelated"] is other.types["one.Unrelated"]
    for description in (one, other):
        value = description.types["one.Other"]()
        assert type(pickle.loads(pickle.dumps(value))) is type(value)


def test_protocols_have_types_of_their_own() -> None:
    assert not set(rich()[0].types.values()) & set(rich_json()[0].types.values())


@pytest.mark.parametrize("make", [rich, rich_json])
def test_a_pickle_has_nothing_of_other_types(make: Any) -> None:
    pickled = pickle.dumps(make()[1])
    assert b"secret_name" not in pickled
    assert b"OneService" not in pickled


@pytest.mark.parametrize("make", [rich, rich_json])
def test_a_schema_is_in_a_pickle_once(make: Any) -> None:
    description, value = make()
    kinds = list(description.types.values())
    pickled = pickle.dumps([value, kinds, [value.model_copy() for _ in range(100)], value])
    data = [argument for opcode, argument, _ in pickletools.genops(pickled) if "BYTES" in opcode.name]
    data = [each for each in data if each[:1] in (b"{", b'"', b"*")]  # definitions
    assert len(data) == len(set(data)), sorted(data)


def test_a_file_of_another_syntax_and_of_several_files_travels() -> None:
    description = described(*library_files().values(), services=[SERVICE, INFO_SERVICE])
    value = description.types["caikit_data_model.test.SampleOutputType"](greeting="x", tree={"children": [{}]})
    assert pickle.loads(pickle.dumps(value)) == value
    older = described(one_file("proto2"))
    for kind in older.types.values():
        assert pickle.loads(pickle.dumps(kind)) is kind
    pickled = pickle.dumps(older.types["one.Outer"](inner={"text": "a"}))
    del older, kind
    dynamic_types._recent.clear()
    gc.collect()
    assert pickle.loads(pickled).inner.text == "a"


@pytest.mark.parametrize("number", PROTOCOLS)
def test_protobufs_messages_travel_too(number: int) -> None:
    description = described(one_file())
    codec = description.tasks["OneTask"].methods[0].codec
    data = codec.encode(
        "", (), {"inner": {"text": "in"}, "mood": "WILD", "other": {"outer": [{}]}, "outer": {}, "at": NOW}
    )
    message = codec.decode(data, "proto")
    for each in (message, message.inner, message.other):
        found = pickle.loads(pickle.dumps(each, number))
        assert found.SerializeToString() == each.SerializeToString()
        assert type(found).DESCRIPTOR.full_name == type(each).DESCRIPTOR.full_name
        assert copy.deepcopy(each) == copy.copy(each) == each
    pickled = pickle.dumps([message, message.inner], number)
    assert b"secret_name" not in pickled
    told = message.SerializeToString()
    del description, codec, message, each, found
    dynamic_types._recent.clear()
    gc.collect()
    one, other = pickle.loads(pickled)[0], pickle.loads(pickled)[0]
    assert one == other
    assert one.SerializeToString() == told
    assert pickle.loads(pickle.dumps(one.inner)) == one.inner


def test_a_class_of_the_users_own_is_pickled_as_any_other() -> None:
    value = Derived(x=1)
    assert pickle.loads(pickle.dumps(value)) == value
    assert pickle.loads(pickle.dumps(Derived)) is Derived


Derived: Any = type("Derived", (openapi.describe_parsed(DOCUMENT).types["a.Inline"],), {"__module__": __name__})


def test_threads_that_make_the_same_types_get_the_same() -> None:
    pickled = pickle.dumps(rich()[1])
    dynamic_types._recent.clear()
    gc.collect()
    start, found = threading.Barrier(4), []

    def make(number: int) -> None:
        start.wait()
        found.append(type(pickle.loads(pickled)) if number % 2 else described(one_file()).types["one.Outer"])

    threads = [threading.Thread(target=make, args=[number]) for number in range(4)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(set(found)) == 1


class Stuck(Budget):
    """A budget whose owner stands still in the middle of making types, until `free` is set."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self._kind = kind
        self.entered, self.free = threading.Event(), threading.Event()

    def spend(self, kind: Any, amount: int = 1) -> None:
        if kind == self._kind:
            self.entered.set()
            assert self.free.wait(20)
        super().spend(kind, amount)


def _protobuf(budget: Budget | None = None) -> type[Any]:
    return protobuf_services.describe({"one.proto": one_file()}, ["one.OneService"], budget).types["one.Outer"]


def _json(budget: Budget | None = None) -> type[Any]:
    return openapi.describe_parsed(DOCUMENT, budget).types["a.Inline"]


@pytest.mark.parametrize("make", [_protobuf, _json])
def test_types_are_made_while_another_thread_is_stuck(make: Callable[..., type[Any]]) -> None:
    """As with the schema of a hostile server. Of the same types only the ones that are there first count."""
    gc.collect()
    stuck, found = Stuck("nodes"), []
    thread = threading.Thread(target=lambda: found.append(make(stuck)))
    thread.start()
    try:
        assert stuck.entered.wait(20)
        made = make()
    finally:
        stuck.free.set()
        thread.join()
    assert found == [made]


def test_a_type_with_a_map_that_refers_to_itself() -> None:
    file = FileDescriptorProto(name="odd.proto", package="odd", syntax="proto3")
    node = file.message_type.add(name="Node")
    add_map(node, "odd.Node", "names", 1)
    add_field(node, "next", 2, ".odd.Node")
    method = file.service.add(name="OddService").method.add(name="OddTaskPredict")
    method.input_type = method.output_type = ".odd.Node"
    (found,) = protobuf_services.describe({file.name: file}, ["odd.OddService"]).tasks["OddTask"].methods
    data = found.codec.encode("", (), {"names": {"a": "b"}, "next": {"names": {"c": "d"}}})
    answer = found.codec.decode(data, "pydantic")
    assert (answer.names, answer.next.names) == ({"a": "b"}, {"c": "d"})
