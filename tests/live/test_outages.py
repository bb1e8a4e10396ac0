"""Jobs and trainings of servers that go away: waits that last longer, and lookups among those that live."""

from __future__ import annotations

import asyncio
import random
import struct
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
import pytest_asyncio

from remote_client import JobStatus, RemoteClient
from remote_client.errors import DeadlineExceededError, InputError, NotFoundError, UnavailableError
from remote_client.hooks import CallStarted, Event
from tests.support.gate import Gate
from tests.support.runtime import Runtime
from tests.support.slow import slow_but

from .clients import call, client_of
from .protocols import Protocol, port_of

OUTAGE = 3.0


@pytest_asyncio.fixture
async def other_gate(other_runtime: Runtime, protocol: Protocol) -> AsyncIterator[Gate]:
    async with Gate(port_of(other_runtime, protocol)) as gate:
        yield gate


@dataclass
class Work:
    """What is started, and known at the server by data that nothing else has."""

    kind: str
    seconds: float = 1.0
    token: str = field(default_factory=lambda: uuid.uuid4().hex)

    def __post_init__(self) -> None:
        self.seconds += random.random() / 10

    @property
    def name(self) -> str:
        """The name of the model that is trained."""
        return f"outage-{self.token[:8]}"

    async def start(self, client: Any) -> Any:
        if self.kind == "job":
            return await call((await call(client.model, "slow")).start_slow_job, self.seconds)
        arguments = {"training_data": [{"name": self.token}], "union_list": ["x"], "module": "SampleModule"}
        train = (await call(client.model, "foo")).train
        return await call(train, **arguments, seconds=self.seconds, model_name=self.name)

    def starts(self, gate: Gate) -> int:
        """How often the server was told to."""
        told = [self.token.encode()]
        if self.kind == "job":
            told = [repr(self.seconds).encode(), struct.pack("<d", self.seconds)]
        return sum(map(gate.sent.count, told))


def handle(client: Any, work: Work, id: str) -> Any:
    """Take up what another client started."""
    return client.prediction_job("SlowTask", id) if work.kind == "job" else client.training(id, work.name)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("deed", slow_but(["job", "model"], ["job", "training", "model"]))
async def test_a_wait_outlives_an_outage(gate: Gate, protocol: Protocol, kind_of_client: str, deed: str) -> None:
    work = Work("job" if deed == "job" else "training")
    async with client_of(kind_of_client, protocol, gate) as client:
        job = await work.start(client)
        await gate.shut()
        waiting = asyncio.create_task(call(job.model if deed == "model" else job.wait))
        await asyncio.wait([waiting], timeout=OUTAGE)
        await gate.open()
        ended = await waiting
        if deed == "model":
            assert (await call(ended.run_sample, {"name": "World"})).greeting == "Hello World"
        else:
            assert ended.state is JobStatus.COMPLETED
    assert work.starts(gate) == 1


@pytest.mark.sampled(1)
async def test_a_wait_ends_with_its_outage(gate: Gate, protocol: Protocol, kind_of_client: str) -> None:
    async with client_of(kind_of_client, protocol, gate) as client:
        job = await Work("job", 3.0).start(client)
        await gate.shut()
        with pytest.raises(UnavailableError, match=r"nobody has answered for [0-9.]+ seconds: UNAVAILABLE: ") as caught:
            await call(job.wait, outage=0.5)
        assert type(caught.value.__cause__) is UnavailableError
        with pytest.raises(DeadlineExceededError, match=r"is not done after 0\.5 seconds; nobody has") as late:
            await call(job.wait, 0.5)
        assert type(late.value.__cause__) is UnavailableError
        await gate.open()
        assert (await call(job.wait)).state is JobStatus.COMPLETED


async def test_a_server_that_forgot_it_ends_a_wait(
    gate: Gate, other_gate: Gate, protocol: Protocol, kind_of_client: str
) -> None:
    async with client_of(kind_of_client, protocol, gate) as client:
        training = await Work("training", 30.0).start(client)
        waiting = asyncio.create_task(call(training.wait))
        await gate.shut()
        gate.to, other_gate.to = other_gate.to, gate.to
        await gate.open()
        with pytest.raises(NotFoundError):
            await waiting
    async with client_of(kind_of_client, protocol, other_gate) as client:  # it goes on
        assert (await call(client.training(training.id).cancel)).state is JobStatus.CANCELED


