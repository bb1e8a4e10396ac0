"""Gateways whose runtime behind starts late, dies and comes back, and gateways behind gateways."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from remote_client.errors import NotFoundError, RemoteCallError
from remote_client.sync import RemoteClient

from ..support.runtime import Runtime
from ..support.slow import slow_but
from .gateways import PROTOCOLS, ROUTES, WATCHED_MODELS, Gateway, Protocol, Route, client_of

AWAY = {"grpc": "UNAVAILABLE", "http": "UNIMPLEMENTED"}
"""How a caller sees that the runtime behind is away: over HTTP a caikit server answers 501 for both."""


@dataclass
class Setup:
    """A runtime that started after its gateways.

    Attributes:
        behind: the runtime.
        gateways: its gateways, by the protocol that they speak with it.
        early: the statuses of calls that came before it.
    """

    behind: Runtime
    gateways: dict[Protocol, Gateway]
    early: dict[Protocol, str]


@pytest.fixture(scope="module")
def setup() -> Iterator[Setup]:
    with Runtime("watched_lib", WATCHED_MODELS) as behind:
        behind.kill()
        with Gateway(behind, "grpc") as over_grpc, Gateway(behind, "http") as over_http:
            gateways: dict[Protocol, Gateway] = {"grpc": over_grpc, "http": over_http}
            early = {protocol: early_status(gateway) for protocol, gateway in gateways.items()}
            behind.restart()
            yield Setup(behind, gateways, early)


def early_status(gateway: Gateway) -> str:
    with client_of(gateway, "grpc") as client, pytest.raises(RemoteCallError) as caught:
        client.model("watch", task="WatchTask").run({"path": "/dev/null", "seconds": 0.0})
    return caught.value.status


@pytest.fixture(params=ROUTES)
def route(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def client(setup: Setup, route: Route) -> Iterator[RemoteClient]:
    behind, before = route
    with client_of(setup.gateways[behind], before) as client:
        yield client


@pytest.fixture
def watch(client: RemoteClient) -> Any:
    return client.model("watch", task="WatchTask")


@pytest.fixture
def work(tmp_path: Path) -> dict[str, Any]:
    return {"path": str(tmp_path / "ticks"), "seconds": 0.05}


def until(call: Callable[[], Any], *errors: type[Exception], seconds: float = 10) -> Any:
    """Call until it succeeds, as long as it fails with one of some errors only."""
    end = time.monotonic() + seconds
    while True:
        try:
            return call()
        except errors:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)


def test_a_gateway_that_started_before_the_runtime_behind(
    setup: Setup, route: Route, watch: Any, work: dict[str, Any]
) -> None:
    assert setup.early[route[0]] == "NOT_FOUND"
    assert until(lambda: watch.run(work), NotFoundError).number == 0  # at most `min_poll_time` later


def test_a_runtime_behind_that_dies_and_comes_back(
    setup: Setup, route: Route, watch: Any, work: dict[str, Any]
) -> None:
    until(lambda: watch.run(work), NotFoundError)
    stream = watch.run_stream_out(work, count=300)
    assert next(stream).number == 0
    setup.behind.kill()
    try:
        with pytest.raises(RemoteCallError) as in_stream:
            list(stream)
        with pytest.raises(RemoteCallError) as away:
            watch.run(work)
        with pytest.raises(RemoteCallError):
            list(watch.run_stream_out(work))
    finally:
        setup.behind.restart()
    assert in_stream.value.status == AWAY[route[1]]
    assert "lost" in (in_stream.value.details or "")
    assert away.value.status == AWAY[route[1]]
    assert str(setup.behind.port if route[0] == "grpc" else setup.behind.http_port) in (away.value.details or "")
    assert watch.run(work).number == 0
    assert [item.number for item in watch.run_stream_out(work, count=3)] == [0, 1, 2]


@pytest.mark.parametrize("protocol", slow_but(["http"], PROTOCOLS))
def test_a_gateway_behind_a_gateway(setup: Setup, protocol: Protocol, tmp_path: Path, work: dict[str, Any]) -> None:
    with Gateway(setup.gateways["grpc"], protocol) as outer, client_of(outer, "grpc") as client:
        watch = client.model("watch", task="WatchTask")
        inner = setup.gateways["grpc"]
        with client_of(inner, "grpc") as direct:  # a gateway lists a model after its first call
            until(lambda: direct.model("watch", task="WatchTask").run(work), NotFoundError)
        assert until(lambda: watch.run(work), NotFoundError).number == 0
        assert [item.number for item in watch.run_stream_out(work, count=3)] == [0, 1, 2]
        job = watch.start_job(work)
        job.wait(timeout=20)
        assert job.result().number == 0
        stream = watch.run_stream_out({"path": str(tmp_path / "left"), "seconds": 0.1}, count=300)
        next(stream)
        stream.close()
        assert stopped(tmp_path / "left")


def stopped(file: Path) -> bool:
    """Whether work that ticks in a file stops within 3 seconds."""
    end = time.monotonic() + 3
    while time.monotonic() < end:
        size = file.stat().st_size
        time.sleep(0.4)
        if file.stat().st_size == size:
            return True
    return False
