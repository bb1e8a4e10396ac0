"""Streams that outlive tokens and connections, of a real runtime: learned and declared, both clients."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from remote_client import RemoteClient
from remote_client import sync as blocking
from remote_client.auth import BearerToken

from ..support.runtime import Runtime
from .declared import LEARNED_OR_DECLARED, Sample, Slow, Who
from .protocols import Protocol, target_of

COUNT = 8
PAUSE = 0.25
"""Seconds between two items: longer than a connection or a token lives."""


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, Any]:
    """A client whose token changes with each call, and whose connections live for a fifth of a second."""
    file = tmp_path / "token"
    file.write_text("0")
    return {"metadata": BearerToken(file=file), "max_session_age": 0.2, "retries": 0, "timeout": 10}


def _renew(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{int(file.read_text()) + 1}")


async def _names() -> AsyncIterator[Who]:
    for number in range(COUNT):
        await asyncio.sleep(PAUSE)
        yield Who(name=str(number))


def _names_in_a_thread() -> Iterator[Who]:
    for number in range(COUNT):
        time.sleep(PAUSE)
        yield Who(name=str(number))


@pytest.mark.sampled(1)
@LEARNED_OR_DECLARED
async def test_a_stream_outlives_tokens_and_connections(
    runtime: Runtime, protocol: Protocol, settings: dict[str, Any], tmp_path: Path, declared: bool
) -> None:
    async with RemoteClient(target_of(runtime, protocol), **settings) as client:
        slow: Any = await (client.model("slow", Slow) if declared else client.model("slow"))
        count = 0
        async for item in slow.run_slow_stream_out(PAUSE, count=COUNT):
            assert item.greeting == f"slept {count}"
            count += 1
            _renew(tmp_path)
            assert await client.models()
    assert count == COUNT


@LEARNED_OR_DECLARED
async def test_streamed_inputs_outlive_tokens_and_connections(
    runtime: Runtime, settings: dict[str, Any], tmp_path: Path, declared: bool
) -> None:
    async with RemoteClient(runtime.target, **settings) as client:
        foo: Any = await (client.model("foo", Sample) if declared else client.model("foo"))
        whole = asyncio.ensure_future(foo.run_sample_stream_in(_names(), greeting="Hi "))
        async for _ in foo.run_sample_bidi_stream(_names()):
            _renew(tmp_path)
            assert await client.models()
        assert (await whole).greeting == "Hi 0,1,2,3,4,5,6,7"


@pytest.mark.sampled(2)
@LEARNED_OR_DECLARED
def test_streams_of_the_blocking_client_outlive_them(
    runtime: Runtime, protocol: Protocol, settings: dict[str, Any], tmp_path: Path, declared: bool
) -> None:
    with blocking.RemoteClient(target_of(runtime, protocol), **settings) as client:
        known: Any = {"slow": Slow, "foo": Sample} if declared else {"slow": None, "foo": None}
        slow: Any = client.model("slow", known["slow"])
        streams = [slow.run_slow_stream_out(PAUSE, count=COUNT)]
        if protocol == "grpc":
            foo: Any = client.model("foo", known["foo"])
            streams.append(foo.run_sample_bidi_stream(_names_in_a_thread()))
        for stream in streams:
            count = 0
            for _ in stream:
                count += 1
                _renew(tmp_path)
                assert client.models()
            assert count == COUNT
