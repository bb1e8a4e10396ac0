"""Of what a server tells of itself only what is used becomes types: of the methods that are called."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from remote_client._schema.budget import MOST_LATE_BYTES, Budget, may_be_late
from remote_client._schema.lazy_methods import LazyTypes
from remote_client._schema.openapi import document as openapi
from remote_client._schema.protobuf import services as protobuf_services
from remote_client._schema.rpc import ServiceDescription
from remote_client.errors import SchemaError
from tests.support.growth import calls, exponent
from tests.support.large_documents import TEXT, any_of, ref
from tests.support.task_library import task_document, task_files
from tests.support.wire_library import SERVICE
from tests.unit.documents import DANGLING, document

TASKS = 8
PROTOCOLS = pytest.mark.parametrize("protocol", ["grpc", "http"])


def lazily(protocol: str, tasks: int = TASKS, budget: Budget | None = None) -> ServiceDescription:
    if protocol == "http":
        return openapi.describe_lazily(task_document(tasks), budget)
    return protobuf_services.describe_lazily(told(task_files(tasks)), [SERVICE], budget)


def told(files: dict[str, FileDescriptorProto]) -> list[bytes]:
    return [file.SerializeToString() for file in files.values()]


def made(description: ServiceDescription) -> set[str]:
    assert isinstance(description.types, LazyTypes)
    return {name.rpartition(".")[2] for name in description.types.made}


@PROTOCOLS
def test_one_method_makes_its_own_types(protocol: str) -> None:
    description = lazily(protocol)
    assert made(description) == set()
    assert description.tasks["Number3Task"].methods[0].signature.parameters
    request = "Number3TaskRequestParameters" if protocol == "http" else "Number3TaskRequest"
    assert made(description) == {"Number3Input", "Number3Item", "Number3Answer", request}


@PROTOCOLS
def test_a_description_is_that_of_all_types_made_at_once(protocol: str) -> None:
    late = lazily(protocol)
    at_once = (
        openapi.describe(task_document(TASKS))
        if protocol == "http"
        else protobuf_services.describe_files(told(task_files(TASKS)), [SERVICE])
    )
    assert str(late) == str(at_once)
    assert dict(late.types) == dict(at_once.types)


@PROTOCOLS
def test_answers_have_no_fields_that_the_server_does_not_describe(protocol: str) -> None:
    codec: Any = lazily(protocol).tasks["Number3Task"].methods[0].codec
    assert not (codec.allows_unknown_fields if protocol == "http" else codec._additions)


@PROTOCOLS
def test_calls_grow_with_the_number_of_tasks(protocol: str) -> None:
    def cost(tasks: int) -> int:
        data: Any = task_document(tasks) if protocol == "http" else told(task_files(tasks))

        def first_call() -> None:
            description = (
                openapi.describe_lazily(data)
                if protocol == "http"
                else protobuf_services.describe_lazily(data, [SERVICE])
            )
            assert description.tasks["Number3Task"].methods[0].codec

        return calls(first_call)

    cost(4)  # what is done once for all
    assert exponent(cost, 40) < 1.1
    # Making the types of a task takes twenty times that. protobuf's implementation in Python makes calls of its own.
    assert (cost(80) - cost(40)) / 40 < (700 if "upb" in type(FileDescriptorProto).__module__ else 5_000)


# -- what cannot be used ----------------------------------------------------------------------------------------------


def test_a_broken_file_is_told_where_it_is_used() -> None:
    files = task_files(TASKS)
    (item,) = (file for file in files.values() if file.name.endswith("number3item.proto"))
    item.message_type[0].field[0].name = "no name"
    description = protobuf_services.describe_lazily(told(files), [SERVICE])
    assert description.tasks["Number2Task"].methods[0].codec
    broken = description.tasks["Number3Task"].methods[0]
    for _ in range(2):
        with pytest.raises(
            SchemaError, match=r"Number3TaskPredict of Number3Task: the file .* is not valid: 'no name'"
        ):
            _ = broken.codec
    with pytest.raises(SchemaError, match="'no name' is not a valid name"):
        protobuf_services.describe_files(told(files), [SERVICE])


def test_a_broken_service_is_told_at_once() -> None:
    files = task_files(TASKS)
    next(reversed(files.values())).service[0].method[0].name = "no name"
    with pytest.raises(SchemaError, match="'no name' is not a valid name"):
        protobuf_services.describe_lazily(told(files), [SERVICE])
    with pytest.raises(SchemaError, match=r"lists the service a\.Lost"):
        protobuf_services.describe_lazily(told(files), ["a.Lost"])


def test_a_document_without_some_definitions_is_described_at_once() -> None:
    description = openapi.describe_lazily(DANGLING)
    assert not isinstance(description.types, LazyTypes)
    assert description.notes == openapi.describe(DANGLING).notes != ()


# -- what would hold up the event loop --------------------------------------------------------------------------------


def large_files() -> dict[str, FileDescriptorProto]:
    """The files of some tasks; the types of one of them come from much of the schema."""
    files = task_files(TASKS)
    (item,) = (file for file in files.values() if file.name.endswith("number3item.proto"))
    for number in range(MOST_LATE_BYTES // 20):
        item.enum_type.add(name=f"Enum{number}").value.add(name=f"VALUE{number}")
    return files


def large_document() -> bytes:
    parsed = json.loads(task_document(TASKS))
    parsed["components"]["schemas"]["Number3Item"]["description"] = "x" * MOST_LATE_BYTES
    return json.dumps(parsed).encode()


@PROTOCOLS
def test_large_types_of_one_method_are_made_at_once(protocol: str) -> None:
    budget = Budget()
    if protocol == "http":
        description = openapi.describe_lazily(large_document(), budget)
    else:
        description = protobuf_services.describe_lazily(told(large_files()), [SERVICE], budget)
    assert not isinstance(description.types, LazyTypes)
    budget.cancel()
    with pytest.raises(SchemaError, match="was cancelled"):
        if protocol == "http":
            openapi.describe_lazily(large_document(), budget)
        else:
            protobuf_services.describe_lazily(told(large_files()), [SERVICE], budget)


@PROTOCOLS
def test_the_limits_hold_for_every_method(protocol: str, monkeypatch: pytest.MonkeyPatch) -> None:
    module = openapi if protocol == "http" else protobuf_services
    monkeypatch.setattr(module, "LATE_LIMITS", {"types": 5, "nodes": 150})
    methods = [method for task in lazily(protocol).tasks.values() for method in task.methods]
    assert all(method.codec for method in methods)  # not of all methods together
    monkeypatch.setattr(module, "LATE_LIMITS", {"nodes": 3})
    with pytest.raises(SchemaError, match="more than 3 nodes"):
        _ = lazily(protocol).tasks["Number3Task"].methods[0].codec


def test_a_small_document_that_means_many_types_has_a_limit() -> None:
    schemas: dict[str, Any] = {"L0": TEXT}
    for level in range(10):
        schemas[f"L{level + 1}"] = any_of({"type": "array", "items": ref(f"L{level}")}, mapped(ref(f"L{level}")))
    fields = {f"f{number}": ref("L10") for number in range(100)}
    found = openapi.describe_lazily(document({"type": "object", "title": "a.T", "properties": fields}, schemas=schemas))
    (method,) = found.tasks["MadeUpTask"].methods
    with pytest.raises(SchemaError, match="more than 20,000 nodes"):
        _ = method.codec


def mapped(schema: Any) -> Any:
    return {"type": "object", "additionalProperties": schema}


def test_parts_are_counted_once() -> None:
    references = {"a": ["b", "c"], "b": ["c"], "c": ["a"]}
    assert may_be_late(["a"], lambda _: MOST_LATE_BYTES // 3, references.__getitem__)
    assert not may_be_late(["a"], lambda _: MOST_LATE_BYTES // 3 + 1, references.__getitem__)
    assert may_be_late(["c"], lambda part: MOST_LATE_BYTES if part == "a" else 0, references.__getitem__)
