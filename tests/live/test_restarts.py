"""Jobs and trainings through a crash of their runtime that starts again at the same ports, and its stand-still."""

from __future__ import annotations

import asyncio
import signal
import uuid
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

from remote_client.errors import NotFoundError, UnavailableError
from tests.support.gate import Gate
from tests.support.runtime import Runtime

from .clients import call, client_of
from .protocols import Protocol, port_of

TRAINING = {"training_data": [{"name": "a"}], "union_list": ["x"], "module": "SampleModule"}


@pytest.fixture(scope="module")
def mortal() -> Iterator[Runtime]:
    """A runtime of its own, that is killed."""
    with Runtime() as running:
        yield running


@pytest_asyncio.fixture
async def door(mortal: Runtime, protocol: Protocol) -> AsyncIterator[Gate]:
    async with Gate(port_of(mortal, protocol)) as gate:
        yield gate


@pytest_asyncio.fixture
async def client(door: Gate, protocol: Protocol, kind_of_client: str) -> AsyncIterator[Any]:
    async with client_of(kind_of_client, protocol, door) as client:
        yield client


@pytest.fixture
def name() -> str:
    return f"mortal-{uuid.uuid4().hex[:8]}"


async def crash(runtime: Runtime, door: Gate) -> None:
    await door.shut()  # whoever comes meanwhile is refused
    runtime.kill()
    await asyncio.to_thread(runtime.restart)
    await door.open()


@pytest.mark.sampled(2)
async def test_a_crash_ends_waits_once_the_runtime_is_back(client: Any, mortal: Runtime, door: Gate, name: str) -> None:
    training = await call((await call(client.model, "foo")).train, **TRAINING, seconds=30.0, model_name=name)
    job = await call((await call(client.model, "slow")).start_slow_job, 30.0)
    waits = [asyncio.create_task(call(each)) for each in (training.wait, training.model, job.wait)]
    await asyncio.wait(waits, timeout=0.5)
    await crash(mortal, door)
    for each in waits:
        with pytest.raises(NotFoundError):
            await each


@pytest.mark.sampled(2)
async def test_a_model_that_was_complete_before_a_crash_is_found(
    client: Any, mortal: Runtime, door: Gate, name: str
) -> None:
    training = await call((await call(client.model, "foo")).train, **TRAINING, model_name=name)
    await call(training.wait)
    await crash(mortal, door)
    with pytest.raises(NotFoundError):
        await call(training.status)
    model = await call(training.model)
    assert (await call(model.run_sample, {"name": "World"})).greeting == "Hello World"


async def test_a_result_outlives_an_outage(client: Any, door: Gate) -> None:
    job = await call((await call(client.model, "slow")).start_slow_job, 0.1)
    await call(job.wait)
    await door.shut()
    for each in (job.result, job.status, job.cancel):
        with pytest.raises(UnavailableError):
            await call(each)
    await door.open()
    await call(client.prediction_job("SlowTask", job.id).wait)  # until it can be reached
    assert (await call(job.result)).greeting


@pytest.mark.sampled(2)
async def test_a_wait_that_is_cancelled_in_an_outage_leaves_nothing(
    client: Any, door: Gate, kind_of_client: str
) -> None:
    job = await call((await call(client.model, "slow")).start_slow_job, 2.0)
    await door.shut()
    if kind_of_client == "asyncio":
        before = asyncio.all_tasks()
        waiting = asyncio.create_task(job.wait())
        await asyncio.wait([waiting], timeout=1.0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert asyncio.all_tasks() <= before
    else:
        with pytest.raises(TimeoutError):
            await call(job.wait, 1.0)
    await door.open()
    assert (await call(job.wait)).state == "COMPLETED"


@pytest.mark.sampled(1)
async def test_a_runtime_that_stands_still_is_waited_for(client: Any, mortal: Runtime, name: str) -> None:
    training = await call((await call(client.model, "foo")).train, **TRAINING, seconds=1.0, model_name=name)
    waiting = asyncio.create_task(call(training.model))
    await asyncio.wait([waiting], timeout=0.3)
    mortal.signal(signal.SIGSTOP)
    await asyncio.wait([waiting], timeout=3.0)
    mortal.signal(signal.SIGCONT)
    assert (await call((await waiting).run_sample, {"name": "World"})).greeting == "Hello World"
