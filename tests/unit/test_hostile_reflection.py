"""Reflection by servers that mean harm, without a server: what they say is counted before anything is made of it."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from grpc_reflection.v1alpha import reflection_pb2

from remote_client._schema.budget import MAX_NAME, Budget, LateDescriptionError
from remote_client._schema.protobuf.reflection import ReflectionReader
from remote_client._schema.protobuf.wire import count_parts, most_parts
from remote_client.errors import SchemaError
from tests.support.growth import calls, exponent
from tests.support.proc import forget_peak, peak
from tests.support.protobuf_wire import field, listing
from tests.support.task_library import task_files

Response = reflection_pb2.ServerReflectionResponse


def files(protos: Iterable[FileDescriptorProto]) -> bytes:
    told = [proto.SerializeToString() for proto in protos]
    data: bytes = Response(file_descriptor_response={"file_descriptor_proto": told}).SerializeToString()
    return data


def begun(budget: Budget | None = None) -> ReflectionReader:
    reader = ReflectionReader(budget)
    reader.requests()
    return reader


def test_more_services_in_every_answer() -> None:
    reader = begun()
    reader.feed(listing("a.S0"))
    assert len(reader.requests()) == 1
    with pytest.raises(SchemaError, match="lists services where it was asked for files"):
        reader.feed(listing("a.S1"))


def test_services_have_a_limit() -> None:
    reader = begun(Budget(limits={"names": 100}))
    with pytest.raises(SchemaError, match="more than 100 names"):
        reader.feed(listing(*(f"a.S{number}" for number in range(200_000))))
    assert len(reader.requests()) <= 100


def test_a_service_listed_twice_is_one() -> None:
    reader = begun()
    reader.feed(listing("a.S", "a.S"))
    assert reader.services == ["a.S"]


def test_files_that_are_only_named_have_a_limit() -> None:
    reader = begun(Budget(limits={"files": 100}))
    with pytest.raises(SchemaError, match="more than 100 files"):
        reader.feed(files([FileDescriptorProto(name="a", dependency=[f"f{number}" for number in range(200_000)])]))
    assert len(reader.requests()) <= 100


def test_a_new_file_in_every_answer_has_a_limit() -> None:
    reader = begun()
    with pytest.raises(SchemaError, match="more than 10,000 files"):
        for number in range(10_001):
            reader.feed(files([FileDescriptorProto(name=f"f{number}", dependency=[f"f{number + 1}"])]))
            assert len(reader.requests()) == 1


def test_answers_that_drip_have_one_deadline() -> None:
    now = 0.0
    reader = begun(Budget(60, clock=lambda: now))
    with pytest.raises(LateDescriptionError, match="more than 60 seconds"):
        for number in range(1_000):
            reader.feed(files([FileDescriptorProto(name=f"f{number}", dependency=[f"f{number + 1}"])]))
            now += 0.4
    assert now == pytest.approx(60, abs=1)


@pytest.mark.parametrize(
    "answer",
    [
        listing("a." + "S" * MAX_NAME),
        files([FileDescriptorProto(name="f" * (MAX_NAME + 1))]),
        files([FileDescriptorProto(name="a", dependency=["f" * (MAX_NAME + 1)])]),
    ],
    ids=["service", "file", "dependency"],
)
def test_long_names_are_refused(answer: bytes) -> None:
    with pytest.raises(SchemaError, match=r"a name has 1,00\d letters"):
        begun().feed(answer)


EMPTY_MESSAGES = b"\x22\x00" * 4_000_000
"""A file of 8 MB with four million messages, which take half a gigabyte in protobuf."""


@pytest.mark.parametrize(
    "answer",
    [
        field(6, b"\x0a\x00" * 4_000_000),
        field(4, b"\x0a\x00" * 4_000_000),
        field(4, field(1, EMPTY_MESSAGES)),
        field(4, field(1, field(4, b"\x12\x00" * 4_000_000))),
        field(4, field(1, b"\x1a\x00" * 4_000_000)),
    ],
    ids=["services", "files", "messages", "fields", "dependencies"],
)
def test_parts_without_content_are_counted_before_they_are_made(answer: bytes) -> None:
    forget_peak()
    before = peak()
    with pytest.raises(SchemaError, match="more than 10,000 parts"):
        begun(Budget(limits={"parts": 10_000})).feed(answer)
    assert peak() - before < 50 << 20


@pytest.mark.parametrize("rest", [b"\x22", b"\x22\xff", b"\x22\x05ab", b"\xff" * 11, b"\x0f", b"\x0b"])
def test_what_is_no_message_is_told_by_protobuf(rest: bytes) -> None:
    with pytest.raises(SchemaError, match="cannot be read"):
        begun().feed(field(4, field(1, FileDescriptorProto(name="a").SerializeToString() + rest)))


def test_whoever_is_given_up_reads_no_further() -> None:
    budget = Budget()
    reader = begun(budget)
    budget.cancel()
    with pytest.raises(SchemaError, match="was cancelled"):
        reader.feed(listing("a.S"))


@pytest.mark.parametrize("at_once", [True, False], ids=["whole closures", "one file at a time"])
def test_calls_grow_with_the_number_of_files(at_once: bool) -> None:
    def cost(size: int) -> int:
        chain = [FileDescriptorProto(name=f"f{number}", dependency=[f"f{number + 1}"]) for number in range(size)]
        chain[-1].ClearField("dependency")
        answers = [files(chain)] if at_once else [files([each]) for each in chain]
        return calls(lambda: read(answers))

    def read(answers: list[bytes]) -> None:
        reader = begun()
        for answer in answers:
            reader.feed(answer)
            reader.requests()

    cost(3)  # what is done once for all
    assert exponent(cost, 50) < 1.1


@pytest.mark.parametrize(
    "part", [b"\x22\x00", b"\xa2\x00\x00", b"\x22\x02\x12\x00", b"\x42\x05\xba\x3e\x02\x12\x00", b"\x1a\x00"]
)
def test_parts_are_never_more_than_what_is_found_at_once(part: bytes) -> None:
    """Whatever their tags: of one byte or two, of more than they need, of parts inside of others."""
    descriptor = FileDescriptorProto.DESCRIPTOR
    budget, data = Budget(), part * 1_000
    count_parts(data, descriptor, budget)
    assert 1_000 <= budget._spent["parts"] <= most_parts(data, descriptor)


def test_descriptors_as_they_are_have_few_parts() -> None:
    data = b"".join(file.SerializeToString() for file in task_files(50).values())
    assert most_parts(data, FileDescriptorProto.DESCRIPTOR) < len(data) / 8
