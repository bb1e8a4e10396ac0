"""A server may end a call before it has read all that is sent. grpc.aio's own `write` then makes the call INTERNAL, and
status and unread answers are lost (https://github.com/grpc/grpc/issues/36066)."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from remote_client.errors import FailedPreconditionError

ROUNDS = 100


async def then_more(first: bytes) -> AsyncIterator[bytes]:
    """An order, and then more than the server cares to read."""
    yield first
    for _ in range(50):
        yield bytes(1 << 16)


async def test_a_status_survives_the_writes_it_cuts_short(module: Any) -> None:
    for _ in range(ROUNDS):
        with pytest.raises(FailedPreconditionError, match="as ordered"):
            await module.sum(then_more(b"fail"))
        with pytest.raises(FailedPreconditionError, match="as ordered"):
            await anext(module.chat(then_more(b"fail")))


async def test_an_early_answer_survives(module: Any) -> None:
    for _ in range(ROUNDS):
        assert await module.sum(then_more(b"stop")) == b"0"


async def test_answers_not_read_yet_survive(module: Any) -> None:
    for turn in range(ROUNDS):
        answers = []
        async for item in module.chat(then_more(b"burst")):
            answers.append(item)
            if turn % 2 and len(answers) == 1:
                await asyncio.sleep(0.002)  # a slow reader finds the call over, and the answers still there
        assert answers == [b"burst"] * 20
