"""Deadlines and cancellation go through a gateway: a caller that leaves stops the work of the runtime behind.

The model behind writes a tick to a file every 0.02 seconds while it works.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from remote_client.errors import DeadlineExceededError, JobCancelledError, RemoteClientError
from remote_client.sync import RemoteClient

from ..support.runtime import Runtime
from .gateways import PROTOCOLS, ROUTES, WATCHED_MODELS, Gateway, Protocol, Route, client_of, connection_of

LONG = 30.0
"""Seconds that work takes unless it is stopped."""
TIMEOUT = 40
"""Seconds that the gateway over gRPC gives to a call."""


@pytest.fixture(scope="module")
def watched() -> Iterator[Runtime]:
    with Runtime("watched_lib", WATCHED_MODELS) as runtime:
        yield runtime


@pytest.fixture(scope="module")
def gateways(watched: Runtime) -> Iterator[dict[Protocol, Gateway]]:
    connection = connection_of(watched, "grpc", timeout=TIMEOUT)
    with Gateway(watched, "grpc", connection) as over_grpc, Gateway(watched, "http") as over_http:
        yield {"grpc": over_grpc, "http": over_http}


@pytest.fixture(params=ROUTES)
def route(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def gateway(gateways: dict[Protocol, Gateway], route: Route) -> Gateway:
    return gateways[route[0]]


@pytest.fixture
def before(route: Route) -> Protocol:
    """The protocol between the caller and the gateway."""
    return route[1]


@pytest.fixture
def client(gateway: Gateway, before: Protocol) -> Iterator[RemoteClient]:
    with client_of(gateway, before) as client:
        yield client


@pytest.fixture
def watch(client: RemoteClient) -> Any:
    return client.model("watch", task="WatchTask")


class Ticks:
    """The work that the model behind writes down."""

    def __init__(self, file: Path) -> None:
        self._file = file

    @property
    def count(self) -> int:
        return self._file.stat().st_size if self._file.exists() else 0

    def work(self, seconds: float = LONG) -> dict[str, Any]:
        return {"path": str(self._file), "seconds": seconds}

    def wait(self, count: int = 1) -> None:
        """Wait until the work has begun."""
        end = time.monotonic() + 10
        while self.count < count:
            assert time.monotonic() < end, "the work never began"
            time.sleep(0.01)

    def assert_stopped(self) -> None:
        """Fail unless the work stops within 3 seconds: nothing is written for 0.3 seconds."""
        end, count, since = time.monotonic() + 3, self.count, time.monotonic()
        assert count
        while time.monotonic() - since < 0.3:
            assert time.monotonic() < end, "the work goes on"
            if self.count != count:
                count, since = self.count, time.monotonic()
            time.sleep(0.02)


@pytest.fixture
def ticks(tmp_path: Path) -> Ticks:
    return Ticks(tmp_path / "ticks")


@contextlib.contextmanager
def in_thread(call: Callable[[], Any]) -> Iterator[None]:
    """Make a call in another thread, which must end soon after the block."""

    def run() -> None:
        with contextlib.suppress(RemoteClientError):
            call()

    thread = Thread(target=run)
    thread.start()
    yield
    thread.join(10)
    assert not thread.is_alive()


# -- deadlines --------------------------------------------------------------------------------------------------------


def test_the_server_behind_sees_the_callers_deadline(gateways: dict[Protocol, Gateway], ticks: Ticks) -> None:
    with client_of(gateways["grpc"], "grpc") as client:
        watch = client.model("watch", task="WatchTask").with_options(timeout=7, total_timeout=7)
        work = ticks.work(0.0)
        seen = [
            watch.run(work),
            *watch.run_stream_out(work, count=1),
            watch.run_stream_in([work]),
            *watch.run_bidi_stream([work]),
        ]
    assert len(seen) == 4
    for each in seen:
        assert 5 < each.seconds_left < 7


def test_the_gateways_own_timeout_holds_where_it_is_shorter(gateways: dict[Protocol, Gateway], ticks: Ticks) -> None:
    for protocol in PROTOCOLS:  # over HTTP a caller tells no deadline
        with client_of(gateways["grpc"], protocol) as client:
            watch = client.model("watch", task="WatchTask").with_options(timeout=60)
            assert TIMEOUT - 2 < watch.run(ticks.work(0.0)).seconds_left < TIMEOUT


def test_a_deadline_that_passes_stops_the_work(watch: Any, ticks: Ticks) -> None:
    with pytest.raises(DeadlineExceededError):
        watch.with_options(timeout=0.5).run(ticks.work())
    ticks.assert_stopped()


def test_a_deadline_that_passes_in_the_middle_of_a_stream_stops_the_work(watch: Any, ticks: Ticks) -> None:
    stream = watch.with_options(total_timeout=0.8).run_stream_out(ticks.work(0.1), count=300)
    next(stream)
    with pytest.raises(DeadlineExceededError):
        list(stream)
    ticks.assert_stopped()


# -- callers that leave -----------------------------------------------------------------------------------------------


def test_a_caller_that_leaves_a_unary_call(client: RemoteClient, watch: Any, ticks: Ticks) -> None:
    with in_thread(lambda: watch.run(ticks.work())):
        ticks.wait()
        client.close()
    ticks.assert_stopped()


def test_a_caller_that_leaves_in_the_middle_of_a_stream(watch: Any, ticks: Ticks) -> None:
    stream = watch.run_stream_out(ticks.work(0.1), count=300)
    assert [next(stream).number, next(stream).number] == [0, 1]
    stream.close()
    ticks.assert_stopped()


def test_a_caller_that_leaves_before_the_first_item_of_a_stream(watch: Any, ticks: Ticks) -> None:
    stream = watch.run_stream_out(ticks.work(0.1), first=LONG)
    with in_thread(lambda: next(stream)):
        ticks.wait(5)
        stream.close()
    ticks.assert_stopped()


@pytest.mark.slow
def test_a_caller_that_leaves_between_two_items_of_a_stream(watch: Any, ticks: Ticks) -> None:
    stream = watch.run_stream_out(ticks.work(LONG / 10), count=10)
    with in_thread(lambda: list(stream)):
        ticks.wait(5)
        stream.close()
    ticks.assert_stopped()


@pytest.mark.parametrize("name", ["run_stream_in", "run_bidi_stream"])
def test_a_caller_that_leaves_while_it_streams(gateways: dict[Protocol, Gateway], ticks: Ticks, name: str) -> None:
    left = Event()

    def works() -> Iterator[dict[str, Any]]:
        yield ticks.work(0.05)
        yield ticks.work(LONG)
        left.wait(20)

    with client_of(gateways["grpc"], "grpc") as client:
        method = getattr(client.model("watch", task="WatchTask"), name)
        with in_thread(lambda: list(method(works())) if name == "run_bidi_stream" else method(works())):
            ticks.wait(10)
            client.close()
            ticks.assert_stopped()
            left.set()


def test_the_gateway_serves_on_after_many_have_left(
    gateway: Gateway, before: Protocol, ticks: Ticks, tmp_path: Path
) -> None:
    with client_of(gateway, before) as client:
        watch = client.model("watch", task="WatchTask")
        streams = [watch.run_stream_out(ticks.work(0.05), count=600) for _ in range(20)]
        for stream in streams:
            next(stream)
        for stream in streams:
            stream.close()
        ticks.assert_stopped()
        other = Ticks(tmp_path / "other")
        assert [item.number for item in watch.run_stream_out(other.work(0.0), count=3)] == [0, 1, 2]
        assert watch.run(other.work(0.0)).number == 0


def test_callers_that_leave_streams_over_http_take_no_thread_along(
    gateways: dict[Protocol, Gateway], ticks: Ticks
) -> None:
    """A caikit runtime itself keeps a thread of its pool for each of them, as it waits to hand over an item."""
    with client_of(gateways["grpc"], "http") as client:
        watch = client.model("watch", task="WatchTask")
        before = gateways["grpc"].threads
        for _ in range(20):
            stream = watch.run_stream_out(ticks.work(0.1), count=300)
            next(stream)
            stream.close()
        end = time.monotonic() + 10
        while gateways["grpc"].threads > before + 10 and time.monotonic() < end:
            time.sleep(0.05)
        assert gateways["grpc"].threads <= before + 10


def test_a_cancelled_job_stops_the_work(watch: Any, ticks: Ticks) -> None:
    job = watch.start_job(ticks.work())
    ticks.wait()
    job.cancel()
    with pytest.raises(JobCancelledError):
        job.wait(timeout=20)
    ticks.assert_stopped()


def test_a_cancelled_training_stops_the_work(watch: Any, ticks: Ticks) -> None:
    training = watch.train(work=ticks.work(), module="WatchModule")
    ticks.wait()
    training.cancel()
    with pytest.raises(JobCancelledError):
        training.wait(timeout=20)
    ticks.assert_stopped()


def test_a_job_works_on_when_the_caller_that_started_it_has_left(
    gateway: Gateway, before: Protocol, ticks: Ticks
) -> None:
    with client_of(gateway, before) as client:
        id = client.model("watch", task="WatchTask").with_options(timeout=0.5).start_job(ticks.work(1.0)).id
    with client_of(gateway, before) as client:
        job = client.prediction_job("WatchTask", id)
        job.wait(timeout=20)
        assert job.result().number == 0
