"""A gRPC and an HTTP server on loopback, in a thread with an event loop of their own. They know no runtime."""

from __future__ import annotations

import asyncio
import logging
import socket
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from contextlib import AbstractAsyncContextManager, AsyncExitStack, nullcontext
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from .._bulk.extras import needed
from .._concurrency.threads import run_in_thread
from ..errors import ClosedError

if TYPE_CHECKING:
    import grpc

logger = logging.getLogger("remote_client")
HOST = "127.0.0.1"
App = Callable[..., Any]
"""An ASGI application."""
_GRPC_OPTIONS = (
    ("grpc.so_reuseport", 0),  # else two servers can share a port, and each gets some of the connections
    ("grpc.max_send_message_length", -1),
)
_GRACE = 0.0
"""Seconds that calls in flight have when the servers stop: none, as a test that stops them is over."""


class LoopbackServers:
    """A gRPC and an HTTP server on ephemeral ports, from `with` or `async with` on until its end.

    Args:
        handlers: gRPC's handlers; called in the servers' loop, where their coroutines run.
        app: the ASGI application that answers over HTTP.
        resources: entered in the servers' loop before they serve, and left after they stopped.
        max_request: bytes of the largest request over gRPC; below 0 for no limit.

    Raises:
        ConfigurationError: on entering, if a library of the extra `testing` is not installed.
    """

    def __init__(
        self,
        handlers: Callable[[], Sequence[grpc.GenericRpcHandler[Any, Any]]],
        app: App,
        resources: AbstractAsyncContextManager[Any] | None = None,
        max_request: int = -1,
    ) -> None:
        self._handlers = handlers
        self._app = app
        self._resources = resources or nullcontext()
        self._max_request = max_request
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping: asyncio.Event | None = None
        self._ports: tuple[int, int] | None = None

    @property
    def grpc(self) -> str:
        """The gRPC server's target.

        Raises:
            ClosedError: the servers do not run.
        """
        return f"localhost:{self._running()[0]}"

    @property
    def http(self) -> str:
        """The HTTP server's target.

        Raises:
            ClosedError: the servers do not run.
        """
        return f"http://localhost:{self._running()[1]}"

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop of the servers.

        Raises:
            ClosedError: the servers do not run.
        """
        self._running()
        assert self._loop is not None
        return self._loop

    def _running(self) -> tuple[int, int]:
        if self._ports is None:
            raise ClosedError("the servers do not run: enter them, as in `with FakeRuntime(...) as runtime`")
        return self._ports

    def start(self) -> None:
        """Start the servers, and return when they serve."""
        if self._thread is not None:
            raise ClosedError("the servers were started before")
        for library in ("grpc_health", "grpc_reflection", "python_multipart", "starlette", "uvicorn"):
            needed(library, "testing")
        started: Future[tuple[int, int]] = Future()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._serve(started)), name="remote-client-testing", daemon=True
        )
        self._thread.start()
        self._ports = started.result()

    def stop(self) -> None:
        """Stop the servers, with what they do, and return when their ports are closed. Idempotent."""
        if self._ports is None or self._thread is None:
            return
        self._ports = None
        assert self._loop is not None
        assert self._stopping is not None
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()

    async def _serve(self, started: Future[tuple[int, int]]) -> None:
        self._loop, self._stopping = asyncio.get_running_loop(), asyncio.Event()
        try:
            async with AsyncExitStack() as stack:
                await stack.enter_async_context(self._resources)
                ports = (
                    await _serve_grpc(self._handlers(), self._max_request, stack),
                    await _serve_http(self._app, stack),
                )
                started.set_result(ports)
                await self._stopping.wait()
        except BaseException as error:
            if started.done():
                raise
            started.set_exception(error)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    async def __aenter__(self) -> Self:
        await run_in_thread(self.start)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await run_in_thread(self.stop)


async def _serve_grpc(
    handlers: Sequence[grpc.GenericRpcHandler[Any, Any]], max_request: int, stack: AsyncExitStack
) -> int:
    import grpc.aio

    server = grpc.aio.server(options=(*_GRPC_OPTIONS, ("grpc.max_receive_message_length", max_request)))
    server.add_generic_rpc_handlers(tuple(handlers))
    port = server.add_insecure_port(f"{HOST}:0")
    await server.start()
    stack.push_async_callback(server.stop, _GRACE)
    return port


async def _serve_http(app: App, stack: AsyncExitStack) -> int:
    import uvicorn

    # asyncio sets TCP_NODELAY only if the protocol is named. Without, every answer takes 40 ms.
    listening = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP))
    listening.bind((HOST, 0))
    config = uvicorn.Config(
        _logged(app), log_config=None, log_level="critical", lifespan="off", interface="asgi3", date_header=False
    )
    config.load()
    server = uvicorn.Server(config)
    # Not `serve`, whose loop looks every 0.1 s whether it shall end: a test suite stops hundreds of servers.
    server.lifespan = config.lifespan_class(config)
    await server.startup(sockets=[listening])

    async def stop() -> None:
        for each in server.servers:
            each.close()
        working = list(server.server_state.tasks)
        for task in working:
            task.cancel()
        await asyncio.gather(*working, return_exceptions=True)
        for connection in list(server.server_state.connections):
            connection.shutdown()

    stack.push_async_callback(stop)
    port: int = listening.getsockname()[1]
    return port


def _logged(app: App) -> App:
    """Return an application whose errors are logged. uvicorn would also log the calls that `stop` cancels."""

    async def call(scope: Any, receive: Any, send: Any) -> None:
        try:
            await app(scope, receive, send)
        except Exception:
            logger.exception("the HTTP application failed: %s %s", scope.get("method"), scope.get("path"))
            raise

    return call
