"""The service with what a real runtime answered once.

The recordings are in the repository. `RECORD_GRPC=localhost:8085 RECORD_HTTP=http://localhost:8080 pytest` asks a
runtime, and makes them anew.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from greetings import greet, greet_until

from remote_client import RemoteClient
from remote_client.errors import RemoteCallError
from remote_client.testing import record, replay

RECORDINGS = Path(__file__).parent / "recordings"


@pytest.fixture(scope="module", params=["grpc", "http"])
def target(request: pytest.FixtureRequest) -> Iterator[str]:
    """A recorder of a runtime, if one is named, else a replay. All tests of a protocol share a file."""
    runtime = os.environ.get(f"RECORD_{request.param.upper()}")
    path = RECORDINGS / f"greetings.{request.param}.jsonl"
    with record(runtime, path) if runtime else replay(path) as running:
        yield getattr(running, request.param)


async def test_guests_are_greeted(target: str) -> None:
    async with RemoteClient(target, metadata={"authorization": "Bearer not-in-the-recording"}) as client:
        assert await greet(client, ["Ada", "Alan"]) == ["Hello Ada", "Hello Alan"]


async def test_all_greetings_are_read(target: str) -> None:
    async with RemoteClient(target) as client:
        greetings = await greet_until(client, "Ada", "none does")
    assert greetings == [f"Hello Ada {number}" for number in range(10)]


@pytest.mark.skipif("RECORD_GRPC" in os.environ, reason="a runtime knows more guests than a recording")
async def test_another_guest_is_not_in_the_recording() -> None:
    with replay(RECORDINGS / "greetings.grpc.jsonl") as running:
        async with RemoteClient(running.grpc) as client:
            with pytest.raises(RemoteCallError, match="name was 'Ada', is 'Grace'"):
                await greet(client, ["Grace"])
