"""The questions of a finder to its servers: their models, their descriptions, and the runtime's own methods."""

from __future__ import annotations

import asyncio
import copy
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from typing import TYPE_CHECKING, Any

from .._concurrency.threads import run_in_thread
from .._concurrency.time_limits import LATE, within
from .._schema.lazy_methods import LazyRPCDescriptor, complete
from .._schema.listed_models import ListedModels
from .._schema.model_list_codec import ListedModelsCodec, NoModelsError
from .._schema.rpc import RemoteRPCDescriptor, ServiceDescription
from .._schema.schema_file import Schema
from .._text.cleaning import type_name
from .._text.redaction import clears_frames
from ..errors import (
    ClosedError,
    DeadlineExceededError,
    InvalidResponseError,
    RemoteClientError,
    SchemaError,
    SchemaUnavailableError,
    UnavailableError,
    UnsupportedError,
)
from ..settings import FinderConfig
from .introspection import load_codecs, parse_schema, well_known_method, whole_description
from .module_config import name_of
from .schema_errors import in_short, is_refusal
from .servers import CopiedServers, Server, ServerSet, render_interface
from .shared_connections import server_description
from .silent_servers import Reply, for_all, for_first, wait_until
from .single_flight import SingleFlight
from .started_trainings import StartedTrainings

if TYPE_CHECKING:
    from .._schema.runtime_info import ModelInfo

logger = logging.getLogger("remote_client")
MANY = 500
"""Models whose objects are made in a thread: so many take more than a millisecond."""
DESCRIPTION_WAIT = 5.25
"""Seconds that calls which can do without a server's description wait for it: longer than connecting may take, so that
one dead server is not dialled twice, and shorter than `silent_servers.LONG_WAIT`."""


class _Changes:
    """How often a client or a copy of it changed the models of its servers: earlier polls are out of date."""

    def __init__(self) -> None:
        self.count = 0


