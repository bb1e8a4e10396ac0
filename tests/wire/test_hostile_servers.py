"""Servers that describe themselves without end: what that may cost is bounded, and it ends with whoever asked."""

from __future__ import annotations

import asyncio
import threading
import time
import uuid
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from remote_client import RemoteClient, sync
from remote_client._client import introspection
from remote_client._client.single_flight import LINGER
from remote_client._schema.budget import Budget
from remote_client._schema.openapi import document as openapi
from remote_client._schema.rpc import ServiceDescription
from remote_client.errors import DeadlineExceededError, ModelNotFoundError, SchemaError
from tests.support.http_wire import KEEP, HttpWire, chunk, drip, head, repeat, send
from tests.support.proc import forget_peak, peak
from tests.support.protobuf_wire import listing
from tests.support.wire import WireServer

MIB = 1 << 20
SERVICE = "odd.OddService"


async def _describe(target: str, kind: str, timeout: float = 10) -> Any:
    """Ask a server what it can do, by the asyncio or the blocking client."""
    if kind == "asyncio":
        async with RemoteClient(target, timeout=timeout) as client:
            return await client.describe()

    def describe() -> Any:
        with sync.RemoteClient(target, timeout=timeout) as client:
            return client.describe()

    return await asyncio.to_thread(describe)


both = pytest.mark.parametrize("kind", ["asyncio", "blocking"])


# -- reflection -------------------------------------------------------------------------------------------------------


@both
async def test_more_services_in_every_answer(wire: WireServer, kind: str) -> None:
    await wire.faults(services=[], reflection_listing=True)
    with pytest.raises(SchemaError, match="lists services where it was asked for files"):
        await _describe(wire.target, kind)
    assert (await wire.stats())["started"]["reflection v1alpha"] == 2


@both
async def test_one_file_at_a_time_without_end(wire: WireServer, kind: str) -> None:
    file = FileDescriptorProto(name="odd.proto", dependency=["file1.proto"]).SerializeToString().hex()
    await wire.faults(services=[SERVICE], files={"odd.proto": file}, reflection_endless=True, reflection_delay=0.1)
    with pytest.raises(SchemaError, match="took more than 2 seconds") as caught:
        await _describe(wire.target, kind, timeout=2)
    assert isinstance(caught.value, DeadlineExceededError)
    assert (await wire.stats())["started"]["reflection v1alpha"] <= 21


async def test_two_hundred_thousand_names(wire: WireServer) -> None:
    names = (f"odd.pretty.long.name.of.a.Service{number}" for number in range(200_000))
    await wire.faults(reflection_raw=listing(*names).hex())
    forget_peak()
    before = peak()
    with pytest.raises(SchemaError, match="more than 20,000 names"):
        await _describe(wire.target, "asyncio")
    assert peak() - before < 150 * MIB
    assert (await wire.stats())["started"]["reflection v1alpha"] == 1


async def test_megabytes_of_empty_messages(wire: WireServer) -> None:
    data = FileDescriptorProto(name="odd.proto").SerializeToString() + b"\x22\x00" * 4_000_000
    await wire.faults(services=[SERVICE], files={"odd.proto": data.hex()})
    forget_peak()
    before = peak()
    with pytest.raises(SchemaError, match="parts"):
        await _describe(wire.target, "asyncio")
    assert peak() - before < 150 * MIB


async def test_megabytes_of_files_do_not_hold_up_the_loop(wire: WireServer, no_gc: None) -> None:
    large = FileDescriptorProto(name="odd.proto")
    for number in range(100_000):
        large.message_type.add(name=f"Message{number}")
    await wire.faults(services=[SERVICE], files={"odd.proto": large.SerializeToString().hex()})
    before = time.thread_time()
    with pytest.raises(SchemaError):
        await _describe(wire.target, "asyncio")
    assert time.thread_time() - before < 0.2


# -- documents --------------------------------------------------------------------------------------------------------

