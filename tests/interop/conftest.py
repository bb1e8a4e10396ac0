"""The peers as fixtures, each started once for all tests, and what the engines cannot do."""

from __future__ import annotations

import importlib.util
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import trustme

from .differences import mark
from .methods import interop_module
from .peers import GRPC_SERVERS, HTTP_SERVERS, Peer, Peers
from .proxies import PROXIES

NEEDED = ("h2", "hypercorn", "uvicorn")
"""Modules of `tests/requirements/interop.txt`."""


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Only who asks for these tests runs them: `make interop`."""
    return None if any("interop" in str(arg) for arg in config.args) else True


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "interop" in item.path.parts and (expected := mark(item)):
            item.add_marker(expected)


@pytest.fixture(scope="session", autouse=True)
def packages() -> None:
    for name in NEEDED:
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"{name} is not installed (pip install -r tests/requirements/interop.txt)")


class Authority:
    """A certificate authority, and the files of localhost's certificate."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        issued = authority.issue_cert("localhost", "127.0.0.1")
        self.ca, self.key, self.cert = (str(folder / name) for name in ("ca.pem", "key.pem", "cert.pem"))
        authority.cert_pem.write_to_path(self.ca)
        issued.private_key_pem.write_to_path(self.key)
        issued.cert_chain_pems[0].write_to_path(self.cert)

    def files(self) -> dict[str, str]:
        return {"key": self.key, "cert": self.cert}


@pytest.fixture(scope="session")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="session")
def peers(authority: Authority) -> Iterator[Peers]:
    with Peers(authority.files()) as running:
        yield running


def _checked(peer: Peer) -> Iterator[Peer]:
    """The peer with nothing counted and no faults; afterwards, whether the client kept to HTTP/2's rules."""
    peer.server.command("reset")
    yield peer
    stats = peer.server.command("stats")
    if stats.get("running") and peer.proxy is not None:
        peer.restart()  # ends a call whose cancel the proxy did not pass on
    if peer.name == "strict":
        told = stats["violations"]
        assert not told, f"the client sent what it may not send: {told}"


@pytest.fixture(params=[*GRPC_SERVERS, *PROXIES])
def peer(request: pytest.FixtureRequest, peers: Peers) -> Iterator[Peer]:
    """Every gRPC server and proxy in turn."""
    yield from _checked(peers.grpc(request.param))


@pytest.fixture
def strict(peers: Peers) -> Iterator[Peer]:
    """The strict server."""
    yield from _checked(peers.grpc("strict"))


@pytest.fixture(params=[*HTTP_SERVERS, *PROXIES])
def web(request: pytest.FixtureRequest, peers: Peers) -> Iterator[Peer]:
    """Every HTTP server and proxy in turn."""
    yield from _checked(peers.http(request.param))


@pytest_asyncio.fixture
async def module(peer: Peer) -> AsyncIterator[Any]:
    """The peer's methods, on a connection of their own."""
    async with interop_module(peer.info()) as made:
        yield made


@pytest_asyncio.fixture
async def strict_module(strict: Peer) -> AsyncIterator[Any]:
    """The strict server's methods; faults must be set before its first call."""
    async with interop_module(strict.info()) as made:
        yield made


@pytest.fixture(params=["grpc", "http"])
def protocol(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name
