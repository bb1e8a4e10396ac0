"""How long a silent server is waited for, and that nothing of it is left behind."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from math import inf
from typing import Any

import pytest

from remote_client._client import silent_servers
from remote_client._client.silent_servers import (
    LONG_WAIT,
    SHORT_WAIT,
    Reply,
    Rule,
    first_answer,
    for_all,
    for_any,
    for_first,
    for_next,
)
from remote_client.errors import InputError, NotFoundError, UnavailableError

PENDING, UNHEALTHY, YES, NO = Reply


@pytest.mark.parametrize(
    ("rule", "said", "seconds"),
    [
        (for_first, [YES, PENDING], 0.0),
        (for_first, [NO, YES, UNHEALTHY], 0.0),
        (for_first, [PENDING, YES], SHORT_WAIT),
        (for_first, [NO, PENDING, UNHEALTHY, YES, NO], SHORT_WAIT),
        (for_first, [UNHEALTHY, YES], 0.0),
        (for_first, [NO, PENDING], inf),
        (for_first, [NO, UNHEALTHY], inf),
        (for_first, [], inf),
        (for_any, [PENDING, UNHEALTHY, YES], 0.0),
        (for_any, [NO, PENDING], inf),
        (for_all, [YES, PENDING, NO], LONG_WAIT),
        (for_all, [UNHEALTHY, YES, PENDING], LONG_WAIT),
        (for_all, [UNHEALTHY, YES], SHORT_WAIT),
        (for_all, [NO, PENDING], inf),
        (for_all, [NO, UNHEALTHY], inf),
        (for_next, [PENDING], SHORT_WAIT),
        (for_next, [UNHEALTHY], 0.0),
        (for_next, [NO], 0.0),
        (for_next, [NO, PENDING], SHORT_WAIT),
    ],
)
def test_rules(rule: Rule, said: list[Reply], seconds: float) -> None:
    assert rule(said) == seconds


Ask = Callable[[], Coroutine[Any, Any, str | None]]


def says(answer: str | None) -> Ask:
    async def ask() -> str | None:
        return answer

    return ask


def fails(error: Exception) -> Ask:
    async def ask() -> str | None:
        raise error

    return ask


class Silent:
    """Says nothing; what became of the question."""

    def __init__(self) -> None:
        self.asked = self.cancelled = False

    async def __call__(self) -> str | None:
        self.asked = True
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        return None


async def answer_of(*asks: Ask, **more: Any) -> str | None:
    """The answer of the first, and no time lost."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(silent_servers, "SHORT_WAIT", 0.01)
        answer, _ = await first_answer(asks, **more)
    return answer


@pytest.mark.parametrize("stagger", [False, True])
@pytest.mark.parametrize(
    ("asks", "answer", "failures"),
    [
        ([says("a"), says("b")], "a", 0),
        ([says(None), says("b")], "b", 0),
        ([fails(UnavailableError("x")), says("b")], "b", 1),
        ([says(None), fails(UnavailableError("x"))], None, 1),
        ([says(None)], None, 0),
        ([], None, 0),
    ],
)
async def test_the_first_that_has_an_answer(asks: list[Ask], answer: str | None, failures: int, stagger: bool) -> None:
    found, errors = await first_answer(asks, stagger=stagger)
    assert (found, len(errors)) == (answer, failures)


@pytest.mark.parametrize("stagger", [False, True])
async def test_a_silent_one_is_cancelled_in_the_end(stagger: bool) -> None:
    silent = Silent()
    assert await answer_of(silent, says("b"), stagger=stagger) == "b"
    assert silent.cancelled


async def test_who_is_not_needed_is_not_asked() -> None:
    other = Silent()
    assert await answer_of(says("a"), other, stagger=True) == "a"
    assert not other.asked


async def test_any_answer_will_do() -> None:
    assert await answer_of(Silent(), says("b"), rule=for_any) == "b"


@pytest.mark.parametrize("stagger", [False, True])
async def test_an_error_that_others_do_not_mend_is_raised_at_once(stagger: bool) -> None:
    silent = Silent()
    with pytest.raises(InputError):
        await answer_of(silent, fails(InputError("x")), stagger=stagger)
    assert silent.cancelled
    with pytest.raises(NotFoundError):
        await answer_of(fails(NotFoundError("x")), says("b"), failures=(UnavailableError,), stagger=stagger)


async def test_who_cancels_the_question_cancels_all() -> None:
    silent = [Silent(), Silent()]
    asking = asyncio.create_task(answer_of(*silent))
    while not all(each.asked for each in silent):
        await asyncio.sleep(0)
    asking.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asking
    assert all(each.cancelled for each in silent)
