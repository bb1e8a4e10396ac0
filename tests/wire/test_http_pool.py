"""Connections of the HTTP engine: how they are made, kept, given up, and what is known of a call that got none."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

from remote_client._client.client import RemoteClient
from remote_client._transport.http import pool as http_pool
from remote_client._transport.http.errors import UnaskedError
from remote_client._transport.http.pool import Pool
from remote_client._transport.http.stream import MAX_HELD
from remote_client._transport.net.proxy import ProxyError
from remote_client.errors import DeadlineExceededError, InvalidResponseError, RemoteCallError, UnavailableError
from remote_client.settings import ConnectionTlsInfo
from tests.support.clock import Stopwatch
from tests.support.http_wire import (
    CLOSE,
    KEEP,
    LAST_CHUNK,
    RESET,
    answer,
    chunk,
    event,
    event_head,
    http_module,
    send,
    sleep,
)
from tests.support.http_wire import HttpWire as Wire
from tests.support.wire import ROOT, open_files, settled

from .test_limits import Took

pytestmark = pytest.mark.own_http("it is about the client's own connections")


def pool_of(module: Any) -> Pool:
    pool: Pool = module._caller.connections._current.transport.pool
    return pool


# -- connecting -------------------------------------------------------------------------------------------------------


@pytest.mark.sampled(1)
@pytest.mark.parametrize("tls", [False, True])
async def test_a_black_hole_is_given_up_after_five_seconds(http_wire: Wire, deaf: int, mute: int, tls: bool) -> None:
    """Though the call has a minute; nothing of it was sent, so it may be made elsewhere whatever it does."""
    info = http_wire.info(port=mute if tls else deaf, timeout=60, tls=ConnectionTlsInfo(enabled=tls))
    async with http_module(info) as module:
        with Took(4.9, 6), pytest.raises(UnavailableError, match="took too long") as caught:
            await module._caller.send("POST /echo", b"{}", idempotent=False)
        assert caught.value.outcome_known


async def test_a_black_hole_does_not_hold_up_the_discovery_of_others(
    http_wire: Wire, deaf: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_pool, "CONNECT_TIMEOUT", 0.5)
    async with RemoteClient([f"http://127.0.0.1:{deaf}", http_wire.target], timeout=60, retries=0) as client:
        with Took(0, 2):
            model = await client.model("raw")
        assert (await model.run_echo("a")).text == "a"


async def test_a_name_that_is_not_resolved_is_given_up(http_wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_pool, "CONNECT_TIMEOUT", 0.1)
    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", lambda *_, **__: asyncio.sleep(3600))
    async with http_module(http_wire.info(hostname="slow.invalid", timeout=60)) as module:
        with Took(0.1, 1), pytest.raises(UnavailableError, match="took too long"):
            await module.echo(b"x")


async def test_a_name_that_resolves_to_nothing_is_not_asked_for_each_call(
    http_wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = 0

    async def resolve(*_: Any, **__: Any) -> Any:
        nonlocal asked
        asked += 1
        raise socket.gaierror(socket.EAI_NONAME, "no such name")

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    async with http_module(http_wire.info(hostname="models.test")) as module:
        for _ in range(100):
            with pytest.raises(UnavailableError, match=r"resolving models\.test:\d+.*no such name") as caught:
                await module.echo(b"x")
            assert caught.value.outcome_known
    assert asked < 10


async def test_a_name_is_looked_up_once_for_many_calls(http_wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up = 0
    look_up = socket.getaddrinfo

    def getaddrinfo(host: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal looked_up
        looked_up += host == "some.test"
        return look_up("127.0.0.1" if host == "some.test" else host, *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    async with http_module(http_wire.info(hostname="some.test")) as module:
        await asyncio.gather(*(module.echo(b"x") for _ in range(50)))
        assert looked_up == 1
        for _ in range(3):  # connections that are lost may mean that the address moved, but not several times a second
            with pytest.raises(UnavailableError):
                await module.script(steps=[RESET])
            await module.echo(b"x")
        assert looked_up == 1
        await asyncio.sleep(1)
        with pytest.raises(UnavailableError):
            await module.script(steps=[RESET])
        await asyncio.gather(*(module.sleep(seconds=0.05) for _ in range(60)))
        assert looked_up == 2


async def test_an_address_that_moved_is_found(start_http: Callable[..., Wire], monkeypatch: pytest.MonkeyPatch) -> None:
    """Within a second or so of the loss."""
    old = start_http(host="127.0.0.1")
    new = start_http(host="127.0.0.2", port=old.port)
    address = "127.0.0.1"
    look_up = socket.getaddrinfo
    monkeypatch.setattr(
        socket, "getaddrinfo", lambda host, *a, **k: look_up(address if host == "some.test" else host, *a, **k)
    )
    async with http_module(old.info(hostname="some.test")) as module:
        await module.echo(b"x")
        old.__exit__()
        address = "127.0.0.2"
        watch = Stopwatch()
        while True:
            try:
                await module.echo(b"x")
                break
            except UnavailableError:
                assert watch.seconds < 2
                await asyncio.sleep(0.05)
    assert (await new.stats())["started"]["POST /echo"] == 1


@pytest.mark.parametrize("tls", [False, True])
async def test_a_server_that_hangs_up_at_once(http_wire: Wire, tls: bool) -> None:
    """It is told, and not dialled for ever."""
    dialled = 0

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal dialled
        dialled += 1
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    info = http_wire.info(port=server.sockets[0].getsockname()[1], tls=ConnectionTlsInfo(enabled=tls))
    async with http_module(info) as module:
        results = await asyncio.gather(*(module.echo(b"x") for _ in range(5)), return_exceptions=True)
    server.close()
    assert all(isinstance(each, RemoteCallError) for each in results)
    assert dialled <= 10


async def test_a_server_that_speaks_first_speaks_no_http(http_wire: Wire) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mail ESMTP\r\n")
        await reader.read(100)
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    async with http_module(http_wire.info(port=server.sockets[0].getsockname()[1])) as module:
        with Took(0, 1), pytest.raises(InvalidResponseError, match="cannot be read"):
            await module.echo(b"x")
    server.close()


# -- what is known of a call that failed ------------------------------------------------------------------------------


async def test_what_was_never_sent_is_known(http_wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_pool, "MAX_CONNECTIONS", 1)
    async with http_module(http_wire.info(timeout=5)) as module, module.silent():
        await http_wire.until_running(1)
        with pytest.raises(DeadlineExceededError) as caught:
            await module.with_options(timeout=0.05).echo(b"x")
        assert caught.value.outcome_known
    async with http_module(http_wire.info()) as module:
        for deed in (module.script(steps=[RESET]), module.with_options(timeout=0.05).sleep(seconds=9)):
            with pytest.raises(RemoteCallError) as sent:
                await deed
            assert not sent.value.outcome_known


async def test_a_second_try_that_gets_no_connection_knows_no_more(start_http: Callable[..., Wire]) -> None:
    """The first one was sent, on a kept connection."""
    server = start_http(faults={"POST /echo": {"steps": [sleep(0.1), CLOSE]}})
    async with http_module(server.info()) as module:
        await module.sleep(seconds=0)
        call = asyncio.ensure_future(module.echo(b"x"))
        await server.until(lambda seen: seen["started"].get("POST /echo") == 1)
        await asyncio.to_thread(server.__exit__)
        with pytest.raises(UnavailableError) as caught:
            await call
    assert not caught.value.outcome_known


@pytest.mark.parametrize("error", [ProxyError("no", 403), ssl.SSLError(1, "no"), UnaskedError("no", b"no")])
async def test_nor_does_one_that_is_refused_a_connection(
    start_http: Callable[..., Wire], monkeypatch: pytest.MonkeyPatch, error: OSError
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise error

    server = start_http(faults={"POST /echo": {"steps": [CLOSE]}})
    async with http_module(server.info()) as module:
        await module.sleep(seconds=0)
        monkeypatch.setattr(http_pool, "connect", refuse)
        with pytest.raises(RemoteCallError) as caught:
            await module.echo(b"x")
    assert (await server.stats())["started"]["POST /echo"] == 1
    assert not caught.value.outcome_known


# -- waiting ----------------------------------------------------------------------------------------------------------


async def test_calls_wait_for_a_connection_first_come_first_served(
    http_wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http_pool, "MAX_CONNECTIONS", 2)
    order: list[int] = []

    async def call(module: Any, number: int) -> None:
        await module.echo(b"%d" % number)
        order.append(number)

    async with http_module(http_wire.info()) as module:
        holders = [asyncio.ensure_future(module.sleep(seconds=0.2)) for _ in range(2)]
        await http_wire.until_running(2)
        tasks = [asyncio.ensure_future(call(module, number)) for number in range(20)]
        await asyncio.sleep(0)
        for each in tasks[1::3]:
            each.cancel()
        await asyncio.wait([*holders, *tasks])
        pool = pool_of(module)
        assert len(pool._open) == len(pool._idle)
        assert not pool._waiting
    expected = [number for number in range(20) if number % 3 != 1]
    assert sorted(order) == expected
    assert max(abs(place - order.index(number)) for place, number in enumerate(expected)) <= 1  # two at once
    stats = await http_wire.stats()
    assert (stats["peak"], stats["connections"]) == (2, 2)


# -- keeping ----------------------------------------------------------------------------------------------------------


async def test_idle_connections_are_closed(http_wire: Wire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http_pool, "IDLE_TIME", 0.3)
    async with http_module(http_wire.info()) as module:
        await asyncio.gather(*(module.sleep(seconds=0.05) for _ in range(5)))
        assert len(pool_of(module)._idle) == 5
        for _ in range(8):  # one is used, the others are not
            await module.echo(b"x")
            await asyncio.sleep(0.05)
        assert len(pool_of(module)._idle) == 1
        assert (await http_wire.until(lambda seen: seen["open"] == 1))["open"] == 1
        await asyncio.sleep(0.4)
        assert (await http_wire.until(lambda seen: not seen["open"]))["open"] == 0
        assert await module.echo(b"again") == b"again"


async def test_a_byte_while_idle_ends_the_connection(http_wire: Wire) -> None:
    async with http_module(http_wire.info()) as module:
        assert await module.script(steps=[*answer("first"), sleep(0.05), send("\n"), sleep(9)]) == b"first"
        assert len(pool_of(module)._idle) == 1
        assert await settled(lambda: len(pool_of(module)._idle), 0) == 0
        await http_wire.until(lambda seen: not seen["open"])


async def test_an_answer_to_half_a_request_ends_the_connection(start_http: Callable[..., Wire]) -> None:
    """What is left of the request would be read as the next one."""
    server = start_http(faults={"POST /echo": {"unread": True, "steps": [*answer("too large", 413), sleep(3600)]}})
    files = open_files()
    async with http_module(server.info()) as module:
        with pytest.raises(RemoteCallError, match="too large"):
            await module.echo(bytes(20_000_000))
        assert len(pool_of(module)._idle) == 0
    assert await settled(open_files, files) <= files


# -- back pressure ----------------------------------------------------------------------------------------------------


async def test_a_stream_that_nobody_reads_lets_the_server_wait(http_wire: Wire) -> None:
    """And goes on when it is read; calls beside it do not wait."""
    data = "x" * 10_000
    steps = [send(event_head()), *[send(chunk(event(data)) * 10)] * 600, send(LAST_CHUNK), KEEP]
    async with http_module(http_wire.info()) as module:
        stream = await module.script_stream(steps=steps).__aenter__()
        inner = stream._sent.stream
        assert await settled(lambda: int(inner._held <= MAX_HELD), 0) == 0
        await asyncio.sleep(0.3)
        held = sum(len(each) for _, each in inner._events)
        assert held < 2 * MAX_HELD + 256 * 1024
        assert (await http_wire.stats())["running"] == {"POST /script": 1}, "the server waits"
        assert await module.echo(b"beside") == b"beside"
        assert [len(each) async for each in stream] == [10_000] * 6000
        assert await module.echo(b"after") == b"after"
    assert (await http_wire.stats())["connections"] == 2


async def test_a_large_event_is_read_whole_by_a_reader_that_waits(http_wire: Wire) -> None:
    size = 4 * MAX_HELD
    steps = [send(event_head()), send(chunk(event("x" * size))), send(chunk(event("y" * size)) + LAST_CHUNK)]
    async with http_module(http_wire.info()) as module:
        stream = module.script_stream(steps=steps)
        assert len(await anext(stream)) == size
        await asyncio.sleep(0.1)  # half of the second has come, and nobody waits
        assert len(await anext(stream)) == size
        assert await anext(stream, None) is None


async def test_events_that_are_here_are_read_without_the_loop_and_others_have_their_turn(http_wire: Wire) -> None:
    steps = [send(event_head() + chunk(event("x") * 5000) + LAST_CHUNK)]
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with http_module(http_wire.info()) as module:
        stream = module.script_stream(steps=steps)
        await anext(stream)
        await asyncio.sleep(0.1)
        watcher = asyncio.create_task(other())
        assert len([each async for each in stream]) == 4999
        watcher.cancel()
    assert 20 < turns < 1000


# -- framing ----------------------------------------------------------------------------------------------------------


async def test_a_stream_without_framing_says_so(http_wire: Wire) -> None:
    """That it was lost is another error: here nobody can know."""
    head = event_head({"transfer-encoding": None})
    async with http_module(http_wire.info()) as module:
        stream = module.script_stream(steps=[send(head + event("1")), CLOSE])
        assert await anext(stream) == b"1"
        with pytest.raises(UnavailableError, match="no framing"):
            await anext(stream)
        stream = module.script_stream(steps=[send(head + event("1")), sleep(0.05), RESET])
        assert await anext(stream) == b"1"
        with pytest.raises(UnavailableError, match="was lost"):
            await anext(stream)


# -- imports ----------------------------------------------------------------------------------------------------------

_CALL = """
import asyncio, sys
from remote_client import RemoteClient

