"""Carries one attempt through the middleware. What an attempt is, and what follows it, is decided elsewhere."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace
from time import monotonic

from .._concurrency.time_limits import LATE, within
from .._text.cleaning import type_name
from .._transport.call import Call, deadline_exceeded
from .._transport.metadata import REQUEST_ID, merged
from ..errors import MiddlewareError, RemoteCallError
from ..hooks import name_of
from ..middleware import Answer, Middleware, OutgoingCall, Proceed
from .attempts import Attempts, shortened, shortest

GRACE = 0.1
"""Seconds that a call gets beyond its deadline: its transport ends it with a better error."""
_ONCE = "middleware: `proceed` sends an attempt once, while its middleware runs; `retries` is for more"


async def through(
    middleware: Sequence[Middleware],
    attempts: Attempts,
    call: Call,
    send: Callable[[Call], Awaitable[None]],
    *,
    streams: bool = False,
) -> None:
    """Send an attempt through the middleware.

    Args:
        middleware: the outermost first.
        attempts: the call.
        call: the attempt, with the time that is left for it; its `answer` is set.
        send: sends it, and returns once its answer is there, or that of a stream has begun.
        streams: whether it has a stream of answers.

    Raises:
        DeadlineExceededError: the middleware did not end within the call's time.
        MiddlewareError: it did not return the answer, sent the attempt twice, or raised an exception that ends loops.
    """
    begun, limit = monotonic(), shortest(call) if streams else call.timeout
    own = {REQUEST_ID, call.model_key}
    metadata = {key: value for key, value in call.metadata if key not in own}
    kept = tuple(pair for pair in call.metadata if pair[0] in own)
    sent = answered = False
    failure = 0
    sending: asyncio.Task[object] | None = None
    clock: asyncio.Timeout | None = asyncio.timeout(None if limit is None else limit + GRACE)
    loop, has_input = asyncio.get_running_loop(), isinstance(attempts.input, AsyncIterator)

    def move_limit(when: float | None) -> None:
        if clock is not None and not clock.expired():
            clock.reschedule(when)

    async def proceed(outgoing: OutgoingCall) -> Answer:
        nonlocal sent, answered, sending, failure
        if sent:
            raise MiddlewareError(_ONCE)
        passed = monotonic() - begun
        late = call if passed < GRACE else shortened(call, call, passed)
        changed = replace(late, metadata=merged(kept, outgoing.metadata, call.model_key))
        sent, sending = True, asyncio.current_task()
        if has_input:  # of which the transport limits the waits alone
            move_limit(None)
        try:
            await send(changed)
        except BaseException as error:
            failure = id(error)  # the exception itself would be in a cycle with this frame
            raise
        finally:
            sending = None
            if has_input and limit is not None:
                move_limit(loop.time() + limit - passed + GRACE)
        assert call.answer is not None
        answered = True
        # A short stream may have ended already.
        return Answer(call.answer.metadata or {}, {} if streams else call.answer.trailing_metadata or {})

    step: Proceed = proceed
    for each in reversed(middleware):
        step = _around(each, step, lambda error: id(error) == failure)
    try:
        outgoing = attempts.outgoing(call, metadata, limit)
        assert clock is not None
        if await within(clock, step(outgoing)) is LATE:
            raise deadline_exceeded(replace(call, timeout=limit), attempts.server.target)
        if not answered:
            raise MiddlewareError(
                f"middleware: {name_of(middleware[0])} must return the answer of `proceed`, not one of its own"
            )
    except RemoteCallError as error:
        error.outcome_known = error.outcome_known or not sent
        raise
    finally:
        sent, clock = True, None
        if sending is not None:  # by a task that the middleware left behind: the call is over
            sending.cancel()


def _around(middleware: Middleware, proceed: Proceed, is_of_call: Callable[[BaseException], bool]) -> Proceed:
    async def step(outgoing: OutgoingCall) -> Answer:
        try:
            answer = await middleware(outgoing, proceed)
        except (asyncio.CancelledError, StopAsyncIteration) as error:
            if is_of_call(error) or (isinstance(error, asyncio.CancelledError) and _is_cancelled()):
                raise
            # Passed on, it would end the call's task, or a loop over its answers, as if nothing had failed.
            raise MiddlewareError(f"middleware: {name_of(middleware)} raised {type_name(error)}") from error
        if not isinstance(answer, Answer):
            raise MiddlewareError(
                f"middleware: {name_of(middleware)} must return the answer of `proceed`, not {type_name(answer)}"
            )
        return answer

    return step


def _is_cancelled() -> bool:
    """Return whether somebody cancels the current task."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
