"""What middleware does that it should not, and what ends a call while it runs: nothing is lost, leaked or silent."""

from __future__ import annotations

import asyncio
import pickle
import weakref
from collections.abc import AsyncIterator
from typing import Any

import pytest

from remote_client.errors import (
    CallCancelledError,
    ClosedError,
    DeadlineExceededError,
    MiddlewareError,
    OutcomeUnknownError,
    RemoteCallError,
    UnavailableError,
)
from remote_client.hooks import CallEnded, CallStarted
from remote_client.middleware import Answer, OutgoingCall, Proceed
from remote_client.settings import RetryPolicy
from tests.support.http_wire import sleep
from tests.support.ways import Way
from tests.support.wire import settled

ONCE = RetryPolicy(retries=0)


def nothing_held(module: Any) -> int:
    """What calls hold of the server: places, leases, and their count."""
    connections = module._caller.connections
    leases = 0 if connections._current is None else connections._current.leases
    return connections.pending.count + connections.health.in_flight + leases


async def until_nothing_held(module: Any) -> None:
    assert await settled(lambda: nothing_held(module), 0, 2) == 0


async def until_nothing_waits(module: Any) -> None:
    assert await settled(lambda: module._caller.connections.pending.count, 0, 2) == 0


async def plain(call: OutgoingCall, proceed: Proceed) -> Answer:
    return await proceed(call)


# -- answers that were never given ------------------------------------------------------------------------------------


async def test_an_answer_that_it_made_up(way: Way) -> None:
    async def made_up(call: OutgoingCall, proceed: Proceed) -> Answer:
        return Answer({}, {})

    async def swallows(call: OutgoingCall, proceed: Proceed) -> Answer:
        try:
            return await proceed(call)
        except RemoteCallError:
            return Answer({}, {})

    await way.fails(9)
    for middleware in (made_up, swallows):
        async with way.module(middleware=(middleware,)) as module:
            with pytest.raises(MiddlewareError, match="must return the answer"):
                await module.echo(b"x")
            with pytest.raises(MiddlewareError, match="must return the answer"):
                await anext(module.count(n=1))
            await until_nothing_held(module)


async def test_a_wrong_answer_is_not_repeated(way: Way) -> None:
    async def wrong(call: OutgoingCall, proceed: Proceed) -> Any:
        await proceed(call)
        return {"authorization": "tk5Xa2"}

    async with way.module(middleware=(wrong,)) as module:
        with pytest.raises(MiddlewareError, match="must return the answer") as caught:
            await module.echo(b"x")
    assert "tk5Xa2" not in str(caught.value)


@pytest.mark.parametrize("kind", [asyncio.CancelledError, StopAsyncIteration])
async def test_what_it_raises_is_no_end_of_the_stream(way: Way, kind: type[BaseException]) -> None:
    """Nobody cancelled the call, and the stream is not over."""

    async def raises(call: OutgoingCall, proceed: Proceed) -> Answer:
        await proceed(call)
        raise kind

    async with way.module(middleware=(plain, raises)) as module:
        with pytest.raises(MiddlewareError, match=kind.__name__):
            async for _ in module.count(n=2):
                pass
        with pytest.raises(MiddlewareError, match=kind.__name__):
            await module.echo(b"x")
        await until_nothing_held(module)


async def test_what_an_input_raises_passes_unchanged(wire: Any) -> None:
    async def items() -> AsyncIterator[bytes]:
        yield b"1"
        raise asyncio.CancelledError("mine")

    for engine in ("asyncio", "grpcio"):
        async with Way(wire, engine).module(middleware=(plain, plain)) as module:
            with pytest.raises(asyncio.CancelledError, match="mine"):
                await module.sum(items())
            with pytest.raises(asyncio.CancelledError, match="mine"):
                async for _ in module.chat(items()):
                    pass


async def test_a_task_that_somebody_cancelled_is_no_end_of_the_stream(way: Way) -> None:
    tasks: list[asyncio.Task[Any]] = []

    async def hangs(call: OutgoingCall, proceed: Proceed) -> Answer:
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task)
        await asyncio.Event().wait()
        return await proceed(call)

    async with way.module(middleware=(hangs,)) as module:
        reading = asyncio.create_task(anext(module.count(n=2), None))
        while not tasks:
            await asyncio.sleep(0)
        tasks[0].cancel()
        with pytest.raises(CallCancelledError):
            await reading


# -- what goes on when the call is over -------------------------------------------------------------------------------


async def test_one_that_goes_on_after_a_cancel_sends_nothing(way: Way) -> None:
    async def stubborn(call: OutgoingCall, proceed: Proceed) -> Answer:
        try:
            await asyncio.sleep(30)
        except asyncio.CancelledError:
            errors.append("cancelled")
        try:
            return await proceed(call)
        except Exception as error:
            errors.append(type(error).__name__)
            raise

    async with way.module(middleware=(stubborn,)) as module:
        errors: list[str] = []
        async with module.silent():
            await asyncio.sleep(0.05)
        assert errors == ["cancelled", "ClosedError"]
        assert await way.server.started("Silent", "POST /silent") == 0
        await until_nothing_held(module)


