"""Carries one attempt through the middleware. What an attempt is, and what follows it, is decided elsewhere."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from time import monotonic

from .._concurrency.time_limits import LATE, within
from .._transport.call import Call, deadline_exceeded
from .._transport.metadata import REQUEST_ID, merged
from ..hooks import name_of
from ..middleware import Answer, Middleware, OutgoingCall, Proceed
from .attempts import Attempts, shortened, shortest

_GRACE = 0.1
"""Seconds that a call gets beyond its deadline: its transport ends it with a better error."""


async def through(
    middleware: Sequence[Middleware], attempts: Attempts, call: Call, send: Callable[[Call], Awaitable[None]]
) -> None:
    """Send an attempt through the middleware.

    Args:
        middleware: the outermost first.
        attempts: the call.
        call: the attempt; its `answer` is set.
        send: sends it, and returns once its answer is there, or that of a stream has begun.

    Raises:
        DeadlineExceededError: the middleware did not end within the call's time.
        TypeError: it did not return the answer, or sent the attempt twice.
    """
    begun, limit = monotonic(), shortest(call)
    own = {REQUEST_ID, call.model_key}
    metadata = {key: value for key, value in call.metadata if key not in own}
    kept = tuple(pair for pair in call.metadata if pair[0] in own)
    found: list[Answer] = []

    async def proceed(outgoing: OutgoingCall) -> Answer:
        if found:
            raise TypeError("middleware: `proceed` sends an attempt once; `retries` is for more")
        passed = monotonic() - begun
        late = call if passed < _GRACE else shortened(call, call, passed)
        changed = replace(late, metadata=merged(kept, outgoing.metadata, call.model_key))
        found.append(_NOTHING)
        await send(changed)
        assert call.answer is not None
        found[0] = Answer(call.answer.metadata or {}, call.answer.trailing_metadata or {})
        return found[0]

    step: Proceed = proceed
    for each in reversed(middleware):
        step = _around(each, step)
    outgoing = attempts.outgoing(call, metadata)
    if await within(None if limit is None else limit + _GRACE, step(outgoing)) is LATE:
        raise deadline_exceeded(call, attempts.server.target)


_NOTHING = Answer({}, {})


def _around(middleware: Middleware, proceed: Proceed) -> Proceed:
    async def step(outgoing: OutgoingCall) -> Answer:
        answer = await middleware(outgoing, proceed)
        if not isinstance(answer, Answer) or answer is _NOTHING:
            raise TypeError(
                f"middleware: {name_of(middleware)} must return the answer of `proceed`, not {answer!r:.80}"
            )
        return answer

    return step
