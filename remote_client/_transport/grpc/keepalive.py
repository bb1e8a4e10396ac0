"""When a connection is pinged, given up or closed for idleness. Pure: no I/O, no clock of its own."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class Do(Enum):
    """What a connection has to do now."""

    WAIT = auto()
    PING = auto()
    GIVE_UP = auto()
    """The peer did not answer the last PING."""
    CLOSE = auto()
    """No call used the connection for long."""


@dataclass(slots=True)
class ServerMemory:
    """Findings about a server that outlive its connections.

    Attributes:
        ping_factor: the factor by which the keepalive interval grew because the server rejected more frequent PINGs.
    """

    ping_factor: int = 1


@dataclass(slots=True)
class Keepalive:
    """The times of one connection.

    PINGs find a peer that is gone without a word, and keep open what lies between that counts bytes. Servers count
    those that come too often, anew after each frame of theirs that carries something (gRFC A8): at most `max_pings` are
    sent between two such frames of either side, and none without calls unless that is allowed.

    Attributes:
        interval: seconds of silence until a PING; None for no PINGs.
        timeout: seconds that the peer has to say anything then.
        max_pings: PINGs between two frames that carry something; None for any number.
        without_calls: whether to ping while no call is open.
        idle_timeout: seconds without a call until the connection is closed; None for never.
        heard: when the peer said something last.
        used: when a call was open last.
        carried: set with each frame of either side that carries something, such as an item of a stream.
    """

    interval: float | None
    timeout: float
    max_pings: int | None
    without_calls: bool
    idle_timeout: float | None
    heard: float
    used: float
    carried: bool = False
    _pinged: float | None = None
    _pings: int = 0

    def decide(self, now: float, calls: int) -> tuple[Do, float]:
        """Return what to do, and after how many seconds to ask again."""
        if self.carried:
            self.used, self._pings, self.carried = now, 0, False  # a call may have come and gone since the last look
        if calls:
            self.used = now
        if self._pinged is not None:
            if self.heard >= self._pinged:
                self._pinged = None
            elif now >= self._pinged + self.timeout:
                return Do.GIVE_UP, 0
            else:
                return Do.WAIT, self._pinged + self.timeout - now
        waits = []
        if self.idle_timeout is not None:
            if now >= self.used + self.idle_timeout:
                return Do.CLOSE, 0
            waits.append(self.used + self.idle_timeout - now)
        if self.interval is not None:
            silent_until = self.heard + self.interval
            if now < silent_until:
                waits.append(silent_until - now)
            elif (calls or self.without_calls) and (self.max_pings is None or self._pings < self.max_pings):
                self._pings += 1
                self._pinged = now
                return Do.PING, min(self.timeout, self.interval)
            else:
                waits.append(self.interval)
        return Do.WAIT, min(waits, default=3600.0)
