"""A client of the sample library's runtime, one per test."""

from collections.abc import AsyncIterator

import pytest_asyncio

from remote_client import RemoteClient

from ..support.runtime import Runtime


@pytest_asyncio.fixture
async def client(runtime: Runtime) -> AsyncIterator[RemoteClient]:
    async with RemoteClient(runtime.target) as client:
        yield client
