"""One wire server for all tests, and modules to call it with."""

from __future__ import annotations

import gc
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import pytest_asyncio

from tests.support.wire import WireServer, raw_module


@pytest.fixture(scope="session")
def wire_process() -> Iterator[WireServer]:
    with WireServer() as server:
        yield server


@pytest.fixture
def wire(wire_process: WireServer) -> WireServer:
    """The server, with no faults on and nothing counted."""
    wire_process.command("reset")
    return wire_process


@pytest_asyncio.fixture
async def module(wire: WireServer) -> AsyncIterator[Any]:
    """The server's plain methods, on a connection of their own."""
    async with raw_module(wire.info()) as made:
        yield made


@pytest.fixture
def start_wire() -> Iterator[Callable[..., WireServer]]:
    """Starts more servers; all end with the test."""
    started: list[WireServer] = []

    def start(**wish: Any) -> WireServer:
        server = WireServer(**wish).__enter__()
        started.append(server)
        return server

    yield start
    for each in started:
        each.__exit__()


@pytest.fixture
def no_gc() -> Iterator[None]:
    """No garbage collector: what only it would free counts as a leak."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()