CHUNKED = {"content-type": "application/json", "transfer-encoding": "chunked"}
LENGTH = {"content-type": "application/json", "content-length": 200 * MIB}
DOCUMENTS = {
    "chunks": [send(head(headers=CHUNKED)), repeat(chunk(b" " * MIB), 200), KEEP],
    "length": [send(head(headers=LENGTH)), repeat(b" " * MIB, 200), KEEP],
}


@both
@pytest.mark.parametrize("steps", DOCUMENTS.values(), ids=DOCUMENTS)
async def test_a_document_without_end(http_wire: HttpWire, steps: list[Any], kind: str) -> None:
    await http_wire.faults({"GET /openapi.json": {"steps": steps}})
    forget_peak()
    before = peak()
    with pytest.raises(SchemaError, match=r"openapi\.json.* larger than 16777216 bytes") as caught:
        await _describe(http_wire.target, kind)
    assert peak() - before < 60 * MIB
    assert "grpc.max_receive_message_length" not in str(caught.value)  # which would change nothing
    assert (await http_wire.stats())["started"]["GET /openapi.json"] == 1


async def test_a_document_over_the_limit_of_answers(http_wire: HttpWire) -> None:
    info = http_wire.info(options={"grpc.max_receive_message_length": 100})
    async with RemoteClient(info, protocol="http") as client:
        with pytest.raises(SchemaError, match=r"larger than 100 bytes.* grpc\.max_receive_message_length"):
            await client.describe()


@both
async def test_a_document_that_drips(http_wire: HttpWire, kind: str) -> None:
    steps = [send(head(headers=LENGTH | {"content-length": 1000})), drip(" " * 1000, 0.05), KEEP]
    await http_wire.faults({"GET /openapi.json": {"steps": steps}})
    with pytest.raises(SchemaError) as caught:
        await _describe(http_wire.target, kind, timeout=0.3)
    assert isinstance(caught.value, DeadlineExceededError)


# -- threads that make types ------------------------------------------------------------------------------------------


class Endless:
    """Makes types without end, as of a hostile document; `free` lets it return.

    Attributes:
        begun: how often it was begun.
        ended: set when it was given up.
    """

    def __init__(self) -> None:
        self.__name__ = uuid.uuid4().hex  # what another test made is not found
        self.begun = 0
        self.entered, self.ended, self.free = threading.Event(), threading.Event(), threading.Event()

    def __call__(self, document: bytes, budget: Budget) -> ServiceDescription:
        self.begun += 1
        self.entered.set()
        try:
            while not self.free.wait(0.001):
                budget.check()
        except SchemaError:
            self.ended.set()
            raise
        return ServiceDescription({}, {}, {})


