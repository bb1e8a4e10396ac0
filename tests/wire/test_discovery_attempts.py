"""Discovery is made of calls like others: they are sent again, hooks hear of them, and they have their deadlines."""

from __future__ import annotations

import asyncio
import socket
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from remote_client import JobStatus, RemoteClient, sync
from remote_client._client import discovery
from remote_client.errors import DeadlineExceededError, PermissionDeniedError, SchemaError, UnavailableError
from remote_client.hooks import AttemptFailed, CallEnded
from tests.support import http_server
from tests.support.http_wire import RESET, HttpWire, answer
from tests.support.http_wire import models as http_models
from tests.support.proxy import Proxy
from tests.support.wire import WireServer

Refused = Callable[..., Any]
REFLECTION = "grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"
BUSY = [{"status": 429, "body": ""}, {"status": 503, "body": ""}, {"steps": [RESET]}]
"""Three ways of refusing a request over HTTP."""
TRANSIENT = ["UNAVAILABLE", "RESOURCE_EXHAUSTED", "CANCELLED"]
"""Three ways of refusing a call over gRPC; the last is a full queue's."""


async def _deed(client: RemoteClient, name: str) -> Any:
    return await (client.model("foo") if name == "model" else getattr(client, name)())


@pytest.mark.parametrize("status", TRANSIENT)
@pytest.mark.parametrize("deed", ["models", "model", "describe", "healthy", "runtime_info"])
async def test_what_a_server_refused_is_asked_again(wire: WireServer, deed: str, status: str) -> None:
    names = ("ServerReflectionInfo", "GetModelsInfo", "GetRuntimeInfo", "Check")
    await wire.faults(refuse={name: [status] for name in names})
    async with RemoteClient(wire.target) as client:
        assert await _deed(client, deed)


@pytest.mark.parametrize("fault", BUSY, ids=["429", "503", "reset"])
@pytest.mark.parametrize("deed", ["models", "model", "describe", "healthy", "runtime_info"])
async def test_what_a_server_refused_over_http_is_asked_again(
    http_wire: HttpWire, deed: str, fault: dict[str, Any]
) -> None:
    routes = ("GET /openapi.json", "GET /info/models", "GET /info/version", "GET /health")
    await http_wire.faults({route: [fault] for route in routes})
    async with RemoteClient(http_wire.target) as client:
        found = client.model("raw") if deed == "model" else getattr(client, deed)()
        assert await found


async def test_no_more_attempts_than_retries(wire: WireServer) -> None:
    await wire.faults(refuse={"ServerReflectionInfo": ["UNAVAILABLE"] * 9})
    async with RemoteClient(wire.target, retries=3) as client:
        with pytest.raises(UnavailableError, match="in attempt 4") as caught:
            await client.describe()
    assert len(caught.value.previous) == 3
    assert (await wire.stats())["started"]["ServerReflectionInfo"] == 4


async def test_what_is_no_overload_is_not_asked_again(wire: WireServer) -> None:
    await wire.faults(refuse={"ServerReflectionInfo": ["PERMISSION_DENIED"] * 2})
    async with RemoteClient(wire.target) as client:
        with pytest.raises(PermissionDeniedError):
            await client.describe()
    assert (await wire.stats())["started"]["ServerReflectionInfo"] == 1


async def test_hooks_hear_of_discovery(wire: WireServer) -> None:
    events: list[Any] = []
    await wire.faults(reflection_versions=["v1"], refuse={"ServerReflectionInfo": ["UNAVAILABLE"]})
    async with RemoteClient(wire.target, hooks=[events.append]) as client:
        await client.model("foo")
        await client.healthy()
    reflection = REFLECTION.replace("v1alpha", "v1")
    assert [(each.method, each.attempt) for each in events if isinstance(each, AttemptFailed)] == [(reflection, 1)]
    ended = Counter(each.method for each in events if isinstance(each, CallEnded))
    assert ended.keys() == {
        reflection,
        "caikit.runtime.info.InfoService/GetModelsInfo",
        "grpc.health.v1.Health/Check",
    }
    assert {each.target for each in events} == {wire.target}


