"""A server that is newer than the schema on file: what was added to its answers breaks nobody."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from remote_client._client.introspection import parse_schema
from remote_client._schema.openapi import document as openapi
from remote_client._schema.openapi.codec import _TAKES_EXTRA
from remote_client._schema.protobuf import services as protobuf_services
from remote_client._schema.rpc import RemoteRPCDescriptor, ServiceDescription
from remote_client._schema.schema_file import read_schema
from remote_client.errors import InvalidResponseError
from remote_client.settings import Output, Protocol
from tests.support.contracts import FILES, changed, described, set_of

from .test_http_differences import DOCUMENT

NEWER = changed(
    ("string greeting = 1;", "string greeting = 1; string new = 99; double score = 98;"),
    ("string label = 1;", "string label = 1; string new = 99;"),
    ("message Unused {", "message Unused { string other = 100;"),
)
OLD = {"grpc": set_of(FILES), "http": json.dumps(DOCUMENT).encode()}
PLACES = {"greeting": "Hi", "places": [{"label": "here", "new": "x"}]}
needs_extra = pytest.mark.skipif(not _TAKES_EXTRA, reason="pydantic 2.12 takes fields that a model has not")
protocols = pytest.mark.parametrize("protocol", ["grpc", pytest.param("http", marks=needs_extra)])


def answer_of(protocol: Protocol, **fields: Any) -> bytes:
    """An answer of the newer server."""
    if protocol == "http":
        return json.dumps(fields).encode()
    message = method_of(described(set_of(NEWER))).codec.decode(b"", "proto")
    return type(message)(**fields).SerializeToString()  # type: ignore[no-any-return]


def method_of(description: Any) -> RemoteRPCDescriptor:
    return description.tasks["SampleTask"].methods[0]  # type: ignore[no-any-return]


async def on_file(protocol: Protocol) -> RemoteRPCDescriptor:
    return method_of(await parse_schema(read_schema(OLD[protocol], protocol)))


@protocols
async def test_fields_that_were_added_are_no_other_answer(protocol: Protocol) -> None:
    codec = (await on_file(protocol)).codec
    assert codec.decode(answer_of(protocol, greeting="Hi", new="x", score=0.5), "pydantic").greeting == "Hi"
    inner = codec.decode(answer_of(protocol, **PLACES, new="x"), "pydantic")
    assert [(each.label, hasattr(each, "new")) for each in inner.places] == [("here", False)]


@protocols
@pytest.mark.parametrize("output", ["dict", "proto"])
async def test_whatever_the_output(protocol: Protocol, output: Output) -> None:
    answer = (await on_file(protocol)).codec.decode(answer_of(protocol, greeting="Hi", new="x"), output)
    assert (answer["greeting"] if isinstance(answer, dict) else answer.greeting) == "Hi"


async def test_the_result_of_a_job() -> None:
    start = (await parse_schema(read_schema(OLD["grpc"], "grpc"))).tasks["OtherTask"].methods[-1]
    assert start.job is not None
    assert start.job.result is not None
    assert start.job.result.codec.decode(answer_of("grpc", greeting="Hi", new="x"), "pydantic").greeting == "Hi"


@protocols
async def test_an_answer_of_nothing_but_unknown_fields_is_anothers(protocol: Protocol) -> None:
    codec = (await on_file(protocol)).codec
    with pytest.raises(InvalidResponseError):
        codec.decode(answer_of(protocol, new="x", score=0.5), "pydantic")


@protocols
async def test_a_known_field_of_another_type_is_no_addition(protocol: Protocol) -> None:
    codec = (await on_file(protocol)).codec
    wrong = b'{"greeting": 1, "new": "x"}' if protocol == "http" else b"\x0a\x02\xff\xfe" + answer_of("grpc", new="x")
    with pytest.raises(InvalidResponseError):
        codec.decode(wrong, "pydantic")


@protocols
async def test_an_addition_is_no_member_of_a_union(protocol: Protocol) -> None:
    answer = (await on_file(protocol)).codec.decode(answer_of(protocol, greeting="Hi", score=0.5), "pydantic")
    assert answer.value is None


def told(protocol: Protocol) -> ServiceDescription:
    """What a server of the old schema tells."""
    if protocol == "http":
        return openapi.describe(OLD["http"])
    files = FileDescriptorSet.FromString(OLD["grpc"]).file
    services = [f"{file.package}.{each.name}" for file in files for each in file.service]
    return protobuf_services.describe_files([each.SerializeToString() for each in files], services)


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_unknown_fields_of_what_a_server_told_are_another_tasks(protocol: Protocol) -> None:
    codec = method_of(told(protocol)).codec
    with pytest.raises(InvalidResponseError):
        codec.decode(answer_of(protocol, greeting="Hi", score=0.5), "pydantic")
