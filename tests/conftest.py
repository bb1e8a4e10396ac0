"""Fixtures for all tests: the servers that several folders share, and that no test leaves a task behind."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio

from remote_client.declare import registry

from .support.runtime import Runtime
from .support.wire import WireServer


@pytest_asyncio.fixture(autouse=True)
async def no_task_left() -> AsyncIterator[None]:
    """Fail a test whose tasks outlive it by more than a second."""
    yield
    for _ in range(100):
        left = asyncio.all_tasks() - {asyncio.current_task()}
        if not left:
            return
        await asyncio.sleep(0.01)
    pytest.fail(f"tasks left: {left}")


@pytest.fixture(autouse=True)
def no_registry() -> None:
    """Each test registers what it wants to; importing tests registers what they declare."""
    registry.clear()


@pytest.fixture(scope="session")
def runtime() -> Iterator[Runtime]:
    """The sample library's runtime, one for all tests."""
    with Runtime() as running:
        yield running


@pytest.fixture(scope="session")
def other_runtime() -> Iterator[Runtime]:
    """The other library's runtime."""
    with Runtime("other_lib") as running:
        yield running


@pytest.fixture(scope="session")
def wire_process() -> Iterator[WireServer]:
    with WireServer() as server:
        yield server


@pytest.fixture
def wire(wire_process: WireServer) -> WireServer:
    """The server, with no faults on and nothing counted."""
    wire_process.command("reset")
    return wire_process
