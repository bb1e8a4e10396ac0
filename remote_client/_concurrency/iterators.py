"""The iterators of streamed inputs: how they advance and how they are closed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable, Iterable
from typing import Any

END = object()
"""Returned by `Source.advance` after the last item."""
CLOSE_TIME = 2.0
"""Seconds that closing an iterator may take."""
logger = logging.getLogger("remote_client")


class Source:
    """The iterator of a streamed input. The task that calls `advance` also calls `aclose`.

    Only the iterator is closed, by its `aclose` or `close`, which generators, files and the streams of anyio and
    aiostream have. An iterable that creates iterators is left open.
    """

    __slots__ = ("_iterator",)

    def __init__(self, iterator: Any) -> None:
        self._iterator = iterator

    async def advance(self) -> Any:
        """Return the next item, or `END`."""
        try:
            return next(self._iterator, END)
        except StopAsyncIteration as error:  # an error of a synchronous iterator, not its end
            raise RuntimeError("the iterator raised StopAsyncIteration") from error

    async def aclose(self) -> None:
        """Close the iterator, if it can be closed. An error is logged: the call has its own outcome."""
        try:
            async with asyncio.timeout(CLOSE_TIME):
                if (aclose := getattr(self._iterator, "aclose", None)) is not None:
                    await aclose()
                else:
                    close(self._iterator)
        except Exception as error:
            is_late = isinstance(error, TimeoutError)
            problem = f"did not close within {CLOSE_TIME} seconds" if is_late else "failed to close"
            logger.warning("a streamed input %s: %r", problem, error, exc_info=error)


class _AsyncSource(Source):
    __slots__ = ("_entered",)

    def __init__(self, iterator: Any, *, is_ours: bool) -> None:
        super().__init__(iterator)
        # aiostream warns if nobody enters its iterators. One that the user passed is the user's to enter.
        self._entered = not is_ours or not hasattr(iterator, "__aenter__")

    async def advance(self) -> Any:
        if not self._entered:
            self._entered = True
            await self._iterator.__aenter__()
        return await anext(self._iterator, END)


def source_of(iterable: Iterable[Any] | AsyncIterable[Any]) -> Source:
    """Return the source for an iterable."""
    if isinstance(iterable, AsyncIterable):
        iterator = aiter(iterable)
        return _AsyncSource(iterator, is_ours=iterator is not iterable)
    return Source(iter(iterable))


def collect(iterable: Iterable[Any]) -> list[Any]:
    """Return the items of an iterable, and close its iterator. An error of that is logged."""
    iterator = iter(iterable)
    try:
        return list(iterator)
    finally:
        try:
            close(iterator)
        except Exception as error:
            logger.warning("an input failed to close: %r", error, exc_info=error)


def close(iterator: Any) -> None:
    """Close an iterator that has a `close`."""
    method = getattr(iterator, "close", None)
    if callable(method):
        method()
