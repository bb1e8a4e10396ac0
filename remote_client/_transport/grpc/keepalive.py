"""Decides when to send a PING, and to give up or close an idle connection. Pure: no I/O, no clock of its own."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, auto


class Do(Enum):
    """What a connection must do now."""

    WAIT = auto()
    PING = auto()
    GIVE_UP = auto()
    """The server did not answer the last PING."""
    CLOSE = auto()
    """No call has used the connection for long."""


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

    PINGs detect a server that has vanished, and keep idle timers of proxies from firing. Servers count PINGs that come
    too often, and start again after every HEADERS or DATA frame they send (gRFC A8). So at most `max_pings` are sent
    between two such frames of either side, and none without calls unless that is allowed.

    Attributes:
        interval: seconds of silence until a PING; None for no PINGs.
        timeout: seconds to wait for anything from the server after a PING.
        max_pings: PINGs between two HEADERS or DATA frames; None for any number.
        without_calls: whether to send PINGs while no call is open.
        idle_timeout: seconds without a call until the connection is closed; None for never.
        heard: the time of the latest bytes from the server.
        used: the time of the latest call.
        carried: set with every HEADERS or DATA frame of either side.
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
        """Return the action, and the seconds until the next decision."""
        if self.carried:
            self.used, self._pings, self.carried = now, 0, False  # a call may have begun and ended since
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
