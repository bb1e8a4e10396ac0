"""Random, large and hostile schemas: what is added breaks nobody, and comparing costs as much as the schemas have."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)
from hypothesis import HealthCheck, assume, event, given, settings
from hypothesis import strategies as st

from remote_client._schema.budget import Budget
from remote_client._schema.comparison import compare
from remote_client._schema.differences import Differences
from remote_client._schema.protobuf.services import describe_set
from remote_client._schema.rpc import ServiceDescription
from remote_client.errors import SchemaError
from tests.support import contracts, large_documents, large_schemas, random_schemas
from tests.support.contracts import described, described_document
from tests.support.growth import calls, exponent
from tests.support.slow import slow_but

fuzzed = settings(
    max_examples=40,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
pytestmark = pytest.mark.timeout(240)
seeds = st.integers(0, 2**64)
Files = list[FileDescriptorProto]


def set_of(files: Files) -> bytes:
    return FileDescriptorSet(file=files).SerializeToString()


def random_files(random: Random) -> Files:
    return [
        FileDescriptorProto.FromString(each.SerializeToString())
        for each in random_schemas.reflected(random).files.values()
    ]


def usable(description: Any, data: bytes) -> ServiceDescription:
    try:
        found: ServiceDescription = description(data)
    except SchemaError:
        event("refused")
        assume(False)
    event("described")
    return found


def add_everywhere(files: Files) -> None:
    """Add what breaks nobody to all messages, enums and services."""
    for file in files:
        waiting = [*file.message_type]
        enums = [*file.enum_type]
        while waiting:
            message = waiting.pop()
            waiting += message.nested_type
            enums += message.enum_type
            if not message.options.map_entry:
                add_fields(message)
        for enum in enums:
            add_value(enum)
        for service in file.service:
            if service.method:
                method = service.method[0]
                service.method.add(
                    name="AdditionTaskPredict", input_type=method.input_type, output_type=method.output_type
                )


def add_fields(message: DescriptorProto) -> None:
    number = 1 + max((each.number for each in message.field), default=0)
    message.field.add(name="an_added_list", number=number, label=3, type=FieldDescriptorProto.TYPE_STRING)
    union = len(message.oneof_decl)
    message.oneof_decl.add(name="_an_addition")
    message.field.add(name="an_addition", number=number + 1, label=1, type=8, oneof_index=union)


def add_value(enum: EnumDescriptorProto) -> None:
    names = f"AN_ADDED_VALUE_OF_{enum.name}"
    enum.value.add(name=names, number=1 + max(each.number for each in enum.value))


@fuzzed
@given(seed=seeds)
def test_additions_to_random_descriptors_break_nothing(seed: int) -> None:
    files = random_files(Random(seed))
    old = usable(described, set_of(files))
    assert compare(old, usable(described, set_of(files))) == []
    add_everywhere(files)
    found = compare(old, usable(described, set_of(files)))
    event(f"differences: {bool(found)}")
    assert [each for each in found if each.breaking] == []


@fuzzed
@given(seed=seeds)
def test_whatever_random_descriptors_become_is_told(seed: int) -> None:
    random = Random(seed)
    old, new = (usable(described, set_of(random_files(random))) for _ in range(2))
    check_printable(old, new)


@fuzzed
@given(seed=seeds)
def test_additions_to_random_documents_break_nothing(seed: int) -> None:
    document = random_schemas.document(Random(seed))
    old = usable(described_document, json.dumps(document).encode())
    assert compare(old, usable(described_document, json.dumps(document).encode())) == []
    document["paths"]["/api/v1/task/an-addition"] = {"post": {}}
    for schema in (document["components"]["schemas"] or {}).values():
        if isinstance(schema, dict) and schema.get("type") == "object" and isinstance(schema.get("properties"), dict):
            schema["properties"]["an_addition"] = {"anyOf": [{"type": "string"}, {"type": "null"}]}
    found = compare(old, usable(described_document, json.dumps(document).encode()))
    broken = [each for each in found if each.breaking]
    # All inputs of a task are required, if there are several.
    assert [each for each in broken if not each.text.startswith("a new required parameter")] == []


@fuzzed
@given(seed=seeds)
def test_whatever_random_documents_become_is_told(seed: int) -> None:
    random = Random(seed)
    documents = [json.dumps(random_schemas.document(random)).encode() for _ in range(2)]
    check_printable(*(usable(described_document, each) for each in documents))


def check_printable(old: ServiceDescription, new: ServiceDescription) -> None:
    for each in compare(old, new):
        assert str(each).isprintable()
        assert len(str(each)) < 10_000


def renamed(files: Files) -> Files:
    """The files with all types in another package, but for caikit's own."""
    services = FileDescriptorProto(name="services.proto", package="large", syntax="proto3")
    moved = [FileDescriptorProto.FromString(each.SerializeToString().replace(b".large.", b".small.")) for each in files]
    for each in moved:
        services.dependency.append(each.name)
        if each.package == "large":
            each.package = "small"
            services.service.extend(each.service)
            del each.service[:]
    return [*moved, services]


@pytest.mark.parametrize("shape", slow_but(["fields", "chain"], large_schemas.SHAPES))
def test_calls_grow_with_the_size(shape: str) -> None:
    assert exponent(lambda size: cost(*sets(shape, size)), 35) < 1.1


def sets(shape: str, size: int) -> Iterator[ServiceDescription]:
    make = large_schemas.SHAPES[shape]
    return map(described, (set_of(make(size)), set_of(renamed(make(size)))))


@pytest.mark.parametrize("shape", slow_but(["fields", "routes"], large_documents.SHAPES))
def test_calls_grow_with_the_size_of_a_document(shape: str) -> None:
    def both(size: int) -> int:
        document = large_documents.SHAPES[shape](size)
        return cost(described_document(document), described_document(document.replace(b'"title": "', b'"title": "x')))

    assert exponent(both, 50) < 1.1


def cost(old: ServiceDescription, new: ServiceDescription) -> int:
    return calls(lambda: compare(old, new, Budget(limits=large_schemas.NO_LIMITS)))


def test_a_budget_ends_it() -> None:
    old, new = sets("chain", 200)
    with pytest.raises(SchemaError, match="more than 100 nodes"):
        compare(old, new, Budget(limits={"nodes": 100}))
    given_up = Budget()
    given_up.cancel()
    with pytest.raises(SchemaError, match="was cancelled"):
        compare(old, new, given_up)


def test_a_file_that_lacks_what_it_imports() -> None:
    files = FileDescriptorSet.FromString(contracts.set_of(contracts.FILES)).file
    data = set_of([each for each in files if each.name != "data.proto"])
    old = replace(describe_set(data), source=(describe_set, data))
    with pytest.raises(SchemaError, match=r"schema on file cannot be compared: .* data\.proto"):
        compare(old, described(contracts.set_of(contracts.FILES)))


def test_text_is_counted() -> None:
    found = Differences(Budget(limits={"bytes": 3_000}))
    found.add("a" * 2_000, "removed")  # a path is cut
    found.add("b" * 1_000, "removed")
    with pytest.raises(SchemaError, match="more than 3,000 bytes"):
        found.add("c" * 1_000, "removed")
