"""How long a silent server delays an answer that others can give: pure rules, and `first_answer`, which applies them.

A question for several servers goes to all of them at once. A silent server delays the answer by
- nothing, where its reply could not change the answer,
- `SHORT_WAIT`, where it is merely preferred to a server that has replied, or where its last question failed,
- `LONG_WAIT`, where the answer would lack the server's share,
- its own limits (connecting, retries, deadline), where no other server has an answer.

The question to it may go on meanwhile; a late reply is there for the next caller.
"""

from __future__ import annotations

import asyncio
import enum
import math
from collections.abc import Awaitable, Callable, Sequence
from itertools import zip_longest
from typing import Any, Generic, NamedTuple, TypeVar

from ..errors import RemoteCallError, SchemaError

T = TypeVar("T")
SHORT_WAIT, LONG_WAIT = 1.0, 5.75
"""Seconds since the question. The longer one is longer than connecting may take."""


class Reply(enum.Enum):
    """A server's reply to a question.

    Attributes:
        PENDING: none so far.
        UNHEALTHY: none so far, and the last question to this server failed.
        YES: it has the answer.
        NO: it does not have it, or failed.
    """

    PENDING = enum.auto()
    UNHEALTHY = enum.auto()
    YES = enum.auto()
    NO = enum.auto()


Rule = Callable[[Sequence[Reply]], float]
"""Returns the seconds, counted from the question, that silent servers have; replies are in the servers' order."""


def for_first(replies: Sequence[Reply]) -> float:
    """Wait for the first server in order that has the answer."""
    if Reply.YES not in replies:
        return math.inf
    before = replies[: replies.index(Reply.YES)]
    return SHORT_WAIT if Reply.PENDING in before else 0.0


def for_any(replies: Sequence[Reply]) -> float:
    """Wait for any server that has the answer."""
    return 0.0 if Reply.YES in replies else math.inf


def for_all(replies: Sequence[Reply]) -> float:
    """Wait for the answers of all servers."""
    if Reply.YES not in replies:
        return math.inf
    return LONG_WAIT if Reply.PENDING in replies else SHORT_WAIT


def for_next(replies: Sequence[Reply]) -> float:
    """Wait before the next server is asked, where servers are asked in turn."""
    return SHORT_WAIT if Reply.PENDING in replies else 0.0


async def wait_until(tasks: Sequence[asyncio.Task[Any]], deadline: Callable[[], float]) -> None:
    """Wait for tasks until a deadline, which is computed anew whenever one finishes. The caller owns the tasks."""
    loop = asyncio.get_running_loop()
    while running := [task for task in tasks if not task.done()]:
        left = deadline() - loop.time()
        if left <= 0:
            return
        limit = None if left == math.inf else left
        await asyncio.wait(running, timeout=limit, return_when=asyncio.FIRST_COMPLETED)


async def first_answer(
    questions: Sequence[Callable[[], Awaitable[T | None]]],
    rule: Rule = for_first,
    *,
    unhealthy: Sequence[bool] = (),
    stagger: bool = False,
    failures: tuple[type[Exception], ...] = (RemoteCallError, SchemaError),
) -> tuple[T | None, list[Exception]]:
    """Return the first answer in order, or None if no server has one, and the errors of the others.

    Args:
        questions: one per server; those still running at the end are cancelled.
        rule: how long silent servers are waited for.
        unhealthy: per server, whether its last question failed.
        stagger: whether a server is asked only after those before it had no answer, or were silent for `SHORT_WAIT`.
        failures: the errors after which another server may still have an answer; others are raised at once.
    """
    race: _Race[T] = _Race(rule, unhealthy, failures)
    async with asyncio.TaskGroup() as group:
        for question in questions:
            race.tasks.append(group.create_task(_caught(question)))
            if stagger and await race.is_decided_before_next():
                break
        await wait_until(race.tasks, race.deadline)
        for task in race.tasks:
            task.cancel()
    return race.result()


class _Failure(NamedTuple):
    error: Exception


class _Race(Generic[T]):
    """Questions that were asked, and when the first answer is known."""

    def __init__(self, rule: Rule, unhealthy: Sequence[bool], failures: tuple[type[Exception], ...]) -> None:
        self.tasks: list[asyncio.Task[T | _Failure | None]] = []
        self._rule = rule
        self._unhealthy = unhealthy
        self._failures = failures
        self._now = asyncio.get_running_loop().time
        self._begun = self._now()

    def deadline(self) -> float:
        return self._deadline(self._begun, self._rule)

    async def is_decided_before_next(self) -> bool:
        """Wait until the next server is due, and return whether it need not be asked."""
        asked = self._now()
        await wait_until(self.tasks, lambda: min(self.deadline(), self._deadline(asked, for_next)))
        return self.deadline() <= self._now()

    def _deadline(self, asked: float, rule: Rule) -> float:
        if any(
            isinstance(result, _Failure) and not isinstance(result.error, self._failures) for result in self._done()
        ):
            return asked
        return asked + rule([_reply(*pair) for pair in zip_longest(self.tasks, self._unhealthy[: len(self.tasks)])])

    def _done(self) -> list[T | _Failure | None]:
        return [task.result() for task in self.tasks if task.done() and not task.cancelled()]

    def result(self) -> tuple[T | None, list[Exception]]:
        results = self._done()
        errors = [result.error for result in results if isinstance(result, _Failure)]
        for error in errors:
            if not isinstance(error, self._failures):
                raise error
        answers = (result for result in results if result is not None and not isinstance(result, _Failure))
        return next(answers, None), errors


async def _caught(question: Callable[[], Awaitable[T | None]]) -> T | _Failure | None:
    """Return the answer or the error: a raised one would cancel the other tasks of the group."""
    try:
        return await question()
    except Exception as error:
        return _Failure(error)


def _reply(task: asyncio.Task[Any], unhealthy: bool | None) -> Reply:
    if not task.done():
        return Reply.UNHEALTHY if unhealthy else Reply.PENDING
    has = not task.cancelled() and task.result() is not None and not isinstance(task.result(), _Failure)
    return Reply.YES if has else Reply.NO
