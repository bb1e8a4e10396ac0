"""What the unpickled handles of a process share: connections, one set per event loop, and descriptions of servers."""

from __future__ import annotations

import asyncio
import copyreg
from collections.abc import Sequence
from functools import partial
from typing import Any, cast
from weakref import WeakSet, WeakValueDictionary

from .._calls.caller import Caller
from .._concurrency.at_exit import closers
from .._objects.copying import Immutable
from .._schema.rpc import ServiceDescription
from .._text.redaction import clears_frames
from .._transport.engine import open_connections
from .._transport.manager import ConnectionManager
from ..errors import ClosedError, PicklingError, RemoteCallError
from ..settings import ConnectionInfo, MetadataSource, Protocol
from .introspection import introspect
from .schema_errors import redeployment_hint
from .single_flight import SingleFlight


class _Server:
    """A server that all handles with equal settings share."""

    def __init__(self, connection: ConnectionInfo, protocol: Protocol, interceptors: tuple[Any, ...]) -> None:
        self.settings = (connection, protocol, interceptors)
        self.handles: WeakSet[SharedConnections] = WeakSet()
        self.descriptions: dict[tuple[MetadataSource, ...], ServiceDescription] = {}
        """By the sources of the metadata: a server may show other users another interface."""
        self.single_flights: dict[asyncio.AbstractEventLoop, SingleFlight] = {}
        self.managers: dict[asyncio.AbstractEventLoop, ConnectionManager] = {}

    def manager(self) -> ConnectionManager:
        """Return the connections of the running loop."""
        loop = asyncio.get_running_loop()
        found = self.managers.get(loop)
        if found is None:
            self._forget_ended_loops()
            connection, protocol, interceptors = self.settings
            found = self.managers[loop] = open_connections(connection, protocol, None, interceptors)
            self.single_flights[loop] = SingleFlight()
            if loop in closers:  # a pool's worker gets handle after handle: connections stay until the process ends
                _kept.add(self)
                closers[loop].add(found)
        return found

    def _forget_ended_loops(self) -> None:
        for loop in list(self.managers):  # a copy: other threads add their loops
            if loop.is_closed():
                self.managers.pop(loop, None)
                self.single_flights.pop(loop, None)

    async def aclose(self) -> None:
        """Close the connections of the running loop."""
        loop = asyncio.get_running_loop()
        manager, single_flight = self.managers.pop(loop, None), self.single_flights.pop(loop, None)
        if manager is not None and single_flight is not None:
            _kept.discard(self)
            await single_flight.aclose()
            await manager.aclose()


_servers: WeakValueDictionary[tuple[Any, ...], _Server] = WeakValueDictionary()
_kept: set[_Server] = set()


class SharedConnections(Immutable):
    """The connections of an unpickled handle, opened by its first call in that call's loop; see `ConnectionManager`.

    All handles with equal settings share them. The last handle that is closed or dropped closes them; those of the
    blocking client stay until the process ends.
    """

    def __init__(self, server: _Server) -> None:
        self._server = server
        self._closed = False
        self.target = server.settings[0].target
        server.handles.add(self)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        if self._closed:
            raise ClosedError("it was closed; make a new client")
        return getattr(self._server.manager(), name)

    @property
    def opened(self) -> int:
        """The number of connections opened so far, in all loops."""
        return sum(manager.opened for manager in self._server.managers.values())

    async def describe(self, caller: Caller, protocol: Protocol) -> ServiceDescription:
        """Return the server's description, read at most once for all handles with the same sources of metadata."""
        server, sources = self._server, caller.options.metadata
        self.check()
        if not all(callable(source) and type(source).__hash__ for source in sources):
            return await introspect(caller, protocol)
        if sources not in server.descriptions:
            single_flight = server.single_flights[asyncio.get_running_loop()]
            server.descriptions[sources] = await single_flight.join(sources, partial(introspect, caller, protocol))
        return server.descriptions[sources]

    def forget(self) -> None:
        """Drop the descriptions, so that they are read again when needed."""
        self._server.descriptions.clear()

    async def aclose(self) -> None:
        """Close the connections unless another handle shares them. Idempotent."""
        self._closed = True
        self._server.handles.discard(self)
        if not self._server.handles:
            await self._server.aclose()

    def __reduce__(self) -> Any:
        return shared_connections, self._server.settings


def shared_connections(
    connection: ConnectionInfo, protocol: Protocol, interceptors: Sequence[Any] = ()
) -> ConnectionManager:
    """Return the connections of an unpickled handle."""
    key = (connection, protocol, *map(id, interceptors))
    server = _servers.get(key) or _servers.setdefault(key, _Server(connection, protocol, tuple(interceptors)))
    return cast(ConnectionManager, SharedConnections(server))


@clears_frames
async def server_description(caller: Caller, protocol: Protocol) -> ServiceDescription:
    """Return the description of a caller's server, which may be shared; see `introspect`."""
    connections: Any = caller.connections
    caller = Caller(**caller.fields())  # without `changed`, which takes UNIMPLEMENTED for a redeployment
    if isinstance(connections, SharedConnections):
        return await connections.describe(caller, protocol)
    return await introspect(caller, protocol)


@clears_frames
async def current_description(caller: Caller, protocol: Protocol) -> ServiceDescription:
    """Return the description that a caller's server gives now, even if one is known; see `introspect`."""
    return await introspect(Caller(**caller.fields()), protocol)


def forget_description(connections: ConnectionManager) -> None:
    """Have a shared description read again, as the server has another interface by now."""
    if isinstance(connections, SharedConnections):
        connections.forget()


def _reduce(manager: ConnectionManager) -> Any:
    if manager.opened_with is None:
        raise PicklingError("connections that were not opened by a client cannot be pickled")
    connection, protocol, transport, interceptors = manager.opened_with
    if transport is not None:
        raise PicklingError("transport: it belongs to this process; make a client in the other one")
    return shared_connections, (connection, protocol, interceptors)


def _reduce_caller(caller: Caller) -> Any:
    return _caller, (caller.fields(), caller.responds)


def _caller(fields: dict[str, Any], responds: bool) -> Caller:
    return Caller(**fields, responds=responds, changed=partial(_forget_if_redeployed, fields["connections"]))


def _forget_if_redeployed(connections: ConnectionManager, error: RemoteCallError) -> str:
    hint = redeployment_hint(error)
    if hint:
        forget_description(connections)
    return hint


copyreg.pickle(ConnectionManager, _reduce)
copyreg.pickle(Caller, _reduce_caller)
