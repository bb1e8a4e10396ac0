"""`aclose()` and a call's deadline wait neither for a function of the user's that never returns, nor for a thread."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from remote_client import RemoteClient, sync
from remote_client._client import introspection
from remote_client._schema.openapi import document as openapi
from remote_client._schema.protobuf import services as protobuf_services
from remote_client.errors import ClosedError, DeadlineExceededError, InputError
from tests.support.http_wire import HttpWire
from tests.support.wire import ROOT, WireServer, raw_module

Use = Callable[[RemoteClient], Awaitable[Any]]
USES: dict[str, Use] = {
    "models": lambda client: client.models(),
    "model": lambda client: client.model("foo"),
    "describe": lambda client: client.describe(),
}


class Metadata:
    """A coroutine function that never returns, and tells when it is called."""

    def __init__(self) -> None:
        self.called = asyncio.Event()

    async def __call__(self) -> dict[str, str]:
        self.called.set()
        await asyncio.Event().wait()
        raise AssertionError


# -- metadata that never comes ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["grpc", "http"])
@pytest.mark.parametrize("use", USES.values(), ids=USES)
async def test_metadata_is_awaited_inside_of_the_deadline(
    wire: WireServer, http_wire: HttpWire, protocol: str, use: Use
) -> None:
    target = wire.target if protocol == "grpc" else http_wire.target
    async with asyncio.timeout(10), RemoteClient(target, timeout=0.2, metadata=Metadata()) as client:
        with pytest.raises(DeadlineExceededError, match="no metadata within"):
            await use(client)
        assert await client.healthy() is False


@pytest.mark.parametrize("deed", ["unary", "stream", "stream in"])
async def test_a_call_ends_though_its_metadata_never_comes(wire: WireServer, deed: str) -> None:
    async with asyncio.timeout(10), raw_module(wire.info()) as module:
        slow = module.with_options(timeout=0.2, metadata=Metadata())
        with pytest.raises(DeadlineExceededError, match="no metadata within") as caught:
            await {
                "unary": lambda: slow.echo(b""),
                "stream": lambda: anext(slow.count(n=1)),
                "stream in": lambda: slow.sum([b"1"]),
            }[deed]()
    assert caught.value.outcome_known
    assert (await wire.stats())["started"] == {}


async def test_the_time_for_metadata_is_the_calls_own(wire: WireServer) -> None:
    async def metadata() -> dict[str, str]:
        await asyncio.sleep(1.5)
        return {}

    async with raw_module(wire.info()) as module:
        with pytest.raises(DeadlineExceededError):  # a second would do for the call alone
            await module.with_options(timeout=2, metadata=metadata).sleep(seconds=1)


def test_a_blocking_call_ends_though_its_metadata_never_comes(wire: WireServer) -> None:
    never = threading.Event()

    def metadata() -> dict[str, str]:
        never.wait(60)
        return {}

    with sync.RemoteClient(wire.target, timeout=0.2, metadata=metadata) as client:
        with pytest.raises(DeadlineExceededError, match="no metadata within"):
            client.models()
    never.set()


_HUNG = """
import sys, threading
from remote_client.sync import RemoteClient

client = RemoteClient(sys.argv[1], timeout=1, metadata=threading.Event().wait)
try:
    client.models()
except TimeoutError as error:
    print(type(error).__name__)
"""


def test_a_process_ends_though_metadata_never_comes(wire: WireServer) -> None:
    command = [sys.executable, "-c", _HUNG, wire.target]
    done = subprocess.run(command, cwd=ROOT, timeout=30, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("DeadlineExceededError\n", 0), done.stderr


# -- closing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["grpc", "http"])
@pytest.mark.parametrize("use", USES.values(), ids=USES)
async def test_aclose_cancels_a_discovery_whose_metadata_never_comes(
    wire: WireServer, http_wire: HttpWire, protocol: str, use: Use
) -> None:
    metadata = Metadata()
    client = RemoteClient(wire.target if protocol == "grpc" else http_wire.target, metadata=metadata)
    waiting = asyncio.ensure_future(use(client))
    async with asyncio.timeout(10):
        await metadata.called.wait()
        await client.aclose()
        with pytest.raises(ClosedError):
            await waiting


@pytest.mark.parametrize("protocol", ["grpc", "http"])
async def test_aclose_waits_for_no_schema_build(
    wire: WireServer, http_wire: HttpWire, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()

    def describe(*_: Any) -> Any:
        begun.set()
        go_on.wait(60)

    monkeypatch.setattr(introspection, "_descriptions", type(introspection._descriptions)())
    if protocol == "grpc":
        monkeypatch.setattr(protobuf_services, "describe_files", describe)
    else:
        monkeypatch.setattr(openapi, "describe", describe)
    client = RemoteClient(wire.target if protocol == "grpc" else http_wire.target)
    waiting = asyncio.ensure_future(client.describe())
    try:
        async with asyncio.timeout(10):
            assert await asyncio.to_thread(begun.wait, 10)
            await client.aclose()
            with pytest.raises(ClosedError):
                await waiting
    finally:
        go_on.set()


async def test_clients_share_a_schema_build(wire: WireServer, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[int] = []
    describe = protobuf_services.describe_files

    def counted(*given: Any) -> Any:
        built.append(1)
        return describe(*given)

    monkeypatch.setattr(introspection, "_descriptions", type(introspection._descriptions)())
    monkeypatch.setattr(protobuf_services, "describe_files", counted)

    async def use() -> Any:
        async with RemoteClient(wire.target) as client:
            return await client.describe()

    described = await asyncio.gather(*(use() for _ in range(20)))
    assert len({id(each) for each in described}) == len(built) == 1


# -- CancelledError that nobody asked for -----------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["grpc", "http"])
async def test_a_hook_that_raises_cancelled_error_hides_nothing(
    wire: WireServer, http_wire: HttpWire, protocol: str, caplog: pytest.LogCaptureFixture
) -> None:
    def hook(event: Any) -> None:
        raise asyncio.CancelledError

    async with RemoteClient(wire.target if protocol == "grpc" else http_wire.target, hooks=[hook]) as client:
        assert await client.models()
        assert await client.healthy()
    assert "the hook" in caplog.text


@pytest.mark.parametrize("protocol", ["grpc", "http"])
async def test_metadata_that_raises_cancelled_error_hides_nothing(
    wire: WireServer, http_wire: HttpWire, protocol: str
) -> None:
    async def metadata() -> dict[str, str]:
        raise asyncio.CancelledError

    async with RemoteClient(wire.target if protocol == "grpc" else http_wire.target, metadata=metadata) as client:
        for deed in (client.models, client.healthy):
            with pytest.raises(InputError, match="raised CancelledError"):
                await deed()


def test_a_blocking_client_closes_while_its_metadata_never_comes(wire: WireServer) -> None:
    called, never = threading.Event(), threading.Event()

    def metadata() -> dict[str, str]:
        called.set()
        never.wait(60)
        return {}

    client = sync.RemoteClient(wire.target, timeout=None, metadata=metadata)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.models)
        assert called.wait(10)
        client.close()
        with pytest.raises(ClosedError):
            waiting.result(10)
        assert not never.is_set()
    never.set()
