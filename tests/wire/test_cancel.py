"""A call that is given up is cancelled on the server, and whoever gave it up sees what it should."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import anyio
import pytest

from remote_client._transport.http import pool as http_pool
from remote_client.errors import ClosedError
from remote_client.settings import ConnectionTlsInfo
from tests.support.http_wire import HttpWire as Wire
from tests.support.http_wire import chunked, http_module
from tests.support.wire import WireServer, open_files, settled

from .kinds import HANG, HANGING, ONE_OF_EACH, Deed, endless, every_place

Server = WireServer | Wire


@pytest.fixture(autouse=True)
def _exact(wire: WireServer) -> None:
    """Cancels of streamed requests are counted exactly."""
    wire.command("faults", faults={"lag": 0.5})


def acquired(module: Any) -> int:
    """How many connections calls hold, or wait for: none, over gRPC."""
    transport = module._caller.connections._current.transport
    pool = getattr(transport, "pool", None)
    if pool is not None:
        return len(pool._open) - len(pool._idle) + len(pool._waiting)
    return len(transport.limits) + len(transport._streams) if hasattr(transport, "limits") else 0


async def nothing_left(server: Server, module: Any) -> None:
    """Neither here nor on the server."""
    assert (await server.until(lambda seen: not seen["running"]))["running"] == {}
    assert await settled(lambda: acquired(module), 0, 1) == 0


# -- many -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("protocol", "cancels"), [("grpc", {"Chat": 150, "Count": 150}), ("http", {"POST /count": 300})]
)
async def test_300_early_breaks_are_300_cancels(server: Server, plain: Any, cancels: dict[str, int]) -> None:
    for index in range(300):
        async for _ in plain.chat(endless()) if "Chat" in cancels and index % 2 else plain.count(n=3, hang=True):
            break
    stats = await server.until(lambda seen: sum(seen["cancelled"].values()) == 300, 2)
    assert stats["cancelled"] == cancels
    await nothing_left(server, plain)


async def test_300_cancelled_tasks_are_300_cancels(server: Server, plain: Any, protocol: str) -> None:
    deeds = ONE_OF_EACH[protocol]
    tasks = [asyncio.create_task(deed(plain)) for deed in deeds.values() for _ in range(75)]
    await server.until_running(300)
    for task in tasks:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert {type(result) for result in results} == {asyncio.CancelledError}
    stats = await server.until(lambda seen: sum(seen["cancelled"].values()) == 300, 2)
    assert stats["cancelled"] == dict.fromkeys(deeds, 75)
    await nothing_left(server, plain)


async def _wander(module: Any, chance: random.Random) -> None:
    """Some call, cancelled at any moment or not at all."""
    task: asyncio.Future[Any] = asyncio.ensure_future(
        chance.choice(
            [
                lambda: module.echo(b"x"),
                lambda: module.echo(bytes(400_000)),
                lambda: module.sleep(seconds=0.01),
                lambda: _read(module.count(n=3, delay=0.005)),
                lambda: _read(module.count(n=1, hang=True), 1),
            ]
        )()
    )
    if chance.random() < 0.5:
        for _ in range(chance.randrange(40)):
            await asyncio.sleep(0)
        await asyncio.sleep(chance.choice([0, 0.002, 0.01]))
        task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


async def _read(stream: Any, at_most: int = 99) -> None:
    async with stream:
        for _ in range(at_most):
            if await anext(stream, None) is None:
                break


async def test_2000_calls_half_of_them_cancelled_leave_no_slot(http_wire: Wire, no_gc: None) -> None:
    files = open_files()
    chance = random.Random(1)
    async with http_module(http_wire.info()) as http:
        for _ in range(40):
            await asyncio.gather(*(_wander(http, chance) for _ in range(50)))
        await nothing_left(http_wire, http)
        await asyncio.gather(*(http.echo(b"still well") for _ in range(200)))
        assert acquired(http) == 0
    assert await settled(open_files, files) <= files


@pytest.fixture
def one_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_pool, "MAX_CONNECTIONS", 1)


@pytest.mark.own_http("httpx's own limit is another")
async def test_a_slot_that_was_waited_for_is_free_again(http_wire: Wire, one_connection: None) -> None:
    async with http_module(http_wire.info()) as http:
        await http.echo(b"")
        holder = asyncio.create_task(http.sleep(seconds=3600))
        await http_wire.until_running(1)
        waiting = [asyncio.create_task(deed(http)) for deed in HANGING["http"].values() for _ in range(5)]
        await asyncio.sleep(0.05)
        assert acquired(http) == 31
        for task in (*waiting, holder):
            task.cancel()
        await asyncio.wait((*waiting, holder))
        await nothing_left(http_wire, http)
        for _ in range(20):
            await http.echo(b"x")
    assert (await http_wire.stats())["peak"] == 1


# -- ways to leave a stream -------------------------------------------------------------------------------------------


async def _aclose(stream: Any) -> None:
    await stream.aclose()
    await stream.aclose()
    assert [item async for item in stream] == []


async def _context(stream: Any) -> None:
    async with stream:
        pass


async def _context_raises(stream: Any) -> None:
    with pytest.raises(ZeroDivisionError):
        async with stream:
            raise ZeroDivisionError


async def _garbage(stream: Any) -> None:
    gc.disable()  # no cycle keeps it alive
    del stream


async def _cyclic_garbage(stream: Any) -> None:
    cycle: list[Any] = [stream]
    cycle.append(cycle)
    del cycle, stream
    gc.collect()


async def _hanging_head(server: Any, module: Any) -> Any:
    await server.faults({"POST /count": {"delay": 3600}})
    return module.count(n=3, hang=True)


async def _hanging(server: Any, module: Any) -> Any:
    return module.count(n=3, hang=True)


async def _hanging_chat(server: Any, module: Any) -> Any:
    return module.chat(endless())


STARTS = [
    *(("grpc", begin, read) for begin in (_hanging, _hanging_chat) for read in (0, 1)),
    *(("http", begin, read) for begin, read in ((_hanging_head, 0), (_hanging, 0), (_hanging, 1))),
]


@pytest.mark.parametrize("end", [_aclose, _context, _context_raises, _garbage, _cyclic_garbage])
@pytest.mark.parametrize(("protocol", "begin", "read"), STARTS)
async def test_every_way_to_leave_a_stream_cancels_it(
    server: Server, plain: Any, end: Callable[[Any], Awaitable[None]], begin: Callable[..., Any], read: int
) -> None:
    streams = [await begin(server, plain)]
    await streams[0].__aenter__()
    for _ in range(read):
        await anext(streams[0])
    (called,) = (await server.until_running(1))["running"]
    await end(streams.pop())
    stats = await server.until(lambda seen: bool(seen["cancelled"]))
    gc.enable()
    assert stats["cancelled"] == {called: 1}
    assert called in ("Chat" if begin is _hanging_chat else "Count", "POST /count")
    await nothing_left(server, plain)


async def test_a_stream_that_was_read_to_its_end_is_not_cancelled(server: Server, plain: Any) -> None:
    async with plain.count(n=2) as stream:
        assert len([item async for item in stream]) == 2
    assert [item async for item in stream] == []
    stats = await server.stats()
    assert (stats["cancelled"], list(stats["started"].values())) == ({}, [1])


async def test_a_stream_that_never_began_sends_nothing(server: Server, plain: Any) -> None:
    await plain.count(n=2).aclose()
    plain.count(n=2)
    await plain.echo(b"")
    assert (await server.stats())["started"] in ({"Echo": 1}, {"POST /echo": 1})


# -- scopes and tasks -------------------------------------------------------------------------------------------------


@every_place()
async def test_move_on_after(server: Server, plain: Any, deed: Deed) -> None:
    with anyio.move_on_after(0.1) as scope:
        await deed(plain)
    assert scope.cancelled_caught
    await nothing_left(server, plain)
    assert sum((await server.stats())["cancelled"].values()) == 1


@every_place()
async def test_fail_after(server: Server, plain: Any, deed: Deed) -> None:
    with pytest.raises(TimeoutError) as caught:
        with anyio.fail_after(0.1):
            await deed(plain)
    assert type(caught.value) is TimeoutError
    await nothing_left(server, plain)


@every_place()
async def test_a_scope_that_ends_in_the_same_moment_as_the_calls_own_limit(
    server: Server, plain: Any, deed: Deed
) -> None:
    with pytest.raises(TimeoutError):
        with anyio.fail_after(0.1):
            await deed(plain.with_options(timeout=0.1))
    await nothing_left(server, plain)


@every_place()
async def test_asyncio_timeout(server: Server, plain: Any, deed: Deed) -> None:
    with pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(0.1):
            await deed(plain)
    assert type(caught.value) is TimeoutError
    await nothing_left(server, plain)


@every_place()
async def test_a_cancelled_task_raises_cancelled_error(server: Server, plain: Any, deed: Deed) -> None:
    seen: list[BaseException] = []

    async def watched() -> None:
        try:
            await deed(plain)
        except BaseException as error:
            seen.append(error)
            raise

    task = asyncio.create_task(watched())
    await server.until_running(1)
    task.cancel()
    await asyncio.wait((task,))
    assert task.cancelled()
    assert [type(error) for error in seen] == [asyncio.CancelledError]
    assert sum((await server.until(lambda stats: bool(stats["cancelled"])))["cancelled"].values()) == 1
    await nothing_left(server, plain)


@every_place()
async def test_cancelled_before_it_could_start(server: Server, plain: Any, deed: Deed) -> None:
    for warm in (b"0", b"1"):
        for turns in range(8):
            task = asyncio.create_task(deed(plain))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert await plain.echo(warm) == warm
    await nothing_left(server, plain)


async def test_a_stream_survives_an_earlier_cancellation_of_its_task(plain: Any) -> None:
    # A task that swallowed a cancellation has task.cancelling() == 1 for ever: that must not be taken for a new one.
    async def stubborn() -> int:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
        hasty = plain.with_options(timeout=0.1)
        for call in (hasty.sleep(seconds=9), anext(hasty.silent())):
            with pytest.raises(TimeoutError):
                await call
        return len([item async for item in plain.count(n=2)])

    task = asyncio.create_task(stubborn())
    await asyncio.sleep(0)
    task.cancel()
    assert await task == 2


async def test_a_stream_may_go_from_one_task_to_another(server: Server, plain: Any) -> None:
    """Opened in a task that was once cancelled, read in one that is cancelled for the first time."""
    opened: list[Any] = []

    async def opener() -> None:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            opened.append(await plain.count(n=2, hang=True).__aenter__())

    first = asyncio.create_task(opener())
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait((first,))
    (stream,) = opened
    for _ in range(2):  # each item in a task of its own
        assert await asyncio.create_task(anext(stream))
    second = asyncio.create_task(anext(stream))
    await asyncio.sleep(0.05)
    second.cancel()
    await asyncio.wait((second,))
    assert second.cancelled()
    await nothing_left(server, plain)


STREAMS: dict[str, Callable[[Any], Any]] = {
    "head": lambda module: module.script_stream(steps=[HANG]),
    "first event": lambda module: module.silent(),
    "next event": lambda module: module.count(n=1, hang=True),
    "inside": lambda module: module.script_stream(steps=[*chunked("data: a part", end=False), HANG]),
}
COMMON = ("first event", "next event")
every_stream = pytest.mark.parametrize(
    ("protocol", "start"), [*(("grpc", name) for name in COMMON), *(("http", name) for name in STREAMS)]
)


@pytest.mark.parametrize(("protocol", "start"), [("grpc", "first event"), ("http", "first event"), ("http", "head")])
async def test_two_readers_of_one_stream_are_told(server: Server, plain: Any, start: str) -> None:
    async with STREAMS[start](plain) as stream:
        reader = asyncio.create_task(anext(stream))
        await asyncio.sleep(0.05)
        with pytest.raises(RuntimeError, match="already being read"):
            await anext(stream)
        reader.cancel()
        await asyncio.wait((reader,))
        assert reader.cancelled()
    await nothing_left(server, plain)


@every_stream
async def test_aclose_while_another_task_reads(server: Server, plain: Any, start: str) -> None:
    """The reader does not take that for the end of the stream."""
    stream = STREAMS[start](plain)
    if start == "next event":
        await anext(stream)
    reader = asyncio.create_task(anext(stream, "the end"))
    await server.until_running(1)
    await asyncio.sleep(0.02)
    async with asyncio.timeout(2):
        await stream.aclose()
        with pytest.raises(ClosedError):
            await reader
    await nothing_left(server, plain)
    assert sum((await server.until(lambda seen: bool(seen["cancelled"])))["cancelled"].values()) == 1


async def test_the_request_iterator_is_closed_with_the_call(module: Any) -> None:
    closed = asyncio.Event()

    async def items() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"1"
                await asyncio.sleep(0.01)
        finally:
            closed.set()

    async with module.chat(items()) as stream:
        await anext(stream)
    async with asyncio.timeout(2):
        await closed.wait()


# -- connections of HTTP ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", STREAMS.values(), ids=STREAMS)
async def test_aclose_waits_until_nothing_is_left(http_wire: Wire, http: Any, start: Callable[[Any], Any]) -> None:
    stream = await start(http).__aenter__()
    await http_wire.until_running(1)
    assert acquired(http) == 1
    await stream.aclose()
    transport = http._caller.connections._current.transport
    running = getattr(transport, "_running", None)
    left = transport._streams if running is None else running
    assert (acquired(http), len(transport._tasks), len(left)) == (0, 0, 0)


async def test_a_stream_ended_by_its_reader_takes_its_connection_along(http_wire: Wire, http: Any) -> None:
    """What is left of its answer must never be read as another call's."""
    for _ in range(10):
        async with http.count(n=50, size=1000) as stream:
            await anext(stream)
        assert await http.echo(b"mine") == b"mine"


# -- before there is a connection -------------------------------------------------------------------------------------


@pytest.mark.own_http("httpx leaves sockets behind for a while")
@pytest.mark.parametrize("call", ["echo", "silent"])
@pytest.mark.parametrize("place", ["connecting", "handshake", "resolving"])
async def test_a_call_without_a_connection_yet(
    http_wire: Wire, deaf: int, mute: int, call: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = open_files()
    info = http_wire.info(port=deaf)
    if place == "handshake":
        info = http_wire.info(port=mute, tls=ConnectionTlsInfo(enabled=True))
    elif place == "resolving":
        info = http_wire.info(hostname="slow.invalid")
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", lambda *_, **__: asyncio.sleep(3600))
    async with http_module(info) as http:
        for _ in range(3):
            with anyio.move_on_after(0.05) as scope:
                await (http.echo(b"") if call == "echo" else anext(http.silent()))
            assert scope.cancelled_caught
        assert await settled(lambda: acquired(http), 0, 1) == 0
    assert await settled(open_files, files) <= files