class Discovery:
    """Asks the servers of a finder, once for any number of callers, and stores the answers in the `Server`s.

    Args:
        config: the finder's configuration.
        schema: the interface of all servers, which are then not asked for it.
        servers: the servers.
        name: the finder's name in logs.

    Attributes:
        known_methods: methods of the runtime by name for which no server is asked to describe itself.
    """

    def __init__(self, config: FinderConfig, schema: Schema | None, servers: ServerSet, name: str) -> None:
        self._config = config
        self._schema = schema
        self._servers = servers
        self._name = name
        self._single_flight = SingleFlight()
        self._polled_at: dict[str | None, tuple[float, int]] = {}
        """When a poll ended, and after how many changes, by its key."""
        self._changes = _Changes()
        self._closed = False
        self.known_methods: dict[str, RemoteRPCDescriptor] = {}
        self.trainings: StartedTrainings = StartedTrainings()

    def check(self) -> None:
        """Raise a ClosedError, or another error if the connections cannot be used in this process and event loop."""
        if self._closed:
            raise ClosedError("it was closed; make a new client")
        for server in self._servers.known:
            server.caller.connections.check()

    def for_copies(self, servers: CopiedServers) -> Discovery:
        """Return the discovery of a client's copy. The client's own ends what both have under way."""
        other = copy.copy(self)
        other._servers = servers
        other._polled_at = {}
        return other

    async def aclose(self) -> None:
        """Close all connections, and end what is under way. Idempotent."""
        self._closed = True
        for server in self._servers.known:
            await server.caller.connections.aclose()
        await self._single_flight.aclose()

    def poll(self, name: str | None = None) -> Poll:
        """Begin to ask the servers for their models; with a name, the server that a template maps it to as well."""
        self.check()
        servers = self._servers.candidates(name)
        return Poll(
            {server: self._single_flight.start((server, "models"), partial(self._ask, server)) for server in servers},
            [server for server in servers if server.is_unhealthy],
            name if self._servers.template else None,
            self._changes.count,
            self._config.supported_models,
        )

    def candidates(self, name: str) -> list[Server]:
        """Return the servers that a model may be on: the one its name maps to, and all fixed ones."""
        return self._servers.candidates(name)

    def running_poll(self, server: Server) -> asyncio.Task[None] | None:
        """Return the task that asks a server for its models, if one does."""
        return self._single_flight.find((server, "models"))

    def was_polled(self, name: str) -> bool:
        """Return whether a poll for a model ended less than `min_poll_time` ago."""
        now = asyncio.get_running_loop().time()
        polled_at, changes = self._polled_at.get(name if self._servers.template else None, (-inf, 0))
        return changes == self._changes.count and now - polled_at < self._config.min_poll_time

    def record(self, poll: Poll) -> None:
        """Record when a poll ended. One that reached no server does not count: the next caller polls again."""
        if poll.changes == self._changes.count and poll.is_over and poll.error is None:
            now = asyncio.get_running_loop().time()
            recent = {key: at for key, at in self._polled_at.items() if now - at[0] < self._config.min_poll_time}
            self._polled_at = {**recent, poll.key: (now, poll.changes)}

    async def known_models(self, poll: Poll) -> dict[str, ModelInfo]:
        """Return all models known after a poll: those of every server's last list, and the configured ones."""
        self.check()
        self.record(poll)
        lists = [server.models for server in self._servers.known]
        if sum(listed.unmade for listed in lists) > MANY:
            await run_in_thread(lambda: [listed.all for listed in lists])
        models: dict[str, ModelInfo] = {}
        for listed in reversed(lists):  # the first server's model is the last to take its place
            models.update(listed.all)
        from .._schema.runtime_info import ModelInfo

        for model, supported in self._config.supported_models.items():
            models.setdefault(model, ModelInfo(name=model, module_id=supported.module_id))
        return models

    def invalidate_polls(self) -> None:
        """Note that this client changed a server's models: polls that ended or began before are out of date."""
        self._changes.count += 1

    def record_deployed(self, server: Server, name: str, info: ModelInfo) -> None:
        """Record a deployed model: its server has it at once, even if it lists it later or becomes unreachable."""
        self.invalidate_polls()
        server.add_deployed(name, info)
        self._servers.rebalance()

    def record_undeployed(self, server: Server, name: str) -> None:
        """Record an undeployed model."""
        self.invalidate_polls()
        self.trainings.forget(name)
        server.remove(name)
        self._servers.rebalance()

    async def _ask(self, server: Server) -> None:
        server.polled_at, server.refusal = asyncio.get_running_loop().time(), None
        try:
            models = await self._list_models(server)
        except Exception as error:
            server.error = error
            self._log(server, error)
            return
        self.trainings.forget_listed(models)
        self._servers.update(server, models)
        if self._servers.balancers and self._servers.must_compare(server):
            self.start_comparing(server)
            self._servers.rebalance()

    def _log(self, server: Server, error: Exception) -> None:
        """Log why a server listed no models. With one server the caller gets the error; a refusal may be harmless."""
        target, single = server.connection.target, self._servers.is_single
        if is_refusal(error):
            level = logging.DEBUG if single else logging.INFO
            logger.log(level, "finder %s: %s refuses to list its models: %s", self._name, target, in_short(error))
        elif not isinstance(error, ClosedError):
            level = logging.DEBUG if single else logging.WARNING
            reason = error if isinstance(error, RemoteClientError) else repr(error)
            logger.log(level, "finder %s: %s did not list its models: %s", self._name, target, reason)

    async def _list_models(self, server: Server) -> ListedModels:
        while True:
            changes = self._changes.count
            listed = await self._models_of(server)
            if changes == self._changes.count:
                return listed

    @clears_frames
    async def _models_of(self, server: Server) -> ListedModels:
        rpc, known = await self.runtime_method(server, "GetModelsInfo"), server.list_models
        if known is None or getattr(known.codec, "rpc", None) is not rpc:
            known = server.list_models = replace(rpc, codec=ListedModelsCodec(rpc, self._config.protocol))
        try:
            models: ListedModels = await server.caller.unary(known, known.codec.encode("", (), {}))
            return models
        except NoModelsError as error:
            reason = str(error)
        raise InvalidResponseError(reason, target=server.connection.target)

    async def describe(self, server: Server) -> ServiceDescription:
        """Return a server's description, read at most once."""
        if server.description is None:
            return await self._single_flight.join(server, partial(self._read_description, server))
        return server.description

    async def describe_whole(self, server: Server) -> ServiceDescription:
        """Return a server's description with all types made; of a schema on file, types are made on first use."""
        description = await self.describe(server)
        whole = partial(whole_description, server.caller, description)
        try:
            return await self._single_flight.join((server, "types"), whole)
        except SchemaError:  # it may be mended by the next time
            if server.description is description:
                server.forget()
            raise

    def start_describing(self, server: Server) -> asyncio.Task[ServiceDescription]:
        """Begin to read a server's description."""
        return self._single_flight.start(server, partial(self._read_description, server))

    def start_comparing(self, server: Server) -> asyncio.Task[None]:
        """Begin to read a server's description, and to compare it with those of the other servers if they differ."""
        return self._single_flight.start((server, "interface"), partial(self._compare, server))

    async def _compare(self, server: Server) -> None:
        await self.describe(server)
        known = {other.description: other.caller for other in self._servers.fixed if other.description is not None}
        for description, caller in known.items() if len(known) > 1 else ():
            await render_interface(caller, description)
        self._servers.rebalance()

    async def _read_description(self, server: Server) -> ServiceDescription:
        if self._schema is None:
            description = await server_description(server.caller, self._config.protocol)
        else:
            description = await parse_schema(self._schema)
        self.set_description(server, description)
        return description

    def set_description(self, server: Server, description: ServiceDescription) -> None:
        """Store a server's description, and log its notes."""
        if server.description is description:
            return
        source = server.connection.target if self._schema is None else name_of(self._schema)
        for note in description.notes:
            logger.warning("finder %s: %s: %s", self._name, source, note)
        server.description = description
        self._servers.rebalance()

    async def call(self, server: Server, method: str, **kwargs: Any) -> dict[str, Any]:
        """Call one of the runtime's own methods, such as `GetModelsInfo`, and return the answer as a dict.

        Raises:
            UnsupportedError: the server does not have it.
            RemoteCallError: the call failed.
        """
        rpc = await self.runtime_method(server, method)
        answer = await server.caller.unary(rpc, rpc.codec.encode("", (), kwargs))
        if not isinstance(answer, dict):
            raise InvalidResponseError(
                f"the answer is no object, but a {type_name(answer)}", target=server.caller.target
            )
        return answer

    async def runtime_method(self, server: Server, method: str) -> RemoteRPCDescriptor:
        """Return one of the runtime's own methods.

        Over HTTP those that list models and versions have well-known routes, which are used if the server does not
        describe itself in time.

        Raises:
            UnsupportedError: the server does not have it.
        """
        if method in self.known_methods:
            return self.known_methods[method]
        rpc = await self._runtime_method(server, method)
        if isinstance(rpc, LazyRPCDescriptor):
            await run_in_thread(complete, rpc)
        return rpc

    async def _runtime_method(self, server: Server, method: str) -> RemoteRPCDescriptor:
        await load_codecs(self._config.protocol)
        well_known = well_known_method(self._config.protocol, method)
        description = await (self.describe(server) if well_known is None else self._describe_soon(server))
        rpc = None if description is None else description.management.get(method)
        if rpc is not None:
            return rpc
        if well_known is not None and (description is None or self._schema is not None):
            return well_known
        if self._schema is not None:
            raise UnsupportedError(f"the schema has no {method}; give one that has caikit's own services too")
        raise UnsupportedError(f"the server at {server.connection.target} has no {method}; is it a caikit runtime?")

    async def _describe_soon(self, server: Server) -> ServiceDescription | None:
        """Return a server's description, or None if it can be reached but refuses or is slow."""
        if server.description is None:
            self.start_describing(server)  # a late description is there for the next call
        for seconds in (DESCRIPTION_WAIT, None):
            try:
                description = await within(seconds, self.describe(server))
            except SchemaError as error:
                server.refusal = error
                return None
            if description is not LATE:
                return description
            if not server.caller.connections.health.ailing:
                return None
        return None


