"""What compression, user agent and limit of answers do on the wire, with all engines."""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from remote_client import ConnectionInfo, RemoteClient
from remote_client._settings.connection import USER_AGENT
from remote_client._transport.grpc.messages import frame_message
from remote_client._transport.manager import ConnectionManager
from remote_client.errors import DeadlineExceededError, ResponseTooLargeError
from tests.support.http_wire import HttpWire, http_module
from tests.support.over_httpx import owning
from tests.support.strict_h2 import PREFIX, StrictServer, message
from tests.support.wire import WireServer, raw_module

ENGINES = ["asyncio", "grpcio"]
WAYS = [*ENGINES, "http", "httpx"]
LARGE = b"the same over and over" * 100
KIB = 1024


@pytest.fixture(params=WAYS)
def way(request: pytest.FixtureRequest) -> Any:
    """The implementation that carries the calls."""
    return request.param


@pytest.fixture
def wired(request: pytest.FixtureRequest, way: str) -> Any:
    """The server that the way leads to."""
    return request.getfixturevalue("wire" if way in ENGINES else "http_wire")


def module_on(server: WireServer | HttpWire, way: str, **settings: Any) -> Any:
    """The server's plain methods, called with these settings of the connection."""
    if way in ENGINES:
        return raw_module(server.info(engine=way, **settings))
    info = server.info(**settings)
    module = http_module(info, ConnectionManager(partial(owning, info)) if way == "httpx" else None)
    module._owned = True  # closes the connections in any case
    return module


async def newest_user_agent(server: Any) -> str:
    stats = await server.stats()
    found: str = stats["metadata"][-1]["user-agent"]
    return found


def told(way: str, agent: str) -> str:
    """The user agent as servers see it: grpcio appends its own."""
    return f"{agent} grpc-python-asyncio/" if way == "grpcio" else agent


# -- user agent -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("given", [None, "shop/2 (team@example.com)"])
async def test_the_server_sees_the_user_agent(wired: Any, way: str, given: str | None) -> None:
    async with module_on(wired, way, user_agent=given) as module:
        assert await module.echo(b"1") == b"1"
        unary = await newest_user_agent(wired)
        assert len([item async for item in module.count(n=1)]) == 1
        streamed = await newest_user_agent(wired)
    for seen in (unary, streamed):
        assert seen.startswith(told(way, given or USER_AGENT))
        assert way == "grpcio" or seen == (given or USER_AGENT)


@pytest.mark.parametrize("way", ENGINES)
async def test_grpcs_options_stand_around_the_user_agent(wire: WireServer, way: str) -> None:
    options = {"grpc.primary_user_agent": "before", "grpc.secondary_user_agent": "after"}
    async with module_on(wire, way, user_agent="shop/2", options=options) as module:
        await module.echo(b"1")
    seen = await newest_user_agent(wire)
    assert seen.startswith("before shop/2 ")
    assert seen.endswith(" after")


async def test_questions_of_a_client_have_its_user_agent(server: Any, protocol: str) -> None:
    async with RemoteClient(server.info(), protocol=protocol, user_agent="shop/2") as client:  # type: ignore[arg-type]
        await client.models()
    stats = await server.stats()
    agents = {each.get("user-agent", "").partition(" ")[0] for each in stats["metadata"]}
    assert agents == {"shop/2"}


async def test_a_client_of_the_environment_sends_its_token(
    server: Any, protocol: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "token").write_text("secret\n")
    monkeypatch.setenv("REMOTE_CLIENT_TARGET", f"{protocol}://{server.host}:{server.port}")
    monkeypatch.setenv("REMOTE_CLIENT_TOKEN_FILE", str(tmp_path / "token"))
    await server.faults(only=["Bearer secret"])
    async with RemoteClient.from_env() as client:
        assert await client.models()


# -- compression ------------------------------------------------------------------------------------------------------


async def items(*data: bytes) -> AsyncIterator[bytes]:
    for each in data:
        yield each


def messages_in(body: bytes) -> Iterator[tuple[bool, bytes]]:
    """The messages of a request: whether each is packed, and what it says."""
    while body:
        size = int.from_bytes(body[1:PREFIX])
        data, packed = body[PREFIX : PREFIX + size], body[0] == 1
        yield packed, zlib.decompress(data, wbits=31) if packed else data
        body = body[PREFIX + size :]


async def sent(engine: str, call: str, request: Any, **settings: Any) -> tuple[str | None, list[tuple[bool, bytes]]]:
    """The encoding and the messages that a server got of a call."""

    def answer(connection: Any, stream: int, _: Any) -> None:
        connection.peer.answer(stream, message(b"1"))
        connection.flush()

    async with StrictServer(answer) as server:
        info = ConnectionInfo(hostname="127.0.0.1", port=server.port, engine=engine, retries=0, timeout=20, **settings)
        async with raw_module(info) as module:
            found = getattr(module, call)(request)
            if call in ("count", "chat"):
                assert [item async for item in found] == [b"1"]
            else:
                assert await found == b"1"
        ((_, _, received),) = server.requests
    encoding = dict(received.headers).get(b"grpc-encoding")
    return encoding and encoding.decode(), list(messages_in(bytes(received.body)))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("call", ["echo", "sum", "chat"])
