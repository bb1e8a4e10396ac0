"""The servers of a finder: how they are reached, what they answered, and which share the calls of a model."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Generic, TypeVar
from weakref import WeakKeyDictionary

from .._calls.caller import Caller
from .._concurrency.threads import run_in_thread
from .._schema.listed_models import ListedModels
from .._schema.rpc import RemoteRPCDescriptor, ServiceDescription
from .._transport.balance import Balancer
from .._transport.manager import ConnectionManager
from ..errors import SchemaError, SchemaUnavailableError
from ..settings import CallOptions, ConnectionInfo, FinderConfig
from .introspection import whole_description
from .option_changes import OptionChanges, changed_fields
from .shared_connections import forget_description

if TYPE_CHECKING:
    from .._schema.runtime_info import ModelInfo

T = TypeVar("T")


class _Knowledge:
    """What a server answered; see `Server`."""

    def __init__(self) -> None:
        self.models: ListedModels = ListedModels({})
        self.list_models: RemoteRPCDescriptor | None = None
        self.deployed: dict[str, ModelInfo] = {}
        self.error: Exception | None = None
        self.description: ServiceDescription | None = None
        self.refusal: SchemaError | None = None
        self.polled_at: float = 0.0


class _Known(Generic[T]):
    """An attribute of a server's knowledge."""

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, server: Server, owner: type) -> T:
        value: T = getattr(server.knowledge, self._name)
        return value

    def __set__(self, server: Server, value: T) -> None:
        setattr(server.knowledge, self._name, value)


class Server:
    """A server: its connections, and what it answered.

    Attributes:
        connection: how it is reached.
        caller: calls its methods that belong to no model.
        knowledge: what it answered, which the copies of a client share.
        models: the models of its last list, and those deployed since.
        list_models: the method that lists models, with a `ListedModelsCodec`, once it was called.
        deployed: the models that this client deployed and the server does not list yet.
        error: why the last poll failed or was late; None after an answer.
        description: its tasks and types, once read.
        refusal: why it did not describe itself during the last poll; None if it did or was not asked.
        polled_at: the loop's time of the last poll.
    """

    models: _Known[ListedModels] = _Known()
    list_models: _Known[RemoteRPCDescriptor | None] = _Known()
    deployed: _Known[dict[str, ModelInfo]] = _Known()
    error: _Known[Exception | None] = _Known()
    description: _Known[ServiceDescription | None] = _Known()
    refusal: _Known[SchemaError | None] = _Known()
    polled_at: _Known[float] = _Known()

    def __init__(self, connection: ConnectionInfo, caller: Caller, knowledge: _Knowledge | None = None) -> None:
        self.connection = connection
        self.caller = caller
        self.knowledge: _Knowledge = knowledge or _Knowledge()

    @property
    def is_unhealthy(self) -> bool:
        """Whether its last poll or call failed. Other servers' answers wait a second for it at most."""
        return self.error is not None or self.caller.connections.health.ailing

    @property
    def can_describe(self) -> bool:
        """Whether asking for its description makes sense: it is not known, and was not refused during the last poll."""
        return self.description is None and not isinstance(self.refusal, SchemaUnavailableError)

    @property
    def is_rendered(self) -> bool:
        """Whether `are_equivalent` can compare its description with others."""
        return self.description is None or self.description in _interfaces

    def forget(self) -> None:
        """Drop the description: an answer showed that the server has another interface by now."""
        self.description = None
        forget_description(self.caller.connections)

    def add_deployed(self, name: str, info: ModelInfo) -> None:
        """Add a deployed model, which the server has at once but may list late."""
        self.deployed[name] = info
        self.models = self.models.with_model(name, info)

    def remove(self, name: str) -> None:
        """Remove an undeployed model."""
        self.deployed.pop(name, None)
        self.models = self.models.without(name)

    def update(self, listed: ListedModels) -> None:
        """Take over a list of models."""
        for name in [name for name in self.deployed if name in listed]:
            del self.deployed[name]
        self.models, self.error = listed.after(self.deployed), None

    def module_id(self, name: str) -> str | None:
        """Return the id of a model's module; None if the model is not listed."""
        return self.models[name].module_id if name in self.models else None


