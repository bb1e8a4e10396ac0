"""Calls on both protocols alike, through a proxy that has settings of a test's own, and what reached the servers."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import pytest

from remote_client.errors import UnavailableError
from remote_client.settings import CallOptions, ConnectionInfo
from tests.support.http_wire import http_module
from tests.support.in_threads import in_threads
from tests.support.wire import ServerProcess

from .methods import interop_module
from .peers import Peers
from .proxies import Proxy

P = TypeVar("P", bound=Proxy)


class Way:
    """The way to a server, over one protocol.

    Attributes:
        protocol: `grpc` or `http`.
        port: where calls go to.
        server: who counts them.
    """

    def __init__(self, protocol: str, server: ServerProcess, port: int) -> None:
        self.protocol, self.server, self.port = protocol, server, port

    def info(self, **changes: Any) -> ConnectionInfo:
        return self.server.info(**{"hostname": "127.0.0.1", "port": self.port} | changes)

    def module(self, *, options: CallOptions | None = None, **changes: Any) -> Any:
        """The servers' plain methods, on connections of their own; retries are off unless they are asked for."""
        make = http_module if self.protocol == "http" else interop_module
        return make(self.info(**changes), options=options)

    @contextlib.asynccontextmanager
    async def caller(self, blocking: bool, **changes: Any) -> AsyncIterator[Any]:
        """As `module`, of the blocking client where that is wanted: its methods are then called from threads."""
        if not blocking:
            async with self.module(**changes) as module:
                yield module
        else:
            async with in_threads(self.module(**changes)) as module:
                yield module

    async def begun(self) -> Counter[str]:
        """How often each method began at the server."""
        stats = await self.server.stats()
        if self.protocol == "grpc":
            return Counter({name.lower(): count for name, count in stats["started"].items()})
        return Counter({key.rpartition("/")[2]: count for key, count in stats["started"].items()})

    async def until_running(self) -> None:
        await self.server.until_running(1)


@contextlib.contextmanager
def through(peers: Peers, kind: type[P], protocol: str, **settings: str) -> Iterator[tuple[Way, P]]:
    """The way through a proxy that is started for this test alone, and the proxy."""
    server, web = peers.server("asyncio"), peers.server("wire")
    with kind(server, web, settings=settings) as proxy:
        for each in (server, web):
            each.command("reset")
        yield Way(protocol, web if protocol == "http" else server, proxy.ports[protocol]), proxy


@dataclass
class Load:
    """Calls and streams of a few workers at a time; what was answered, and what was lost by which error."""

    way: Way
    answered: Counter[str] = field(default_factory=Counter)
    lost: list[tuple[str, Exception]] = field(default_factory=list)

    async def run(
        self, deed: Callable[[], Awaitable[Any]], *, workers: int = 8, retries: int = 0, blocking: bool = False
    ) -> None:
        """Run until the deed is done, and a few calls longer.

        Args:
            deed: what happens meanwhile.
            workers: how many call at a time.
            retries: those of every call.
            blocking: whether a blocking client makes the calls, from threads.
        """
        over = asyncio.Event()
        async with self.way.caller(blocking, retries=retries) as module:
            loads = [asyncio.ensure_future(self._work(module, over)) for _ in range(workers)]
            try:
                await deed()
            finally:
                over.set()
                await asyncio.gather(*loads)

    async def _work(self, module: Any, over: asyncio.Event) -> None:
        left = 5
        while left:
            left -= over.is_set()
            await self._one("echo", module.echo(b"x"))
            await self._one("count", _all(module.count(n=3, delay=0.005)))

    async def _one(self, name: str, call: Awaitable[Any]) -> None:
        try:
            answer = await call
        except Exception as error:
            self.lost.append((name, error))
        else:
            assert answer == b"x" or len(answer) == 3, answer
            self.answered[name] += 1

    async def check(self, at_least: int = 50) -> None:
        """Check that no call was lost, and that each began at the server exactly once."""
        begun = await self.way.begun()
        assert not self.lost, f"{len(self.lost)} lost, {self.answered} answered; {begun} began; {self.lost[0]}"
        assert self.answered.total() >= at_least
        assert self.answered == begun


async def _all(stream: Any) -> list[Any]:
    return [item async for item in stream]


async def answer_after(way: Way, pauses: Sequence[float]) -> None:
    """Make a call after each of these seconds of silence, and check that each was answered, and began exactly once."""
    async with way.module() as module:
        for pause in pauses:
            await asyncio.sleep(pause)
            assert await module.echo(b"x") == b"x"
    assert await way.begun() == {"echo": len(pauses)}


async def end_with_504(way: Way) -> None:
    """Make a call that takes longer than the proxy waits, and check what its error says."""
    async with way.module() as module:
        with pytest.raises(UnavailableError) as caught:
            await module.sleep(seconds=30)
    assert caught.value.http_status == 504
    assert "504" in str(caught.value)
    assert not caught.value.outcome_known


async def lose_none(way: Way, count: int, **changes: Any) -> None:
    """Make so many calls at once, and check that each was answered with its own, and began exactly once."""
    settings: dict[str, Any] = {"timeout": 60} | changes
    async with way.module(**settings) as module:
        answers = await asyncio.gather(*(module.echo(b"%d" % n) for n in range(count)), return_exceptions=True)
    begun = await way.begun()
    lost = [each for each in answers if isinstance(each, BaseException)]
    assert not lost, f"{len(lost)} of {count} calls are lost, {begun} began: {lost[0]!r}"
    assert answers == [b"%d" % number for number in range(count)]
    assert begun["echo"] == count
