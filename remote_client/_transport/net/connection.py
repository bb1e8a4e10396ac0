"""The part of a connection that both protocols share: an `asyncio.Protocol` from its socket's start to its end."""

from __future__ import annotations

import asyncio
from typing import cast

from .silent_peers import Peer

_CLOSE_TIME = 0.2
"""Seconds for the last bytes and TLS's closing alert; then the connection is aborted."""


class Connection(asyncio.Protocol):
    """One connection to a server.

    Attributes:
        transport: the socket's transport; None before it is connected and after its end.
        closed: done once the socket is closed.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.transport: asyncio.Transport | None = None
        self.closed: asyncio.Future[None] = loop.create_future()
        self._paused = False
        """Whether the socket takes no more bytes for now."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def pause_writing(self) -> None:
        self._paused = True

    @property
    def is_closing(self) -> bool:
        """Whether it is closed or about to be."""
        return self.transport is None or self.transport.is_closing()

    @property
    def alpn(self) -> str | None:
        """The protocol that TLS agreed on."""
        tls = None if self.transport is None else self.transport.get_extra_info("ssl_object")
        return None if tls is None else tls.selected_alpn_protocol()

    def on_peer(self, peer: Peer) -> None:
        """React to a peer that acknowledges nothing, or does again."""

    def _close_gently(self, transport: asyncio.Transport) -> None:
        """Close the socket after the buffered bytes and TLS's closing alert were sent, or after a moment."""
        transport.close()
        if self.transport is not None:
            self.loop.call_later(_CLOSE_TIME, self._abort)

    def _abort(self) -> None:
        if self.transport is not None:
            self.transport.abort()
