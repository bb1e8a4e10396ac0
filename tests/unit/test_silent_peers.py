"""When a peer that acknowledges nothing is doubted and given up: decisions without a clock."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterable

import pytest

from remote_client._transport.net.silent_peers import IS_KNOWN, Peer, Silence, Unanswered, probe, unanswered

QUIET = Unanswered(waits=False, heard_ago=100.0)


class Told:
    """A socket of which the system tells its probes."""

    def __init__(self, *, probes: int, backoff: int) -> None:
        self._probes, self._backoff = probes, backoff

    def getsockopt(self, level: int, name: int, size: int) -> bytes:
        return bytes([1, 0, 0, self._probes, self._backoff]).ljust(size, b"\0")


def looks(silence: Silence, seen: Iterable[tuple[float, Unanswered]]) -> list[Peer]:
    return [silence.look(now, each) for now, each in seen]


def test_nothing_waits_for_an_answer() -> None:
    assert looks(Silence(), [(each, QUIET) for each in range(100)]) == [Peer.HEARD] * 100


def test_a_peer_that_vanished_is_doubted_then_missed_then_gone() -> None:
    seen = [(now, Unanswered(True, now)) for now in (0.0, 0.5, 1.0, 1.4, 1.5, 2.5, 3.5, 4.0)]
    heard, doubted, missed = Peer.HEARD, Peer.DOUBTED, Peer.MISSED
    assert looks(Silence(), seen) == [heard, heard, doubted, doubted, missed, missed, missed, Peer.GONE]


def test_the_quiet_before_a_call_does_not_count() -> None:
    """The first word to a connection that lay idle is not 100 seconds late."""
    seen = [
        (0.0, QUIET),
        (1.0, Unanswered(True, 101.0)),
        (1.5, Unanswered(True, 101.5)),
        (2.0, Unanswered(True, 102.0)),
    ]
    assert looks(Silence(), seen) == [Peer.HEARD, Peer.HEARD, Peer.HEARD, Peer.DOUBTED]


def test_acknowledgements_among_much_that_waits_are_heard() -> None:
    seen = [(now / 2, Unanswered(True, 0.05)) for now in range(100)]
    assert looks(Silence(), seen) == [Peer.HEARD] * 100


def test_a_doubt_ends_with_a_word() -> None:
    seen = [(0.0, Unanswered(True, 0.0)), (1.0, Unanswered(True, 1.0)), (2.0, Unanswered(True, 0.1)), (2.5, QUIET)]
    assert looks(Silence(), seen) == [Peer.HEARD, Peer.DOUBTED, Peer.HEARD, Peer.HEARD]


def test_silence_begins_anew_after_an_answer() -> None:
    seen = [(0.0, Unanswered(True, 0.0)), (3.0, QUIET), (3.5, Unanswered(True, 0.5)), (4.0, Unanswered(True, 1.0))]
    assert looks(Silence(), seen)[-1] is Peer.HEARD


def test_a_late_look_counts_from_the_last_word() -> None:
    """The loop was busy; the peer answered meanwhile."""
    assert looks(Silence(), [(0.0, Unanswered(True, 0.0)), (60.0, Unanswered(True, 0.2))])[-1] is Peer.HEARD


def test_a_call_sent_by_a_loop_that_was_busy_is_not_late() -> None:
    """What the first look saw was acknowledged long ago; what the second sees was written a moment before."""
    seen = [(0.0, Unanswered(True, 0.1)), (60.0, Unanswered(True, 60.0))]
    assert looks(Silence(), seen)[-1] < Peer.MISSED


def test_a_lost_probe_of_a_shut_window_is_no_silence() -> None:
    """The system sends the next after twice the time, up to two minutes later."""
    assert unanswered(Told(probes=1, backoff=6)) == Unanswered(False, 0.0)
    assert unanswered(Told(probes=2, backoff=7)) == Unanswered(True, 0.0)


def test_a_probe_of_an_idle_connection_waits() -> None:
    assert unanswered(Told(probes=1, backoff=0)) == Unanswered(True, 0.0)


@pytest.mark.skipif(not IS_KNOWN, reason="Linux tells it")
def test_the_system_tells_what_waits() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as opened:
        probe(opened)
        opened.sendall(b"x")
        told = unanswered(opened)
        assert told is not None
        assert not told.waits
        assert told.heard_ago < 10


@pytest.mark.skipif(not IS_KNOWN, reason="Linux tells it")
def test_a_peer_that_does_not_read_is_not_silent() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as opened:
        opened.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                opened.send(bytes(1 << 20))
        told = unanswered(opened)
        assert told is not None
        assert told.heard_ago < 10


def test_what_is_no_tcp_tells_nothing() -> None:
    one, other = socket.socketpair()
    with one, other:
        assert unanswered(one) is None


@pytest.mark.skipif(not IS_KNOWN, reason="Linux tells it")
@pytest.mark.parametrize("known", [False, True])
def test_a_closed_connection_of_uvloop_tells_nothing(known: bool) -> None:
    """It has no socket any more, or one without a descriptor."""
    uvloop = pytest.importorskip("uvloop")

    async def cut(address: tuple[str, int]) -> None:
        loop = asyncio.get_running_loop()
        closed = loop.create_future()

        class Connection(asyncio.Protocol):
            def connection_lost(self, exc: Exception | None) -> None:
                closed.set_result(None)

        transport, _ = await loop.create_connection(Connection, *address)
        if known:
            assert unanswered(transport.get_extra_info("socket")) is not None
        transport.abort()
        await closed
        assert unanswered(transport.get_extra_info("socket")) is None

    with socket.create_server(("127.0.0.1", 0)) as server, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(cut(server.getsockname()))