async def test_gzip_packs_the_messages_it_makes_smaller(engine: str, call: str) -> None:
    request = LARGE if call == "echo" else items(LARGE, b"1")
    encoding, messages = await sent(engine, call, request, compression="gzip")
    assert encoding == "gzip"
    assert messages == [(True, LARGE), (False, b"1")][: len(messages)]
    assert len(messages) == (1 if call == "echo" else 2)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("call", ["echo", "chat"])
async def test_nothing_is_packed_unless_it_is_asked_for(engine: str, call: str) -> None:
    encoding, messages = await sent(engine, call, LARGE if call == "echo" else items(LARGE))
    assert encoding in (None, "identity")
    assert messages == [(False, LARGE)]


@pytest.mark.parametrize("engine", ENGINES)
async def test_the_setting_overrides_grpcs_option(engine: str) -> None:
    options = {"grpc.default_compression_algorithm": 0}
    encoding, messages = await sent(engine, "echo", LARGE, compression="gzip", options=options)
    assert (encoding, messages) == ("gzip", [(True, LARGE)])


@pytest.mark.parametrize("engine", ENGINES)
async def test_a_server_reads_packed_requests(wire: WireServer, engine: str) -> None:
    async with module_on(wire, engine, compression="gzip") as module:
        assert await module.echo(LARGE) == LARGE
        assert [item async for item in module.chat(items(LARGE, b"1"))] == [LARGE, b"1"]
        assert len(await module.big(size=5000, gzip=True)) == 5000


async def test_large_messages_are_packed_by_another_thread(wire: WireServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the event loop's thread, a megabyte would take 20 ms of all calls."""
    threads: list[bool] = []

    def recorded(data: bytes, compress: bool = False) -> bytes:
        threads.append(threading.current_thread() is threading.main_thread())
        return frame_message(data, compress)

    monkeypatch.setattr("remote_client._transport.grpc.transport.frame_message", recorded)
    large = LARGE * 100
    async with module_on(wire, "asyncio", compression="gzip") as module:
        assert await module.echo(large) == large
        assert [len(item) async for item in module.chat(items(large, b"1"))] == [len(large), 1]
        assert await module.echo(b"small") == b"small"
    assert threads == [False, False, True, True]


async def test_packing_counts_in_the_time_of_a_call(wire: WireServer, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(data: bytes, compress: bool = False) -> bytes:
        time.sleep(0.5)
        return frame_message(data, compress)

    monkeypatch.setattr("remote_client._transport.grpc.transport.frame_message", slow)
    async with module_on(wire, "asyncio", compression="gzip", timeout=0.1) as module:
        with pytest.raises(DeadlineExceededError, match=r"0\.1 seconds"):
            await module.echo(LARGE * 100)
    assert await wire.started("Echo") == 0


# -- limit of answers -------------------------------------------------------------------------------------------------


async def test_an_answer_over_the_limit_is_refused(wired: Any, way: str) -> None:
    async with module_on(wired, way, max_response_size=KIB) as module:
        assert len(await module.big(size=KIB - 100)) >= KIB - 100
        with pytest.raises(ResponseTooLargeError, match="client's limit: raise max_response_size"):
            await module.big(size=KIB + 1)
        with pytest.raises(ResponseTooLargeError, match="client's limit: raise max_response_size"):
            async for _ in module.count(n=1, size=2 * KIB):
                pass
        assert await module.echo(b"still well") == b"still well"


async def test_the_limit_is_of_an_item_and_not_of_a_stream(wired: Any, way: str) -> None:
    async with module_on(wired, way, max_response_size=2 * KIB) as module:
        assert len([item async for item in module.count(n=10, size=KIB)]) == 10


async def test_an_answer_of_any_size_is_taken_without_a_limit(wired: Any, way: str) -> None:
    size = 65 * KIB * KIB
    async with module_on(wired, way, max_response_size=None, timeout=60) as module:
        assert len(await module.big(size=size)) >= size


async def test_the_limit_overrides_grpcs_option(wired: Any, way: str) -> None:
    options = {"grpc.max_receive_message_length": 100}
    async with module_on(wired, way, max_response_size=5 * KIB, options=options) as module:
        assert len(await module.big(size=KIB)) >= KIB


async def test_a_client_sets_the_limit(server: Any, protocol: str) -> None:
    async with RemoteClient(server.info(), protocol=protocol, max_response_size=100) as client:  # type: ignore[arg-type]
        with pytest.raises(ResponseTooLargeError):
            await client.request("GET", "/openapi.json") if protocol == "http" else await client.call(
                "/test.Test/Big", b'{"size": 200}', idempotent=True
            )