async def test_many_waits_ask_fewer_than_fifty_times_a_second(gate: Gate, protocol: Protocol) -> None:
    times: list[float] = []
    now = asyncio.get_running_loop().time
    async with client_of("asyncio", protocol, gate) as client:
        job = await Work("job", 30.0).start(client)
    target = f"{'http' if protocol == 'http' else 'grpc'}://127.0.0.1:{gate.port}"

    def hook(event: Event) -> None:
        if isinstance(event, CallStarted):
            times.append(now())

    async with RemoteClient(target, hooks=[hook]) as client:
        waits = [asyncio.create_task(client.prediction_job("SlowTask", job.id).wait(poll=0.1)) for _ in range(200)]
        async with asyncio.timeout(60):
            while len(times) < 150:
                await asyncio.sleep(0.1)
        for each in waits:
            each.cancel()
        await asyncio.wait(waits)
        await client.prediction_job("SlowTask", job.id).cancel()
    questions = times[10:]  # what is before is about what the server can do
    assert all(later - earlier >= 1.0 for earlier, later in zip(questions, questions[50:], strict=False))


@pytest.mark.sampled(8)
@pytest.mark.parametrize("order", slow_but(["last"], ["first", "last"]))
@pytest.mark.parametrize("deed", ["status", "wait", "cancel"])
@pytest.mark.parametrize("kind", ["job", "training"])
async def test_a_lookup_asks_the_servers_that_live(
    gate: Gate, other_gate: Gate, protocol: Protocol, kind_of_client: str, kind: str, deed: str, order: str
) -> None:
    work = Work(kind)
    async with client_of(kind_of_client, protocol, gate) as client:
        id = (await work.start(client)).id
    await other_gate.shut()
    gates = (gate, other_gate) if order == "first" else (other_gate, gate)
    async with client_of(kind_of_client, protocol, *gates) as client:
        assert await call(getattr(handle(client, work, id), deed))
    assert work.starts(gate) == 1


async def test_a_trained_model_is_found_on_the_server_that_lives(
    gate: Gate, other_gate: Gate, protocol: Protocol, kind_of_client: str
) -> None:
    work = Work("training")
    async with client_of(kind_of_client, protocol, gate) as client:
        training = await work.start(client)
    await other_gate.shut()
    async with client_of(kind_of_client, protocol, other_gate, gate) as client:
        model = await call(handle(client, work, training.id).model)
        assert (await call(model.run_sample, {"name": "World"})).greeting == "Hello World"
    assert work.starts(gate) == 1


async def test_nobody_knows_the_id(gate: Gate, other_gate: Gate, protocol: Protocol, kind_of_client: str) -> None:
    async with client_of(kind_of_client, protocol, gate, other_gate) as client:
        for job in (client.prediction_job("SampleTask", "nope"), client.training("nope")):
            with pytest.raises(NotFoundError):
                await call(job.status)
        await other_gate.shut()
        for job in (client.prediction_job("SampleTask", "nope"), client.training("nope")):
            with pytest.raises(UnavailableError, match=f"no other server knows it, and .*:{other_gate.port} could"):
                await call(job.status)
            with pytest.raises(UnavailableError, match=r"nobody has answered for .* seconds") as caught:
                await call(job.wait, outage=0.3)
            assert str(other_gate.port) in str(caught.value.__cause__)
        with pytest.raises(InputError):
            await call(client.training("nope").model)


async def test_a_result_that_is_not_there_yet_is_told_by_its_server(
    gate: Gate, other_gate: Gate, protocol: Protocol, kind_of_client: str
) -> None:
    async with client_of(kind_of_client, protocol, gate) as client:
        job = await Work("job", 30.0).start(client)
        await other_gate.shut()
        async with client_of(kind_of_client, protocol, other_gate, gate) as both:
            with pytest.raises(NotFoundError):
                await call(both.prediction_job("SlowTask", job.id).result)
        await call(job.cancel)


FOUND = {"job": ["status", "wait", "result", "cancel"], "training": ["status", "wait", "model", "cancel"]}


@pytest.mark.sampled(16)
@pytest.mark.parametrize("since", ["ever", "now"])
@pytest.mark.parametrize(("kind", "deed"), [(kind, deed) for kind, deeds in FOUND.items() for deed in deeds])
async def test_a_server_that_never_answers_holds_nothing_up(
    gate: Gate, other_gate: Gate, protocol: Protocol, kind_of_client: str, kind: str, deed: str, since: str
) -> None:
    work, other_gate.to = Work(kind, 0.1), gate.to  # whose answers do not come back
    async with client_of(kind_of_client, protocol, gate) as client:
        job = await work.start(client)
        await call(job.wait)
    async with client_of(kind_of_client, protocol, other_gate, gate, timeout=3600) as client, asyncio.timeout(30):
        if since == "now":  # it is known, and connected
            await call(client.models)
            await call(client.model, "foo")
        other_gate.hold()
        other_gate.sent.clear()
        assert await call(getattr(handle(client, work, job.id), deed))
        assert other_gate.sent  # it was asked
    assert work.starts(gate) == 1
