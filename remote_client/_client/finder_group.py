"""Several finders behind one interface, and the questions that go to all of their servers."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Sequence
from functools import partial
from typing import Any, TypeVar

from .._concurrency.threads import aside
from .._schema.differences import Difference, budget_for_two, differences
from .._schema.rpc import RemoteRPCDescriptor, ServiceDescription
from .._schema.runtime_info import ModelInfo
from .._schema.schema_file import read_schema
from .._transport.balance import Balancer
from .._transport.manager import ConnectionManager
from .._transport.retry import NOT_HERE
from ..declare import Declaration
from ..errors import (
    ConfigurationError,
    DeadlineExceededError,
    SchemaUnavailableError,
    UnavailableError,
    UnsupportedError,
)
from ..settings import Protocol
from .finder import RemoteModelFinder
from .introspection import description_of
from .model_lists import Server, gather
from .module_config import RemoteModuleConfig, name_of
from .schema_refusals import asking_only, refuses, with_class
from .shared_connections import told
from .silent_servers import Reply, first, for_all, wait

T = TypeVar("T")
_HEALTH: dict[Protocol, tuple[str, bytes]] = {
    # what is asked, and what a healthy server answers
    "grpc": ("/grpc.health.v1.Health/Check", b"\x08\x01"),  # HealthCheckResponse{status: SERVING}
    "http": ("GET /health", b"OK"),
}


class FinderGroup:
    """Several finders as one: of two that find the same model the first is used."""

    def __init__(self, finders: Sequence[RemoteModelFinder]) -> None:
        self._finders = finders

    @property
    def servers(self) -> list[Server]:
        """The servers known so far, in the order they are asked."""
        return [server for finder in self._finders for server in finder.servers]

    def of(self, server: Server) -> RemoteModelFinder:
        """The finder that a server belongs to."""
        return next(finder for finder in self._finders if server in finder.servers)

    @property
    def first(self) -> Server:
        """The first server.

        Raises:
            UnsupportedError: no server is known before a model is.
        """
        return self.known[0]

    @property
    def known(self) -> list[Server]:
        """All servers, in the order they are asked.

        Raises:
            UnsupportedError: no server is known before a model is.
        """
        return _some(self.servers)

    async def first_answer(self, ask: Callable[[Server], Awaitable[T]], finder: RemoteModelFinder | None = None) -> T:
        """Return the first server's answer, or the next one's if the first is unreachable, silent or ailing.

        A server that refuses to describe itself cannot be asked either.

        Args:
            ask: asks a server.
            finder: the one whose servers are asked; all without it.

        Raises:
            UnsupportedError: no server is known before a model is.
        """
        known = self.known if finder is None else _some(finder.servers)
        servers = sorted(known, key=lambda each: each.is_ailing)
        unreachable = (UnavailableError, DeadlineExceededError, SchemaUnavailableError)
        answer, errors = await first([partial(ask, each) for each in servers], stagger=True, failures=unreachable)
        if answer is None:
            raise errors[0]
        return answer

    async def locate(
        self, model_path: str, declaration: Declaration | None = None
    ) -> tuple[Server, RemoteModuleConfig, ServiceDescription] | None:
        """See `RemoteModelFinder.locate`. One that cannot be asked does not keep the others from being asked.

        Args:
            model_path: the model's name.
            declaration: of the class that was given for it. What it tells of its servers is not asked; which of several
                has the model is, as far as they tell.
        """
        finder, *others = self._finders
        if declaration is not None and not others and finder.has_one_server and not finder.was_told(declaration):
            found = await finder.trust(model_path, declaration)
            if found is not None:
                return found
        found, errors = await first([partial(each.locate, model_path) for each in self._finders], stagger=True)
        # Of several servers that do not tell, the first one's error is raised: it may just be away.
        silent = [*errors, *(each.error for each in self.servers if each.error is not None)] if errors else []
        if found is None and declaration is not None and any(map(refuses, silent)):
            trusting = [partial(each.trust, model_path, declaration, refused=True) for each in self._finders]
            found, _ = await first(trusting, stagger=True)
        if found is None and len(errors) == len(self._finders):
            with with_class(declaration, finder.config.protocol):
                raise errors[0]
        return found

    async def discover(self, names: Collection[str] = ()) -> dict[str, ModelInfo]:
        """See `RemoteModelFinder.discover`. With names it waits only for the servers that may have these."""
        polls = [finder.poll() for finder in self._finders]
        await gather(polls, names)
        models: dict[str, ModelInfo] = {}
        for finder, poll in zip(self._finders, polls, strict=True):
            models = finder.known(poll) | models
        return models

    async def healthy(self) -> bool:
        """See `RemoteClient.healthy`."""
        servers, ailing = self.servers, [each.is_ailing for each in self.servers]
        begun = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(self._serves(each)) for each in servers]

            def until() -> float:
                said = [_said(*each) for each in zip(tasks, ailing, strict=True)]
                return begun if Reply.NO in said else begun + for_all(said)

            await wait(tasks, until)
            answers = [each.result() if each.done() else False for each in tasks]
            for each in tasks:
                each.cancel()
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return all(answers)

    async def _serves(self, server: Server) -> bool | Exception:
        """Return whether a server serves, or its error: a raised one would cancel the other tasks of the group."""
        method, serving = _HEALTH[self.of(server).config.protocol]
        try:
            return await server.caller.send(method, b"") == serving
        except (UnavailableError, DeadlineExceededError) as error:
            # A server of another protocol is not one that is down; neither is one that refuses this question.
            return error if error.pushback == NOT_HERE else False
        except Exception as error:
            return error

    async def servers_of(self, name: str, first: Server) -> Balancer[ConnectionManager] | None:
        """See `RemoteModelFinder.servers_of`."""
        return await self.of(first).servers_of(name, first)

    async def description(self) -> ServiceDescription:
        """What the first server offers that can be asked, or a schema on file tells."""
        schema = self._finders[0].schema
        return await (self.first_answer(self.describe) if schema is None else description_of(schema))

    async def check_schema(self, given: Any) -> list[Difference]:
        """See `RemoteClient.check_schema`. Of several finders it is the first one that has a schema, if any has."""
        finder = next((each for each in self._finders if each.schema is not None), self._finders[0])
        schema = finder.schema
        if given is not None:  # aside: protoc may have to compile it
            schema = await aside(read_schema, given, finder.config.protocol)
        if schema is None:
            raise ConfigurationError("schema: there is none; give one to check_schema(), or to the client")
        old = await description_of(schema)
        with asking_only():
            new = await self.first_answer(lambda server: told(server.caller, finder.config.protocol), finder)
        budget = budget_for_two()
        try:
            return await aside(differences, old, new, budget, (name_of(schema), "the server's schema"))
        finally:
            budget.cancel()

    async def describe(self, server: Server) -> ServiceDescription:
        """See `RemoteModelFinder.describe`."""
        return await self.of(server).describe(server)

    async def management(self, server: Server, method: str) -> RemoteRPCDescriptor:
        """See `RemoteModelFinder.management`."""
        return await self.of(server).management(server, method)

    async def call(self, server: Server, method: str, **kwargs: Any) -> dict[str, Any]:
        """See `RemoteModelFinder.call`."""
        return await self.of(server).call(server, method, **kwargs)

    async def aclose(self) -> None:
        """Close all connections, for good."""
        for finder in self._finders:
            await finder.aclose()


def _some(servers: list[Server]) -> list[Server]:
    if not servers:
        raise UnsupportedError("the host name depends on the model's name: no server is known before a model is")
    return servers


def _said(task: asyncio.Task[bool | Exception], ailing: bool) -> Reply:
    if not task.done():
        return Reply.AILING if ailing else Reply.NOTHING
    return Reply.YES if task.result() is True else Reply.NO