@pytest.fixture(params=["describe_lazily", "describe"])
async def endless(
    http_wire: HttpWire, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> AsyncIterator[Endless]:
    """Takes the place of what reads a document, or of what makes all of its types then."""
    made = Endless()
    monkeypatch.setattr(openapi, request.param, made)
    monkeypatch.setattr(introspection, "_wholes", type(introspection._wholes)())
    yield made
    made.free.set()


async def _until(event: threading.Event) -> bool:
    return await asyncio.to_thread(event.wait, 5)


@both
async def test_types_are_made_no_longer_than_a_call_may_take(http_wire: HttpWire, endless: Endless, kind: str) -> None:
    with pytest.raises(SchemaError, match=r"took more than 0\.3 seconds") as caught:
        await _describe(http_wire.target, kind, timeout=0.3)
    assert isinstance(caught.value, DeadlineExceededError)
    assert await _until(endless.ended)


async def test_types_are_made_no_longer_than_anybody_waits(http_wire: HttpWire, endless: Endless) -> None:
    first, second = [asyncio.create_task(_describe(http_wire.target, "asyncio", each)) for each in (10, 11)]
    await _until(endless.entered)
    while not any(build._waiting == 2 for build in introspection._builds.values()):
        await asyncio.sleep(0.001)
    first.cancel()
    await asyncio.wait((first,))
    assert not endless.ended.is_set()
    second.cancel()
    assert await _until(endless.ended)
    assert endless.begun == 1
    assert not introspection._builds


async def test_a_cancelled_call_ends_the_making_of_types_of_an_open_client(
    http_wire: HttpWire, endless: Endless
) -> None:
    async with RemoteClient(http_wire.target, timeout=None) as client:
        first, second = [asyncio.create_task(client.describe()) for _ in range(2)]
        await _until(endless.entered)
        first.cancel()
        await asyncio.wait((first,), timeout=2 * LINGER)
        assert not endless.ended.is_set()  # for the second one
        second.cancel()
        assert await _until(endless.ended)
        endless.free.set()
        assert await client.describe()
    assert endless.begun == 2


async def test_types_whose_making_was_given_up_are_begun_anew(http_wire: HttpWire, endless: Endless) -> None:
    first = asyncio.create_task(_describe(http_wire.target, "asyncio"))
    await _until(endless.entered)
    first.cancel()
    await asyncio.wait((first,))
    second = asyncio.create_task(_describe(http_wire.target, "asyncio"))
    await _until(endless.ended)
    endless.free.set()
    assert await second
    assert endless.begun == 2


@pytest.mark.parametrize("waits", [0.3, 10])
async def test_a_short_deadline_is_not_the_others(http_wire: HttpWire, endless: Endless, waits: float) -> None:
    """Whoever began, and however little time they have."""
    first, second = [
        asyncio.create_task(_describe(http_wire.target, "asyncio", each)) for each in (waits, 10.3 - waits)
    ]
    hurried, patient = (first, second) if waits < 1 else (second, first)
    with pytest.raises(DeadlineExceededError):
        await hurried
    endless.free.set()
    assert await patient
    assert endless.begun == 1


def test_the_end_of_a_loop_ends_the_making_of_types(http_wire: HttpWire, endless: Endless) -> None:
    async def leave() -> None:
        task = asyncio.create_task(_describe(http_wire.target, "asyncio"))
        await _until(endless.entered)
        del task

    asyncio.run(leave())
    assert endless.ended.wait(5)


# -- lists of models --------------------------------------------------------------------------------------------------

MANY = [f"model-{number:06}-wrong" for number in range(100_000)]


@pytest.fixture(params=["grpc", "http"])
async def crowded(request: pytest.FixtureRequest, wire: WireServer, http_wire: HttpWire) -> str:
    """A server that lists tens of thousands of models."""
    await wire.faults(models=MANY)
    body = {"models": [{"name": name, "module_metadata": {"name": "Sample"}} for name in MANY]}
    await http_wire.faults({"GET /info/models": {"body": body}})
    return wire.target if request.param == "grpc" else http_wire.target


async def test_many_models_and_a_wrong_name_do_not_hold_up_the_loop(crowded: str, no_gc: None) -> None:
    async with RemoteClient(crowded) as client:
        await client.describe()
        for ask in (partial(_miss, client, "model-000042-wrung"), client.models, partial(client.model, MANY[-1])):
            before = time.thread_time()  # of the loop's thread alone, however busy the machine is
            await ask()
            assert time.thread_time() - before < 0.5


async def _miss(client: RemoteClient, name: str) -> None:
    with pytest.raises(ModelNotFoundError, match="did you mean 'model-000042-wrong'"):
        await client.model(name)


@pytest.mark.sampled(1)
def test_many_models_and_a_wrong_name_over_the_blocking_client(crowded: str) -> None:
    with sync.RemoteClient(crowded) as client:
        with pytest.raises(ModelNotFoundError, match="did you mean 'model-000042-wrong'"):
            client.model("model-000042-wrung")
        assert len(client.models()) == len(MANY)
