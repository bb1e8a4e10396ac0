"""The ways to servers behind forward proxies as fixtures."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
import pytest_asyncio

from tests.support.forward_proxy import ForwardProxy
from tests.support.http_wire import HttpWire
from tests.support.wire import WireServer

from .ways import HOST, KINDS, VARIABLES, Files, Way


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module", params=KINDS)
def process(request: pytest.FixtureRequest, files: Files) -> Iterator[Way]:
    kind: str = request.param
    wish = {"tls": files.server} if kind.endswith("s") else {}
    with (WireServer if kind.startswith("grpc") else HttpWire)(**wish) as server:
        with ForwardProxy(names={HOST: ["127.0.0.1", server.port]}) as proxy:
            yield Way(kind, server, proxy, files.ca)


@pytest.fixture
def way(process: Way, monkeypatch: pytest.MonkeyPatch) -> Way:
    """The way to a server of each kind, with no faults on and nothing counted, and an environment without proxies."""
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    process.server.command("reset")
    process.proxy.command("reset")
    return process


@pytest.fixture
def start_proxy(way: Way) -> Iterator[Callable[..., ForwardProxy]]:
    """Starts other proxies to the same server."""
    started: list[ForwardProxy] = []

    def start(**wish: Any) -> ForwardProxy:
        proxy = ForwardProxy(names={HOST: ["127.0.0.1", way.server.port]}, **wish).__enter__()
        started.append(proxy)
        return proxy

    yield start
    for each in started:
        each.__exit__()


@pytest_asyncio.fixture
async def module(way: Way) -> AsyncIterator[Any]:
    async with way.module() as made:
        yield made
