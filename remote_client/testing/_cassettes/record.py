"""`record`: servers that pass calls on to a runtime, and write them to a cassette."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from ..._client.client import RemoteClient
from ..._client.targets import connections_of
from ..._objects.exports import exported_from
from ..._schema.schema_file import schema_bytes
from ...errors import ClosedError, ConfigurationError, RemoteClientError
from ...settings import ConnectionInfo, ConnectionTlsInfo, Protocol
from .format import Header
from .loopback import Loopback
from .messages import Messages, messages_of
from .secrets import Pairs
from .taking import Taking
from .writer import CassetteWriter

if TYPE_CHECKING:
    from .grpc_calls import Context

_SCHEMA_TIME = 10.0
"""Seconds that the server may take to describe itself."""
_NOBODYS = frozenset(["CANCELLED", "DEADLINE_EXCEEDED", "UNAVAILABLE"])
"""The statuses of calls that no server answered, if nothing else came."""


@exported_from("remote_client.testing")
class Recorder(Loopback):
    """A server that passes calls on and records them; see `record`."""

    def __init__(self, connection: ConnectionInfo, protocol: Protocol, writer: CassetteWriter, model_key: str) -> None:
        super().__init__(protocol, f"{connection.target} speaks", self._opened())
        self._connection = connection
        self._writer = writer
        self._model_key = model_key
        self._server: Any = None
        """What sends: a channel, or the transport of HTTP."""
        self._known: asyncio.Task[tuple[Header, Messages]] | None = None
        self._passing: set[asyncio.Task[Any]] = set()
        """The calls in flight."""
        self._writing: set[asyncio.Task[None]] = set()
        """The lines of calls whose clients left."""

    @asynccontextmanager
    async def _opened(self) -> AsyncIterator[None]:
        """Hold the connections to the server. When the loopback server has stopped, its calls may still end."""
        try:
            yield
        finally:
            for call in self._passing:
                call.cancel()
            for tasks in (self._passing, self._writing):
                await asyncio.gather(*tasks, return_exceptions=True)
            await self._close()
            self._writer.close()

    async def _close(self) -> None:
        if self._known is not None:
            self._known.cancel()
            await asyncio.wait((self._known,))
        if self._server is None:
            return
        if self._protocol == "grpc":
            await self._server.close()
        else:
            await self._server.aclose(lambda: ClosedError("the recorder is closed"))

    # -- the calls ----------------------------------------------------------------------------------------------------

    def _handlers(self) -> Sequence[Any]:
        from ..._transport.engines.grpcio_channel import open_channel
        from .grpc_calls import AnyMethod

        self._server = open_channel(self._connection)
        return [AnyMethod(self._pass_on_grpc)]

    async def _pass_on_grpc(self, method: str, requests: AsyncIterator[bytes], context: Context) -> None:
        from .grpc_calls import PassedOn, end, sent_metadata

        taking = Taking(method, sent_metadata(context), self._model_key)

        async def pass_on() -> None:
            await PassedOn(self._server, taking).run(requests, context)
            if taking.is_answered or taking.status not in _NOBODYS:
                await self._keep(taking, is_whole=True)

        await self._taken(taking, pass_on())
        await end(str(taking.status), taking.details, taking.trailers, context)

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        from .http_calls import RawTransport, body_of, headers_of, left, method_of, pass_on

        if self._server is None:
            self._server = RawTransport(self._connection)
        body = await body_of(receive)
        if body is None:
            return
        taking = Taking(method_of(scope), headers_of(scope), self._model_key)
        taking.sent(body)
        taking.sent(None)

        async def keep() -> None:
            await self._keep(taking, is_whole=True)

        passing = asyncio.create_task(self._taken(taking, pass_on(self._server, taking, body, send, keep)))
        leaving = asyncio.create_task(left(receive))
        try:
            await asyncio.wait((passing, leaving), return_when=asyncio.FIRST_COMPLETED)
        finally:
            leaving.cancel()
            passing.cancel()
            await asyncio.wait((passing, leaving))
        if not passing.cancelled():
            await passing

    async def _taken(self, taking: Taking, passing: Awaitable[None]) -> None:
        """Pass on a call. If its client leaves, write what it was answered."""
        self._learn(taking.metadata)
        task = asyncio.current_task()
        assert task is not None
        self._passing.add(task)
        try:
            await passing
        except asyncio.CancelledError:
            if taking.is_answered:
                self._keep(taking, is_whole=False)
            raise
        finally:
            self._passing.discard(task)

    # -- the cassette -------------------------------------------------------------------------------------------------

    def _keep(self, taking: Taking, *, is_whole: bool) -> Awaitable[None]:
        """Write a call, unless it was written. It is written even if the caller does not wait for it."""
        writing = asyncio.create_task(self._write(taking, is_whole=is_whole))
        self._writing.add(writing)
        writing.add_done_callback(self._writing.discard)
        return asyncio.shield(writing)

    async def _write(self, taking: Taking, *, is_whole: bool) -> None:
        assert self._known is not None
        if not taking.is_kept:
            taking.is_kept = True
            header, messages = await asyncio.shield(self._known)
            self._writer.add(header, taking.done(messages, is_whole=is_whole), messages.shown)

    def _learn(self, metadata: Pairs) -> None:
        """Ask the server for its schema, with the credentials of the first call."""
        if self._known is None:
            self._known = asyncio.get_running_loop().create_task(self._describe(metadata))

    async def _describe(self, metadata: Pairs) -> tuple[Header, Messages]:
        schema = await self._schema(metadata) if self._protocol == "grpc" else None
        header = Header(protocol=self._protocol, model_key=self._model_key, schema=schema)
        return header, messages_of(header)

    async def _schema(self, metadata: Pairs) -> bytes | None:
        """Return the server's schema; None if it does not describe itself."""
        sent = {name: value for name, value in metadata if name != self._model_key}
        connection = self._connection.replace(timeout=_SCHEMA_TIME)
        try:
            async with RemoteClient(connection, metadata=sent) as client:
                return schema_bytes(await client.describe())
        except RemoteClientError:
            return None


