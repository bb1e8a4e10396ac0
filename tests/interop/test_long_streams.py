"""Streams whose items come rarely: the limits of proxies that end them, what those count, and what errors name.

A minute is a third of a second here. The tables of `docs/long-work.md` tell what is shown here.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from remote_client._client.client import RemoteClient
from remote_client.errors import StreamTruncatedError, UnavailableError
from remote_client.sync._modules import wrapped
from tests.support.runtime import Runtime

from .methods import interop_module
from .peers import AsyncioServer, Peers
from .proxies import Envoy, Haproxy, Nghttpx, Nginx, Proxy
from .test_runtime import Server
from .ways import Way, through

PINGS = {"grpc.keepalive_time_ms": 200, "grpc.http2.max_pings_without_data": 0}
"""Of the client or of the runtime: a PING after each fifth of a second of silence, without end."""
LONG = 2.5
"""Seconds of silence, where the limits are one."""


@dataclass(frozen=True)
class Limit:
    """A proxy's limit, and what it counts.

    Attributes:
        proxy: whose it is.
        name: how the proxy calls it, and the error.
        protocol: of the streams it ends.
        settings: what makes it a second long.
        side: what must be silent: the runtime's `output`, or the client's `input` as well.
        counts_runtime: whether PINGs of the runtime are a sign of life.
    """

    proxy: type[Proxy]
    name: str
    protocol: str
    settings: dict[str, str]
    side: str = "output"
    counts_runtime: bool = False

    def __str__(self) -> str:
        return f"{self.proxy.name}: {self.name} ({self.protocol}, {self.side})"


def _both(proxy: type[Proxy], name: str, settings: dict[str, str]) -> list[Limit]:
    return [Limit(proxy, name, protocol, settings) for protocol in ("grpc", "http")]


BACKEND = {"all": "backend-read-timeout=1s"}
SERVER = {"all": "timeout server 1s"}
IDLE = {"connections": "stream_idle_timeout: 1s"}
LIMITS = [
    Limit(Nginx, "grpc_read_timeout", "grpc", {"grpc": "grpc_read_timeout 1s;"}, counts_runtime=True),
    Limit(Nginx, "client_body_timeout", "grpc", {"all": "client_body_timeout 1s;"}, "input", counts_runtime=True),
    Limit(Nginx, "proxy_read_timeout", "http", {"http": "proxy_buffering off; proxy_read_timeout 1s;"}),
    *_both(Haproxy, "timeout server", SERVER),
    Limit(Haproxy, "timeout server", "grpc", SERVER, "input"),
    *_both(Envoy, "stream_idle_timeout", IDLE),
    Limit(Envoy, "stream_idle_timeout", "grpc", IDLE, "input"),
    Limit(Nghttpx, "backend-read-timeout", "grpc", BACKEND, counts_runtime=True),
    Limit(Nghttpx, "backend-read-timeout", "http", BACKEND),
    Limit(Nghttpx, "backend-read-timeout", "grpc", BACKEND, "input", counts_runtime=True),
]
OF_GRPC = [each for each in LIMITS if each.protocol == "grpc"]
BLOCKING = pytest.mark.parametrize("blocking", [False, True], ids=["asyncio", "blocking"])


class Streams:
    """A module's streams, whose items come after pauses; a blocking client's are read in a thread."""

    def __init__(self, module: Any, blocking: bool) -> None:
        self._blocking = blocking
        self._module = wrapped(module) if blocking else module

    async def items(self, side: str, pause: float = LONG, count: int = 2) -> Any:
        """Stream so many items out, in, or both ways; return what came."""
        if self._blocking:
            return await asyncio.to_thread(self._read, side, pause, count)
        if side == "input":
            return await self._module.sum(_rarely(count, pause))
        stream = self._open(side, pause, _rarely(count, pause), count)
        return [item async for item in stream]

    def _read(self, side: str, pause: float, count: int) -> Any:
        if side == "input":
            return self._module.sum(_seldom(count, pause))
        return list(self._open(side, pause, _seldom(count, pause), count))

    def _open(self, side: str, pause: float, source: Any, count: int) -> Any:
        return self._module.count(n=count, delay=pause) if side == "output" else self._module.chat(source)

    async def aclose(self) -> None:
        await (asyncio.to_thread(self._module.close) if self._blocking else self._module.aclose())


async def _rarely(count: int, pause: float) -> AsyncIterator[bytes]:
    for number in range(count):
        if number:
            await asyncio.sleep(pause)
        yield b"1"


def _seldom(count: int, pause: float) -> Iterator[bytes]:
    for number in range(count):
        if number:
            time.sleep(pause)
        yield b"1"


@contextlib.asynccontextmanager
async def streams(
    way: Way, blocking: bool = False, pings: dict[str, int] | None = None, **changes: Any
) -> AsyncIterator[Streams]:
    module = way.module(**changes) if pings is None else interop_module(way.info(options=pings))
    made = Streams(module, blocking)
    try:
        yield made
    finally:
        await made.aclose()


# -- what ends them ---------------------------------------------------------------------------------------------------


@BLOCKING
@pytest.mark.parametrize("limit", LIMITS, ids=str)
async def test_the_error_of_a_long_silence_names_the_setting(peers: Peers, limit: Limit, blocking: bool) -> None:
    with through(peers, limit.proxy, limit.protocol, **limit.settings) as (way, _):
        async with streams(way, blocking) as made:
            with pytest.raises(UnavailableError, match=limit.name) as caught:
                await made.items(limit.side)
    assert not caught.value.outcome_known


@pytest.mark.parametrize("limit", OF_GRPC, ids=str)
async def test_no_proxy_counts_pings_of_the_client(peers: Peers, limit: Limit) -> None:
    """They end at the proxy, and its limits are those of one stream."""
    with through(peers, limit.proxy, "grpc", **limit.settings) as (way, _):
        async with streams(way, pings=PINGS) as made:
            with pytest.raises(UnavailableError, match=limit.name):
                await made.items(limit.side)


@pytest.mark.parametrize("limit", OF_GRPC, ids=str)
async def test_some_proxies_count_pings_of_the_runtime(pinging: AsyncioServer, peers: Peers, limit: Limit) -> None:
    """nginx does from the first item on."""
    side = "both" if limit.side == "output" else "input"
    with limit.proxy(pinging, peers.server("wire"), settings=limit.settings) as proxy:
        async with streams(Way("grpc", pinging, proxy.ports["grpc"])) as made:
            if limit.counts_runtime:
                assert await made.items(side)
            else:
                with pytest.raises(UnavailableError, match=limit.name):
                    await made.items(side)


@pytest.fixture(scope="module")
def pinging() -> Iterator[AsyncioServer]:
    """A runtime that pings after each fifth of a second of silence."""
    with AsyncioServer(options=PINGS) as server:
        yield server


async def test_the_pages_options_let_a_real_runtime_ping(peers: Peers) -> None:
    """With its twenty seconds made short, they keep nginx from ending a stream."""
    text = (Path(__file__).parent.parent.parent / "docs" / "long-work.md").read_text()
    told = {name: int(value) for name, value in re.findall(r"^ +(grpc\.[\w.]+): (\d+)$", text, re.MULTILINE)}
    assert told == {**PINGS, "grpc.keepalive_time_ms": 20_000}
    for options, lives in (({}, False), (PINGS, True)):
        with Runtime(grpc_options=options) as runtime, _before(runtime, peers) as proxy:
            async with RemoteClient(f"127.0.0.1:{proxy.ports['grpc']}", retries=0) as client:
                foo: Any = await client.model("foo")
                stream = foo.run_sample_bidi_stream({"name": item.decode()} async for item in _rarely(2, LONG))
                assert (await anext(stream)).greeting
                with contextlib.nullcontext() if lives else pytest.raises(StreamTruncatedError, match="grpc_read_time"):
                    assert (await anext(stream)).greeting
                await stream.aclose()


def _before(runtime: Runtime, peers: Peers) -> Nginx:
    behind: Any = Server(runtime.port)
    settings = {"grpc": "grpc_read_timeout 1s;"}
    return Nginx(behind, peers.server("wire"), settings=settings, answers=lambda proxy: bool(_models(proxy)))


def _models(proxy: Proxy) -> bytes:
    with grpc.insecure_channel(f"127.0.0.1:{proxy.ports['grpc']}") as channel:
        ask: Any = channel.unary_unary
        answer: bytes = ask("/caikit.runtime.info.InfoService/GetModelsInfo")(b"", timeout=5)
    return answer


@BLOCKING
async def test_envoy_limits_a_whole_stream_by_its_routes_timeout(peers: Peers, protocol: str, blocking: bool) -> None:
    """15 seconds by default: the time does not begin before the input is complete."""
    with through(peers, Envoy, protocol, route="timeout: 1s") as (way, _):
        async with streams(way, blocking) as made:
            with pytest.raises(StreamTruncatedError, match="route's timeout"):
                await made.items("output", 0.3, 10)
            if protocol == "grpc":
                assert await made.items("input", 0.3, 8) == b"8"
                assert len(await made.items("both", 0.3, 8)) == 8


# -- what does not ----------------------------------------------------------------------------------------------------

ALL = [
    (Nginx, "grpc", {"all": "client_body_timeout 1s; keepalive_timeout 1s;", "grpc": "grpc_read_timeout 1s;"}),
    (Nginx, "http", {"http": "proxy_buffering off; proxy_read_timeout 1s;", "all": "keepalive_timeout 1s;"}),
    (Haproxy, "grpc", {"all": "timeout client 1s\n    timeout server 1s\n    timeout tunnel 1s"}),
    (Haproxy, "http", {"all": "timeout client 1s\n    timeout server 1s\n    timeout tunnel 1s"}),
    (Envoy, "grpc", {**IDLE, "cluster": "common_http_protocol_options: {idle_timeout: 1s}"}),
    (Envoy, "http", {**IDLE, "cluster": "common_http_protocol_options: {idle_timeout: 1s}"}),
    (Nghttpx, "grpc", {"all": "\n".join(f"{name}-timeout=1s" for name in ("backend-read", "frontend-http2-read"))}),
    (Nghttpx, "http", {"all": "\n".join(f"{name}-timeout=1s" for name in ("backend-read", "frontend-read"))}),
]
"""Every limit of silence that a proxy has, for each protocol."""


@BLOCKING
@pytest.mark.parametrize(("proxy", "protocol", "settings"), ALL, ids=lambda each: getattr(each, "name", None))
async def test_a_stream_whose_items_come_within_the_limits(
    peers: Peers, proxy: type[Proxy], protocol: str, settings: dict[str, str], blocking: bool
) -> None:
    """It takes four times as long as each of them."""
    with through(peers, proxy, protocol, **settings) as (way, _):
        async with streams(way, blocking, max_session_age=0.5) as made:
            sides = ("output", "input", "both") if protocol == "grpc" else ("output",)
            answers = await asyncio.gather(*(made.items(side, 0.33, 12) for side in sides))
    assert [answer if isinstance(answer, bytes) else len(answer) for answer in answers] == [12, b"12", 12][: len(sides)]


# -- what passes bytes on, and counts them: balancers of connections, NAT ---------------------------------------------


class Tcp(Haproxy):
    """It looks into no connection."""

    def configuration(self) -> str:
        return (
            super()
            .configuration()
            .replace("mode http", "mode tcp")
            .replace("option abortonclose", "")
            .replace(" proto h2", "")
        )


FEWER = "grpc.aio sends fewer PINGs than it is told to"
TUNNEL = {"all": "timeout client 1s\n    timeout server 1s"}


@pytest.mark.only_engine("asyncio", FEWER)
@BLOCKING
async def test_two_pings_between_items_keep_a_balancers_connection(peers: Peers, blocking: bool) -> None:
    """The default times, at 1:120: two PINGs cover three minutes of silence, where two end a connection."""
    with through(peers, Tcp, "grpc", **TUNNEL) as (way, _):
        async with streams(way, blocking, pings={"grpc.keepalive_time_ms": 500}) as made:
            answers = await asyncio.gather(*(made.items(side, 1.5, 5) for side in ("output", "both")))
    assert [len(answer) for answer in answers] == [5, 5]


@pytest.fixture(scope="module")
def patient() -> Iterator[AsyncioServer]:
    """A runtime that allows any number of PINGs."""
    with AsyncioServer(options={"grpc.http2.min_ping_interval_without_data_ms": 1}) as server:
        yield server


@pytest.mark.only_engine("asyncio", FEWER)
async def test_more_pings_where_the_silence_is_longer(patient: AsyncioServer, peers: Peers) -> None:
    with through(peers, Tcp, "grpc", **TUNNEL) as (way, _):
        async with streams(way, pings={"grpc.keepalive_time_ms": 500}) as made:
            with pytest.raises(StreamTruncatedError, match=r"the connection was lost|Socket closed"):
                await made.items("both", 5)
        async with streams(way, pings=PINGS | {"grpc.keepalive_time_ms": 500}) as made:
            with pytest.raises(UnavailableError, match=r"(?i)too.many.pings.*grpc.http2.min_ping_interval"):
                await made.items("both", 5)
    with Tcp(patient, peers.server("wire"), settings=TUNNEL) as proxy:
        async with streams(Way("grpc", patient, proxy.ports["grpc"]), pings=PINGS) as made:
            assert len(await made.items("both", 5)) == 2


async def test_pings_of_the_runtime_keep_a_balancers_connection(pinging: AsyncioServer, peers: Peers) -> None:
    with Tcp(pinging, peers.server("wire"), settings=TUNNEL) as proxy:
        async with streams(Way("grpc", pinging, proxy.ports["grpc"])) as made:
            assert len(await made.items("both", 5)) == 2


async def test_no_ping_keeps_a_balancers_connection_over_http(peers: Peers) -> None:
    with through(peers, Tcp, "http", **TUNNEL) as (way, _):
        async with streams(way) as made:
            with pytest.raises(StreamTruncatedError, match="connection was lost"):
                await made.items("output")
