"""Fixtures for all tests: the servers that several folders share, and that no test leaves a task behind."""

import asyncio
import gc
import importlib.util
import os
from collections.abc import AsyncIterator, Iterator
from typing import Any

import grpc
import pytest
import pytest_asyncio

from remote_client.declare import registry

from .support import over_httpx
from .support.clock import Stopwatch
from .support.runtime import Runtime
from .support.slow import mark_all_but_samples
from .support.wire import WireServer

collect_ignore = [] if importlib.util.find_spec("caikit") else ["caikit"]
"""tests/caikit needs caikit in its own process, and runs in the runtime's environment."""
collect_ignore += [] if importlib.util.find_spec("pyspark") else ["engines"]
"""tests/engines runs in an environment of its own; see `make engines`."""
ENGINE = os.environ.get("REMOTE_CLIENT_ENGINE") or "asyncio"
"""The engine of all clients in this run."""
HTTP = os.environ.get("REMOTE_CLIENT_TEST_HTTP") or "asyncio"
"""What carries the calls over HTTP in this run: the client's own engine, or `httpx`'s transport."""


OLD_GRPC = tuple(map(int, grpc.__version__.split(".")[:2])) < (1, 85)
"""This grpc.aio leaves tasks and calls behind that nothing but the garbage collector ends."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "only_engine(name, reason): the test holds on that gRPC engine only, and why")
    config.addinivalue_line("markers", "slow: left to `make test-all`")
    config.addinivalue_line("markers", "sampled(count): all but so many of its cases are slow")
    config.addinivalue_line("markers", "own_http(reason): the test does not hold over httpx's transport, and why")
    if HTTP == "httpx":
        over_httpx.install()
        # It leaves sockets to the garbage collector when calls are cancelled.
        config.addinivalue_line("filterwarnings", "ignore::pytest.PytestUnraisableExceptionWarning")
    if OLD_GRPC:
        ended = "Exception ignored in. <function InterceptedCall.__del__"
        config.addinivalue_line("filterwarnings", f"ignore:{ended}:pytest.PytestUnraisableExceptionWarning")


@pytest.hookimpl(tryfirst=True)  # pytest's own hook selects by marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse names that hold an address: workers of pytest-xdist must collect the same ones. Mark samples."""
    mark_all_but_samples(items)
    odd = [item.nodeid for item in items if " at 0x" in item.nodeid]
    if odd:
        raise pytest.UsageError("\n".join(["parametrize these without ids=str or ids=repr:", *odd]))


def pytest_collection_finish() -> None:
    """Exclude the collected tests from garbage collections: each takes 0.3 s in a process that knows thousands."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Skip what holds on another engine only; docs/engines.md lists it."""
    for mark in item.iter_markers("only_engine"):
        name, reason = mark.args
        if name != ENGINE:
            pytest.skip(f"holds on {name} only: {reason}")
    if HTTP == "httpx":
        for mark in item.iter_markers("own_http"):
            pytest.skip(f"does not hold over httpx: {mark.args[0]}")


@pytest_asyncio.fixture(autouse=True)
async def no_task_left() -> AsyncIterator[None]:
    """Fail a test whose tasks outlive it by more than a second."""
    yield
    watch = Stopwatch()
    while True:
        left = {task for task in asyncio.all_tasks() if task is not asyncio.current_task() and not _grpcs_own(task)}
        if not left:
            return
        if watch.seconds > 1:
            pytest.fail(f"tasks left: {left}")
        await asyncio.sleep(0.01)


def _grpcs_own(task: asyncio.Task[Any]) -> bool:
    """Whether grpc.aio left this task: it hands a message over to a call that has ended meanwhile."""
    return OLD_GRPC and getattr(task.get_coro(), "__qualname__", "") == "Queue.put"


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
