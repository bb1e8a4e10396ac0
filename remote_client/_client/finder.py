"""RemoteModelFinder: finds the server of a model, and makes the configuration to call it."""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

from .._concurrency.threads import run_in_thread
from .._objects.copying import Handle
from .._objects.exports import exported_from
from .._schema.ambiguous_names import matching_tasks
from .._schema.declaration import Declaration
from .._schema.declared.caikit_modules import is_caikit_module, module_of_id
from .._schema.rpc import RemoteRPCDescriptor, ServiceDescription
from .._schema.schema_file import Schema, SchemaFile, read_schema
from .._transport.balance import Balancer
from .._transport.engine import choose_engine, open_connections
from .._transport.engines.httpx_library import AsyncTransport, check_transport
from .._transport.manager import ConnectionManager
from ..declare import registry
from ..errors import ConfigurationError, PicklingError
from ..settings import CallOptions, ConnectionInfo, FinderConfig
from .discovery import Discovery, wait_for_models
from .introspection import parse_schema
from .module_config import RemoteModuleConfig, declaration_from
from .option_changes import OptionChanges, packed, unpacked
from .schema_errors import is_refusal, with_class_advice
from .servers import CopiedServers, Server, ServerSet
from .shared_connections import shared_connections
from .silent_servers import SHORT_WAIT, first_answer, wait_until

if TYPE_CHECKING:
    from .._schema.runtime_info import ModelInfo

T = TypeVar("T")
_Located = tuple[Server, ServiceDescription]
_Module = tuple[Server, str]
"""A server, and the id of a model's module there."""
Found = tuple[Server, RemoteModuleConfig, ServiceDescription]


