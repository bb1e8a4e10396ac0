"""Decides when a peer that acknowledges nothing is doubted and given up: dropped packets cause no error.

It asks the system about a connection, and has no timer: `sockets` checks its connections from time to time.
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
"""Seconds that one look adds at most: after a pause of the loop, unacknowledged bytes may have been sent just now."""
PROBE_AFTER, PROBE_INTERVAL, PROBES = 2, 1, 3
"""TCP keepalive: seconds of silence before the first probe, seconds between probes, and unanswered probes until the
connection ends. The peer's system answers them, so its server does not count them as PINGs."""
IS_KNOWN = sys.platform == "linux"
"""Whether the system reports acknowledgements."""
_FIELDS = struct.Struct("=8B13I")
"""The beginning of Linux's `struct tcp_info`."""


class Peer(IntEnum):
    """The meaning of a peer's silence."""

    HEARD = 0
    DOUBTED = 1
    """It may be gone: unsent calls wait or go elsewhere, and its name is resolved again."""
    MISSED = 2
    """It is gone if its name has moved."""
    GONE = 3


class Unanswered(NamedTuple):
    """The system's knowledge of a connection.

    Attributes:
        waits: whether bytes, or a probe of a closed window, wait for an acknowledgement.
        heard_ago: seconds since the last packet from the peer's system.
    """

    waits: bool
    heard_ago: float


@dataclass(slots=True, eq=False, repr=False)
class Silence:
    """The time for which a peer's system has acknowledged nothing.

    A peer that does not read is not silent: its system answers probes. `TCP_USER_TIMEOUT` would end its connection,
    and with it the upload to a server that is only busy.
    """

    peer: Peer = Peer.HEARD
    _silent: float | None = None
    """Seconds of silence so far; None while nothing waits."""
    _looked: float = 0.0

    def look(self, now: float, seen: Unanswered) -> Peer:
        """Return the meaning of the silence at this time."""
        paused, self._looked = min(now - self._looked, _LOOK_COUNTS), now
        if not seen.waits:
            self._silent = None
            self.peer = Peer.HEARD
            return self.peer
        # After an idle time, the last packet from the peer is older than the bytes that wait.
        silent = self._silent = 0.0 if self._silent is None else min(self._silent + paused, seen.heard_ago)
        limits = (GONE_AFTER, Peer.GONE), (MISSED_AFTER, Peer.MISSED), (DOUBTED_AFTER, Peer.DOUBTED)
        self.peer = next((peer for limit, peer in limits if silent >= limit), Peer.HEARD)
        return self.peer


def unanswered(opened: Any) -> Unanswered | None:
    """Return the system's knowledge of a connection, or None if it has none."""
    if opened is None:  # a closed transport of uvloop
        return None
    try:
        fields = _FIELDS.unpack(opened.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _FIELDS.size))
    except (OSError, ValueError, struct.error):  # it was closed (uvloop: ValueError), or is not TCP
        return None
    probes, backoff, not_acknowledged, data_ago, acknowledged_ago = (fields[at] for at in (3, 4, 12, 19, 20))
    # Probes of a closed window get rarer and rarer: a lost one must not count until the next.
    waits = not_acknowledged > 0 or probes > (backoff > 0)
    return Unanswered(waits, min(data_ago, acknowledged_ago) / 1000)


def probe(opened: socket.socket) -> None:
    """Let the system probe an idle connection's peer (TCP keepalive)."""
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    times = (("TCP_KEEPIDLE", PROBE_AFTER), ("TCP_KEEPALIVE", PROBE_AFTER))  # the latter on macOS
    for name, value in (*times, ("TCP_KEEPINTVL", PROBE_INTERVAL), ("TCP_KEEPCNT", PROBES)):
        if (option := getattr(socket, name, None)) is not None:
            opened.setsockopt(socket.IPPROTO_TCP, option, value)
