"""Who iterates an input closes it: streamed inputs, lists, and training data of a real runtime, both clients."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from remote_client.errors import InputError, InvalidArgumentError, RemoteCallError

from ..support.gate import Gate
from ..support.sources import (
    BLOCKING_ENDS,
    ENDS,
    SOURCES,
    SYNC_SOURCES,
    BoomError,
    End,
    Methods,
    Source,
    cancel,
    generator,
)
from .clients import call, client_of
from .protocols import Protocol

FLOOD = [{"name": "1"}, *[{"name": "x" * (1 << 20)}] * 64]
"""More than the network takes of a server that reads nothing."""
BY_NAME = {"ids": lambda each: each.__name__}


@pytest_asyncio.fixture
async def client(gate: Gate, protocol: Protocol, kind_of_client: str) -> AsyncIterator[Any]:
    async with client_of(kind_of_client, protocol, gate) as client:
        yield client
        gate.release()


async def methods_for(client: Any, end: End) -> Methods:
    """Those of a model that answers, or has no such methods."""
    model = await call(client.model, "primitive" if end.order == "fail" else "foo", task="SampleTask")
    return Methods(
        whole=lambda items, timeout=20: model.with_options(timeout=timeout).run_stream_in(items),
        each=model.run_bidi_stream,
        error=InvalidArgumentError,
    )


def both(asyncio_ends: Any, blocking_ends: Any) -> Any:
    ends = [("asyncio", each) for each in asyncio_ends] + [("blocking", each) for each in blocking_ends]
    return pytest.mark.parametrize(("kind_of_client", "end"), ends, ids=str)


@pytest.mark.sampled(40)
@pytest.mark.parametrize("protocol", ["grpc"])
@pytest.mark.parametrize("make", SOURCES, **BY_NAME)
@both(ENDS, BLOCKING_ENDS)
async def test_a_streamed_input_is_closed_by_who_read_it(
    client: Any, gate: Gate, kind_of_client: str, make: Any, end: End
) -> None:
    methods = await methods_for(client, end)
    source = end.source(FLOOD)
    if end.order == "hang":
        gate.hold()
    async with asyncio.timeout(20):
        if kind_of_client == "asyncio":
            await end.run(methods, source, make(source))
        else:
            await asyncio.to_thread(end.run, methods, source, make(source))
        if end.awaited:
            source.check()
        await asyncio.wrap_future(source.closed)
    source.check()
    gate.release()
    assert await call(client.models)


@pytest.mark.parametrize("protocol", ["grpc"])
@pytest.mark.parametrize("make", SOURCES, **BY_NAME)
async def test_a_streamed_input_is_closed_as_the_connection_is_lost(
    client: Any, gate: Gate, kind_of_client: str, make: Any
) -> None:
    methods = await methods_for(client, End(cancel))
    source = Source(FLOOD)
    items = make(source)
    whole = methods.whole(items) if kind_of_client == "asyncio" else asyncio.to_thread(methods.whole, items)
    async with asyncio.timeout(20):
        running = asyncio.ensure_future(whole)
        await asyncio.wrap_future(source.under_way)
        await gate.shut()
        with pytest.raises(RemoteCallError):
            await running
        source.check()
        await gate.open()


@pytest.mark.parametrize("kind_of_client", ["asyncio"])
async def test_a_cancel_closes_training_data(client: Any) -> None:
    source = Source([{"name": "a"}])

    async def items() -> AsyncIterator[dict[str, str]]:
        try:
            for item in generator(source):
                yield item
            await asyncio.Event().wait()
        finally:
            closed.append(asyncio.current_task())

    closed: list[Any] = []
    rows, foo = items(), await client.model("foo")
    task = asyncio.ensure_future(foo.train(training_data=rows, union_list=["x"], module="SampleModule"))
    await asyncio.wrap_future(source.under_way)
    task.cancel()
    await asyncio.wait((task,))
    assert task.cancelled()
    assert closed == [task]


ENDINGS = {"fits": None, "misfit": InputError, "own error": BoomError}
ODD = {1.5: "JSON has no such key"}


def finite(item: Any, ending: str) -> Source:
    """A source of two items, of which the second may not fit."""
    items = [item, ODD if ending == "misfit" else item]
    return Source(items, own=BoomError("own") if ending == "own error" else None)


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("make", SYNC_SOURCES, **BY_NAME)
@pytest.mark.parametrize("method", ["run_numbers", "start_numbers_job"])
async def test_a_list_is_closed_by_who_read_it(client: Any, method: str, make: Any, ending: str) -> None:
    """An iterator may be given for a list, which is all there is over HTTP, and all that a job takes."""
    source = finite(1.0, ending)
    items = make(source)
    run = call(getattr(await call(client.model, "numbers"), method), items)
    if (error := ENDINGS[ending]) is None:
        await run
    else:
        with pytest.raises(error):
            await run
    source.check()


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("make", SOURCES, **BY_NAME)
async def test_training_data_is_closed_by_who_read_it(client: Any, gate: Gate, make: Any, ending: str) -> None:
    token = uuid.uuid4().hex
    source = finite({"name": token}, ending)
    items, train = make(source), (await call(client.model, "foo")).train
    run = call(train, training_data=items, union_list=["x"], module="SampleModule")
    if (error := ENDINGS[ending]) is None:
        await call((await run).wait)
    else:
        with pytest.raises(error):
            await run
    source.check()
    assert gate.sent.count(token.encode()) == (2 if ending == "fits" else 0)
