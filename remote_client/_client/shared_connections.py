"""What unpickled handles of a process share: connections, one set for each event loop, and servers' descriptions."""

from __future__ import annotations

import asyncio
import copyreg
from collections.abc import Sequence
from functools import partial
from typing import Any
from weakref import WeakSet, WeakValueDictionary

from .._calls.caller import Caller
from .._concurrency.at_exit import closers
from .._objects.copying import Immutable
from .._schema.rpc import ServiceDescription
from .._text.redaction import forgetful
from .._transport.engine import open_connections
from .._transport.manager import ConnectionManager
from ..errors import ClosedError, PicklingError, RemoteCallError
from ..settings import ConnectionInfo, MetadataSource, Protocol
from .introspection import read_schema
from .single_flight import SingleFlight
from .stale_schemas import redeployed


class _Server:
    """A server, as all handles that were unpickled with equal settings share it."""

    def __init__(self, connection: ConnectionInfo, protocol: Protocol, interceptors: tuple[Any, ...]) -> None:
        self.settings = (connection, protocol, interceptors)
        self.handles: WeakSet[SharedConnections] = WeakSet()
        self.descriptions: dict[tuple[MetadataSource, ...], ServiceDescription] = {}
        """By whom they were told, as a server may tell others something else."""
        self.flights: dict[asyncio.AbstractEventLoop, SingleFlight] = {}
        self.managers: dict[asyncio.AbstractEventLoop, ConnectionManager] = {}

    def manager(self) -> ConnectionManager:
        """The connections of the running loop."""
        loop = asyncio.get_running_loop()
        found = self.managers.get(loop)
        if found is None:
            self._forget_ended_loops()
            connection, protocol, interceptors = self.settings
            found = self.managers[loop] = open_connections(connection, protocol, None, interceptors)
            self.flights[loop] = SingleFlight()
            if loop in closers:  # a process's pool gives it handle after handle: kept until it ends
                _kept.add(self)
                closers[loop].add(found)
        return found

    def _forget_ended_loops(self) -> None:
        for loop in list(self.managers):  # at once: other threads have loops, too
            if loop.is_closed():
                self.managers.pop(loop, None)
                self.flights.pop(loop, None)

    async def aclose(self) -> None:
        """Close the connections of the running loop."""
        loop = asyncio.get_running_loop()
        manager, flights = self.managers.pop(loop, None), self.flights.pop(loop, None)
        if manager is not None and flights is not None:
            _kept.discard(self)
            await flights.aclose()
            await manager.aclose()


_servers: WeakValueDictionary[tuple[Any, ...], _Server] = WeakValueDictionary()
_kept: set[_Server] = set()


class SharedConnections(Immutable):
    """The connections of an unpickled handle, made at its first call in that call's loop. See `ConnectionManager`.

    All handles of equal settings share them. They are closed when the last one is closed or gone; those of the blocking
    client with the process.
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
        """How many connections were made so far, in all loops."""
        return sum(each.opened for each in self._server.managers.values())

    async def describe(self, caller: Caller, protocol: Protocol) -> ServiceDescription:
        """The server's description, read at most once for all handles with the same sources of metadata."""
        server, sources = self._server, caller.options.metadata
        self.check()
        if not all(callable(each) and type(each).__hash__ for each in sources):
            return await read_schema(caller, protocol)
        if sources not in server.descriptions:
            flights = server.flights[asyncio.get_running_loop()]
            server.descriptions[sources] = await flights.join(sources, partial(read_schema, caller, protocol))
        return server.descriptions[sources]

    def forget(self) -> None:
        """Read the description anew when it is next needed."""
        self._server.descriptions.clear()

    async def aclose(self) -> None:
        """Close the connections, unless another handle may use them. Idempotent."""
        self._closed = True
        self._server.handles.discard(self)
        if not self._server.handles:
            await self._server.aclose()

    def __reduce__(self) -> Any:
        return shared_connections, self._server.settings


def shared_connections(
    connection: ConnectionInfo, protocol: Protocol, interceptors: Sequence[Any] = ()
) -> ConnectionManager:
    """The connections of a handle that was unpickled."""
    key = (connection.model_dump_json(), protocol, *map(id, interceptors))
    server = _servers.get(key) or _servers.setdefault(key, _Server(connection, protocol, tuple(interceptors)))
    made: Any = SharedConnections(server)
    return made  # type: ignore[no-any-return]


@forgetful
async def described(caller: Caller, protocol: Protocol) -> ServiceDescription:
    """The description of a caller's server. See `read_schema`."""
    connections: Any = caller.connections
    caller = Caller(**caller.fields())  # one that does not take an older reflection for another interface
    if isinstance(connections, SharedConnections):
        return await connections.describe(caller, protocol)
    return await read_schema(caller, protocol)


@forgetful
async def told(caller: Caller, protocol: Protocol) -> ServiceDescription:
    """What a caller's server tells now, whatever is known of it. See `read_schema`."""
    return await read_schema(Caller(**caller.fields()), protocol)


def forget(connections: ConnectionManager) -> None:
    """Have the server's description read anew, as it is another by now."""
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
    return _caller, (caller.fields(),)


def _caller(fields: dict[str, Any]) -> Caller:
    return Caller(**fields, changed=partial(_forget_if_redeployed, fields["connections"]))


def _forget_if_redeployed(connections: ConnectionManager, error: RemoteCallError) -> str:
    hint = redeployed(error)
    if hint:
        forget(connections)
    return hint


copyreg.pickle(ConnectionManager, _reduce)
copyreg.pickle(Caller, _reduce_caller)
