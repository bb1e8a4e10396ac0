"""The questions of users about the health of servers; `waiting` waits until they are healthy."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .._settings.durations import Duration
    from .finder_group import FinderGroup
    from .health_watch import HealthWatch


class Readiness:
    """The questions of a client about the health of its servers."""

    _finder: FinderGroup

    async def healthy(self) -> bool:
        """Return whether every server is healthy. An unreachable server is not.

        `retries` apply. A server is not healthy either if it is silent for six seconds while all others are healthy.

        Raises:
            RemoteCallError: a server refuses the question.
        """
        return await self._finder.healthy()

    async def wait_until_ready(self, timeout: Duration | None = 60, models: Iterable[str] = ()) -> None:
        """Wait until every server is healthy, then until the models are listed. See docs/readiness.md.

        The servers are asked again and again, with pauses that grow from 0.25 to 2 seconds. What waiting does not mend
        is raised at once.

        Args:
            timeout: seconds (or a `timedelta`) to wait at most; None or `math.inf` for no limit.
            models: the models' names, or one name. Each must be listed by a server; it may not be loaded yet.

        Raises:
            DeadlineExceededError: not all is there in time. The message says what is missing, and why.
            TlsError: the certificate of a server, or of the client, is refused.
            RemoteCallError: a server refuses the question, as with wrong credentials (`UnauthenticatedError`), or is no
                runtime (`UnimplementedError`, `NotFoundError`).
            SchemaError: over gRPC, the servers do not describe themselves, and so cannot list models.
            UnsupportedError: the schema that was given has no list of models; or the host name depends on a model's
                name, and none is given.
            ConfigurationError: the timeout is no duration.
        """
        from .waiting import wait_until_ready  # here, as few programs wait

        await wait_until_ready(self._finder, timeout, models)

    def watch_health(self, *, poll: Duration = 5) -> HealthWatch:
        """Return an iterator over the health of all servers: first of each, then of one that changes.

        Over gRPC a server tells changes itself (`grpc.health.v1.Health/Watch`); over HTTP, and where it does not, it is
        polled. A server that is away is `UNREACHABLE`, and asked again until the watch or the client is closed.

        Args:
            poll: seconds (or a `timedelta`) between two polls, at least 0.1, and the longest pause between two attempts
                to reach a server that is away.

        Raises:
            UnsupportedError: the host name depends on a model's name, and no model was asked for yet.
            ConfigurationError: `poll` is no duration.
        """
        return self._finder.watch_health(poll)
