"""A client of the sample library's runtime, one per test; tests that take `client` run over both protocols."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from remote_client import RemoteClient

from ..support.gate import Gate
from ..support.runtime import Runtime
from .protocols import PROTOCOLS, Protocol, port_of, target_of


@pytest.fixture(params=PROTOCOLS)
def protocol(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(params=["asyncio", "blocking"])
def kind_of_client(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest_asyncio.fixture
async def gate(runtime: Runtime, protocol: Protocol) -> AsyncIterator[Gate]:
    async with Gate(port_of(runtime, protocol)) as gate:
        yield gate


@pytest_asyncio.fixture
async def client(runtime: Runtime, protocol: Protocol) -> AsyncIterator[RemoteClient]:
    async with RemoteClient(target_of(runtime, protocol)) as client:
        yield client


@pytest_asyncio.fixture
async def grpc_client(runtime: Runtime) -> AsyncIterator[RemoteClient]:
    """For what HTTP cannot do."""
    async with RemoteClient(runtime.target) as client:
        yield client


@pytest_asyncio.fixture
async def http_client(runtime: Runtime) -> AsyncIterator[RemoteClient]:
    async with RemoteClient(runtime.http_target) as client:
        yield client
