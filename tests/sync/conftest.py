"""The fixtures of tests/live, through the blocking client: from a thread, and from inside a running loop."""

import signal
from collections.abc import Iterator
from typing import Any

import pytest

from remote_client import sync

from ..live.protocols import PROTOCOLS, Protocol, target_of
from ..support.runtime import Runtime
from .unblocked import Unblocked


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Ctrl-C interrupts, though it is ignored where a shell runs the tests in its background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(params=PROTOCOLS)
def protocol(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def client(runtime: Runtime, protocol: Protocol) -> Iterator[Any]:
    """Over gRPC called from a thread, over HTTP from inside of the running loop."""
    with sync.RemoteClient(target_of(runtime, protocol)) as client:
        yield Unblocked(client, threads=protocol == "grpc")


@pytest.fixture
def grpc_client(runtime: Runtime) -> Iterator[Any]:
    with sync.RemoteClient(runtime.target) as client:
        yield Unblocked(client, threads=False)


@pytest.fixture
def http_client(runtime: Runtime) -> Iterator[Any]:
    with sync.RemoteClient(runtime.http_target) as client:
        yield Unblocked(client, threads=True)
