"""RemoteModelFinder: which server has a model, and what that server can do."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from .._calls.caller import Caller
from .._concurrency.threads import aside
from .._objects.copying import Handle
from .._schema.declared import document as declared_http
from .._schema.declared.caikit_modules import is_caikit_module, module_of_id
from .._schema.declared.schemas import schema_for
from .._schema.rpc import RemoteRPCDescriptor, ServiceDescription
from .._schema.runtime_info import ModelInfo, read_models, why
from .._schema.schema_file import Schema, SchemaFile, read_schema
from .._schema.shared_names import meant
from .._text.cleaning import type_name
from .._text.redaction import forgetful
from .._transport.balance import Balancer
from .._transport.engine import choose_engine, open_connections
from .._transport.engines.httpx_library import AsyncTransport, check_transport
from .._transport.manager import ConnectionManager
from ..declare import Declaration, registry
from ..errors import (
    ClosedError,
    ConfigurationError,
    InvalidResponseError,
    PicklingError,
    SchemaError,
    UnsupportedError,
)
from ..settings import CallOptions, ConnectionInfo, FinderConfig
from .introspection import description_of, usual_method
from .model_lists import Poll, Server, gather
from .module_config import RemoteModuleConfig, declaration_from, name_of
from .schema_refusals import in_short, refuses, with_class
from .shared_connections import described, shared_connections
from .silent_servers import SHORT, first, wait
from .single_flight import SingleFlight
from .started_trainings import StartedTrainings

logger = logging.getLogger("remote_client")
_Located = tuple[Server, ServiceDescription]
_Found = tuple[Server, RemoteModuleConfig, ServiceDescription]
_Listed = tuple[dict[str, ModelInfo], dict[str, set[str]]]
"""Models by name, and the ids of their modules by the modules' names."""
MANY = 500
"""Models that are read by another thread: they take a millisecond."""
PATIENCE = 5.25
"""Seconds that what works without a server's description waits for it: longer than connecting may take, so that one is
not tried twice, and shorter than others wait for this server (see `patience`)."""