async def test_a_refusal_for_load_makes_discovery_wait_its_turn(wire: WireServer) -> None:
    await wire.faults(refuse={"ServerReflectionInfo": ["CANCELLED"]})
    async with RemoteClient(wire.target, max_pending=64) as client:
        await client.describe()
        assert client._finder.servers[0].caller.connections.pending.limit < 64


async def test_reflection_has_one_deadline_over_all_attempts(wire: WireServer) -> None:
    await wire.faults(reflection_hang=True)
    async with RemoteClient(wire.target, timeout=0.3, retries=8) as client:
        with pytest.raises(DeadlineExceededError):
            await client.describe()
    assert (await wire.stats())["started"]["reflection v1"] == 1


async def test_a_reflection_that_is_lost_midway_is_asked_again(wire: WireServer) -> None:
    await wire.faults(reflection_hang=True)
    async with Proxy(wire.port) as proxy, RemoteClient(f"127.0.0.1:{proxy.port}") as client:
        described = asyncio.ensure_future(client.describe())
        await wire.until(lambda seen: seen["running"], 5)
        await wire.faults(reflection_hang=False)
        proxy.cut()
        assert (await described).tasks


async def test_a_document_that_is_cut_is_asked_for_again(http_wire: HttpWire) -> None:
    cut = {"steps": [*answer('{"paths": ', headers={"content-length": 100}), RESET]}
    await http_wire.faults({"GET /openapi.json": [cut]})
    async with RemoteClient(http_wire.target) as client:
        assert (await client.describe()).tasks


# -- a server that comes up late --------------------------------------------------------------------------------------


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


@pytest.mark.parametrize("deed", ["models", "model", "describe", "healthy"])
@pytest.mark.parametrize("protocol", ["grpc", "http"])
async def test_a_client_starts_before_its_server(
    start_wire: Callable[..., WireServer], start_http: Callable[..., HttpWire], protocol: str, deed: str
) -> None:
    port, refused = _free_port(), asyncio.Event()
    start, scheme, name = (start_wire, "grpc", "foo") if protocol == "grpc" else (start_http, "http", "raw")

    def hook(event: Any) -> None:
        if isinstance(event, AttemptFailed):
            refused.set()

    async with RemoteClient(f"{scheme}://127.0.0.1:{port}", retries=8, hooks=[hook]) as client:
        found = asyncio.ensure_future(client.model(name) if deed == "model" else getattr(client, deed)())
        async with asyncio.timeout(5):
            await refused.wait()
        await asyncio.to_thread(start, port=port)
        assert await found


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_a_blocking_client_starts_before_its_server(
    start_wire: Callable[..., WireServer], start_http: Callable[..., HttpWire], protocol: str
) -> None:
    port, started = _free_port(), []
    start, scheme, name = (start_wire, "grpc", "foo") if protocol == "grpc" else (start_http, "http", "raw")

    def hook(event: Any) -> None:
        if isinstance(event, AttemptFailed) and not started:  # in the loop's thread: the next attempt waits for it
            started.append(start(port=port))

    with sync.RemoteClient(f"{scheme}://127.0.0.1:{port}", retries=8, hooks=[hook]) as client:
        assert client.model(name)
    assert started


# -- an OpenAPI document that cannot be had ---------------------------------------------------------------------------

NO_DOCUMENT: dict[str, dict[str, Any]] = {
    "404": {"status": 404, "body": {"detail": "Not Found"}},
    "403": {"status": 403, "body": "no"},
    "500": {"status": 500, "body": "x"},
    "503": {"status": 503, "body": "x"},
    "lost": {"steps": [RESET]},
    "late": {"delay": 60},
    "HTML": {"body": "<html></html>"},
}


