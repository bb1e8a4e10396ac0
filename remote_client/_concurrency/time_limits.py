"""A time limit on one await."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from enum import Enum
from typing import Final, Literal, TypeVar

R = TypeVar("R")


class _Late(Enum):
    LATE = "late"


LATE: Final = _Late.LATE


async def within(seconds: float | asyncio.Timeout | None, work: Awaitable[R]) -> R | Literal[_Late.LATE]:
    """Return the result of `work`, or `LATE` if it takes longer. A TimeoutError that `work` raises is passed on.

    A timeout that `work` moves may be given in place of seconds.
    """
    limit = seconds if isinstance(seconds, asyncio.Timeout) else asyncio.timeout(seconds)
    try:
        async with limit:
            return await work
    except TimeoutError as error:
        if not limit.expired() or type(error) is not TimeoutError:  # a DeadlineExceededError may come at the same time
            raise
        return LATE
    finally:
        # The limit knows its task, and a cancelled task the exception that leads to this frame: with the cycle a call
        # would keep its connection until the garbage collector runs.
        del limit, seconds
