"""Fixtures for the tests of fake runtimes: a running one, and its model over each protocol."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
import pytest_asyncio

from remote_client import RemoteClient
from remote_client.testing import FakeRuntime

from .greeters import Greeter

PROTOCOLS = ("grpc", "http")


@pytest.fixture(params=PROTOCOLS)
def protocol(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def runtime() -> Iterator[FakeRuntime]:
    with FakeRuntime({"foo": Greeter()}) as running:
        yield running


@pytest_asyncio.fixture
async def model(runtime: FakeRuntime, protocol: str) -> AsyncIterator[Any]:
    """The model as the server describes it."""
    async with RemoteClient(getattr(runtime, protocol)) as client:
        yield await client.model("foo")
