"""Runs the bodies of declared methods: coroutines in the servers' loop, plain functions in threads."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any

from .._concurrency.threads import run_in_thread

_END: Any = object()
Write = Callable[[Any], Awaitable[None]]


async def run(body: Callable[..., Any], arguments: dict[str, Any]) -> Any:
    """Return what a body returns."""
    if inspect.iscoroutinefunction(body) or inspect.isasyncgenfunction(body):
        answer = body(**arguments)
    else:
        answer = await run_in_thread(partial(body, **arguments))
    return await answer if inspect.isawaitable(answer) else answer


async def stream(body: Callable[..., Any], arguments: dict[str, Any], write: Write) -> None:
    """Write the answers of a body as they come: those of a generator, or of any (async) iterable."""
    answers = await run(body, arguments)
    if not hasattr(answers, "__aiter__"):
        await _stream_blocking(answers, write)
        return
    try:
        async for answer in answers:
            await write(answer)
    finally:
        if inspect.isasyncgen(answers):  # else it would go on holding what it holds when the client has left
            await answers.aclose()


async def _stream_blocking(answers: Iterable[Any], write: Write) -> None:
    iterator = iter(answers)
    while (answer := await run_in_thread(next, iterator, _END)) is not _END:
        await write(answer)
