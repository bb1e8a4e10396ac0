"""Nothing is started twice, whatever happens to the connection of its start: counted at the door of the runtime."""

from __future__ import annotations

import asyncio
import contextlib
import random
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from remote_client import RemoteClient
from remote_client.errors import InternalError, OutcomeUnknownError, UnavailableError, UnknownError
from tests.support.faulty_proxy import FaultyProxy, reset
from tests.support.gate import Gate
from tests.support.runtime import SAMPLE_MODELS, Runtime
from tests.support.slow import slow_but

from .clients import call, client_of
from .protocols import Protocol, port_of

TRIES = 50
AT_ONCE = 4
LONGEST: dict[Protocol, int] = {"grpc": 500, "http": 500}
"""Bytes of a start, and of its answer; some are shorter, and are not cut."""
LISTING_FAILED = InternalError, UnknownError
"""The runtime's own, over HTTP and gRPC, while trainings end: "dictionary changed size during iteration"."""
CONFIG = {"config.yml": f"module_id: {SAMPLE_MODELS['foo']}\n".encode()}


@pytest.fixture(scope="module")
def starts() -> Iterator[Runtime]:
    """A runtime of its own: hundreds of jobs and models would be in the way of other tests."""
    with Runtime() as running:
        yield running


class CuttingProxy(FaultyProxy):
    """Cuts after so many more bytes in one direction, and knows what was asked for."""

    def __init__(self, port: int, longest: int, chance: random.Random) -> None:
        super().__init__(port, None, chance)
        self._longest = longest
        self.asked = bytearray()
        self.answers = False
        self.left: int | None = None

    def arm(self) -> None:
        """Cut at a random byte of what follows."""
        self.asked.clear()
        self.answers, self.left = self._chance.random() < 0.4, self._chance.randrange(self._longest)

    async def _suffer(self, sink: asyncio.StreamWriter, data: bytes, answers: bool) -> bool:
        if not answers:
            self.asked += data
        if self.left is not None and answers is self.answers:
            if len(data) > self.left:
                sink.write(data[: self.left])
                self.left = None
                return False
            self.left -= len(data)
        return await super()._suffer(sink, data, answers)


async def start(client: Any, model: Any, kind: str, token: str) -> None:
    if kind == "job":
        await call(model.start_sample_job, {"name": token})
    elif kind == "training":
        name = f"m-{uuid.uuid4().hex}"  # no token: before a start the server is asked for the name
        rows = [{"name": token}]
        await call(model.train, module="SampleModule", training_data=rows, union_list=["x"], model_name=name)
    else:
        await call(client.deploy_model, token, CONFIG)


@pytest.mark.parametrize("seed", [1])
@pytest.mark.parametrize("kind", slow_but(["job"], ["job", "training", "deployment"]))
@pytest.mark.parametrize("protocol", ["grpc", "http"])
async def test_200_starts_with_connections_cut(starts: Runtime, protocol: Protocol, kind: str, seed: int) -> None:
    seen: Counter[str] = Counter()
    port = port_of(starts, protocol)

    async def work(chance: random.Random) -> None:
        async with CuttingProxy(port, LONGEST[protocol], chance) as proxy:
            scheme = "http://" if protocol == "http" else ""
            async with RemoteClient(f"{scheme}localhost:{proxy.port}", retries=5, timeout=5) as client:
                model = await client.model("foo")
                await start(client, model, kind, f"t-{uuid.uuid4().hex}")
                for _ in range(TRIES):
                    token = f"t-{uuid.uuid4().hex}"
                    proxy.arm()
                    outcome = "started"
                    try:
                        await start(client, model, kind, token)
                    except OutcomeUnknownError:
                        outcome = "unknown"
                    except UnavailableError:
                        outcome = "never sent"
                    proxy.left = None
                    seen[outcome] += 1
                    times = proxy.asked.count(token.encode())
                    assert times <= 1, (outcome, times)
                    assert times == 1 or outcome != "started"
                    with contextlib.suppress(*LISTING_FAILED):
                        await client.models()  # which is retried, until there is a connection again

    await asyncio.gather(*(work(random.Random(seed * 100 + each)) for each in range(AT_ONCE)))
    assert seen.total() == TRIES * AT_ONCE
    print(dict(seen))
    assert seen["unknown"] > TRIES, seen
    assert seen["started"], seen


class Door(Gate):
    """Lets a start through to the runtime, and then something happens to its connection.

    Attributes:
        token: what the start is known by.
    """

    def __init__(self, to: int, fault: str) -> None:
        super().__init__(to)
        self._fault = fault
        self._begun = False
        self.token = b""

    async def _forward(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        while data := await source.read(1 << 16):
            self.sent += data
            await self._write(data, sink)
            if self.token and self.token in self.sent and not self._begun:
                self._begun = True
                self._suffer()
        sink.close()

    def _suffer(self) -> None:
        if self._fault == "shut":
            self._server.close()
            self.cut()
        elif self._fault == "reset":
            for each in list(self._writers):
                reset(each)
        elif self._fault == "deadline":
            self.hold()

    async def _pass(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
        loses = self._fault == "lost answer"
        while loses and (data := await source.read(1 << 16)):
            if self._begun:
                self._fault = ""
                self.cut()
                return
            sink.write(data)
        await super()._pass(source, sink)


@pytest.mark.sampled(16)
@pytest.mark.parametrize("fault", ["shut", "reset", "lost answer", "deadline"])
@pytest.mark.parametrize("kind", ["job", "training", "deployment"])
async def test_a_start_that_went_out_is_not_sent_again(
    starts: Runtime, protocol: Protocol, kind_of_client: str, kind: str, fault: str
) -> None:
    token = f"t-{uuid.uuid4().hex}"
    async with Door(port_of(starts, protocol), fault) as door:
        limit = 1.0 if fault == "deadline" else 60.0
        async with client_of(kind_of_client, protocol, door, retries=5, timeout=limit) as client:
            model = await call(client.model, "foo")
            await start(client, model, kind, f"t-{uuid.uuid4().hex}")
            door.token = token.encode()
            with pytest.raises(OutcomeUnknownError):
                await start(client, model, kind, token)
            if fault == "shut":
                await door.open()
            door.release()
            with contextlib.suppress(*LISTING_FAILED):
                await call(client.models)
    assert door.sent.count(token.encode()) == 1
