"""A call that may be sent again is, over both protocols, and everything else is sent once."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest

from remote_client.errors import (
    ClosedError,
    DeadlineExceededError,
    RemoteCallError,
    ResourceExhaustedError,
    UnavailableError,
)
from remote_client.hooks import AttemptFailed, CallEnded, CallStarted
from remote_client.settings import CallOptions, RetryPolicy
from tests.support.clock import Stopwatch
from tests.support.http_wire import RESET, HttpWire, answer, events, http_module
from tests.support.wire import WireServer, raw_module

QUICK = RetryPolicy(retries=3, initial_backoff=0.01)


def options(**more: Any) -> CallOptions:
    return CallOptions(**{"timeout": 20, "retry": QUICK, **more})


async def test_every_attempt_is_told(wire: WireServer) -> None:
    events: list[Any] = []
    async with raw_module(wire.info(), options=options(hooks=(events.append,))) as module:
        with pytest.raises(UnavailableError, match="in attempt 4") as caught:
            await module.fail(code="UNAVAILABLE", details="down")
        assert await module.echo(b"x") == b"x"
    assert [type(each) for each in caught.value.previous] == [UnavailableError] * 3
    assert await wire.started("Fail") == 4
    started, *failed, ended, started_again, second = events
    assert isinstance(started, CallStarted)
    assert isinstance(started_again, CallStarted)
    assert {each.call for each in (*failed, ended)} == {started}
    assert [(each.attempt, each.wait is None) for each in failed] == [(1, False), (2, False), (3, False), (4, True)]
    assert all(isinstance(each, AttemptFailed) and each.target == wire.target for each in failed)
    assert (ended.attempts, ended.error, ended.method) == (4, caught.value, "test.Test/Fail")
    assert isinstance(second, CallEnded)
    assert (second.attempts, second.error, second.model) == (1, None, "raw")


async def test_a_hook_that_fails_goes_no_further(wire: WireServer, caplog: pytest.LogCaptureFixture) -> None:
    def hook(event: Any) -> None:
        raise RuntimeError("mine")

    async with raw_module(wire.info(), options=options(hooks=(hook,))) as module:
        assert await module.echo(b"x") == b"x"
    assert "the hook" in caplog.text


@pytest.mark.parametrize(
    ("code", "attempts"),
    [("UNAVAILABLE", 4), ("RESOURCE_EXHAUSTED", 4), ("UNKNOWN", 1), ("INTERNAL", 1), ("DEADLINE_EXCEEDED", 1)],
)
async def test_codes(wire: WireServer, code: str, attempts: int) -> None:
    async with raw_module(wire.info(), options=options()) as module:
        with pytest.raises(RemoteCallError):
            await module.fail(code=code)
        with pytest.raises(RemoteCallError):
            async for _ in module.count(n=0, fail=code):
                pass
    assert await wire.started("Fail") == await wire.started("Count") == attempts


async def test_a_stream_is_not_made_again_after_its_first_answer(wire: WireServer) -> None:
    async with raw_module(wire.info(), options=options()) as module:
        seen = []
        with pytest.raises(UnavailableError):
            async for each in module.count(n=2, fail="UNAVAILABLE"):
                seen.append(each)
    assert (seen, await wire.started("Count")) == ([b"0", b"1"], 1)


async def test_a_streamed_input_is_not_taken_twice(wire: WireServer) -> None:
    async def items() -> AsyncIterator[bytes]:
        yield b"fail"

    retried = CallOptions(retry=RetryPolicy(retries=3, codes=frozenset(["FAILED_PRECONDITION"])))
    async with raw_module(wire.info(), options=retried) as module:
        for source in (items, lambda: [b"fail"]):
            with pytest.raises(RemoteCallError):
                await module.sum(source())
            with pytest.raises(RemoteCallError):
                async for _ in module.chat(source()):
                    pass
        assert await wire.started("Sum") == await wire.started("Chat") == 2


@pytest.mark.parametrize(
    ("pushback", "attempts", "seconds"),
    [("0", 4, 0.0), ("200", 4, 0.6), ("-1", 1, 0.0), ("x", 1, 0.0), ("60000", 1, 0.0)],
)
async def test_pushback_over_grpc(wire: WireServer, pushback: str, attempts: int, seconds: float) -> None:
    async with raw_module(wire.info(), options=options()) as module:
        watch = Stopwatch()
        with pytest.raises(UnavailableError):
            await module.fail(code="UNAVAILABLE", trailing={"grpc-retry-pushback-ms": pushback})
        assert watch.wall >= seconds
        assert watch.seconds < seconds + 0.4
    assert await wire.started("Fail") == attempts


@pytest.mark.parametrize(("pushback", "attempts", "seconds"), [("0", 4, 0.0), ("1", 4, 3.0), ("60", 1, 0.0)])
async def test_pushback_over_http(http_wire: HttpWire, pushback: str, attempts: int, seconds: float) -> None:
    await http_wire.faults({"POST /echo": {"status": 503, "body": "x", "headers": {"retry-after": pushback}}})
    async with http_module(http_wire.info(), options=options()) as module:
        watch = Stopwatch()
        with pytest.raises(UnavailableError):
            await module.echo(b"{}")
        assert watch.wall >= seconds
        assert watch.seconds < seconds + 0.4
    assert await http_wire.started("POST /echo") == attempts


@pytest.mark.parametrize(("status", "attempts"), [(429, 4), (502, 4), (503, 4), (504, 4), (500, 1), (408, 1), (413, 1)])
async def test_http_statuses(http_wire: HttpWire, status: int, attempts: int) -> None:
    await http_wire.faults(
        {"POST /echo": {"status": status, "body": ""}, "POST /count": {"status": status, "body": ""}}
    )
    async with http_module(http_wire.info(), options=options()) as module:
        with pytest.raises(RemoteCallError) as caught:
            await module.echo(b"{}")
        assert len(caught.value.previous) == attempts - 1
        with pytest.raises(RemoteCallError):
            async for _ in module.count(n=1):
                pass
    assert await http_wire.started("POST /echo") == await http_wire.started("POST /count") == attempts


async def test_it_works_in_the_end(http_wire: HttpWire) -> None:
    lost: Any = {"steps": [RESET]}
    busy = {"status": 503, "body": ""}
    cut = {"steps": [*answer("cut short", headers={"content-length": 100}), RESET]}
    await http_wire.faults({"POST /echo": [lost, busy, cut, None], "POST /count": [busy, lost, None]})
    async with http_module(http_wire.info(), options=options()) as module:
        assert await module.echo(b'"x"') == b'"x"'
        assert [json.loads(each)["number"] async for each in module.count(n=2)] == [0, 1]


async def test_an_event_stream_that_is_cut_before_its_first_answer(http_wire: HttpWire) -> None:
    cut = {"steps": [*events(end=False), RESET]}
    await http_wire.faults({"POST /count": [cut, cut, None]})
    async with http_module(http_wire.info(), options=options()) as module:
        assert [json.loads(each)["number"] async for each in module.count(n=2)] == [0, 1]


@pytest.mark.parametrize("kind", ["unary", "stream"])
async def test_all_attempts_are_inside_of_one_deadline(wire: WireServer, kind: str) -> None:
    slow = RetryPolicy(retries=50, initial_backoff=0.3, multiplier=1)
    async with raw_module(wire.info(), options=options(timeout=1.0, retry=slow)) as module:
        watch = Stopwatch()
        with pytest.raises((UnavailableError, DeadlineExceededError)):  # the last attempt may meet the deadline
            if kind == "unary":
                await module.fail(code="UNAVAILABLE")
            else:
                async for _ in module.count(n=0, fail="UNAVAILABLE"):
                    pass
        assert watch.seconds < 1.25


@pytest.mark.parametrize("retries", [0, 5])
async def test_hooks_hear_of_the_end_of_a_stream_once(wire: WireServer, retries: int) -> None:
    told: list[Any] = []
    slow = RetryPolicy(retries=retries, initial_backoff=100, max_backoff=100)
    async with raw_module(wire.info(timeout=None), options=options(retry=slow, hooks=(told.append,))) as module:
        reading = asyncio.ensure_future(anext(module.with_options(timeout=None).count(n=0, fail="UNAVAILABLE")))
        while len(told) < 2:
            await asyncio.sleep(0.01)
        reading.cancel()
        await asyncio.wait([reading])
    assert [type(each) for each in told] == [CallStarted, AttemptFailed, CallEnded]
    assert isinstance(told[-1].error, asyncio.CancelledError if retries else UnavailableError)


async def test_cancelled_in_a_pause(wire: WireServer) -> None:
    events: list[Any] = []
    slow = RetryPolicy(retries=5, initial_backoff=100, max_backoff=100)
    async with raw_module(
        wire.info(timeout=None), options=options(timeout=None, retry=slow, hooks=(events.append,))
    ) as module:
        call = asyncio.ensure_future(module.fail(code="UNAVAILABLE"))
        while not events:
            await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert isinstance(events[-1].error, asyncio.CancelledError)


async def test_a_stream_that_is_closed_in_a_pause(wire: WireServer) -> None:
    slow = RetryPolicy(retries=5, initial_backoff=0.2, multiplier=1)
    async with raw_module(wire.info(), options=options(retry=slow)) as module:
        stream = module.count(n=0, fail="UNAVAILABLE")
        reading = asyncio.ensure_future(anext(stream, None))
        while not await wire.started("Count"):
            await asyncio.sleep(0.01)
        await stream.aclose()
        with pytest.raises(ClosedError):
            await reading
    assert (await wire.stats())["running"] == {}


async def test_options_of_a_call(wire: WireServer) -> None:
    async with raw_module(wire.info(retries=2)) as module:
        for retries in (0, 1, 3):
            before = await wire.started("Fail")
            with pytest.raises(UnavailableError):
                await module.with_options(retries=retries).fail(code="UNAVAILABLE")
            assert await wire.started("Fail") - before == retries + 1


async def test_1000_calls_at_total_failure(server: Any) -> None:
    await server.faults({"POST /fail": {"status": 503, "body": ""}})  # a route: a gRPC server has none
    seen: Counter[type] = Counter()
    async with server.plain(call_options=options()) as module:
        begun = time.monotonic()

        async def work() -> None:
            for _ in range(1000 // 32 + 1):
                if seen.total() < 1000:
                    seen["begun"] += 1  # type: ignore[index]
                    try:
                        await module.fail(code="UNAVAILABLE")
                    except (UnavailableError, ResourceExhaustedError) as error:
                        assert len(error.previous) <= 3

        await asyncio.gather(*(work() for _ in range(32)))
        taken = time.monotonic() - begun
    attempts = await server.started("Fail", "POST /fail")
    assert 1000 <= attempts <= 1200 + 10 * taken
