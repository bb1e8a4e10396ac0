"""Polls: servers that are asked for their models at the same time, and how long the answer waits for silent ones."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from math import inf

from ..errors import DeadlineExceededError, SchemaUnavailableError, UnavailableError
from .servers import Server
from .silent_servers import Reply, for_all, for_first, wait_until

logger = logging.getLogger("remote_client")


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
