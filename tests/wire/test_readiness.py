"""Waiting until servers are ready: with the faults that a real runtime does not have."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from remote_client import RemoteClient, sync
from remote_client.errors import (
    ClosedError,
    ConfigurationError,
    DeadlineExceededError,
    InputError,
    SchemaUnavailableError,
    TlsError,
    UnauthenticatedError,
    UnavailableError,
    UnsupportedError,
)
from tests.support.clock import Stopwatch
from tests.support.http_wire import HttpWire
from tests.support.http_wire import models as http_models
from tests.support.runtime import free_port
from tests.support.wire import WireServer

QUESTIONS = ("Check", "GET /health")
Start = Callable[..., Any]


async def says(server: Any, state: str = "NOT_SERVING") -> None:
    """Let it answer questions about its health."""
    await server.faults({"health": state} if server.protocol == "grpc" else {"GET /health": {"body": state}})


async def lists(server: Any, *names: str) -> None:
    await server.faults({"models": names} if server.protocol == "grpc" else {"GET /info/models": http_models(*names)})


def nobody(protocol: str, port: int) -> str:
    return f"{protocol}://127.0.0.1:{port}"


async def test_a_server_that_serves_is_asked_once(server: Any) -> None:
    async with RemoteClient(server.target) as client:
        await client.wait_until_ready(5)
    assert await server.started(*QUESTIONS) == 1


async def test_what_it_waits_for_is_logged_once(server: Any, caplog: pytest.LogCaptureFixture) -> None:
    await lists(server, "foo")
    with caplog.at_level(logging.INFO, "remote_client"):
        async with RemoteClient(server.target) as client:
            with pytest.raises(DeadlineExceededError):
                await client.wait_until_ready(1.5, models=["foo", "bar"])
            await says(server)
            with pytest.raises(DeadlineExceededError):
                await client.wait_until_ready(1.5)
    told = [each.getMessage() for each in caplog.records if "not ready yet" in each.getMessage()]
    target = server.target.removeprefix("http://")
    assert told == ["not ready yet: no server lists bar", f"not ready yet: {target} does not serve (NOT_SERVING)"]


@pytest.mark.parametrize("kind", ["asyncio", "blocking"])
async def test_a_server_that_starts_late(start: Start, protocol: str, kind: str) -> None:
    port = free_port()

    def wait() -> None:
        with sync.RemoteClient(nobody(protocol, port)) as client:
            client.wait_until_ready(timeout=20)
            assert client.healthy()

    async def wait_here() -> None:
        async with RemoteClient(nobody(protocol, port)) as client:
            await client.wait_until_ready(timeout=20)
            assert await client.healthy()

    waiting = asyncio.create_task(asyncio.to_thread(wait) if kind == "blocking" else wait_here())
    await asyncio.sleep(0.3)
    assert not waiting.done()
    await asyncio.to_thread(start, port=port)
    await waiting


async def test_a_server_that_begins_to_serve(server: Any) -> None:
    await says(server)
    async with RemoteClient(server.target) as client:
        waiting = asyncio.create_task(client.wait_until_ready(20))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        await says(server, "SERVING" if server.protocol == "grpc" else "OK")
        await waiting


async def test_a_model_that_comes(server: Any) -> None:
    await lists(server, "foo")
    async with RemoteClient(server.target) as client:
        waiting = asyncio.create_task(client.wait_until_ready(20, models=["foo", "late"]))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        await lists(server, "foo", "late")
        await waiting


async def test_pauses_grow(server: Any) -> None:
    await says(server)
    async with RemoteClient(server.target) as client:
        with pytest.raises(DeadlineExceededError):
            await client.wait_until_ready(1.0)
    assert 3 <= await server.started(*QUESTIONS) <= 5


# -- what the error says ----------------------------------------------------------------------------------------------


async def test_nobody_is_there(protocol: str) -> None:
    port = free_port()
    async with RemoteClient(nobody(protocol, port)) as client:
        with pytest.raises(TimeoutError) as caught:
            await client.wait_until_ready(0.5, models=("foo", "bar"))
    error = caught.value
    assert isinstance(error, DeadlineExceededError)
    assert error.target == f"127.0.0.1:{port}"
    assert error.details.startswith(f"not ready within 0.5 seconds: 127.0.0.1:{port} does not serve (UNAVAILABLE: ")
    assert error.details.endswith("; models not looked for yet: 'foo', 'bar'")
    assert isinstance(error.__cause__, UnavailableError)


async def test_a_server_does_not_serve(server: Any) -> None:
    await says(server)
    async with RemoteClient(server.target) as client:
        with pytest.raises(DeadlineExceededError, match=r"does not serve \(NOT_SERVING\) \(at"):
            await client.wait_until_ready(0.3)


async def test_a_model_is_missing(server: Any) -> None:
    await lists(server, "granite", "foo")
    async with RemoteClient(server.target) as client:
        with pytest.raises(
            DeadlineExceededError,
            match=r"no server lists the models 'granit', 'other' \(did you mean 'granite'\?\)",
        ):
            await client.wait_until_ready(0.5, models=["granit", "foo", "other"])


async def test_many_models_are_missing(server: Any) -> None:
    names = [f"missing-{number}" for number in range(30)]
    async with RemoteClient(server.target) as client:
        with pytest.raises(DeadlineExceededError, match=r"'missing-9' and 20 more"):
            await client.wait_until_ready(0.5, models=names)


async def test_a_server_that_does_not_list_its_models(server: Any) -> None:
    await server.faults(
        {"models_fail": "UNAVAILABLE"} if server.protocol == "grpc" else {"GET /info/models": {"status": 503}}
    )
    async with RemoteClient(server.target, retries=0) as client:
        with pytest.raises(DeadlineExceededError, match=r"no server lists the model 'foo'; .* did not list its models"):
            await client.wait_until_ready(0.7, models="foo")


async def test_a_silent_server(mute: int, protocol: str) -> None:
    watch = Stopwatch()
    async with RemoteClient(nobody(protocol, mute), timeout=None) as client:
        with pytest.raises(DeadlineExceededError, match="did not answer"):
            await client.wait_until_ready(0.5)
    assert watch.seconds < 2


async def test_one_of_two_servers_is_missing(server: Any, protocol: str) -> None:
    port = free_port()
    async with RemoteClient([server.target, nobody(protocol, port)]) as client:
        with pytest.raises(DeadlineExceededError) as caught:
            await client.wait_until_ready(0.5)
    assert caught.value.target == f"127.0.0.1:{port}"
    assert f"{server.port} does not serve" not in caught.value.details


async def test_a_model_of_the_second_server(server: Any, start: Start) -> None:
    second = await asyncio.to_thread(start)
    await lists(server, "foo")
    await lists(second, "bar")
    async with RemoteClient([server.target, second.target]) as client:
        await client.wait_until_ready(10, models=["foo", "bar"])


# -- what waiting does not mend ---------------------------------------------------------------------------------------


async def test_wrong_credentials_are_told_at_once(server: Any) -> None:
    await server.faults(only=["Bearer right"])
    watch = Stopwatch()
    async with RemoteClient(server.target, metadata={"authorization": "Bearer wrong"}) as client:
        with pytest.raises(UnauthenticatedError):
            await client.wait_until_ready(60)
    assert watch.seconds < 2


async def test_one_refusal_does_not_wait_for_a_silent_server(server: Any, mute: int, protocol: str) -> None:
    await server.faults(only=[])
    watch = Stopwatch()
    async with RemoteClient([nobody(protocol, mute), server.target]) as client:
        with pytest.raises(UnauthenticatedError):
            await client.wait_until_ready(60)
    assert watch.seconds < 2


@pytest.mark.own_http("a transport does not tell what the server speaks")
async def test_a_server_of_the_other_protocol(wire: WireServer, http_wire: HttpWire, protocol: str) -> None:
    port = http_wire.port if protocol == "grpc" else wire.port
    watch = Stopwatch()
    async with RemoteClient(nobody(protocol, port)) as client:
        with pytest.raises(UnavailableError):
            await client.wait_until_ready(60)
    assert watch.seconds < 2


@pytest.mark.own_http("the TLS of a transport is set by whoever makes it")
async def test_a_certificate_of_nobody_we_trust(start: Start, protocol: str, tmp_path: Path) -> None:
    issued = trustme.CA().issue_cert("127.0.0.1")
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    issued.private_key_pem.write_to_path(key)
    issued.cert_chain_pems[0].write_to_path(cert)
    server = await asyncio.to_thread(start, tls={"key": str(key), "cert": str(cert)})
    watch = Stopwatch()
    async with RemoteClient(f"{protocol}s://127.0.0.1:{server.port}") as client:
        with pytest.raises(TlsError):
            await client.wait_until_ready(60)
    assert watch.seconds < 6


async def test_a_server_that_does_not_describe_itself(wire: WireServer) -> None:
    await wire.faults(reflection_versions=[])
    async with RemoteClient(wire.target) as client:
        await client.wait_until_ready(5)
        with pytest.raises(SchemaUnavailableError):
            await client.wait_until_ready(60, models="foo")


async def test_a_function_that_raises(server: Any) -> None:
    def token() -> dict[str, str]:
        raise LookupError("no token")

    async with RemoteClient(server.target, metadata=token) as client:
        with pytest.raises(LookupError, match="no token"):
            await client.wait_until_ready(60)


async def test_a_client_that_is_closed(protocol: str) -> None:
    client = RemoteClient(nobody(protocol, free_port()))
    waiting = asyncio.create_task(client.wait_until_ready(60))
    await asyncio.sleep(0.1)
    await client.aclose()
    with pytest.raises(ClosedError):
        await waiting


async def test_a_wait_that_is_cancelled(mute: int, protocol: str) -> None:
    async with RemoteClient(nobody(protocol, mute)) as client:
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(0.2):
                await client.wait_until_ready(60)
    assert not isinstance(caught.value, DeadlineExceededError)


@pytest.mark.parametrize("models", [1, [1], [""], [b"foo"], None])
async def test_names_that_are_none(server: Any, models: Any) -> None:
    async with RemoteClient(server.target) as client:
        with pytest.raises(InputError, match="models: expected names of models, not"):
            await client.wait_until_ready(60, models=models)
    assert await server.started(*QUESTIONS) == 0


@pytest.mark.parametrize("timeout", [0, -1, "60", float("nan")])
async def test_timeouts_that_are_none(server: Any, timeout: Any) -> None:
    async with RemoteClient(server.target) as client:
        with pytest.raises(ConfigurationError, match="timeout"):
            await client.wait_until_ready(timeout)


async def test_a_host_name_that_depends_on_the_model(wire: WireServer) -> None:
    finder = {"connection": {"hostname": "{}", "port": wire.port}}
    config = {"model_management": {"finders": {"remote": {"type": "REMOTE", "config": finder}}}}
    async with RemoteClient.from_config(config) as client:
        with pytest.raises(UnsupportedError):
            await client.wait_until_ready(5)
    await wire.faults(models=["localhost"])
    async with RemoteClient.from_config(config) as client:
        await client.wait_until_ready(5, models="localhost")