@pytest.mark.sampled(3)
@pytest.mark.parametrize("fault", NO_DOCUMENT.values(), ids=NO_DOCUMENT)
async def test_what_needs_no_document_works_without(http_wire: HttpWire, fault: dict[str, Any]) -> None:
    await http_wire.faults({"GET /openapi.json": fault})
    async with RemoteClient(http_wire.target, timeout=1) as client:
        assert await client.healthy()
        assert [each.name for each in await client.models()] == ["raw"]
        assert (await client.runtime_info()).runtime_version == "1.2.3"
        for needs in (client.model("raw"), client.describe(), client.deploy_model("m", {"config.yml": b""})):
            with pytest.raises(SchemaError, match=r"openapi\.json"):
                await needs


async def test_a_late_document_is_a_timeout_too(http_wire: HttpWire) -> None:
    await http_wire.faults({"GET /openapi.json": {"delay": 60}})
    async with RemoteClient(http_wire.target, timeout=0.2) as client:
        with pytest.raises(TimeoutError) as caught:
            await client.describe()
    assert isinstance(caught.value, SchemaError)


async def test_a_late_document_holds_up_no_list_of_models(http_wire: HttpWire, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discovery, "DESCRIPTION_WAIT", 0.1)
    await http_wire.faults({"GET /openapi.json": {"delay": 60}})
    async with RemoteClient(http_wire.target) as client:
        async with asyncio.timeout(10):  # much less than a call's 60 seconds
            assert await client.models()


@pytest.mark.parametrize("patience", [0.05, 10.0])
async def test_a_server_that_is_not_reached_is_not_asked_another_way(
    monkeypatch: pytest.MonkeyPatch, patience: float
) -> None:
    async def ask(**options: Any) -> None:
        async with RemoteClient(f"http://127.0.0.1:{_free_port()}", **options) as client:
            with pytest.raises(UnavailableError):
                await client.models()

    await ask()  # imports what the first call needs
    monkeypatch.setattr(discovery, "DESCRIPTION_WAIT", patience)
    events: list[Any] = []
    await ask(retries=3, hooks=[events.append])
    assert [each.method for each in events if isinstance(each, CallEnded)] == ["GET /openapi.json"]


async def test_a_finder_without_a_document_keeps_no_other_from_being_asked(
    http_wire: HttpWire, wire: WireServer
) -> None:
    await http_wire.faults({"GET /openapi.json": {"status": 404}, "GET /info/models": http_models("foo")})
    finders = {
        name: {
            "type": "REMOTE",
            "config": {"protocol": protocol, "connection": {"hostname": "127.0.0.1", "port": port}},
        }
        for name, protocol, port in (("first", "http", http_wire.port), ("second", "grpc", wire.port))
    }
    async with RemoteClient.from_config({"model_management": {"finders": finders}}) as client:
        model = await client.model("foo", task="SampleTask")
        assert model.config.connection.port == wire.port


# -- jobs -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", BUSY, ids=["429", "503", "reset"])
async def test_a_refused_question_about_a_job_is_asked_again(http_wire: HttpWire, fault: dict[str, Any]) -> None:
    document, route = http_server.openapi(), "/api/v1/task/echo/job"
    operation = {"responses": {"200": {"content": {"application/json": {"schema": {}}}}}}
    document["paths"][route] = dict.fromkeys(("post", "get", "delete"), operation)
    states = [{"body": {"state": each}} for each in ("RUNNING", "COMPLETED")]
    polls = [fault, states[0], fault, states[1]]
    await http_wire.faults({"GET /openapi.json": {"body": document}, f"GET {route}": polls})
    async with RemoteClient(http_wire.target) as client:
        assert (await client.prediction_job("EchoTask", "id").wait()).state is JobStatus.COMPLETED
    assert (await http_wire.stats())["started"][f"GET {route}"] == 4