async def test_one_that_shields_leaves_no_call_behind(way: Way) -> None:
    async def shields(call: OutgoingCall, proceed: Proceed) -> Answer:
        return await asyncio.shield(asyncio.ensure_future(proceed(call)))

    async with way.module(middleware=(shields,)) as module:
        stream = module.silent()
        reading = asyncio.create_task(anext(stream))
        await way.server.until_running(1)
        await stream.aclose()
        await asyncio.wait([reading])
        await way.server.until_running(0)
        calling = asyncio.create_task(module.sleep(seconds=30))
        await way.server.until_running(1)
        calling.cancel()
        await asyncio.wait([calling])
        await way.server.until_running(0)
        await until_nothing_held(module)


async def test_an_attempt_that_was_left_behind_does_not_take_the_place_of_the_next(way: Way) -> None:
    tasks = []

    async def spawns(call: OutgoingCall, proceed: Proceed) -> Answer:
        if call.attempt == 1:
            tasks.append(asyncio.ensure_future(proceed(call)))
            raise UnavailableError("not yet")
        return await proceed(call)

    async with way.module(middleware=(spawns,)) as module:
        assert len([item async for item in module.count(n=3)]) == 3
        assert await module.echo(b"x") == b"x"
        await until_nothing_held(module)
        await asyncio.wait(tasks)
        for task in tasks:
            assert task.cancelled() or isinstance(task.exception(), Exception)
    await way.server.until_running(0)


async def test_a_call_that_its_middleware_refused_ends_before_the_pause(way: Way) -> None:
    async def refuses(call: OutgoingCall, proceed: Proceed) -> Answer:
        await proceed(call)
        raise UnavailableError("I dislike it")

    await way.server.faults(told=True)
    retry = RetryPolicy(retries=1, initial_backoff=30, max_backoff=30)
    async with way.module(middleware=(refuses,), retry=retry, timeout=None) as module:
        reading = asyncio.create_task(anext(module.count(n=1, hang=True)))
        stats = await way.server.until(lambda seen: seen["cancelled"], 5)
        assert stats["cancelled"]
        assert not reading.done()
        await until_nothing_waits(module)
        reading.cancel()
        await asyncio.wait([reading])


async def test_a_failed_call_frees_its_place_while_middleware_looks_at_it(way: Way) -> None:
    seen: list[int] = []

    async def looks(call: OutgoingCall, proceed: Proceed) -> Answer:
        try:
            return await proceed(call)
        except RemoteCallError:
            await asyncio.sleep(0.05)
            seen.append(module._caller.connections.pending.count)
            raise

    await way.fails(9)
    async with way.module(middleware=(looks,), retry=ONCE) as module:
        for call in (module.echo(b"x"), anext(module.count(n=1))):
            with pytest.raises(UnavailableError):
                await call
    assert seen == [0, 0]


async def test_the_place_is_free_once_the_head_is_there(way: Way) -> None:
    seen: list[int] = []

    async def looks(call: OutgoingCall, proceed: Proceed) -> Answer:
        answer = await proceed(call)
        seen.append(module._caller.connections.pending.count)
        return answer

    await way.server.faults(told=True)
    async with way.module(middleware=(looks,)) as module:
        async with module.count(n=1, delay=0.1) as stream:
            await anext(stream)
    assert seen == [0]


async def test_it_may_close_the_stream(way: Way) -> None:
    events: list[Any] = []
    streams: list[Any] = []

    async def closes(call: OutgoingCall, proceed: Proceed) -> Answer:
        answer = await proceed(call)
        await streams[0].aclose()
        return answer

    await way.server.faults(told=True)
    async with way.module(middleware=(closes,), hooks=(events.append,)) as module:
        streams.append(module.count(n=2, hang=True))
        with pytest.raises(ClosedError):
            await anext(streams[0])
        await until_nothing_held(module)
    assert [type(each) for each in events] == [CallStarted, CallEnded]
    await way.server.until_running(0)


# -- errors -----------------------------------------------------------------------------------------------------------


async def test_one_error_that_it_raises_again_and_again(way: Way) -> None:
    failure = UnavailableError("the circuit is open")

    async def breaks(call: OutgoingCall, proceed: Proceed) -> Answer:
        raise failure

    async with way.module(middleware=(breaks,)) as module:
        for _ in range(2):
            with pytest.raises(UnavailableError) as caught:
                await module.echo(b"x")
            assert caught.value.attempts == 4
            assert failure not in caught.value.previous
            pickle.loads(pickle.dumps(caught.value))
            with pytest.raises(UnavailableError):
                await anext(module.count(n=1))


async def test_an_item_before_an_error_is_not_lost(way: Way) -> None:
    async def slow(call: OutgoingCall, proceed: Proceed) -> Answer:
        answer = await proceed(call)
        await asyncio.sleep(0.1)
        return answer

    for middleware in (plain, slow):
        async with way.module(middleware=(middleware,), retry=ONCE) as module:
            for n in (1, 2):
                items = []
                with pytest.raises(RemoteCallError):
                    async for item in module.count(n=n, fail="INTERNAL" if way.is_grpc else 500):
                        items.append(item)
                assert len(items) == n
            assert [item async for item in module.count(n=0)] == []