async def main():
    async with RemoteClient(sys.argv[1]) as client:
        model = await client.model("raw")
        assert (await model.run_echo("a")).text == "a"
        assert len([each async for each in model.run_echo_stream_out("a")])

asyncio.run(main())
print({"aiohttp", "grpc", "httpx"} & set(sys.modules))
"""


def test_calls_import_no_other_engine(http_wire: Wire) -> None:
    command = [sys.executable, "-c", _CALL, http_wire.target]
    done = subprocess.run(command, cwd=ROOT, timeout=30, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "set()\n"), done.stderr


# -- loops ------------------------------------------------------------------------------------------------------------


async def _one_of_each(info: Any) -> None:
    async with http_module(info) as module:
        large = bytes(3_000_000)
        assert await module.echo(large) == large
        await asyncio.gather(*(module.echo(b"x") for _ in range(50)))
        assert len([each async for each in module.count(n=20)]) == 20
        async for _ in module.count(n=3, hang=True):
            break
        with pytest.raises(DeadlineExceededError):
            await module.with_options(timeout=0.05).sleep(seconds=9)
        task = asyncio.ensure_future(module.sleep(seconds=9))
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.wait((task,))
        with pytest.raises(UnavailableError):
            await module.script(steps=[RESET])


def test_uvloop(http_wire: Wire) -> None:
    uvloop = pytest.importorskip("uvloop")
    uvloop.run(_one_of_each(http_wire.info()))
    assert http_wire.command("stats")["running"] == {}


def test_debug_mode(http_wire: Wire) -> None:
    asyncio.run(_one_of_each(http_wire.info()), debug=True)
    assert http_wire.command("stats")["running"] == {}


def test_eager_tasks(http_wire: Wire) -> None:
    if not hasattr(asyncio, "eager_task_factory"):
        pytest.skip("Python 3.12 has them")

    async def main() -> None:
        asyncio.get_running_loop().set_task_factory(asyncio.eager_task_factory)
        await _one_of_each(http_wire.info())

    asyncio.run(main())


async def test_connections_that_the_server_ends_without_saying_so(http_wire: Wire) -> None:
    """As tinyproxy does after each answer: a call that met a dead connection gets a new one, not another dead one."""
    await http_wire.faults({"POST /echo": {"steps": answer('"x"')}})
    async with http_module(http_wire.info(retries=0)) as module:

        async def work() -> None:
            for _ in range(50):
                assert await module.echo(b'"x"') == b'"x"'

        await asyncio.gather(*[work() for _ in range(8)])
