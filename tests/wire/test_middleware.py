"""Middleware, hooks that add metadata, ids of calls, and answers with their circumstances, on every way to a server."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import logging
import pickle
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from typing import Any

import pytest

from remote_client import Response
from remote_client.errors import (
    ConfigurationError,
    DeadlineExceededError,
    InputError,
    RemoteCallError,
    UnavailableError,
)
from remote_client.hooks import AttemptFailed, CallEnded, CallStarted
from remote_client.middleware import Answer, OutgoingCall, Proceed
from remote_client.settings import CallOptions, RetryPolicy
from remote_client.sync._modules import wrapped
from tests.support.clock import Stopwatch
from tests.support.ways import Way

ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}")


async def plain(call: OutgoingCall, proceed: Proceed) -> Answer:
    return await proceed(call)


# -- middleware -------------------------------------------------------------------------------------------------------


class Noting:
    """Adds a header, and notes what it sees."""

    def __init__(self) -> None:
        self.calls: list[OutgoingCall] = []
        self.answers: list[Answer] = []
        self.errors: list[BaseException] = []

    async def __call__(self, call: OutgoingCall, proceed: Proceed) -> Answer:
        self.calls.append(replace(call, metadata=dict(call.metadata)))
        call.metadata["x-signed"] = f"{call.attempt}"
        try:
            answer = await proceed(call)
        except BaseException as error:
            self.errors.append(error)
            raise
        self.answers.append(answer)
        return answer


@pytest.mark.parametrize("deed", ["echo", "count"])
async def test_it_runs_around_every_attempt(way: Way, deed: str) -> None:
    await way.fails(2)
    noting = Noting()
    async with way.module(middleware=(noting,), metadata=({"x-mine": "1"},)) as module:
        if deed == "echo":
            assert await module.echo(b"x") == b"x"
        else:
            assert len([each async for each in module.count(n=3)]) == 3
    assert [call.attempt for call in noting.calls] == [1, 2, 3]
    assert {call.metadata["x-mine"] for call in noting.calls} == {"1"}
    assert {(call.model, call.target, call.protocol) for call in noting.calls} == {
        ("raw", way.server.target.removeprefix("http://"), "grpc" if way.is_grpc else "http")
    }
    assert [type(error) for error in noting.errors] == [UnavailableError] * 2
    sent = await way.sent()
    assert [each["x-signed"] for each in sent] == ["1", "2", "3"]
    assert {each["mm-model-id"] for each in sent} == {"raw"}
    (request_id,) = {call.request_id for call in noting.calls}
    assert {each["x-request-id"] for each in sent} == {request_id}


async def test_it_sees_the_metadata_of_answers(way: Way) -> None:
    await way.server.faults(told=True)
    noting = Noting()
    async with way.module(middleware=(noting,)) as module:
        await module.echo(b"x")
        async with module.count(n=2) as stream:
            assert [item async for item in stream]
    assert "a, b" not in repr(noting.answers)  # servers may repeat secrets
    unary, stream = noting.answers
    assert unary.metadata["x-head"] == stream.metadata["x-head"] == "a, b"
    if way.is_grpc:
        assert unary.metadata["x-data-bin"] == b"\0\1"
        assert unary.trailing_metadata == {"x-trailer": "t None"}
    else:
        assert unary.metadata["content-type"] == "application/json"
    assert not stream.trailing_metadata


async def test_the_outermost_comes_first(way: Way) -> None:
    order: list[str] = []

    def named(name: str) -> Callable[..., Any]:
        async def middleware(call: OutgoingCall, proceed: Proceed) -> Answer:
            order.append(f"{name} begins")
            call.metadata["x-order"] = str(call.metadata.get("x-order", "")) + name
            answer = await proceed(call)
            order.append(f"{name} ends")
            return answer

        return middleware

    async with way.module(middleware=(named("a"), named("b"))) as module:
        await module.echo(b"x")
    assert order == ["a begins", "b begins", "b ends", "a ends"]
    assert (await way.sent())[-1]["x-order"] == "ab"


async def test_the_items_of_a_stream_come_while_it_waits_for_none(way: Way) -> None:
    """`proceed` returns at the head, before an item was read; the stream goes on after it."""
    seen: list[str] = []

    async def middleware(call: OutgoingCall, proceed: Proceed) -> Answer:
        answer = await proceed(call)
        seen.append("head")
        return answer

    await way.server.faults(told=True)  # gRPC's server sends no head of its own before the first item
    async with way.module(middleware=(middleware,)) as module:
        async for item in module.count(n=2, delay=0.2):
            seen.append("item" if item else "")
    assert seen == ["head", "item", "item"]


async def test_a_streamed_input_goes_on_meanwhile(wire: Any) -> None:
    """Who enters a stream of both directions and then feeds it waits for no head, which the server sends late."""
    for engine in ("asyncio", "grpcio"):
        queue: asyncio.Queue[bytes] = asyncio.Queue()

        async def items(queue: asyncio.Queue[bytes] = queue) -> AsyncIterator[bytes]:
            while item := await queue.get():
                yield item

        async with Way(wire, engine).module(middleware=(plain,)) as module:
            async with module.chat(items()) as stream:
                for number in range(3):
                    queue.put_nowait(b"%d" % number)
                    assert await anext(stream) == b"%d" % number
                queue.put_nowait(b"")
                assert await anext(stream, None) is None
            assert await module.sum([b"1", b"2"]) == b"3"


async def test_errors_of_its_own(way: Way) -> None:
    attempts = 0

    async def broken(call: OutgoingCall, proceed: Proceed) -> Answer:
        raise KeyError("mine")

    async def flaky(call: OutgoingCall, proceed: Proceed) -> Answer:
        nonlocal attempts
        attempts += 1
        if attempts < 3:
            raise UnavailableError("not yet")
        return await proceed(call)

    async def after(call: OutgoingCall, proceed: Proceed) -> Answer:
        await proceed(call)
        raise ValueError("I dislike the answer")

    async with way.module(middleware=(broken,)) as module:
        with pytest.raises(KeyError, match="mine"):
            await module.echo(b"x")
        with pytest.raises(KeyError, match="mine"):
            await anext(module.count(n=1))
    async with way.module(middleware=(flaky,)) as module:
        assert await module.echo(b"x") == b"x"
        attempts = 0
        assert [each async for each in module.count(n=1)]
    async with way.module(middleware=(after,)) as module:
        with pytest.raises(ValueError, match="dislike"):
            await module.echo(b"x")
        with pytest.raises(ValueError, match="dislike"):
            await anext(module.count(n=1, hang=True))
        await way.server.until_running(0)


async def test_wrong_answers_of_its_own(way: Way) -> None:
    async def nothing(call: OutgoingCall, proceed: Proceed) -> Any:
        await proceed(call)

    async def twice(call: OutgoingCall, proceed: Proceed) -> Answer:
        await proceed(call)
        return await proceed(call)

    async def wrong_key(call: OutgoingCall, proceed: Proceed) -> Answer:
        call.metadata["content-length"] = "5"
        return await proceed(call)

    async def other_id(call: OutgoingCall, proceed: Proceed) -> Answer:
        call.metadata["x-request-id"] = "mine"
        return await proceed(call)

    async def other_model(call: OutgoingCall, proceed: Proceed) -> Answer:
        call.metadata["mm-model-id"] = "other"
        return await proceed(call)

    for middleware, kind, text in (
        (nothing, TypeError, "must return the answer"),
        (twice, TypeError, "once"),
        (wrong_key, InputError, "'content-length' cannot be used"),
        (other_id, InputError, "'x-request-id' cannot be used"),
        (other_model, InputError, "'mm-model-id' cannot be used"),
    ):
        async with way.module(middleware=(middleware,)) as module:
            with pytest.raises(kind, match=text):
                await module.echo(b"x")
            with pytest.raises(kind, match=text):
                await anext(module.count(n=1))


async def test_one_that_hangs_ends_with_the_calls_time(way: Way) -> None:
    async def hangs(call: OutgoingCall, proceed: Proceed) -> Answer:
        answer = await proceed(call)
        await asyncio.Event().wait()
        return answer

    async with way.module(middleware=(hangs,), timeout=0.3, retry=RetryPolicy(retries=0)) as module:
        watch = Stopwatch()
        with pytest.raises(DeadlineExceededError):
            await module.echo(b"x")
        assert watch.seconds < 3
        with pytest.raises(DeadlineExceededError):
            await anext(module.count(n=1, hang=True))
        await way.server.until_running(0)


async def test_its_time_is_the_calls(way: Way) -> None:
    async def slow(call: OutgoingCall, proceed: Proceed) -> Answer:
        await asyncio.sleep(0.4)
        return await proceed(call)

    async with way.module(middleware=(slow,), timeout=0.8, retry=RetryPolicy(retries=0)) as module:
        watch = Stopwatch()
        with pytest.raises(DeadlineExceededError):
            await module.sleep(seconds=20)
        assert watch.seconds < 2


async def test_leaving_cancels_the_call_at_the_server(way: Way) -> None:
    async with way.module(middleware=(plain,)) as module:
        waiting = asyncio.create_task(module.sleep(seconds=100))
        await way.server.until_running(1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await way.server.until_running(0)
        stream = module.silent()
        reading = asyncio.create_task(anext(stream))
        await way.server.until_running(1)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await way.server.until_running(0)
        async with module.silent():
            await way.server.until_running(1)
        await way.server.until_running(0)
        async for _ in module.count(n=3, hang=True):
            break
        gc.collect()
        await way.server.until_running(0)


def test_one_for_the_blocking_client(way: Way) -> None:
    noting = Noting()
    with wrapped(way.module(middleware=(noting,))) as module:
        assert module.echo(b"x") == b"x"
        assert len(list(module.count(n=3))) == 3
    assert len(noting.answers) == 2


async def only_a_call(call: OutgoingCall) -> None:
    raise AssertionError


@pytest.mark.parametrize(
    ("middleware", "text"),
    [
        (plain, "give a list"),
        (5, "give a list"),
        ([lambda call, proceed: None], "no coroutine function"),
        ([only_a_call], "cannot be called with"),
    ],
)
def test_what_is_no_middleware(middleware: Any, text: str) -> None:
    with pytest.raises(ConfigurationError, match=text):
        CallOptions(middleware=middleware)


# -- hooks ------------------------------------------------------------------------------------------------------------

SET_BY_HOOK: contextvars.ContextVar[str] = contextvars.ContextVar("SET_BY_HOOK")


class Tracing:
    """A hook that adds metadata, and uses the context of a call."""

    def __init__(self, added: dict[str, Any] | None = None) -> None:
        self.events: list[Any] = []
        self.asked: list[CallStarted] = []
        self.added = {"traceparent": "00-1-2-01"} if added is None else added
        self._tokens: dict[CallStarted, Any] = {}

    def __call__(self, event: Any) -> None:
        self.events.append(event)
        if isinstance(event, CallStarted):
            self._tokens[event] = SET_BY_HOOK.set(event.request_id)
        else:
            assert SET_BY_HOOK.get() == event.request_id
        if isinstance(event, CallEnded):
            assert event.call is not None
            SET_BY_HOOK.reset(self._tokens.pop(event.call))  # raises in another context

    def metadata(self, call: CallStarted) -> dict[str, Any]:
        self.asked.append(call)
        return self.added


@pytest.mark.parametrize("deed", ["echo", "count"])
async def test_a_hook_adds_metadata_once_a_call(way: Way, deed: str, caplog: pytest.LogCaptureFixture) -> None:
    await way.fails(2)
    hook = Tracing()
    async with way.module(hooks=(hook,), metadata=({"traceparent": "old", "x-mine": "1"},)) as module:
        if deed == "echo":
            await module.echo(b"x")
        else:
            assert len([each async for each in module.count(n=3)]) == 3
    sent = await way.sent()
    assert [(each["traceparent"], each["x-mine"]) for each in sent] == [("00-1-2-01", "1")] * 3
    started, first, second, ended = hook.events
    assert hook.asked == [started]
    assert [type(each) for each in hook.events] == [CallStarted, AttemptFailed, AttemptFailed, CallEnded]
    assert (started.model, started.task, started.streams) == ("raw", "Raw", deed == "count")
    assert {each.call for each in (first, second, ended)} == {started}
    assert {each["x-request-id"] for each in sent} == {started.request_id} == {ended.request_id}
    assert (ended.status, ended.requests, ended.responses) == ("OK", 1, 3 if deed == "count" else 1)
    assert "failed" not in caplog.text


async def test_metadata_that_cannot_be_sent_is_left_out(way: Way, caplog: pytest.LogCaptureFixture) -> None:
    async with way.module(hooks=(Tracing({"host": "evil", "x-ok": "1"}),)) as module:
        assert await module.echo(b"x") == b"x"
    assert "a hook's metadata was not sent" in caplog.text
    assert "evil" not in caplog.text
    assert "x-ok" not in (await way.sent())[-1]


async def test_every_end_of_a_stream_is_told(way: Way) -> None:
    hook = Tracing()
    async with way.module(hooks=(hook,), retry=RetryPolicy(retries=0)) as module:
        async for _ in module.count(n=5, hang=True):
            break  # the stream is garbage now
        gc.collect()
        await way.server.until_running(0)
        await asyncio.sleep(0)
        async with module.count(n=5, hang=True) as stream:
            await anext(stream)
        with pytest.raises(RemoteCallError):
            async for _ in module.count(n=2, fail="INTERNAL" if way.is_grpc else 500):
                pass
        reading = asyncio.create_task(anext(module.silent()))
        await way.server.until_running(1)
        reading.cancel()
        await asyncio.wait([reading])
    ended = [each for each in hook.events if isinstance(each, CallEnded)]
    assert [(each.status, each.responses) for each in ended] == [
        ("OK", 1),
        ("OK", 1),
        ("INTERNAL", 2),
        ("CANCELLED", 0),
    ]


async def test_the_messages_of_a_streamed_input_are_counted(wire: Any) -> None:
    for engine in ("asyncio", "grpcio"):
        hook = Tracing()
        async with Way(wire, engine).module(hooks=(hook,)) as module:
            assert await module.sum([b"1", b"2", b"3"]) == b"6"
            assert len([item async for item in module.chat([b"a", b"b"])]) == 2
        ended = [each for each in hook.events if isinstance(each, CallEnded)]
        assert [(each.requests, each.responses) for each in ended] == [(3, 1), (2, 2)]


# -- ids --------------------------------------------------------------------------------------------------------------


async def test_every_call_has_an_id_of_its_own(way: Way) -> None:
    async with way.module() as module:
        await module.echo(b"x")
        await module.echo(b"x")
        assert [each async for each in module.count(n=1)]
    ids = [each["x-request-id"] for each in await way.sent()]
    assert len(set(ids)) == 3
    assert all(map(ID.fullmatch, ids))


async def test_an_id_of_the_callers(way: Way) -> None:
    hook = Tracing()
    async with way.module(hooks=(hook,), metadata=({"X-Request-ID": "abc"}, lambda: {"x-a": "1"})) as module:
        response = await module.with_response().echo(b"x")
        stream = module.count(n=1)
        assert [each async for each in stream]
    assert [each["x-request-id"] for each in await way.sent()] == ["abc", "abc"]
    assert {each.request_id for each in hook.events} == {"abc"} == {response.request_id, stream.request_id}


async def test_errors_carry_the_circumstances(way: Way) -> None:
    await way.server.faults(told=True)
    async with way.module(retry=replace_retries(2), metadata=({"authorization": "secret-one"},)) as module:
        with pytest.raises(RemoteCallError) as caught:
            if way.is_grpc:
                await module.fail(code="UNAVAILABLE", details="down")
            else:
                await module.fail(status=503, headers={"x-head": "a, b", "x-trailer": "t secret-one"})
    error = caught.value
    sent = await way.sent()
    assert error.attempts == len(sent) == 3
    assert {each["x-request-id"] for each in sent} == {error.request_id}
    assert error.seconds is not None
    assert error.seconds > 0
    assert error.metadata["x-head"] == "a, b"
    trailer = error.trailing_metadata if way.is_grpc else error.metadata
    assert trailer.get("x-trailer", "t [redacted]") == "t [redacted]"
    again = pickle.loads(pickle.dumps(error))
    assert (again.request_id, again.metadata, again.attempts) == (error.request_id, error.metadata, 3)


def replace_retries(retries: int) -> RetryPolicy:
    return RetryPolicy(retries=retries, initial_backoff=0.01)


async def test_errors_of_decoding_carry_the_id(way: Way) -> None:
    async with way.module() as module:
        echo = next(rpc for rpc in type(module)._rpcs if rpc.name == "echo")

        class Unreadable:
            def decode(self, data: bytes, output: Any) -> Any:
                raise RemoteCallError("unreadable")

        broken = replace(echo, codec=Unreadable())
        with pytest.raises(RemoteCallError) as caught:
            await module._caller.unary(broken, b"x")
    assert caught.value.request_id == (await way.sent())[-1]["x-request-id"]
    assert caught.value.attempts == 1


# -- answers with their circumstances ---------------------------------------------------------------------------------


async def test_with_response(way: Way) -> None:
    await way.server.faults(told=True)
    async with way.module() as module:
        response = await module.with_response().echo(b"x")
        assert await module.echo(b"y") == b"y"
    assert isinstance(response, Response)
    assert (response.value, response.attempts) == (b"x", 1)
    assert response.target == way.server.target.removeprefix("http://")
    assert 0 < response.seconds < 20
    assert response.metadata["x-head"] == "a, b"
    assert response.trailing_metadata == ({"x-trailer": "t None"} if way.is_grpc else {})
    assert response.request_id == (await way.sent())[0]["x-request-id"]
    assert pickle.loads(pickle.dumps(response)) == response


async def test_the_response_counts_its_attempts(way: Way) -> None:
    await way.fails(2)
    async with way.module() as module:
        response = await module.with_response().echo(b"x")
    assert response.attempts == 3


async def test_a_streams_circumstances(way: Way) -> None:
    await way.server.faults(told=True)
    async with way.module() as module:
        stream = module.count(n=2, delay=0.3)
        nothing = (stream.metadata, stream.trailing_metadata, stream.target, stream.attempts, stream.seconds)
        assert nothing == (None, None, None, 0, None)
        assert stream.request_id is None
        await anext(stream)
        assert stream.metadata["x-head"] == "a, b"
        assert (stream.trailing_metadata, stream.attempts, stream.seconds) == (None, 1, None)
        assert len([each async for each in stream]) == 1
        assert stream.trailing_metadata == ({"x-trailer": "t None"} if way.is_grpc else {})
        assert stream.target == way.server.target.removeprefix("http://")
        assert 0 < stream.seconds < 20
        assert stream.request_id == (await way.sent())[0]["x-request-id"]


def test_the_blocking_client_has_the_same(way: Way) -> None:
    with wrapped(way.module()) as module:
        response = module.with_response().echo(b"x")
        assert (response.value, response.attempts) == (b"x", 1)
        stream = module.count(n=2)
        assert len(list(stream)) == 2
        assert (stream.attempts, stream.metadata is None) == (1, False)
        assert ID.fullmatch(stream.request_id)


# -- log lines --------------------------------------------------------------------------------------------------------


async def test_each_call_is_one_line(way: Way, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "remote_client"):
        await way.fails(1)
        async with way.module() as module:
            response = await module.with_response().echo(b"x")
            stream = module.count(n=1)
            assert [each async for each in stream]
    lines = [each.getMessage() for each in caplog.records if each.name == "remote_client"]
    target = way.server.target.removeprefix("http://")
    ended = [line for line in lines if "attempts=" in line]
    pattern = (
        rf"(test\.Test/Echo|POST /echo) model=raw target={re.escape(target)} attempts=2 seconds=\d+\.\d+ status=OK "
    )
    assert re.fullmatch(pattern + f"id={response.request_id}", ended[0])
    assert ended[1].endswith(f"status=OK id={stream.request_id}")
    assert len(ended) == 2
    assert sum("attempt=1 failed status=UNAVAILABLE" in line for line in lines) == 2


@pytest.mark.parametrize(("value", "lines", "text"), [("debug", 1, "status=OK"), ("info", 0, ""), ("loud", 0, "loud")])
def test_the_environment_sets_the_log(wire: Any, value: str, lines: int, text: str) -> None:
    script = (
        "import asyncio\n"
        "from remote_client import RemoteClient\n"
        "async def main():\n"
        f"    async with RemoteClient({wire.target!r}) as client:\n"
        "        await client.healthy()\n"
        "asyncio.run(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env={"REMOTE_CLIENT_LOG": value}, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("status=OK") == lines
    assert text in done.stderr
