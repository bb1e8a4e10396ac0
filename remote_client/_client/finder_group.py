"""Several finders behind one interface, and the questions that go to all of their servers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from .._calls.caller import Caller
from .._concurrency.threads import run_in_thread
from .._schema.declaration import Declaration
from .._schema.rpc import ServiceDescription
from .._schema.schema_file import read_schema
from .._settings.durations import Duration, seconds
from .._transport.retry import NOT_HERE
from ..errors import (
    ConfigurationError,
    DeadlineExceededError,
    SchemaUnavailableError,
    UnavailableError,
    UnsupportedError,
)
from ..settings import Protocol
from .discovery import Discovery, Poll, wait_for_models
from .finder import Found, RemoteModelFinder
from .introspection import parse_schema
from .module_config import name_of
from .option_changes import OptionChanges
from .schema_errors import is_refusal, with_class_advice, without_schema_advice
from .servers import Server
from .shared_connections import current_description
from .silent_servers import Reply, first_answer, for_all, wait_until

if TYPE_CHECKING:
    from .._schema.differences import Difference
    from .._schema.runtime_info import ModelInfo
    from .health_watch import HealthWatch

T = TypeVar("T")


class FinderGroup:
    """Several finders as one: of two that find the same model the first is used."""

    def __init__(self, finders: Sequence[RemoteModelFinder]) -> None:
        self._finders = finders
        self._watches: set[Any] = set()
        """What follows the health of the servers."""

    def with_options(self, given: OptionChanges) -> FinderGroup:
        """Return a copy with other options of calls, which shares the connections; see `RemoteClient.with_options`."""
        other = FinderGroup([finder._with_options(given) for finder in self._finders])
        other._watches = self._watches
        return other

    @property
    def protocols(self) -> list[Protocol]:
        """The protocols of the finders."""
        return [finder.config.protocol for finder in self._finders]

    def __reduce__(self) -> Any:
        return FinderGroup, (self._finders,)

    @property
    def servers(self) -> list[Server]:
        """The servers known so far, in the order they are asked."""
        return [server for finder in self._finders for server in finder.servers]

    @property
    def known(self) -> list[Server]:
        """The servers, of which there is one at least.

        Raises:
            UnsupportedError: all host names depend on a model's name, and no model was asked for yet.
        """
        return _not_empty(self.servers)

    def of(self, server: Server) -> RemoteModelFinder:
        """Return the finder that a server belongs to."""
        return next(finder for finder in self._finders if server in finder.servers)

    def discovery(self, server: Server) -> Discovery:
        """Return the discovery that a server belongs to."""
        return self.of(server).discovery

    def protocol_of(self, server: Server) -> Protocol:
        """Return the protocol of a server."""
        return self.of(server).config.protocol

    def candidates(self, names: Iterable[str]) -> list[Server]:
        """Return the servers that models may be on: those that their names map to, and all with fixed host names.

        Raises:
            UnsupportedError: all host names depend on a model's name, and there is none.
            InputError: a host name depends on a model's name, which is no DNS label.
        """
        found = [server for name in names for finder in self._finders for server in finder.discovery.candidates(name)]
        return list(dict.fromkeys(found)) or self.known

    def polls(self, names: Iterable[str]) -> list[Poll]:
        """Begin to ask all servers that models may be on for their models."""
        return [finder.discovery.poll(name) for finder in self._finders for name in names]

    async def first_answer(self, ask: Callable[[Server], Awaitable[T]], finder: RemoteModelFinder | None = None) -> T:
        """Return the first server's answer, or the next one's if the first is unreachable, silent or unhealthy.

        A server that refuses to describe itself counts as unreachable.

        Args:
            ask: asks a server.
            finder: the finder whose servers are asked; all by default.

        Raises:
            UnsupportedError: no server is known before a model is.
        """
        known = self.known if finder is None else _not_empty(finder.servers)
        servers = sorted(known, key=lambda server: server.is_unhealthy)
        unreachable = (UnavailableError, DeadlineExceededError, SchemaUnavailableError)
        questions = [partial(ask, server) for server in servers]
        answer, errors = await first_answer(questions, stagger=True, failures=unreachable)
        if answer is None:
            raise errors[0]
        return answer

    async def locate(self, model_path: str, declaration: Declaration | None = None) -> Found | None:
        """Find a model as `RemoteModelFinder.locate` does. A finder that fails does not keep the others from answering.

        Args:
            model_path: the model's name.
            declaration: of the class that was given for the model. Servers are not asked for what it declares, only for
                which of them has the model, as far as they answer.
        """
        finder, *others = self._finders
        if declaration is not None and not others and finder.can_trust(declaration):
            found = await finder.trust(model_path, declaration)
            if found is not None:
                return found
        found, errors = await first_answer([partial(one.locate, model_path) for one in self._finders], stagger=True)
        # If several servers refuse, the first one's error is raised: it may just be unreachable.
        failures = [*errors, *(server.error for server in self.servers if server.error is not None)] if errors else []
        if found is None and declaration is not None and any(map(is_refusal, failures)):
            trusting = [partial(one.trust, model_path, declaration, refused=True) for one in self._finders]
            found, _ = await first_answer(trusting, stagger=True)
        if found is None and len(errors) == len(self._finders):
            with with_class_advice(declaration, finder.config.protocol):
                raise errors[0]
        return found

    async def discover(self, names: Collection[str] = ()) -> dict[str, ModelInfo]:
        """Poll as `RemoteModelFinder.discover` does; with names, wait only for the servers that may list these."""
        polls = [finder.discovery.poll() for finder in self._finders]
        await wait_for_models(polls, names)
        found = [await finder.discovery.known_models(poll) for finder, poll in zip(self._finders, polls, strict=True)]
        models = found.pop()
        for others in reversed(found):  # the first finder's model is the last to take its place
            models.update(others)
        return models

    async def healthy(self) -> bool:
        """See `RemoteClient.healthy`."""
        servers, unhealthy = self.servers, [server.is_unhealthy for server in self.servers]
        begun = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._serves(server)) for server in servers]

            def deadline() -> float:
                replies = [_reply(*pair) for pair in zip(tasks, unhealthy, strict=True)]
                return begun if Reply.NO in replies else begun + for_all(replies)

            await wait_until(tasks, deadline)
            answers = [task.result() if task.done() else False for task in tasks]
            for task in tasks:
                task.cancel()
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return all(answers)

    async def _serves(self, server: Server) -> bool | Exception:
        """Return whether a server serves, or its error: a raised one would cancel the other tasks of the group."""
        from .health import HealthState, ask_health

        try:
            state = await ask_health(server.caller, self.protocol_of(server))
        except (UnavailableError, DeadlineExceededError) as error:
            # NOT_HERE: a server that speaks another protocol, or does not know the method, is not down.
            return error if error.pushback == NOT_HERE else False
        except Exception as error:
            return error
        return state is HealthState.SERVING

    async def description(self) -> ServiceDescription:
        """Return the description in the schema on file, or of the first server that answers."""
        schema = self._finders[0].schema
        if schema is not None:
            return await parse_schema(schema)
        return await self.first_answer(lambda server: self.discovery(server).describe_whole(server))

    async def check_schema(self, given: Any) -> list[Difference]:
        """See `RemoteClient.check_schema`. It asks the servers of the first finder with a schema, else of the first."""
        from .._schema.comparison import compare_in_thread

        finder = next((finder for finder in self._finders if finder.schema is not None), self._finders[0])
        protocol, schema = finder.config.protocol, finder.schema
        if given is not None:
            schema = await run_in_thread(read_schema, given, protocol)  # in a thread: protoc may compile it
        if schema is None:
            raise ConfigurationError("schema: there is none; give one to check_schema(), or to the client")
        old = await parse_schema(schema)
        with without_schema_advice():
            new = await self.first_answer(lambda server: current_description(server.caller, protocol), finder)
        return await compare_in_thread(old, new, (name_of(schema), "the server's schema"))

    async def describe(self, server: Server) -> ServiceDescription:
        """See `Discovery.describe`."""
        return await self.discovery(server).describe(server)

    def watch_health(self, poll: Duration) -> HealthWatch:
        """See `RemoteClient.watch_health`."""
        from .health_watch import HealthWatch
        from .job_polling import LEAST_PAUSE

        pause = max(seconds(poll, "poll"), LEAST_PAUSE)
        servers: dict[Caller, Protocol] = {server.caller: self.protocol_of(server) for server in self.known}
        return HealthWatch(servers, pause, self._watches)

    async def aclose(self) -> None:
        """Close all connections, for good, and end what uses them."""
        for watch in list(self._watches):
            await watch.aclose()
        for finder in self._finders:
            await finder.aclose()


def _not_empty(servers: list[Server]) -> list[Server]:
    if not servers:
        raise UnsupportedError("the host name depends on the model's name: no server is known before a model is")
    return servers


def _reply(task: asyncio.Task[bool | Exception], unhealthy: bool) -> Reply:
    if not task.done():
        return Reply.UNHEALTHY if unhealthy else Reply.PENDING
    return Reply.YES if task.result() is True else Reply.NO
