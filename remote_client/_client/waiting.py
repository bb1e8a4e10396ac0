"""Waiting until servers serve, and until they list models."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Awaitable, Callable, Iterable
from typing import TYPE_CHECKING

from .._concurrency.threads import run_in_thread
from .._concurrency.time_limits import LATE, within
from .._settings.durations import Duration, lasting, limit
from .._text.cleaning import type_name
from .._text.closest import WORK, closest
from ..errors import DeadlineExceededError, InputError, RemoteCallError, SchemaError
from .health import PATIENCE, HealthState, ask_health, quick
from .job_polling import PollSchedule, is_transient
from .silent_servers import wait_until

if TYPE_CHECKING:
    from .finder_group import FinderGroup
    from .servers import Server

_logger = logging.getLogger("remote_client")
LAST_PAUSE = 2.0
"""The longest pause between two rounds of questions in seconds; the first is 0.25."""
SHOWN = 10
"""Names of missing models in an error."""


async def wait_until_ready(finders: FinderGroup, timeout: Duration | None, models: Iterable[str]) -> None:
    """See `RemoteClient.wait_until_ready`."""
    seconds, names = limit(timeout, "timeout"), _names(models)
    wait = _Wait(finders, names)
    if await within(seconds, wait.run()) is LATE:
        error, cause = await wait.late(seconds)
        try:
            raise error from cause
        finally:
            del error, cause  # no reference leads from an exception back to it


def _names(models: Iterable[str]) -> list[str]:
    if not isinstance(models, (str, Iterable)):
        raise InputError(f"models: expected names of models, not {type_name(models)}")
    names = [models] if isinstance(models, str) else list(dict.fromkeys(models))
    for name in names:
        if not isinstance(name, str) or not name:
            raise InputError(f"models: expected names of models, not {name!r:.80}")
    return names


class _Wait:
    """Asks until all servers serve, then until the models are listed, and knows what is missing."""

    def __init__(self, finders: FinderGroup, names: list[str]) -> None:
        self._finders = finders
        self._names = names
        self._servers: list[Server] = []
        self._serving: set[Server] = set()
        self._answers: dict[Server, HealthState | Exception] = {}
        """The last answers about health."""
        self._failures: dict[Server, Exception] = {}
        """The servers that did not list their models in the last round."""
        self._listed: set[str] = set()
        self._looked = False
        """Whether the servers were asked for their models."""

    async def run(self) -> None:
        """Return when all is there.

        Raises:
            Exception: of a server, one that waiting does not mend.
        """
        await _repeat(self._all_serve, self._waited_for)
        if self._names:
            await _repeat(self._all_listed, self._waited_for)

    async def _all_serve(self) -> bool:
        """Ask the servers that did not serve so far, once, and return whether all do now."""
        self._servers = self._finders.candidates(self._names)
        async with asyncio.TaskGroup() as group:
            asked = [server for server in self._servers if server not in self._serving]
            tasks = [group.create_task(self._ask(server)) for server in asked]
            await wait_until(tasks, lambda: -math.inf if self._final() else math.inf)
            for task in tasks:
                task.cancel()
        _raise(self._final())
        return self._serving.issuperset(self._servers)

    async def _ask(self, server: Server) -> None:
        try:
            self._answers[server] = answer = await ask_health(quick(server.caller), self._finders.protocol_of(server))
        except Exception as error:  # a raised one would cancel the questions to the other servers
            self._answers[server] = error.with_traceback(None)
        else:
            if answer is HealthState.SERVING:
                self._serving.add(server)

    def _final(self) -> Exception | None:
        """Return an error about health that waiting does not mend, if there is one."""
        errors = (answer for answer in self._answers.values() if isinstance(answer, Exception))
        return next((error for error in errors if not _passes(error)), None)

    async def _all_listed(self) -> bool:
        """Ask the servers for their models, once, and return whether all models are there."""
        until = asyncio.get_running_loop().time() + PATIENCE
        polls = self._finders.polls(self._names)
        asked = {server: task for poll in polls for server, task in poll.tasks.items()}
        self._looked = True

        waiting, self._listed = dict(asked), set()

        def has_all() -> bool:
            for server in [server for server, task in waiting.items() if task.done()]:
                del waiting[server]  # its models are looked at once, not with every other server's answer
                if server.error is None:
                    self._listed.update(server.models)
            return self._listed.issuperset(self._names)

        await wait_until(list(asked.values()), lambda: -math.inf if has_all() else until)
        self._failures = {server: server.error for server in asked if server.error is not None}
        if has_all():
            return True
        if len(self._failures) == len(asked) and not any(map(_passes, self._failures.values())):
            _raise(next(iter(self._failures.values())))
        return False

    async def late(self, seconds: float | None) -> tuple[DeadlineExceededError, Exception | None]:
        """Return the error that says what is still missing, and its cause."""
        waiting = [server for server in self._servers if server not in self._serving]
        missing = [name for name in self._names if name not in self._listed]
        reasons = [f"{server.connection.target} {self._reason(server)}" for server in waiting]
        if missing:
            reasons.append(await self._about_models(missing))
        for server, failure in self._failures.items():
            reasons.append(f"{server.connection.target} did not list its models ({_in_short(failure)})")
        causes = [*(self._answers.get(server) for server in waiting), *self._failures.values()]
        details = f"not ready within {lasting(seconds)}: {'; '.join(reasons)}"
        target = ", ".join(server.connection.target for server in waiting or self._servers)
        error = DeadlineExceededError(details, target=target)
        error.outcome_known = True
        return error, next((cause for cause in causes if isinstance(cause, Exception)), None)

    def _waited_for(self) -> str:
        """Return what is missing, for the log."""
        waiting = [server for server in self._servers if server not in self._serving]
        missing = sorted(set(self._names) - self._listed)
        reasons = [f"{server.connection.target} {self._reason(server)}" for server in waiting]
        return "; ".join(reasons) or f"no server lists {', '.join(missing)}"

    def _reason(self, server: Server) -> str:
        answer = self._answers.get(server)
        if answer is None:
            return "did not answer"
        return f"does not serve ({answer.value if isinstance(answer, HealthState) else _in_short(answer)})"

    async def _about_models(self, missing: list[str]) -> str:
        names = ", ".join(map(repr, missing[:SHOWN])) + (f" and {len(missing) - SHOWN} more" if missing[SHOWN:] else "")
        if not self._looked:
            return f"models not looked for yet: {names}"
        close = await run_in_thread(closest, missing[0], self._listed, 10 * WORK)
        hint = f" (did you mean {close!r}?)" if close else ""
        return f"no server lists the model{'s' if missing[1:] else ''} {names}{hint}"


async def _repeat(is_done: Callable[[], Awaitable[bool]], waited_for: Callable[[], str]) -> None:
    """Ask until the answer is yes, with growing pauses, of which a part is random: many clients may wait."""
    schedule, now, told = PollSchedule(math.inf, last=LAST_PAUSE), asyncio.get_running_loop().time, ""
    while not await is_done():
        if (reason := waited_for()) != told:  # once, not in every round
            told = reason
            _logger.info("not ready yet: %s", reason)
        await asyncio.sleep(schedule.answered(now()))


def _passes(error: Exception) -> bool:
    """Return whether a server may answer after an error without anybody's help."""
    if isinstance(error, SchemaError):  # it has no status, but the call's error
        cause = error.__cause__
        return isinstance(error, DeadlineExceededError) or (isinstance(cause, Exception) and _passes(cause))
    return isinstance(error, RemoteCallError) and is_transient(error)


def _in_short(error: Exception) -> str:
    """Return an error's text without the server's name, which stands before it."""
    details = getattr(error, "details", "")
    return f"{error.status}: {details}" if isinstance(error, RemoteCallError) and details else str(error)


def _raise(error: Exception | None) -> None:
    try:
        if error is not None:
            raise error
    finally:
        del error  # no reference leads from an exception back to it
