"""How long a server that says nothing holds up what others can answer. The rule is here, and pure; `first` follows it.

A question for several servers goes to all of them at once. A silent server that cannot change the answer is not waited
for. One that can is waited for
- `SHORT` where it could only come before others that have what is wanted, or where its last question failed,
- `LONG` where the answer would lack what it has,
- until its own limits (connecting, retries, deadline) end its question where nobody else has an answer.

Its question may go on meanwhile, and what it tells then counts for the next answer.
"""

from __future__ import annotations

import asyncio
import enum
import math
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import zip_longest
from typing import Any, TypeVar

from ..errors import RemoteCallError, SchemaError

T = TypeVar("T")
SHORT, LONG = 1.0, 5.75
"""Seconds since the question. The longer one is longer than connecting may take."""


class Reply(enum.Enum):
    """What a server has said to a question.

    Attributes:
        NOTHING: it is silent so far.
        AILING: it is silent so far, and its last question failed.
        YES: it has what is wanted.
        NO: it has not, or failed.
    """

    NOTHING = enum.auto()
    AILING = enum.auto()
    YES = enum.auto()
    NO = enum.auto()


Rule = Callable[[Sequence[Reply]], float]
"""Returns the seconds that silent servers may take, counted from the question. The servers are in their order."""


def for_first(said: Sequence[Reply]) -> float:
    """The rule for the first server, in their order, that has what is wanted."""
    if Reply.YES not in said:
        return math.inf
    before = said[: said.index(Reply.YES)]
    return SHORT if Reply.NOTHING in before else 0.0


def for_any(said: Sequence[Reply]) -> float:
    """The rule for any server that has what is wanted."""
    return 0.0 if Reply.YES in said else math.inf


def for_all(said: Sequence[Reply]) -> float:
    """The rule for what all servers have together."""
    if Reply.YES not in said:
        return math.inf
    return LONG if Reply.NOTHING in said else SHORT


def for_next(said: Sequence[Reply]) -> float:
    """The rule for asking one more server, where they are asked one after the other."""
    return SHORT if Reply.NOTHING in said else 0.0


async def wait(tasks: Sequence[asyncio.Task[Any]], until: Callable[[], float]) -> None:
    """Wait for tasks until a deadline, which is computed anew whenever one finishes. The caller owns the tasks."""
    loop = asyncio.get_running_loop()
    while running := [each for each in tasks if not each.done()]:
        left = until() - loop.time()
        if left <= 0:
            return
        limit = None if left == math.inf else left
        await asyncio.wait(running, timeout=limit, return_when=asyncio.FIRST_COMPLETED)


@dataclass(frozen=True)
class _Failure:
    """The error of a question."""

    error: Exception


async def first(
    asks: Sequence[Callable[[], Awaitable[T | None]]],
    rule: Rule = for_first,
    *,
    ailing: Sequence[bool] = (),
    stagger: bool = False,
    failures: tuple[type[Exception], ...] = (RemoteCallError, SchemaError),
) -> tuple[T | None, list[Exception]]:
    """Return the answer that counts, None if nobody has one, and the errors of the others.

    Args:
        asks: ask one each; those that are still under way at the end are cancelled.
        rule: which one counts.
        ailing: of each, whether its last question failed.
        stagger: whether each is asked only when those before it have nothing, or were silent for `SHORT` seconds.
        failures: the errors after which another may still have an answer; any other is raised at once.
    """
    tasks: list[asyncio.Task[T | _Failure | None]] = []

    def over() -> list[T | _Failure | None]:
        return [each.result() for each in tasks if each.done() and not each.cancelled()]

    def until(asked: float, rule: Rule) -> float:
        if any(isinstance(each, _Failure) and not isinstance(each.error, failures) for each in over()):
            return asked
        return asked + rule([_said(each, ill) for each, ill in zip_longest(tasks, ailing[: len(tasks)])])

    now = asyncio.get_running_loop().time
    begun = now()

    def until_next(asked: float) -> float:
        return min(until(begun, rule), until(asked, for_next))

    async with asyncio.TaskGroup() as group:
        for ask in asks:
            tasks.append(group.create_task(_tried(ask)))
            if stagger:
                await wait(tasks, partial(until_next, now()))
                if until(begun, rule) <= now():
                    break
        await wait(tasks, lambda: until(begun, rule))
        for each in tasks:
            each.cancel()
    errors = [each.error for each in over() if isinstance(each, _Failure)]
    for error in errors:
        if not isinstance(error, failures):
            raise error
    answers = (each for each in over() if each is not None and not isinstance(each, _Failure))
    return next(answers, None), errors


async def _tried(ask: Callable[[], Awaitable[T | None]]) -> T | _Failure | None:
    """Return the answer or the error: a raised one would cancel the other tasks of the group."""
    try:
        return await ask()
    except Exception as error:
        return _Failure(error)


def _said(task: asyncio.Task[Any], ailing: bool | None) -> Reply:
    if not task.done():
        return Reply.AILING if ailing else Reply.NOTHING
    has = not task.cancelled() and task.result() is not None and not isinstance(task.result(), _Failure)
    return Reply.YES if has else Reply.NO