@dataclass(frozen=True)
class Poll:
    """A poll of several servers that is under way.

    Attributes:
        tasks: the task that asks a server and stores the answer in it, in the servers' order.
        unhealthy: the servers whose last question had failed when the poll began.
        key: the model that was polled for, if it decides which servers are asked.
        changes: how often this client had changed the servers' models when the poll began.
        configured: the names of models that are known without a list.
    """

    tasks: dict[Server, asyncio.Task[None]]
    unhealthy: Collection[Server]
    key: str | None
    changes: int
    configured: Collection[str]

    @property
    def error(self) -> Exception | None:
        """The first server's error if no server answered, else None."""
        errors = [server.error for server in self.tasks]
        return errors[0] if all(errors) and errors else None

    @property
    def error_for_a_model(self) -> Exception | None:
        """As `error`, or the first server's refusal to describe itself: that one says what to do about it."""
        error = self.error
        if error is None or isinstance(error, (DeadlineExceededError, UnavailableError)):
            return error
        refusal = next(iter(self.tasks)).refusal
        return refusal if isinstance(refusal, SchemaUnavailableError) else error

    @property
    def is_over(self) -> bool:
        """Whether all servers have answered or failed."""
        return all(task.done() for task in self.tasks.values())

    def replies(self, name: str | None) -> list[Reply]:
        """Return the replies so far to "do you list this model?", or without a name to "have you answered?"."""
        return [self._reply(server, task, name) for server, task in self.tasks.items()]

    def _reply(self, server: Server, task: asyncio.Task[None], name: str | None) -> Reply:
        if not task.done():
            return Reply.UNHEALTHY if server in self.unhealthy else Reply.PENDING
        has = server.error is None and (name is None or name in server.models)
        return Reply.YES if has else Reply.NO

    def knows(self, name: str) -> bool:
        """Return whether a model is listed now, or was before."""
        return name in self.configured or any(name in server.models for server in self.tasks)

    def give_up(self, seconds: float) -> None:
        """Record as an error that servers have been silent for so long."""
        for server, task in self.tasks.items():
            if not task.done():
                message = f"it has not answered for {seconds:.3g} seconds"
                server.error = server.error or DeadlineExceededError(message, target=server.connection.target)
                logger.warning("%s: %s; others have", server.connection.target, message)


async def wait_for_models(polls: Sequence[Poll], names: Collection[str] = ()) -> None:
    """Wait until all servers, or those that may list the named models, have answered; see `silent_servers`.

    Raises:
        Exception: no server of any poll answered.
    """
    loop = asyncio.get_running_loop()
    begun = loop.time()

    def deadline() -> float:
        if not all(any(poll.knows(name) for poll in polls) for name in names):
            return inf
        wanted = [for_first([reply for poll in polls for reply in poll.replies(name)]) for name in names]
        return begun + min(for_all([reply for poll in polls for reply in poll.replies(None)]), max(wanted, default=inf))

    await wait_until([task for poll in polls for task in poll.tasks.values()], deadline)
    for poll in polls:
        poll.give_up(loop.time() - begun)
    errors = [poll.error for poll in polls]
    if errors[0] is not None and all(errors):
        raise errors[0]
