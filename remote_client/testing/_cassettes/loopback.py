"""What recorders and replays are to their users: a server of one protocol on loopback."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, Self

from ..._concurrency.threads import run_in_thread
from ...errors import ClosedError, UnsupportedError
from ...settings import Protocol
from .._servers import LoopbackServers

_NAMES: dict[Protocol, str] = {"grpc": "gRPC", "http": "HTTP"}


class Loopback:
    """A server of one protocol on loopback, in a thread of its own; a context manager and an async one.

    Args:
        protocol: the protocol.
        why: the beginning of an error about the other one, such as `calls.jsonl has calls of`.
        resources: see `LoopbackServers`.
    """

    def __init__(self, protocol: Protocol, why: str, resources: AbstractAsyncContextManager[Any] | None = None) -> None:
        self._protocol: Protocol = protocol
        self._why = why

        async def app(scope: Any, receive: Any, send: Any) -> None:  # uvicorn takes a method for ASGI of version 2
            await self._app(scope, receive, send)

        self._servers = LoopbackServers(self._handlers if protocol == "grpc" else tuple, app, resources)

    @property
    def grpc(self) -> str:
        """The target over gRPC.

        Raises:
            UnsupportedError: the calls are HTTP's.
            ClosedError: the server does not run.
        """
        self._check("grpc")
        return self._servers.grpc

    @property
    def http(self) -> str:
        """The target over HTTP.

        Raises:
            UnsupportedError: the calls are gRPC's.
            ClosedError: the server does not run.
        """
        self._check("http")
        return self._servers.http

    def __repr__(self) -> str:
        try:
            where = f"at {self.grpc if self._protocol == 'grpc' else self.http}"
        except ClosedError:
            where = "which does not run"
        return f"<{type(self).__name__} {where}>"

    def _check(self, asked: Protocol) -> None:
        if asked != self._protocol:
            raise UnsupportedError(f"{asked}: {self._why} {_NAMES[self._protocol]}; use .{self._protocol}")

    @abstractmethod
    def _handlers(self) -> Sequence[Any]:
        """Return the handlers of gRPC; called in the server's loop."""

    @abstractmethod
    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer over HTTP, as an ASGI application."""

    def __enter__(self) -> Self:
        self._servers.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._servers.stop()

    async def __aenter__(self) -> Self:
        await run_in_thread(self.__enter__)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await run_in_thread(self.__exit__, kind, error, traceback)
