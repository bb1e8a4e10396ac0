"""HTTP servers that are dead, slow, frozen or restarted; connections that end when they should not."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from remote_client._client.client import RemoteClient
from remote_client.errors import DeadlineExceededError, RemoteCallError, StreamTruncatedError, UnavailableError
from tests.support.clock import Stopwatch
from tests.support.http_wire import CLOSE, RESET, Step, answer, http_module, send, sleep
from tests.support.http_wire import HttpWire as Wire
from tests.support.proxy import Proxy
from tests.support.wire import open_files, settled

CALLS: dict[str, Callable[[Any], Any]] = {
    "POST /echo": lambda module: module.echo(b"{}"),
    "POST /count": lambda module: anext(module.count(n=1)),
}
LARGE = bytes(3_000_000)
once_more = pytest.mark.own_http("httpx does not say whether a connection was kept, so no call is sent once more")
every_call = pytest.mark.parametrize("route", CALLS)


# -- kept connections -------------------------------------------------------------------------------------------------

DROPS: dict[str, dict[str, Any]] = {
    "closed": {"steps": [CLOSE]},
    "reset": {"steps": [RESET]},
    "closed later": {"steps": [sleep(0.03), CLOSE]},
    "reset later": {"steps": [sleep(0.03), RESET]},
    "unread": {"steps": [CLOSE], "unread": True},
}


@once_more
@every_call
@pytest.mark.parametrize("drop", DROPS.values(), ids=DROPS)
async def test_a_kept_connection_that_is_dropped_is_tried_once_more(
    http_wire: Wire, http: Any, route: str, drop: dict[str, Any]
) -> None:
    await http.echo(b"warm")
    await http_wire.faults({route: [drop]})
    assert await CALLS[route](http)
    stats = await http_wire.stats()
    assert stats["started"][route] == 2 + (route == "POST /echo")
    assert stats["connections"] == 2


@once_more
@pytest.mark.parametrize("drop", DROPS.values(), ids=DROPS)
async def test_a_large_request_is_sent_once_more_from_its_beginning(http_wire: Wire, http: Any, drop: Any) -> None:
    await http.echo(b"warm")
    await http_wire.faults({"POST /echo": [drop]})
    assert await http.echo(LARGE) == LARGE
    assert (await http_wire.stats())["started"] == {"POST /echo": 3}


@once_more
@every_call
@pytest.mark.parametrize("drop", DROPS.values(), ids=DROPS)
async def test_it_is_tried_once_and_not_again(http_wire: Wire, http: Any, route: str, drop: dict[str, Any]) -> None:
    # However many kept connections there are to try.
    await asyncio.gather(*(http.sleep(seconds=0.05) for _ in range(5)))
    await http_wire.faults({route: drop})
    with pytest.raises(UnavailableError):
        await CALLS[route](http)
    assert (await http_wire.stats())["started"][route] == 2


@every_call
@pytest.mark.parametrize("drop", DROPS.values(), ids=DROPS)
async def test_a_fresh_connection_that_is_dropped_is_told(
    http_wire: Wire, http: Any, route: str, drop: dict[str, Any]
) -> None:
    await http_wire.faults({route: [drop]})
    with pytest.raises(UnavailableError):
        await CALLS[route](http)
    assert (await http_wire.stats())["started"] == {route: 1}


BEGUN: dict[str, list[Step]] = {
    "a byte": [send("H"), sleep(0.03), CLOSE],
    "a byte, reset": [send("H"), sleep(0.03), RESET],
    "half a head": [send("HTTP/1.1 200 OK\r\ncontent-"), sleep(0.03), CLOSE],
    "half a head, reset": [send("HTTP/1.1 200 OK\r\ncontent-"), sleep(0.03), RESET],
    "a head": [send("HTTP/1.1 200 OK\r\ncontent-length: 9\r\ncontent-type: text/event-stream\r\n\r\n"), CLOSE],
    "100 Continue": [send("HTTP/1.1 100 Continue\r\n\r\n"), sleep(0.03), CLOSE],
    "a part": answer("a part", headers={"content-length": 9, "content-type": "text/event-stream"}),
    "an error": answer("later", 503),
}


@every_call
@pytest.mark.parametrize("steps", BEGUN.values(), ids=BEGUN)
async def test_an_answer_that_has_begun_is_never_asked_for_again(
    http_wire: Wire, http: Any, route: str, steps: list[Step]
) -> None:
    await http.sleep(seconds=0)
    await http_wire.faults({route: [{"steps": steps}]})
    with pytest.raises(UnavailableError):
        await CALLS[route](http)
    assert (await http_wire.stats())["started"][route] == 1


@every_call
async def test_what_must_not_be_sent_twice_is_not(http_wire: Wire, http: Any, route: str) -> None:
    await http.sleep(seconds=0)
    await http_wire.faults({"POST /echo": [DROPS["closed"]]})
    with pytest.raises(UnavailableError):
        await http._caller.send("POST /echo", b"{}", idempotent=False)
    assert (await http_wire.stats())["started"]["POST /echo"] == 1


@once_more
@pytest.mark.parametrize("warm", [False, True])
async def test_reading_is_tried_at_most_twice(http_wire: Wire, warm: bool) -> None:
    """Without retries: once more where a kept connection turns out to be dead."""
    async with RemoteClient(http_wire.target, retries=0) as client:
        if warm:
            await client.models()
        await client.describe()
        await http_wire.faults({"GET /info/models": DROPS["closed"]})
        with pytest.raises(UnavailableError):
            await client.models()
    assert (await http_wire.stats())["started"]["GET /info/models"] == warm + 2


@once_more
async def test_a_server_that_ends_kept_connections_loses_no_call(http_wire: Wire, http: Any) -> None:
    """Each connection serves a few requests, and is closed without a word when the next one comes."""
    await http_wire.faults({"POST /echo": [None, None, DROPS["closed"], None, DROPS["reset"]] * 40})
    for _ in range(60):
        assert await http.echo(b"x") == b"x"
    await http_wire.faults({"POST /echo": {"body": "x", "headers": {"connection": "close"}}})
    before = (await http_wire.stats())["connections"]
    for _ in range(20):
        assert await http.echo(b"x") == b"x"
    assert (await http_wire.stats())["connections"] >= before + 19


async def test_a_connection_the_server_has_closed_is_not_used(http_wire: Wire, http: Any) -> None:
    for _ in range(5):
        assert await http.script(steps=[*answer("x"), sleep(0.01), CLOSE]) == b"x"
        await asyncio.sleep(0.05)
        assert await http.echo(b"y") == b"y"
    assert (await http_wire.stats())["started"] == {"POST /script": 5, "POST /echo": 5}


# -- servers ----------------------------------------------------------------------------------------------------------


async def test_localhost(http_wire: Wire) -> None:
    async with http_module(http_wire.info(hostname="localhost")) as module:
        assert await module.echo(b"x") == b"x"


async def test_a_cut_connection_fails_its_calls_and_the_next_one_works(http_wire: Wire) -> None:
    async with Proxy(http_wire.port) as proxy, http_module(http_wire.info(port=proxy.port)) as module:
        stream = module.count(n=1, hang=True)
        await anext(stream)
        calls = [
            asyncio.ensure_future(module.sleep(seconds=3600)),
            asyncio.ensure_future(anext(module.script_stream(steps=[sleep(3600)]))),
            asyncio.ensure_future(anext(module.silent())),
            asyncio.ensure_future(anext(stream)),
        ]
        await http_wire.until_running(4)
        await asyncio.sleep(0.05)  # the stream's head is on its way
        proxy.cut()
        async with asyncio.timeout(1):
            results = await asyncio.gather(*calls, return_exceptions=True)
        kinds = [UnavailableError, UnavailableError, StreamTruncatedError, StreamTruncatedError]
        assert [type(each) for each in results] == kinds
        assert await module.echo(b"again") == b"again"


@every_call
async def test_a_frozen_server_is_given_up_in_time(start_http: Callable[..., Wire], route: str) -> None:
    server, files = start_http(), open_files()
    async with http_module(server.info(timeout=0.3)) as module:
        for kept in (False, True):
            server.signal(signal.SIGSTOP)
            watch = Stopwatch()
            with pytest.raises(DeadlineExceededError):
                await CALLS[route](module)
            assert watch.wall >= 0.3
            assert watch.seconds < 0.8
            server.signal(signal.SIGCONT)
            assert await module.echo(b"%d" % kept)
    assert await settled(open_files, files) <= files


@every_call
async def test_a_restarted_server_is_found_again_at_once(start_http: Callable[..., Wire], route: str) -> None:
    first = start_http()
    async with http_module(first.info()) as module:
        await asyncio.gather(*(module.sleep(seconds=0.05) for _ in range(5)))
        first.__exit__()
        for _ in range(3):
            with pytest.raises(UnavailableError):
                await CALLS[route](module)
        second = await asyncio.to_thread(start_http, port=first.port)
        for _ in range(5):
            assert await CALLS[route](module)
        assert (await second.stats())["started"] == {route: 5}


async def test_the_environment_sets_neither_proxies_nor_passwords(
    http_wire: Wire, start_http: Callable[..., Wire], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    other = start_http()
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, other.target)
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "netrc").write_text("default login me password s3cret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    async with http_module(http_wire.info()) as module:
        for call in CALLS.values():
            await call(module)
            sent = (await http_wire.stats())["last"]
            assert "authorization" not in {name.lower() for name, _ in sent["headers"]}
            assert sent["path"].startswith("/")
    assert (await other.stats())["connections"] == 0


async def test_an_https_server_at_an_http_target(http_wire: Wire) -> None:
    """Or anything else that speaks no HTTP, and speaks first."""

    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"\x15\x03\x01\x00\x02\x02\x46")  # an alert, as TLS servers answer plain text
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(speak, "127.0.0.1", 0)
    async with http_module(http_wire.info(port=server.sockets[0].getsockname()[1], timeout=5)) as module:
        for call in CALLS.values():
            with pytest.raises(RemoteCallError) as caught:
                await call(module)
            assert not isinstance(caught.value, DeadlineExceededError)
            assert str(caught.value).isprintable()
    server.close()