class ServerSet:
    """The servers of one finder, in the order in which they are preferred.

    Args:
        config: names the servers. A host name with a `{}` stands for one server per model.
        options: the options of calls; by default the timeouts of the connections.
        connect: opens the connections to a server.

    Attributes:
        fixed: the servers whose host names do not depend on a model.
        template: the connection whose host name does; None without one.
        balancers: the balancers of models whose calls go to several servers.
    """

    def __init__(
        self,
        config: FinderConfig,
        options: CallOptions | None,
        connect: Callable[[ConnectionInfo], ConnectionManager],
    ) -> None:
        self._config = config
        self._options = options
        self._connect = connect
        # Upstream's order: of two servers that list the same model the first is used.
        connections = [*config.remote_connections, *([config.connection] if config.connection else [])]
        self.template: ConnectionInfo | None = next((info for info in connections if info.is_template), None)
        self.fixed: list[Server] = [self._make(info) for info in connections if not info.is_template]
        self._by_model: dict[str, Server] = {}
        self.balancers: dict[str, Balancer[ConnectionManager]] = {}

    def _make(self, connection: ConnectionInfo) -> Server:
        options = self._options or CallOptions(timeout=connection.timeout)
        options = replace(options, output="dict", retry=connection.retry_policy)
        return Server(
            connection, Caller(self._connect(connection), model_key=self._config.model_key, model=None, options=options)
        )

    @property
    def known(self) -> list[Server]:
        """The servers known so far."""
        return [*self._by_model.values(), *self.fixed]

    @property
    def is_single(self) -> bool:
        """Whether every model is on the same server, or on the one that its name maps to."""
        return len(self.fixed) + (self.template is not None) == 1

    def candidates(self, name: str | None) -> list[Server]:
        """Return the candidate servers for a model: the one its name maps to, then the fixed ones."""
        own = [self._rendered(name)] if name is not None and self.template else []
        return [*own, *self.fixed]

    def listing(self, name: str) -> list[Server]:
        """Return the servers that list a model, or the one it is configured for if none does."""
        own = self._by_model.get(name)
        found = [server for server in (own, *self.fixed) if server is not None and name in server.models]
        if found or name not in self._config.supported_models:
            return found
        # Without a template the configuration's connection is the last of the fixed ones.
        return [self._rendered(name) if self.template else self.fixed[-1]]

    def must_compare(self, server: Server) -> bool:
        """Return whether a server must be asked for its description, or that be compared with another one's."""
        if server.description is None or server.is_rendered:
            return server.can_describe
        described = (other.description for other in self.fixed if other.description is not None)
        return server.description is not next(described, server.description)

    def _rendered(self, name: str) -> Server:
        if name not in self._by_model and self.template is not None:
            self._by_model[name] = self._make(self.template.for_model(name))
        return self._by_model[name]

    async def drop(self, name: str) -> None:
        """Close the server that a model's name maps to, as it does not have the model."""
        if name in self._by_model:
            await self._by_model.pop(name).caller.connections.aclose()

    def update(self, server: Server, listed: ListedModels) -> None:
        """Take over a server's list of models."""
        before = {name: server.module_id(name) for name in self.balancers}
        server.update(listed)
        # A server lists which models are loaded, so that lists often change, and seldom what matters here.
        self.rebalance([name for name, id in before.items() if server.module_id(name) != id])

    def rebalance(self, names: Iterable[str] | None = None) -> None:
        """Give balancers, by default all, the servers with the same module and interface of the model as the first."""
        for name in [*self.balancers] if names is None else names:
            balancer = self.balancers[name]
            having = [server for server in self.fixed if name in server.models and server.description is not None]
            equal = [server for server in having if are_equivalent(having[0], server, name)]
            if equal:
                balancer.servers = [server.caller.connections for server in equal]


class CopiedServers(ServerSet):
    """The servers of a copy of a client, which share the connections of the client's own.

    Args:
        servers: the client's own.
        given: the options that the copy changes. With other metadata a server may answer otherwise, so nothing that is
            known is taken over.
    """

    def __init__(self, servers: ServerSet, given: OptionChanges) -> None:
        self._config = servers._config
        self._original = servers
        self._given: OptionChanges = {**given}
        self._given.pop("output", None)
        self.template: ConnectionInfo | None = servers.template
        self.fixed: list[Server] = list(map(self._copy, servers.fixed))
        self._by_model = {}
        self.balancers: dict[str, Balancer[ConnectionManager]] = servers.balancers if self._shares_knowledge else {}

    @property
    def _shares_knowledge(self) -> bool:
        return "metadata" not in self._given

    def _copy(self, server: Server) -> Server:
        caller = server.caller.replace(**changed_fields(server.caller.options, self._given))
        return Server(server.connection, caller, server.knowledge if self._shares_knowledge else None)

    def _rendered(self, name: str) -> Server:
        original, known = self._original._rendered(name), self._by_model.get(name)
        if known is None or known.caller.connections is not original.caller.connections:
            self._by_model[name] = self._copy(original)
        return self._by_model[name]

    async def drop(self, name: str) -> None:
        """Forget the server that a model's name maps to. Its connections are the client's."""
        self._by_model.pop(name, None)


def are_equivalent(one: Server, other: Server, name: str) -> bool:
    """Return whether two servers have the same module as a model, and the same interface."""
    if one is other:
        return True
    if one.models[name].module_id != other.models[name].module_id:
        return False
    # Servers with equal descriptions share the object.
    mine, its = one.description, other.description
    return mine is its or (mine in _interfaces and its in _interfaces and _interfaces[mine] == _interfaces[its])


_interfaces: WeakKeyDictionary[ServiceDescription | None, dict[str, str]] = WeakKeyDictionary()
"""The signatures of descriptions by paths."""


async def render_interface(caller: Caller, description: ServiceDescription) -> None:
    """Make `are_equivalent` able to compare the description of a caller's server with others.

    Raises:
        SchemaError: a type cannot be made.
    """
    if description not in _interfaces:
        whole = await whole_description(caller, description)
        _interfaces[description] = await run_in_thread(_interface, whole)


def _interface(description: ServiceDescription) -> dict[str, str]:
    methods = (rpc for task in description.tasks.values() for rpc in task.methods)
    return {rpc.path: str(rpc.signature) for rpc in methods}