class RemoteModelFinder(Handle):
    """Finds models on one or several servers. Nothing is dialled before it is asked for something.

    Polls are shared: any number of callers that wait for one cause one. A poll that fails loses no model, and models
    from the configuration are always known.

    Args:
        config: see `FinderConfig`; a mapping with its keys is enough.
        instance_name: its name in a configuration.
        options: timeout and metadata of its calls; the timeout of the connection where it is not given.
        transport: an httpx transport, such as `httpx.MockTransport`, for HTTP to use. The finder never closes it.
        interceptors: grpc.aio's, for gRPC through grpcio.

    Raises:
        ConfigurationError: the configuration is wrong.
    """

    _unpickled = False

    def __init__(
        self,
        config: FinderConfig | Mapping[str, Any],
        instance_name: str = "remote",
        *,
        options: CallOptions | None = None,
        transport: AsyncTransport | None = None,
        interceptors: Sequence[Any] = (),
    ) -> None:
        self.config = config if isinstance(config, FinderConfig) else FinderConfig(**config)
        self.instance_name = instance_name
        if transport is not None:
            check_transport(transport)
            if self.config.protocol != "http":
                raise ConfigurationError("transport: an httpx transport is for HTTP; the protocol here is gRPC")
            if any(each.proxy for each in (self.config.connection, *self.config.remote_connections) if each):
                raise ConfigurationError("proxy: an httpx transport has its own; give that the proxy")
        self._options = options
        given = self.config.schema_
        self.schema = None if given is None else read_schema(given, self.config.protocol)
        """What its servers offer, where that need not be asked."""
        self._of_files: WeakKeyDictionary[SchemaFile, ServiceDescription] = WeakKeyDictionary()
        """What files tell, as long as there are the classes that name them: models may come and go."""
        self._transport = transport
        self._interceptors = tuple(interceptors)
        self._flights = SingleFlight()
        self._polled: dict[str | None, float] = {}
        self._changes = 0
        """How often this client gave a server a model or took one: a poll from before a change is out of date."""
        self.trainings = StartedTrainings()
        self._closed = False
        # Upstream's order: of two servers that list the same model the first is used.
        fixed = [*self.config.remote_connections, self.config.connection]
        self._template = (
            self.config.connection if self.config.connection and self.config.connection.is_template else None
        )
        if self._template is not None:
            choose_engine(self._template, self.config.protocol, self._interceptors)  # raises what a server would, later
        self._fixed = [self._server(each) for each in fixed if each and not each.is_template]
        self._balancers: dict[str, Balancer[ConnectionManager]] = {}
        self._by_model: dict[str, Server] = {}
        """With a template: model name -> its server."""

    async def servers_of(self, name: str, first: Server) -> Balancer[ConnectionManager] | None:
        """The servers that have a model just as the first one has it; None where there can be no other.

        What is returned is kept up to date by polls, and by what servers tell late.
        """
        if len(self._fixed) < 2 or name not in first.models:
            return None
        balancer = self._balancers.setdefault(name, Balancer([]))
        having = [each for each in self._fixed if name in each.models]
        until = asyncio.get_running_loop().time() + SHORT
        await wait([self._begin_to_describe(each) for each in having if each.is_untold], lambda: until)
        self._rebalance()
        return balancer if len(balancer.servers) else None

    def _rebalance(self) -> None:
        for name, balancer in self._balancers.items():
            having = [each for each in self._fixed if name in each.models and each.description is not None]
            alike = [each for each in having if _are_alike(having[0], each, name)]
            if alike:
                balancer.servers = [each.caller.connections for each in alike]

    async def find_model(self, model_path: str) -> RemoteModuleConfig | None:
        """The configuration of a model, or None where no server has it.

        An unknown model makes the servers be asked, at most every `min_poll_time` seconds.

        Raises:
            RemoteCallError: no server could be asked, and the model is not known.
            SchemaError: the server's description of itself cannot be used.
            InputError: the host name depends on the model's name, and that is no DNS label.
        """
        found = await self.locate(model_path)
        return found[1] if found else None

    async def locate(self, model_path: str) -> _Found | None:
        """As `find_model`, with the server, whose connections may be shared, and what it offers."""
        self._check()
        if self.schema is not None:
            found = await self._trusted(model_path, self.schema)
            return found and self._known(*found)
        supported = self._supported(model_path)
        if supported is not None and (found := await self.trust(model_path, supported)) is not None:
            return found
        try:
            located = await self._located(model_path)
        except Exception as error:
            if supported is None or not refuses(error):
                raise
            found = await self.trust(model_path, supported, refused=True)
            if found is None:
                with with_class(supported, self.config.protocol):
                    raise
            return found
        return located and self._known(located[0], self._config_of(model_path, *located), located[1])

    def _known(self, server: Server, config: RemoteModuleConfig, description: ServiceDescription) -> _Found:
        """A model that was found, of the class that its module's id is known by here."""
        if config.module_id in registry:
            config.declare(registry[config.module_id], description)
        return server, config, description

    def _supported(self, name: str) -> Declaration | None:
        """What the class declares that a model is configured to be of."""
        supported = self.config.supported_models.get(name)
        declared = registry.get(supported.module_id) or module_of_id(supported.module_id) if supported else None
        return None if declared is None else declaration_from(declared)

    @property
    def has_one_server(self) -> bool:
        """Whether it need not be asked which of its servers has a model."""
        return len(self._fixed) + (self._template is not None) == 1

    def was_told(self, declaration: Declaration) -> bool:
        """Whether a server told what caikit's configuration of this process only lets assume."""
        return is_caikit_module(declaration.module) and any(each.description is not None for each in self.servers)

    async def trust(self, model_path: str, declaration: Declaration, *, refused: bool = False) -> _Found | None:
        """As `locate`, by what the module's class tells of its servers, of which none is asked.

        Args:
            model_path: the model's name.
            declaration: what the class declares.
            refused: whether servers refuse to tell of themselves. A class without a schema is enough then, over HTTP.

        Returns:
            None where it does not tell enough, or the finder has a schema of its own.
        """
        self._check()
        schema = None if self.schema is not None else await aside(self._schema_of, declaration, refused)
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
        schema = schema_for(declaration, self.config.protocol)
        is_known = declaration.schema is not None or is_caikit_module(declaration.module)
        is_enough = self.config.protocol == "http" and (refused or is_known)
        return declared_http.description_of(declaration) if schema is None and is_enough else schema

    async def _trusted(self, name: str, schema: Schema) -> _Found | None:
        """Where a model is that nobody is asked for: on a server that listed it, else on the first that is well."""
        if not self.config.discover_models and name not in self.config.supported_models:
            return None
        candidates = self._having(name) or self._candidates(name)
        server = min(candidates, key=lambda each: each.caller.connections.health.ailing)
        description = await self._parsed(schema)
        if schema is self.schema:
            self._take(server, description)
        config = self._config_of(name, server, description)
        config.schema = schema
        return server, config, description

    async def _parsed(self, schema: Schema) -> ServiceDescription:
        if isinstance(schema, ServiceDescription):
            return schema
        known = self._of_files.get(schema)
        if known is None:
            known = self._of_files[schema] = await description_of(schema)
        return known

    async def _located(self, model_path: str) -> _Located | None:
        """Where a model is that servers are asked for."""
        having = self._having(model_path)
        if having:
            await self._wait_for_earlier(having[0])
            having = self._having(model_path)
        if not having and self.config.discover_models:
            return await self._discovered(model_path)
        return await self._first_of(having, self._described)

    async def _wait_for_earlier(self, first: Server) -> None:
        """Wait for the earlier servers that are still being polled: the first in order that lists the model is used."""
        before = self._fixed[: self._fixed.index(first)] if first in self._fixed else []
        silent = [each for each in before if not each.models and not each.is_ailing]
        asks = [(each, ask) for each in silent if (ask := self._flights.find((each, "models"))) is not None]
        if asks:
            until = max(each.asked for each, _ in asks) + SHORT
            await wait([ask for _, ask in asks], lambda: until)

    async def _discovered(self, name: str) -> _Located | None:
        if not self.trainings.began(name):
            return None if self._was_polled(name) else await self._poll_for(name)
        # One after the other: a runtime lists a model that it tries to load in vain.
        found, errors = await first([partial(self._trained, name), partial(self._poll_for, name)], stagger=True)
        if found is None and errors:
            raise errors[-1]
        return found

    async def _trained(self, name: str) -> _Located | None:
        """Poll for a model that this client trained, after its server was made to list it."""
        if not await self.trainings.look(name):
            return None
        self.changed()
        return await self._poll_for(name)

    def _config_of(self, model_path: str, server: Server, description: ServiceDescription) -> RemoteModuleConfig:
        supported = self.config.supported_models.get(model_path)
        tasks = [(key, list(task.methods)) for key, task in description.tasks.items()]
        chosen = supported.tasks if supported else None
        if chosen is not None:
            keys = {key for each in chosen for key in meant(tasks, each)}
            tasks = [(key, methods) for key, methods in tasks if key in keys]
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
            train_method=self._training_of(server, info, description),
            trainings=list(description.trainings.values()),
            tasks_known=chosen is not None,
        )

    def deployed(self, server: Server, name: str, info: ModelInfo) -> None:
        """Record a deployed model: its server has it at once, even if it does not list it yet or is unreachable."""
        self.changed()
        server.deployed[name] = info
        server.models = {**server.models, name: info}
        server.module_ids.setdefault(info.module_name, set()).add(info.module_id)
        self._rebalance()

    def undeployed(self, server: Server, name: str) -> None:
        """Record an undeployed model."""
        self.changed()
        self.trainings.forget(name)
        server.deployed.pop(name, None)
        server.models = {each: info for each, info in server.models.items() if each != name}
        self._rebalance()

    def changed(self) -> None:
        """Note that a server's models are others by now: what was polled before, or is being polled, does not count."""
        self._changes += 1
        self._polled.clear()

    def _training_of(
        self, server: Server, info: ModelInfo, description: ServiceDescription
    ) -> RemoteRPCDescriptor | None:
        """The training named after a model's module, unless another module of the server has that name too."""
        named = [each for each in description.trainings.values() if each.module == info.module_name]
        others = server.module_ids.get(info.module_name, set())
        return named[0] if len(named) == 1 and others <= {info.module_id} else None

    async def discover(self, name: str | None = None) -> dict[str, ModelInfo]:
        """Ask the servers now, and return all models known then: listed now or before, or configured.

        Once one has answered, the others have `patience.LONG` seconds; what they list later is known the next time.

        Args:
            name: with a `{}` in the host name, the model whose server is asked too.

        Raises:
            RemoteCallError: no server could be asked.
        """
        poll = self.poll(name)
        await gather([poll])
        return self.known(poll)

    def poll(self, name: str | None = None) -> Poll:
        """Begin to ask the servers for their models."""
        self._check()
        servers = self._candidates(name)
        return Poll(
            {each: self._flights.begin((each, "models"), partial(self._ask, each)) for each in servers},
            [each for each in servers if each.is_ailing],
            name if self._template else None,
            self._changes,
            self.config.supported_models,
        )

    def known(self, poll: Poll) -> dict[str, ModelInfo]:
        """All models known after a poll: listed by a server when it last answered, or configured."""
        self._check()
        self._note(poll)
        models: dict[str, ModelInfo] = {}
        for server in self.servers:
            models = server.models | models
        for model, supported in self.config.supported_models.items():
            models.setdefault(model, ModelInfo(name=model, module_id=supported.module_id))
        return models

    async def describe(self, server: Server) -> ServiceDescription:
        """What a server can do; asked for once."""
        if server.description is None:
            return await self._flights.join(server, lambda: self._read_schema(server))
        return server.description

    def _begin_to_describe(self, server: Server) -> asyncio.Task[ServiceDescription]:
        return self._flights.begin(server, lambda: self._read_schema(server))

    async def call(self, server: Server, method: str, **kwargs: Any) -> dict[str, Any]:
        """Call one of the runtime's own methods, such as `GetModelsInfo`; the answer is a dict.

        Raises:
            UnsupportedError: the server does not have it.
            RemoteCallError: the call failed.
        """
        rpc = await self.management(server, method)
        answer = await server.caller.unary(rpc, rpc.codec.encode("", (), kwargs))
        if not isinstance(answer, dict):
            raise InvalidResponseError(
                f"the answer is no object, but a {type_name(answer)}", target=server.caller.target
            )
        return answer

    async def management(self, server: Server, method: str) -> RemoteRPCDescriptor:
        """One of the runtime's own methods.

        Over HTTP those that list models and versions need no description: a server that does not give its own, or not
        soon, is asked at the usual routes.

        Raises:
            UnsupportedError: the server does not have it.
        """
        usual = usual_method(self.config.protocol, method)
        description = await (self.describe(server) if usual is None else self._describe_soon(server))
        if description is None:
            assert usual is not None
            return usual
        rpc = description.management.get(method)
        if rpc is None and self.schema is not None:
            if usual is None:
                raise UnsupportedError(f"the schema has no {method}; give one that tells of caikit's own services too")
            return usual
        if rpc is None:
            raise UnsupportedError(f"the server at {server.connection.target} has no {method}; is it a caikit runtime?")
        return rpc

    async def _describe_soon(self, server: Server) -> ServiceDescription | None:
        """What a server can do; None where it can be reached, but does not tell, or not soon."""
        if server.description is None:
            self._begin_to_describe(server)  # what it tells late counts for the next call
        for patience in (PATIENCE, None):
            limit = asyncio.timeout(patience)
            try:
                async with limit:
                    return await self.describe(server)
            except SchemaError as error:
                server.refusal = error
                return None
            except TimeoutError:
                if not limit.expired():
                    raise
            if not server.caller.connections.health.ailing:
                return None
        return None

    @property
    def servers(self) -> list[Server]:
        """The servers known so far, in the order they are asked."""
        return [*self._by_model.values(), *self._fixed]

    async def aclose(self) -> None:
        """Close all connections, for good. Whatever is under way raises a ClosedError. Idempotent."""
        self._closed = True
        for server in self.servers:
            await server.caller.connections.aclose()
        await self._flights.aclose()

    # -- polls ------------------------------------------------------------------------------------------------------

    def _check(self) -> None:
        if self._closed:
            raise ClosedError("it was closed; make a new client")
        for server in self.servers:
            server.caller.connections.check()

    def _having(self, name: str) -> list[Server]:
        """Return the servers that list a model, or the one it is configured for if none does."""
        own = self._by_model.get(name)
        having = [each for each in (own, *self._fixed) if each is not None and name in each.models]
        if having or name not in self.config.supported_models:
            return having
        # Without a template the configuration's connection is the last of the fixed ones.
        return [self._rendered(name) if self._template else self._fixed[-1]]

    def _server(self, connection: ConnectionInfo) -> Server:
        options = self._options or CallOptions(timeout=connection.timeout)
        caller = Caller(
            self._connections(connection),
            model_key=self.config.model_key,
            model=None,
            options=replace(options, output="dict", retry=connection.retry_policy),
        )
        return Server(connection, caller)

    def _connections(self, connection: ConnectionInfo) -> ConnectionManager:
        if self._unpickled:
            return shared_connections(connection, self.config.protocol, self._interceptors)
        return open_connections(connection, self.config.protocol, self._transport, self._interceptors)

    def __reduce__(self) -> Any:
        if self._transport is not None:
            raise PicklingError("transport: it belongs to this process; make a client in the other one")
        # The schema itself and not its path: the other process may have no such file.
        config = self.config.model_copy(update={"schema_": self.schema})
        return _remade, (type(self), config, self.instance_name, self._options, self._interceptors)

    def _rendered(self, name: str) -> Server:
        if name not in self._by_model and self._template is not None:
            self._by_model[name] = self._server(self._template.for_model(name))
        return self._by_model[name]

    def _candidates(self, name: str | None) -> list[Server]:
        """Return the candidate servers for a model: the one its name maps to, then the fixed ones."""
        own = [self._rendered(name)] if name is not None and self._template else []
        return [*own, *self._fixed]

    async def _first_of(
        self, servers: Iterable[Server], look: Callable[[Server], Coroutine[Any, Any, _Located | None]]
    ) -> _Located | None:
        """The first server that has what is looked for; see `patience`."""
        asked = list(servers)
        found, errors = await first([partial(look, each) for each in asked], ailing=[each.is_ailing for each in asked])
        if found is None and errors:
            raise errors[0]
        return found

    async def _described(self, server: Server) -> _Located:
        return server, await self.describe(server)

    def _was_polled(self, name: str) -> bool:
        """Whether the servers were polled just now."""
        now = asyncio.get_running_loop().time()
        return now - self._polled.get(name if self._template else None, float("-inf")) < self.config.min_poll_time

    async def _poll_for(self, name: str) -> _Located | None:
        """Poll for a missing model."""
        poll = self.poll(name)

        async def look(server: Server) -> _Located | None:
            await asyncio.wait((poll.tasks[server],))
            self._check()
            if name not in server.models:
                return None
            if server.refusal is not None:  # it was asked just now
                raise server.refusal
            return await self._described(server)

        found = await self._first_of(poll.tasks, look)
        self._note(poll)
        if found is None:
            if self._template and name in self._by_model:
                await self._by_model.pop(name).caller.connections.aclose()
            if (error := poll.error_for_a_model) is not None:
                raise error
        return found

    def _note(self, poll: Poll) -> None:
        """Record when the servers were polled. A poll that reached none does not count: the next caller polls again."""
        if poll.changes == self._changes and poll.is_over and poll.error is None:
            now = asyncio.get_running_loop().time()
            recent = {each: at for each, at in self._polled.items() if now - at < self.config.min_poll_time}
            self._polled = {**recent, poll.key: now}

    async def _ask(self, server: Server) -> None:
        server.asked, server.refusal = asyncio.get_running_loop().time(), None
        try:
            listed, module_ids = await self._list_models_now(server)
        except Exception as error:
            server.error = error
            self._log(server, error)
            return
        self.trainings.forget_all(listed)
        for name in [each for each in server.deployed if each in listed]:
            del server.deployed[name]
        server.models, server.module_ids, server.error = server.deployed | listed, module_ids, None
        if self._balancers and server.is_untold:
            self._begin_to_describe(server)
        self._rebalance()

    def _log(self, server: Server, error: Exception) -> None:
        """Log why a server listed no models. Of a single server the error is raised, and of any a refusal may be
        overcome.
        """
        name, target = self.instance_name, server.connection.target
        if refuses(error):
            level = logging.DEBUG if self.has_one_server else logging.INFO
            logger.log(level, "finder %s: %s refuses to list its models: %s", name, target, in_short(error))
        elif not isinstance(error, ClosedError):
            logger.warning("finder %s: %s did not list its models: %s", name, target, error)

    async def _list_models_now(self, server: Server) -> _Listed:
        while True:
            changes = self._changes
            listed = await self._list_models(server)
            if changes == self._changes:
                return listed

    @forgetful
    async def _list_models(self, server: Server) -> _Listed:
        answer = await self.call(server, "GetModelsInfo")
        try:
            models = answer["models"]
            if len(models) <= MANY:
                return read_models(models)
            return await server.caller.connections.worker.run(read_models, models)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            told = why(error)
        # Raised here, so that the error, which holds the server's values, is no context of it.
        raise InvalidResponseError(f"GetModelsInfo did not answer with models: {told}", target=server.connection.target)

    async def _read_schema(self, server: Server) -> ServiceDescription:
        if self.schema is None:
            description = await described(server.caller, self.config.protocol)
        else:
            description = await description_of(self.schema)
        self._take(server, description)
        return description

    def _take(self, server: Server, description: ServiceDescription) -> None:
        if server.description is description:
            return
        told_by = server.connection.target if self.schema is None else name_of(self.schema)
        for note in description.notes:
            logger.warning("finder %s: %s: %s", self.instance_name, told_by, note)
        server.description = description
        self._rebalance()


def _remade(
    kind: type[RemoteModelFinder], config: FinderConfig, name: str, options: CallOptions | None, interceptors: Any
) -> RemoteModelFinder:
    finder = kind.__new__(kind)
    finder._unpickled = True
    RemoteModelFinder.__init__(finder, config, name, options=options, interceptors=interceptors)
    return finder


def _are_alike(one: Server, other: Server, name: str) -> bool:
    """Whether two servers have the same module as a model, and the same interface."""
    if one is other:
        return True
    # Servers that describe themselves alike share the description.
    same = one.description is other.description or _interface(one) == _interface(other)
    return same and one.models[name].module_id == other.models[name].module_id


_interfaces: WeakKeyDictionary[ServiceDescription, dict[str, str]] = WeakKeyDictionary()
"""Servers are compared for each model at each poll."""


def _interface(server: Server) -> dict[str, str]:
    description = server.description
    if description is None:
        return {}
    if description not in _interfaces:
        methods = (rpc for task in description.tasks.values() for rpc in task.methods)
        _interfaces[description] = {rpc.path: str(rpc.signature) for rpc in methods}
    return _interfaces[description]
