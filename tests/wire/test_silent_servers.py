"""One silent server never holds up what others can answer; `remote_client._client.silent_servers` has the rule.

Nothing here takes time of its own: the client's patience is a moment, and a silent server outlasts the test.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio

from remote_client import JobStatus, RemoteClient, sync
from remote_client._client import discovery, finder, silent_servers
from remote_client._transport.http import pool
from remote_client.errors import ClosedError, DeadlineExceededError, ModelNotFoundError, UnavailableError
from remote_client.hooks import CallEnded
from remote_client.settings import ConnectionInfo, Protocol
from tests.support.http_server import models as http_models
from tests.support.http_server import openapi
from tests.support.http_wire import HttpWire
from tests.support.wire import WireServer

LIMIT = 4.0
"""Seconds in which every answer comes: less than a connection may take, or a call (`timeout` is an hour)."""
SILENCES = ("deaf", "mute", "TLS", "late")
"""No connection is made; one is made, and nobody speaks (over gRPC: no SETTINGS); the same with TLS; all but health is
answered never."""
JOB = "/api/v1/task/echo/job"


@pytest.fixture(autouse=True)
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (silent_servers, finder):
        monkeypatch.setattr(module, "SHORT_WAIT", 0.1)
    monkeypatch.setattr(silent_servers, "LONG_WAIT", 0.5)


@pytest.fixture(params=["grpc", "http"])
def protocol(request: pytest.FixtureRequest) -> Any:
    return request.param


def document() -> dict[str, Any]:
    """A document with jobs and trainings."""
    made = openapi()
    operation: dict[str, Any] = {"responses": {"200": {"content": {"application/json": {"schema": {}}}}}}
    made["paths"][JOB] = dict.fromkeys(("post", "get", "delete"), operation)
    made["paths"]["/management/trainings"] = dict.fromkeys(("get", "delete"), operation)
    return made


@pytest_asyncio.fixture
async def server(protocol: str, wire: WireServer, http_wire: HttpWire) -> WireServer | HttpWire:
    """The one that answers."""
    state = {"body": {"state": "RUNNING"}}
    await http_wire.faults(
        {
            "GET /openapi.json": {"body": document()},
            "GET /info/models": {"body": http_models("foo")},
            f"GET {JOB}": state,
            f"DELETE {JOB}": state,
            "GET /management/trainings": state,
            "DELETE /management/trainings": state,
        }
    )
    return wire if protocol == "grpc" else http_wire


@pytest_asyncio.fixture
async def late(
    protocol: str, start_wire: Callable[..., WireServer], start_http: Callable[..., HttpWire]
) -> AsyncIterator[Callable[[], Awaitable[WireServer | HttpWire]]]:
    """Starts a server that describes and lists nothing, ever."""

    async def start() -> WireServer | HttpWire:
        never = {"delay": 3600}
        started: WireServer | HttpWire = start_wire() if protocol == "grpc" else start_http()
        if protocol == "grpc":
            await started.faults(reflection_hang=True)
        else:
            await started.faults({"GET /openapi.json": never, "GET /info/models": never, "GET /info/version": never})
        return started

    yield start


@pytest_asyncio.fixture(params=SILENCES)
async def silent(
    request: pytest.FixtureRequest,
    protocol: str,
    deaf: int,
    mute: int,
    late: Callable[[], Awaitable[WireServer | HttpWire]],
) -> str:
    """The target of a silent server."""
    ports = {"deaf": deaf, "mute": mute, "TLS": mute}
    port = (await late()).port if request.param == "late" else ports[request.param]
    return f"{protocol}{'s' if request.param == 'TLS' else ''}://127.0.0.1:{port}"


def target(server: WireServer | HttpWire) -> str:
    return server.target if isinstance(server, HttpWire) else f"grpc://{server.target}"


def client_of(*targets: str) -> RemoteClient:
    return RemoteClient(targets, timeout=3600)


DEEDS: dict[str, Callable[[Any], Any]] = {
    "models": lambda client: client.models(),
    "models by name": lambda client: client.models(ids=["foo"]),
    "model": lambda client: client.model("foo"),
    "describe": lambda client: client.describe(),
    "runtime_info": lambda client: client.runtime_info(),
}


@pytest.mark.sampled(12)
@pytest.mark.parametrize("deed", DEEDS)
async def test_others_answer(silent: str, server: WireServer | HttpWire, deed: str) -> None:
    async with client_of(silent, target(server)) as client, asyncio.timeout(LIMIT):
        assert await DEEDS[deed](client)


@pytest.mark.sampled(12)
@pytest.mark.parametrize("deed", DEEDS)
async def test_others_answer_blocking_callers(silent: str, server: WireServer | HttpWire, deed: str) -> None:
    def work() -> Any:
        with sync.RemoteClient([silent, target(server)], timeout=3600) as client:
            return DEEDS[deed](client)

    async with asyncio.timeout(LIMIT):
        assert await asyncio.to_thread(work)


async def test_a_silent_server_is_not_healthy(
    silent: str, server: WireServer | HttpWire, request: pytest.FixtureRequest
) -> None:
    async with client_of(silent, target(server)) as client, asyncio.timeout(LIMIT):
        assert await client.healthy() is ("late" in request.node.callspec.params.values())


async def test_what_one_says_is_enough_to_be_unhealthy(
    wire: WireServer, mute: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silent_servers, "LONG_WAIT", 3600)
    await wire.faults(refuse={"Check": ["UNAVAILABLE"] * 9})
    async with client_of(f"127.0.0.1:{mute}", wire.target) as client, asyncio.timeout(LIMIT):
        assert await client.healthy() is False


@pytest.mark.parametrize("deed", DEEDS)
async def test_another_finder_answers(protocol: str, mute: int, server: WireServer | HttpWire, deed: str) -> None:
    finders = {
        name: {
            "type": "REMOTE",
            "config": {"protocol": protocol, "connection": {"hostname": "127.0.0.1", "port": port, "timeout": 3600}},
        }
        for name, port in (("first", mute), ("second", server.port))
    }
    async with RemoteClient.from_config({"model_management": {"finders": finders}}) as client:
        async with asyncio.timeout(LIMIT):
            assert await DEEDS[deed](client)


async def test_who_was_silent_is_waited_for_less(
    mute: int, protocol: str, server: WireServer | HttpWire, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with client_of(f"{protocol}://127.0.0.1:{mute}", target(server)) as client:
        assert await client.models()
        monkeypatch.setattr(silent_servers, "LONG_WAIT", 3600)
        async with asyncio.timeout(LIMIT):
            assert await client.models()
        monkeypatch.setattr(silent_servers, "SHORT_WAIT", 3600)
        async with asyncio.timeout(LIMIT):
            assert await client.model("foo")
            assert await client.describe()


async def test_the_first_server_wins_in_time(
    wire: WireServer, start_wire: Callable[..., WireServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(silent_servers, "SHORT_WAIT", 3600)
    await wire.faults(models_delay=0.2)
    async with client_of(wire.target, start_wire().target) as client:
        assert (await client.model("foo")).config.connection.port == wire.port


async def test_what_is_told_late_counts_then(
    wire: WireServer, start_wire: Callable[..., WireServer], caplog: pytest.LogCaptureFixture
) -> None:
    slow = start_wire()
    await slow.faults(models_delay=1.5, models=["slow"])
    async with client_of(slow.target, wire.target) as client:
        assert [each.name for each in await client.models()] == ["foo"]
        assert f"{slow.target}: it has not answered for" in caplog.text
        assert (await client.model("slow")).config.connection.port == slow.port  # nobody else has it
        assert (await slow.stats())["started"]["GetModelsInfo"] == 1
        assert [each.name for each in await client.models(ids=["slow"])] == ["slow"]


async def test_a_name_is_given_up_when_all_have_spoken(wire: WireServer, deaf: int) -> None:
    async with RemoteClient([f"127.0.0.1:{deaf}", wire.target], timeout=0.7, retries=0) as client:
        with pytest.raises(ModelNotFoundError, match="could not be asked"):
            await client.model("missing")
        with pytest.raises(ModelNotFoundError, match="could not be asked"):
            await client.models(ids=["missing"])


async def test_what_a_silent_server_had_is_listed(wire: WireServer, start_wire: Callable[..., WireServer]) -> None:
    other = start_wire()
    await other.faults(models=["second"])
    async with client_of(wire.target, other.target) as client:
        names = ["foo", "second"]
        assert sorted(each.name for each in await client.models()) == names
        await other.faults(models=["second"], models_delay=3600)
        async with asyncio.timeout(LIMIT):
            assert sorted(each.name for each in await client.models()) == names
            assert sorted(each.name for each in await client.models(ids=names)) == names


async def test_who_lists_and_never_describes(http_wire: HttpWire, start_http: Callable[..., HttpWire]) -> None:
    first = start_http()
    await first.faults({"GET /openapi.json": {"delay": 3600}})
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(discovery, "DESCRIPTION_WAIT", 0.1)
        async with client_of(first.target, http_wire.target) as client, asyncio.timeout(LIMIT):
            assert [each.name for each in await client.models()] == ["raw"]
            model: Any = await client.model("raw")
            assert model.config.connection.port == http_wire.port
            await model.run_echo("x")
    requests = [(await each.stats())["started"] for each in (first, http_wire)]
    assert [each.get("POST /api/v1/task/echo", 0) for each in requests] == [0, 1]


@pytest.mark.sampled(3)
async def test_all_are_silent(silent: str) -> None:
    async with RemoteClient([silent, silent], timeout=0.3, retries=0) as client:
        for deed in DEEDS.values():
            with pytest.raises((UnavailableError, DeadlineExceededError)):
                await deed(client)


async def test_closing_ends_what_is_still_asked(silent: str, server: WireServer | HttpWire) -> None:
    client = client_of(silent, target(server))
    assert await client.models()
    waiting = [asyncio.ensure_future(deed) for deed in (client.model("missing"), client.models(ids=["missing"]))]
    await asyncio.sleep(0)
    async with asyncio.timeout(LIMIT):
        await client.aclose()
        for each in await asyncio.gather(*waiting, return_exceptions=True):
            assert isinstance(each, ClosedError)


@pytest.mark.parametrize("alone", [True, False])
async def test_a_failure_that_nobody_is_told_of_is_logged(
    alone: bool, wire: WireServer, start_wire: Callable[..., WireServer], caplog: pytest.LogCaptureFixture
) -> None:
    async def middleware(call: Any, proceed: Any) -> Any:
        if call.target == wire.target:
            raise KeyError("foo")
        return await proceed(call)

    targets = [wire.target] if alone else [wire.target, start_wire().target]
    async with RemoteClient(targets, middleware=[middleware]) as client:
        if alone:
            with pytest.raises(KeyError, match="foo"):
                await client.models()
        else:
            assert [each.name for each in await client.models()] == ["foo"]
    told = [] if alone else [f"finder remote: {wire.target} did not list its models: KeyError('foo')"]
    assert caplog.messages == told


@pytest.mark.parametrize("protocol", ["http"])  # tests/live has them over gRPC
async def test_a_job_is_found_where_it_is(protocol: str, mute: int, http_wire: HttpWire, server: Any) -> None:
    async with client_of(f"http://127.0.0.1:{mute}", http_wire.target) as client, asyncio.timeout(LIMIT):
        assert (await client.prediction_job("EchoTask", "id").status()).state is JobStatus.RUNNING
        assert (await client.training("id").cancel()).state is JobStatus.RUNNING


@pytest.mark.own_http("httpx's transport has no limit for connecting of its own")
@pytest.mark.parametrize("limit", ["connect", "timeout"])
@pytest.mark.parametrize("deed", [*DEEDS, "healthy"])
async def test_a_black_hole_is_asked_once(
    protocol: Protocol, deaf: int, deed: str, limit: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever limit comes first: that of connecting or the call's. No second question follows by another way."""
    monkeypatch.setattr(pool, "CONNECT_TIMEOUT", 0.2)
    events: list[Any] = []
    connection = ConnectionInfo(
        hostname="127.0.0.1",
        port=deaf,
        timeout=3600 if limit == "connect" else 0.1,
        options={"grpc.min_reconnect_backoff_ms": 200},
        retries=0,
    )
    async with RemoteClient(connection, protocol=protocol, hooks=[events.append]) as client, asyncio.timeout(LIMIT):
        if deed == "healthy":
            assert await client.healthy() is False
        else:
            with pytest.raises(UnavailableError if limit == "connect" else DeadlineExceededError):
                await DEEDS[deed](client)
    (ended,) = [each for each in events if isinstance(each, CallEnded)]
    assert ended.attempts == 1
