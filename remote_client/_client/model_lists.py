"""Servers, and what they tell when all are asked for their models at once. `finder` asks them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import inf

from .._calls.caller import Caller
from .._schema.rpc import ServiceDescription
from .._schema.runtime_info import ModelInfo
from ..errors import DeadlineExceededError, SchemaError, SchemaUnavailableError, UnavailableError
from ..settings import ConnectionInfo
from .shared_connections import forget
from .silent_servers import Reply, for_all, for_first, wait

logger = logging.getLogger("remote_client")


class Server:
    """One server: its connections, and what was learned from it.

    Attributes:
        connection: how it is reached.
        caller: calls its methods, for no model.
        models: the models it listed when it last answered, and those that were deployed since.
        module_ids: the ids of their modules, by the modules' names.
        deployed: the models that it was given here and has not listed yet.
        error: why it did not answer the last poll, or not in time; None if it did.
        description: what it can do, once that was read.
        refusal: why it did not describe itself when it was last polled; None where that was not needed.
        asked: when it was last asked for its models, in the loop's time.
    """

    def __init__(self, connection: ConnectionInfo, caller: Caller) -> None:
        self.connection = connection
        self.caller = caller
        self.models: dict[str, ModelInfo] = {}
        self.module_ids: dict[str, set[str]] = {}
        self.deployed: dict[str, ModelInfo] = {}
        self.error: Exception | None = None
        self.description: ServiceDescription | None = None
        self.refusal: SchemaError | None = None
        self.asked = 0.0

    @property
    def is_ailing(self) -> bool:
        """Whether it failed when it was last asked: nobody waits for it long."""
        return self.error is not None or self.caller.connections.health.ailing

    @property
    def is_untold(self) -> bool:
        """Whether it can be asked what it can do: that is not known, and it did not refuse to tell just now."""
        return self.description is None and not isinstance(self.refusal, SchemaUnavailableError)

    def forget(self) -> None:
        """Read anew what it can do when that is next needed: an answer showed that it is something else."""
        self.description = None
        forget(self.caller.connections)


@dataclass(frozen=True)
class Poll:
    """Questions for models under way.

    Attributes:
        tasks: the servers, in their order, and the task that asks each: it puts what comes into the server.
        ailing: those of them that had failed when they were last asked before.
        key: what they are asked for.
        changes: how often the client had changed the servers' models when they were asked.
        configured: the names of models that need not be listed.
    """

    tasks: dict[Server, asyncio.Task[None]]
    ailing: Collection[Server]
    key: str | None
    changes: int
    configured: Collection[str]

    @property
    def error(self) -> Exception | None:
        """Why nobody could be asked; None where somebody was."""
        errors = [each.error for each in self.tasks]
        return errors[0] if all(errors) and errors else None

    @property
    def error_for_a_model(self) -> Exception | None:
        """As `error`, where a model was looked for: if the first server does not describe itself either, that refusal.

        It names what to do; what refused the list does not.
        """
        error = self.error
        if error is None or isinstance(error, (DeadlineExceededError, UnavailableError)):
            return error
        refusal = next(iter(self.tasks)).refusal
        return refusal if isinstance(refusal, SchemaUnavailableError) else error

    @property
    def is_over(self) -> bool:
        """Whether no server is silent any more."""
        return all(each.done() for each in self.tasks.values())

    def said(self, name: str | None) -> list[Reply]:
        """What the servers have said so far: whether they have a model, or without a name whether they answered."""
        return [self._said(server, task, name) for server, task in self.tasks.items()]

    def _said(self, server: Server, task: asyncio.Task[None], name: str | None) -> Reply:
        if not task.done():
            return Reply.AILING if server in self.ailing else Reply.NOTHING
        has = server.error is None and (name is None or name in server.models)
        return Reply.YES if has else Reply.NO

    def knows(self, name: str) -> bool:
        """Whether a model is listed now, or was before."""
        return name in self.configured or any(name in each.models for each in self.tasks)

    def give_up(self, seconds: float) -> None:
        """Note who was silent for so long."""
        for server, task in self.tasks.items():
            if not task.done():
                told = f"it has not answered for {seconds:.3g} seconds"
                server.error = server.error or DeadlineExceededError(told, target=server.connection.target)
                logger.warning("%s: %s; others have", server.connection.target, told)


async def gather(polls: Sequence[Poll], names: Collection[str] = ()) -> None:
    """Wait until the servers have listed their models, or those that are wanted, as long as `patience` says.

    Raises:
        Exception: no server of any poll could be asked.
    """

    loop = asyncio.get_running_loop()
    begun = loop.time()

    def until() -> float:
        if not all(any(poll.knows(name) for poll in polls) for name in names):
            return inf
        wanted = [for_first([said for poll in polls for said in poll.said(name)]) for name in names]
        return begun + min(for_all([said for poll in polls for said in poll.said(None)]), max(wanted, default=inf))

    await wait([task for poll in polls for task in poll.tasks.values()], until)
    for poll in polls:
        poll.give_up(loop.time() - begun)
    errors = [poll.error for poll in polls]
    if errors[0] is not None and all(errors):
        raise errors[0]
