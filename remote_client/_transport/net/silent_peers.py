"""When a peer that acknowledges nothing is doubted and given up: where packets are dropped, no error ever says so.

Decisions, and what the system knows of a connection. No timer: `sockets` looks at its connections from time to time.
"""

from __future__ import annotations

import socket
import struct
import sys
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, NamedTuple

DOUBTED_AFTER, MISSED_AFTER, GONE_AFTER = 1.0, 1.5, 4.0
"""Seconds without an acknowledgement."""
_LOOK_COUNTS = 1.0
"""Seconds that one look adds at most: after a longer pause of the loop, what waits may have been sent just now."""
PROBE_AFTER, PROBE_INTERVAL, PROBES = 2, 1, 3
"""Seconds of quiet until the system probes a connection on which nothing is under way, between two probes, and how many
are in vain before the connection ends. The peer's system answers them: its server does not count them as PINGs."""
IS_KNOWN = sys.platform == "linux"
"""Whether the system tells what is acknowledged."""
_FIELDS = struct.Struct("=8B13I")
"""The beginning of Linux's `struct tcp_info`."""


class Peer(IntEnum):
    """What the silence of a peer means."""

    HEARD = 0
    DOUBTED = 1
    """It may be gone: what is not sent yet waits, or goes elsewhere, and its name is resolved anew."""
    MISSED = 2
    """It is gone if its name has moved."""
    GONE = 3


class Unanswered(NamedTuple):
    """What the system knows of a connection.

    Attributes:
        waits: whether anything waits to be acknowledged: bytes, or a probe of a window that is shut.
        heard_ago: seconds since the peer's system said anything.
    """

    waits: bool
    heard_ago: float


@dataclass(slots=True)
class Silence:
    """How long a peer's system has acknowledged nothing.

    A peer that does not read is not silent: its system says so, again and again. `TCP_USER_TIMEOUT` ends such a
    connection too, and with it the upload to a server that is just busy.
    """

    peer: Peer = Peer.HEARD
    _silent: float | None = None
    """Seconds of silence that were looked at; None while nothing waits."""
    _looked: float = 0.0

    def look(self, now: float, seen: Unanswered) -> Peer:
        """Return what the silence means now."""
        paused, self._looked = min(now - self._looked, _LOOK_COUNTS), now
        if not seen.waits:
            self._silent = None
            self.peer = Peer.HEARD
            return self.peer
        # Its last word is older than what waits where the connection lay idle before.
        silent = self._silent = 0.0 if self._silent is None else min(self._silent + paused, seen.heard_ago)
        limits = (GONE_AFTER, Peer.GONE), (MISSED_AFTER, Peer.MISSED), (DOUBTED_AFTER, Peer.DOUBTED)
        self.peer = next((peer for limit, peer in limits if silent >= limit), Peer.HEARD)
        return self.peer


def unanswered(opened: Any) -> Unanswered | None:
    """Return what the system knows of a connection; None where it says nothing."""
    if opened is None:  # as a closed transport of uvloop says
        return None
    try:
        told = opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _FIELDS.size)
        fields = _FIELDS.unpack(told)
    except (OSError, ValueError, struct.error):  # it is closed by now (uvloop: a ValueError), or no TCP
        return None
    probes, backoff, not_acknowledged, data_ago, acknowledged_ago = (fields[at] for at in (3, 4, 12, 19, 20))
    # Probes of a shut window come ever more seldom: one that is lost must not count until the next.
    waits = not_acknowledged > 0 or probes > (backoff > 0)
    return Unanswered(waits, min(data_ago, acknowledged_ago) / 1000)


def probe(opened: socket.socket) -> None:
    """Let the system find out whether the peer is still there while nothing is under way."""
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    times = (("TCP_KEEPIDLE", PROBE_AFTER), ("TCP_KEEPALIVE", PROBE_AFTER))  # the latter is macOS's word for it
    for name, value in (*times, ("TCP_KEEPINTVL", PROBE_INTERVAL), ("TCP_KEEPCNT", PROBES)):
        if (option := getattr(socket, name, None)) is not None:
            opened.setsockopt(socket.IPPROTO_TCP, option, value)