@exported_from("remote_client.testing")
def record(
    target: str | ConnectionInfo,
    path: str | os.PathLike[str],
    *,
    protocol: Protocol | None = None,
    tls: ConnectionTlsInfo | Mapping[str, Any] | None = None,
    model_key: str = "mm-model-id",
) -> Recorder:
    """Return a server that passes all calls on to a runtime and writes them to a cassette, which `replay` answers from.

    It is a context manager and an async one. Its target is `grpc` or `http`, by the protocol of the runtime's target; a
    client of it works as one of the runtime does. What clients send as metadata reaches the runtime. A gRPC runtime is
    asked for its schema, with the metadata of the first call, so that messages are shown as JSON and compared by value.

    The file appears, or replaces an old one, with the first call that has ended; a call is in it before its client gets
    the end of its answer. Secrets are left out: the metadata of requests but the model's name, credentials in answers'
    metadata and errors, values of such metadata in messages, passwords in URLs, and the fields of a training's
    requests for the credentials of a bucket. Calls that ended without any answer are not recorded: those whose client
    left, and those to a runtime that could not be reached.

    Needs the extra `testing`: `pip install 'remote-client[testing]'`.

    Args:
        target: the runtime, as `RemoteClient` takes it.
        path: the cassette.
        protocol: `"grpc"` or `"http"`, for a target that does not name it. Default gRPC.
        tls: TLS settings for the runtime; the recorder itself has no TLS.
        model_key: the metadata key that names the model.

    Raises:
        ConfigurationError: a setting is wrong, or the path cannot be a file; on entering, a library of the extra is
            missing.
    """
    (connection, *others), speaks = connections_of(target, protocol, tls)
    if others or connection.is_template:
        raise ConfigurationError("target: record takes one server; a {} stands for several")
    return Recorder(connection, speaks, CassetteWriter(path), model_key)
