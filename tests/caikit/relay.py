"""A TCP relay in threads, between blocking clients and a runtime."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Self


class Relay:
    """Passes bytes on to a port of this machine; a context manager.

    Attributes:
        to: the port, for connections from now on; 0 for none, as if the server were away.
        port: its own.
        accepted: connections passed on so far.
    """

    def __init__(self, to: int = 0) -> None:
        self.to = to
        self.accepted = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._sockets: list[socket.socket] = []

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join()
        self.cut()

    def cut(self) -> None:
        """End all connections."""
        while self._sockets:
            _end(self._sockets.pop())

    def _accept(self) -> None:
        while True:
            try:
                here, _ = self._listener.accept()
            except OSError:  # it was closed
                return
            if not self.to:
                here.close()
                continue
            self.accepted += 1
            there = socket.create_connection(("localhost", self.to))
            self._sockets += [here, there]
            for source, sink in ((here, there), (there, here)):
                threading.Thread(target=_pass, args=(source, sink), daemon=True).start()


def _pass(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    _end(source)
    _end(sink)


def _end(side: socket.socket) -> None:
    with suppress(OSError):
        side.shutdown(socket.SHUT_RDWR)
    side.close()