async def test_a_start_that_it_failed(way: Way) -> None:
    """Before `proceed` nothing was sent, and after it nobody knows."""
    after = False

    async def fails(call: OutgoingCall, proceed: Proceed) -> Answer:
        if after:
            await proceed(call)
        raise UnavailableError("I dislike it")

    path = "/test.Test/Echo" if way.is_grpc else "POST /echo"
    async with way.module(middleware=(fails,)) as module:
        with pytest.raises(UnavailableError):
            await module._caller.send_bytes_once("start", path, b"x")
        assert not await way.server.started("Echo", "POST /echo")
        after = True
        with pytest.raises(OutcomeUnknownError) as caught:
            await module._caller.send_bytes_once("start", path, b"x")
    assert caught.value.request_id == (await way.sent())[0]["x-request-id"]
    assert (caught.value.attempts, caught.value.seconds is None) == (1, False)
    assert pickle.loads(pickle.dumps(caught.value)).request_id == caught.value.request_id
    assert await way.server.started("Echo", "POST /echo") == 1


# -- memory -----------------------------------------------------------------------------------------------------------


async def test_an_abandoned_stream_whose_head_never_came(way: Way, no_gc: None) -> None:
    """The task of its middleware does not keep it."""
    events: list[Any] = []
    async with way.module(middleware=(plain,), hooks=(events.append,)) as module:
        stream = module.silent() if way.is_grpc else module.script_stream(steps=[sleep(9)])
        await stream.__aenter__()
        await way.server.until_running(1)
        gone = weakref.ref(stream)
        del stream
        assert gone() is None
        await way.server.until_running(0)
        await until_nothing_held(module)
    assert [type(each) for each in events] == [CallStarted, CallEnded]


async def test_an_abandoned_stream_whose_middleware_waits(way: Way, no_gc: None) -> None:
    events: list[Any] = []
    ended: list[str] = []

    async def waits(call: OutgoingCall, proceed: Proceed) -> Answer:
        try:
            await asyncio.sleep(9)
        finally:
            ended.append("waits")
        return await proceed(call)

    async with way.module(middleware=(waits,), hooks=(events.append,)) as module:
        stream = await module.silent().__aenter__()
        await asyncio.sleep(0)
        del stream
        assert await settled(lambda: int(not ended), 0, 1) == 0
        await asyncio.sleep(0)
    assert [type(each) for each in events] == [CallStarted, CallEnded]


@pytest.mark.sampled(8)
@pytest.mark.parametrize("end", ["ok", "fails", "cancelled", "dropped", "raises", "late"])
async def test_nothing_waits_for_the_garbage_collector(way: Way, no_gc: None, end: str) -> None:
    if way.engine == "httpx" and end in ("fails", "cancelled", "late"):
        pytest.skip("httpx makes cycles")

    async def watched(call: OutgoingCall, proceed: Proceed) -> Answer:
        answer = await proceed(call)
        if end == "raises":
            raise ZeroDivisionError
        return answer

    events: list[str] = []
    module = way.module(
        middleware=(watched, plain), hooks=(lambda event: events.append(type(event).__name__),), retry=ONCE
    )
    if end == "late":
        module = module.with_options(timeout=0.1)
    await _ends(way, module, end)
    await until_nothing_held(module)
    gone = weakref.ref(module._caller.connections._current.transport)
    await module._caller.connections.aclose()
    del module
    assert await settled(lambda: int(gone() is not None), 0, 1) == 0
    assert events.count("CallStarted") == events.count("CallEnded") == (1 if end == "dropped" else 2)


async def _ends(way: Way, module: Any, end: str) -> None:
    if end == "ok":
        await module.with_response().echo(b"x")
        assert [item async for item in module.count(n=2)]
    elif end == "fails":
        await way.fails(9)
        with pytest.raises(UnavailableError):
            await module.echo(b"x")
        with pytest.raises(UnavailableError):
            await anext(module.count(n=1))
    elif end == "raises":
        with pytest.raises(ZeroDivisionError):
            await module.echo(b"x")
        with pytest.raises(ZeroDivisionError):
            await anext(module.count(n=1, hang=True))
    elif end == "late":
        with pytest.raises(DeadlineExceededError):
            await module.sleep(seconds=9)
        with pytest.raises(DeadlineExceededError):
            await anext(module.silent())
    elif end == "cancelled":
        for call in (module.sleep(seconds=9), anext(module.silent())):
            task = asyncio.ensure_future(call)
            await way.server.until_running(1)
            task.cancel()
            await asyncio.wait([task])
            del task, call
    else:
        stream = module.count(n=3, hang=True)
        await anext(stream)
        gone = weakref.ref(stream)
        del stream
        assert gone() is None
        await way.server.until_running(0)
