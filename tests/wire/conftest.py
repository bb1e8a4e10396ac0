"""One wire server of each protocol for all tests, and modules to call them with."""

from __future__ import annotations

import contextlib
import gc
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, TypeVar

import pytest
import pytest_asyncio

from tests.support.http_wire import HttpWire, http_module
from tests.support.ways import Way
from tests.support.wire import ServerProcess, WireServer, raw_module

Server = TypeVar("Server", bound=ServerProcess)


@pytest_asyncio.fixture
async def module(wire: WireServer) -> AsyncIterator[Any]:
    """The server's plain methods, on a connection of their own."""
    async with raw_module(wire.info()) as made:
        yield made


@pytest.fixture(scope="session")
def http_process() -> Iterator[HttpWire]:
    with HttpWire() as server:
        yield server


@pytest.fixture
def http_wire(http_process: HttpWire) -> HttpWire:
    """The HTTP server, with no faults on and nothing counted."""
    http_process.command("reset")
    return http_process


@pytest_asyncio.fixture
async def http(http_wire: HttpWire) -> AsyncIterator[Any]:
    """The HTTP server's plain methods, on connections of their own."""
    async with http_module(http_wire.info()) as made:
        yield made


@pytest.fixture(params=["grpc", "http"])
def protocol(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def server(request: pytest.FixtureRequest, protocol: str) -> Any:
    """The server of the protocol, with no faults on and nothing counted."""
    return request.getfixturevalue("wire" if protocol == "grpc" else "http_wire")


@pytest_asyncio.fixture
async def plain(server: Any) -> AsyncIterator[Any]:
    """The plain methods of the protocol's server, on connections of their own."""
    async with server.plain() as made:
        yield made


@pytest.fixture(params=["asyncio", "grpcio", "http", "httpx"])
def way(request: pytest.FixtureRequest) -> Way:
    grpc = request.param in ("asyncio", "grpcio")
    return Way(request.getfixturevalue("wire" if grpc else "http_wire"), request.param)


@pytest.fixture
def start(request: pytest.FixtureRequest, protocol: str) -> Any:
    """Starts more servers of the protocol; all end with the test."""
    return request.getfixturevalue("start_wire" if protocol == "grpc" else "start_http")


@pytest.fixture
def start_wire() -> Iterator[Callable[..., WireServer]]:
    """Starts more servers; all end with the test."""
    yield from _starting(WireServer)


@pytest.fixture
def start_http() -> Iterator[Callable[..., HttpWire]]:
    """Starts more HTTP servers; all end with the test."""
    yield from _starting(HttpWire)


def _starting(kind: type[Server]) -> Iterator[Callable[..., Server]]:
    started: list[Server] = []

    def start(**wish: Any) -> Server:
        server = kind(**wish).__enter__()
        started.append(server)
        return server

    yield start
    for each in started:
        each.__exit__()


@pytest.fixture
def deaf() -> Iterator[int]:
    """A port where no connection is ever made."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server, contextlib.ExitStack() as stack:
        for _ in range(3):
            other = stack.enter_context(socket.socket())
            other.setblocking(False)
            other.connect_ex(server.getsockname())
        yield server.getsockname()[1]


@pytest.fixture
def mute() -> Iterator[int]:
    """A port where connections are made, and nobody ever says a word."""
    with socket.create_server(("127.0.0.1", 0), backlog=64) as server:
        yield server.getsockname()[1]


@pytest.fixture
def no_gc() -> Iterator[None]:
    """No garbage collector: what only it would free counts as a leak."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()