@exported_from("remote_client")
class RemoteModelFinder(Handle):
    """Finds models on one or several servers. Nothing is dialled before the first question.

    Any number of concurrent callers share one poll. A failed poll loses no model, and configured models are always
    known.

    Args:
        config: a `FinderConfig`, or a mapping with its keys.
        instance_name: its name in a configuration.
        options: timeout and metadata of its calls; the default timeout is the connection's.
        transport: an httpx transport for HTTP to use, such as `httpx.MockTransport`. The finder never closes it.
        interceptors: grpc.aio's, for gRPC through grpcio.

    Raises:
        ConfigurationError: the configuration is wrong.
    """

    _unpickled = False
    _copied: tuple[RemoteModelFinder, OptionChanges] | None = None
    """What a copy was made of."""

    def __init__(
        self,
        config: FinderConfig | Mapping[str, Any],
        instance_name: str = "remote",
        *,
        options: CallOptions | None = None,
        transport: AsyncTransport | None = None,
        interceptors: Sequence[Any] = (),
    ) -> None:
        self.config: FinderConfig = config if isinstance(config, FinderConfig) else FinderConfig(**config)
        self.instance_name = instance_name
        if transport is not None:
            self._check_transport(transport)
        self._options = options
        self._transport = transport
        self._interceptors = tuple(interceptors)
        given = self.config.schema
        self.schema: Schema | None = None if given is None else read_schema(given, self.config.protocol)
        """The interface of all servers, which are then not asked for it."""
        self._parsed_files: WeakKeyDictionary[SchemaFile, ServiceDescription] = WeakKeyDictionary()
        """The descriptions in the schemas of classes, kept as long as the classes: models come and go."""
        self._servers: ServerSet = ServerSet(self.config, options, self._connect())
        if self._servers.template is not None:  # check now what a rendered server would complain about later
            choose_engine(self._servers.template, self.config.protocol, self._interceptors)
        self.discovery: Discovery = Discovery(self.config, self.schema, self._servers, instance_name)

    def _with_options(self, given: OptionChanges) -> RemoteModelFinder:
        """Return a copy with other options of calls, which shares the connections; see `RemoteClient.with_options`."""
        other = copy.copy(self)
        other._copied = self, given
        other._servers = CopiedServers(self._servers, given)
        other.discovery = self.discovery.for_copies(other._servers)
        return other

    def _check_transport(self, transport: AsyncTransport) -> None:
        check_transport(transport)
        if self.config.protocol != "http":
            raise ConfigurationError("transport: an httpx transport is for HTTP; the protocol here is gRPC")
        connections = (self.config.connection, *self.config.remote_connections)
        if any(connection.proxy for connection in connections if connection):
            raise ConfigurationError("proxy: an httpx transport has its own; give that the proxy")

    def _connect(self) -> Callable[[ConnectionInfo], ConnectionManager]:
        """Return the function that opens connections. It must not hold the finder: a cycle would keep both alive."""
        protocol, interceptors = self.config.protocol, self._interceptors
        if self._unpickled:
            return partial(shared_connections, protocol=protocol, interceptors=interceptors)
        return partial(open_connections, protocol=protocol, transport=self._transport, interceptors=interceptors)

    @property
    def servers(self) -> list[Server]:
        """The servers known so far, in the order they are asked."""
        return self._servers.known

    async def find_model(self, model_path: str) -> RemoteModuleConfig | None:
        """Return the configuration of a model, or None if no server has it.

        For an unknown model the servers are polled, at most every `min_poll_time` seconds.

        Raises:
            RemoteCallError: no server could be asked, and the model is not known.
            SchemaError: the server's description cannot be used.
            InputError: the host name depends on the model's name, which is no DNS label.
        """
        found = await self.locate(model_path)
        return found[1] if found else None

    async def find_module(self, model_path: str) -> tuple[ConnectionInfo, str] | None:
        """Return a model's server and the id of its module, or None if no server has it.

        As `find_model`, for callers that know the modules: the server's description is not needed. A model that its
        server has not loaded yet is loaded, as only then its module is known.

        Raises:
            RemoteCallError: no server could be asked, and the model is not known.
        """
        self.discovery.check()
        listing, supported = self._servers.listing(model_path), self.config.supported_models.get(model_path)
        if supported is not None:
            return listing[0].connection, supported.module_id
        if listing:
            found: _Module | None = await _module_on(model_path, listing[0])
        elif self.config.discover_models and not self.discovery.was_polled(model_path):
            found = await self._poll_for(model_path, partial(_module_on, model_path))
        else:
            return None
        if found is not None and not found[1]:
            found = await self._load(found[0], model_path)
        return (found[0].connection, found[1]) if found is not None and found[1] else None

    async def discover(self, name: str | None = None) -> dict[str, ModelInfo]:
        """Poll the servers, and return all known models: listed now or earlier, or configured.

        Once a server has answered, the others have six seconds; a later list counts for the next call.

        Args:
            name: with a `{}` in the host name, the model whose server is polled too.

        Raises:
            RemoteCallError: no server could be asked.
        """
        poll = self.discovery.poll(name)
        await wait_for_models([poll])
        return await self.discovery.known_models(poll)

    async def aclose(self) -> None:
        """Close all connections, for good. Running questions raise a ClosedError. Idempotent."""
        await self.discovery.aclose()

    async def locate(self, model_path: str) -> Found | None:
        """As `find_model`, with the server, whose connections may be shared, and its description."""
        self.discovery.check()
        if self.schema is not None:
            found = await self._trusted(model_path, self.schema)
            return found and self._with_registered_class(*found)
        supported = self._supported(model_path)
        if supported is not None and (found := await self.trust(model_path, supported)) is not None:
            return found
        try:
            located = await self._located(model_path)
        except Exception as error:
            if supported is None or not is_refusal(error):
                raise
            found = await self.trust(model_path, supported, refused=True)
            if found is None:
                with with_class_advice(supported, self.config.protocol):
                    raise
            return found
        return located and self._with_registered_class(located[0], self._config_of(model_path, *located), located[1])

    def _with_registered_class(
        self, server: Server, config: RemoteModuleConfig, description: ServiceDescription
    ) -> Found:
        """Bind the class that is declared for the module's id, if there is one."""
        if config.module_id in registry:
            config.declare(registry[config.module_id], description)
        return server, config, description

    def _supported(self, name: str) -> Declaration | None:
        """Return the declaration of the module that a model is configured to have."""
        supported = self.config.supported_models.get(name)
        declared = registry.get(supported.module_id) or module_of_id(supported.module_id) if supported else None
        return None if declared is None else declaration_from(declared)

    def can_trust(self, declaration: Declaration) -> bool:
        """Return whether a class decides alone: there is one server, and it has not contradicted caikit's class."""
        described = any(server.description is not None for server in self.servers)
        return self._servers.is_single and not (is_caikit_module(declaration.module) and described)

    async def trust(self, model_path: str, declaration: Declaration, *, refused: bool = False) -> Found | None:
        """As `locate`, but by the class of the module alone; None if the class is not enough. No server is asked.

        Over HTTP a class without a schema is enough if servers have refused to describe themselves.
        """
        self.discovery.check()
        schema = None if self.schema is not None else await run_in_thread(self._schema_of, declaration, refused)
        found = None if schema is None else await self._trusted(model_path, schema)
        if found is None:
            return None
        server, config, description = found
        if isinstance(schema, SchemaFile):
            config.bind(declaration, description)
        else:
            config.bind_declared(declaration)
        return server, config, description

    def _schema_of(self, declaration: Declaration, refused: bool) -> Schema | None:
        from .._schema.declared.schemas import schema_for  # here, as few programs declare classes

        schema = schema_for(declaration, self.config.protocol)
        is_known = declaration.schema is not None or is_caikit_module(declaration.module)
        is_enough = self.config.protocol == "http" and (refused or is_known)
        if schema is not None or not is_enough:
            return schema
        from .._schema.declared.document import description_of

        return description_of(declaration)

    async def _trusted(self, name: str, schema: Schema) -> Found | None:
        """Return a model on a server that listed it before, else on the first healthy candidate."""
        if not self.config.discover_models and name not in self.config.supported_models:
            return None
        candidates = self._servers.listing(name) or self._servers.candidates(name)
        server = min(candidates, key=lambda server: server.caller.connections.health.ailing)
        description = await self._parsed(schema)
        if schema is self.schema:
            self.discovery.set_description(server, description)
        config = self._config_of(name, server, description)
        config.schema = schema
        return server, config, description

    async def _parsed(self, schema: Schema) -> ServiceDescription:
        if isinstance(schema, ServiceDescription):
            return schema
        known = self._parsed_files.get(schema)
        if known is None:
            known = self._parsed_files[schema] = await parse_schema(schema)
        return known

    async def balancer_for(self, name: str, first: Server) -> Balancer[ConnectionManager] | None:
        """Return the balancer over the servers that have a model just as the first has it, or None. Polls update it."""
        if len(self._servers.fixed) < 2 or name not in first.models:
            return None
        balancer = self._servers.balancers.setdefault(name, Balancer([]))
        until = asyncio.get_running_loop().time() + SHORT_WAIT
        asked = [
            server for server in self._servers.fixed if name in server.models and self._servers.must_compare(server)
        ]
        await wait_until([self.discovery.start_comparing(server) for server in asked], lambda: until)
        self._servers.rebalance()
        return balancer if len(balancer.servers) else None

    async def _located(self, model_path: str) -> _Located | None:
        listing = self._servers.listing(model_path)
        if listing:
            await self._wait_for_earlier(listing[0])
            listing = self._servers.listing(model_path)
        if not listing and self.config.discover_models:
            return await self._discovered(model_path)
        return await self._first_of(listing, self._described)

    async def _wait_for_earlier(self, first: Server) -> None:
        """Wait for running polls of the servers before the first that lists the model: they may list it too."""
        fixed = self._servers.fixed
        before = fixed[: fixed.index(first)] if first in fixed else []
        silent = [server for server in before if not server.models and not server.is_unhealthy]
        polls = [(server, task) for server in silent if (task := self.discovery.running_poll(server)) is not None]
        if polls:
            until = max(server.polled_at for server, _ in polls) + SHORT_WAIT
            await wait_until([task for _, task in polls], lambda: until)

    async def _discovered(self, name: str) -> _Located | None:
        if not self.discovery.trainings.has_started(name):
            return None if self.discovery.was_polled(name) else await self._poll_for(name, self._polled)
        # Staggered: a runtime also lists models that it tries to load in vain.
        searches = [partial(self._trained, name), partial(self._poll_for, name, self._polled)]
        found, errors = await first_answer(searches, stagger=True)
        if found is None and errors:
            raise errors[-1]
        return found

    async def _trained(self, name: str) -> _Located | None:
        """Poll for a model that this client trained, once its server was made to load and so to list it."""
        if not await self.discovery.trainings.has_model(name):
            return None
        self.discovery.invalidate_polls()
        return await self._poll_for(name, self._polled)

    async def _poll_for(self, name: str, answer: Callable[[Server], Coroutine[Any, Any, T]]) -> T | None:
        """Poll the servers for a model, and return the answer of the first one that lists it."""
        poll = self.discovery.poll(name)

        async def look(server: Server) -> T | None:
            await asyncio.wait((poll.tasks[server],))
            self.discovery.check()
            return await answer(server) if name in server.models else None

        found = await self._first_of(poll.tasks, look)
        self.discovery.record(poll)
        if found is None:
            await self._servers.drop(name)
            if (error := poll.error_for_a_model) is not None:
                raise error
        return found

    async def _load(self, server: Server, name: str) -> _Module | None:
        """Have a server load a model, and return the model's server and module then."""
        from .job_servers import load_model, probe_methods

        tasks = (await self.discovery.describe(server)).tasks.values()
        await load_model(server.caller, probe_methods((task.name, task.methods) for task in tasks), name)
        self.discovery.invalidate_polls()
        return await self._poll_for(name, partial(_module_on, name))

    async def _first_of(
        self, servers: Iterable[Server], look: Callable[[Server], Coroutine[Any, Any, T | None]]
    ) -> T | None:
        asked = list(servers)
        unhealthy = [server.is_unhealthy for server in asked]
        found, errors = await first_answer([partial(look, server) for server in asked], unhealthy=unhealthy)
        if found is None and errors:
            raise errors[0]
        return found

    async def _polled(self, server: Server) -> _Located:
        if server.refusal is not None:  # of this poll
            raise server.refusal
        return await self._described(server)

    async def _described(self, server: Server) -> _Located:
        return server, await self.discovery.describe(server)

    def _config_of(self, model_path: str, server: Server, description: ServiceDescription) -> RemoteModuleConfig:
        supported = self.config.supported_models.get(model_path)
        tasks = [(key, list(task.methods)) for key, task in description.tasks.items()]
        chosen = supported.tasks if supported else None
        if chosen is not None:
            keys = {key for task in chosen for key in matching_tasks(tasks, task)}
            tasks = [(key, methods) for key, methods in tasks if key in keys]
        from .._schema.runtime_info import ModelInfo

        info = server.models.get(model_path) or ModelInfo(
            name=model_path, module_id=supported.module_id if supported else ""
        )
        return RemoteModuleConfig(
            connection=server.connection,
            protocol=self.config.protocol,
            model_key=self.config.model_key,
            task_methods=tasks,
            model_path=model_path,
            module_id=info.module_id,
            module_name=info.module_name,
            train_method=_training_of(server, info, description),
            trainings=list(description.trainings.values()),
            tasks_known=chosen is not None,
        )

    def __reduce__(self) -> Any:
        if self._copied is not None:
            original, given = self._copied
            return _copy_unpickled, (original, packed(given))
        if self._transport is not None:
            raise PicklingError("transport: it belongs to this process; make a client in the other one")
        # The schema itself and not its path: the other process may have no such file.
        config = self.config.replace(schema=self.schema)
        return _unpickle, (type(self), config, self.instance_name, self._options, self._interceptors)


def _unpickle(
    kind: type[RemoteModelFinder], config: FinderConfig, name: str, options: CallOptions | None, interceptors: Any
) -> RemoteModelFinder:
    finder = kind.__new__(kind)
    finder._unpickled = True
    RemoteModelFinder.__init__(finder, config, name, options=options, interceptors=interceptors)
    return finder


def _copy_unpickled(original: RemoteModelFinder, changes: dict[str, Any]) -> RemoteModelFinder:
    return original._with_options(unpacked(changes))


async def _module_on(name: str, server: Server) -> _Module:
    """Return the server and the id of the module that it lists for a model, which is "" until the model is loaded."""
    return server, server.models[name].module_id


def _training_of(server: Server, info: ModelInfo, description: ServiceDescription) -> RemoteRPCDescriptor | None:
    """Return the training named after a model's module, unless another module of the server has that name too."""
    named = [training for training in description.trainings.values() if training.module == info.module_name]
    if len(named) != 1:
        return None
    others = server.models.module_ids.get(info.module_name, set())
    return named[0] if others <= {info.module_id} else None
