"""The iterators of streamed inputs: how they advance and how they are closed. Encodes and sends nothing."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterable, Iterable
from typing import Any

END = object()
"""What `Source.advance` returns where a source has no more items."""
CLOSE_TIME = 2.0
"""Seconds that a source may take to close."""
logger = logging.getLogger("remote_client")


class Source:
    """An iterable that a call reads. Whoever iterates closes: `aclose` is for the task that called `advance`.

    The iterator is closed by its `aclose` or `close`, which generators, files, and the streams of anyio and aiostream
    have; an iterable that gives an iterator of its own stays as it is. A source of which no item was asked stays open.
    """

    __slots__ = ("_iterator",)

    def __init__(self, iterator: Any) -> None:
        self._iterator = iterator

    async def advance(self) -> Any:
        """Return the next item, or `END`."""
        try:
            return next(self._iterator, END)
        except StopAsyncIteration as error:  # of a synchronous iterator it is no end
            raise RuntimeError("the iterator raised StopAsyncIteration") from error

    async def aclose(self) -> None:
        """Close the iterator, if it can be closed. What that raises is logged: the call has its own outcome."""
        try:
            async with asyncio.timeout(CLOSE_TIME):
                if (aclose := getattr(self._iterator, "aclose", None)) is not None:
                    await aclose()
                else:
                    close(self._iterator)
        except Exception as error:
            told = (
                f"did not close within {CLOSE_TIME} seconds" if isinstance(error, TimeoutError) else "failed to close"
            )
            logger.warning("a streamed input %s: %r", told, error, exc_info=error)


class _AsyncSource(Source):
    __slots__ = ("_entered",)

    def __init__(self, iterator: Any, *, is_ours: bool) -> None:
        super().__init__(iterator)
        # An aiostream warns unless its iterator is entered; one that was given as such is its owner's to enter.
        self._entered = not is_ours or not hasattr(iterator, "__aenter__")

    async def advance(self) -> Any:
        if not self._entered:
            self._entered = True
            await self._iterator.__aenter__()
        return await anext(self._iterator, END)


def source_of(iterable: Iterable[Any] | AsyncIterable[Any]) -> Source:
    """Return the source that reads an iterable."""
    if isinstance(iterable, AsyncIterable):
        iterator = aiter(iterable)
        return _AsyncSource(iterator, is_ours=iterator is not iterable)
    return Source(iter(iterable))


def collect(iterable: Iterable[Any]) -> list[Any]:
    """Return the items of an iterable, and close the iterator that gave them."""
    iterator = iter(iterable)
    try:
        return list(iterator)
    finally:
        close_quietly(iterator)


def close(iterator: Any) -> None:
    """Close an iterator that has a `close`."""
    ends = getattr(iterator, "close", None)
    if callable(ends):
        ends()


def close_quietly(iterator: Any) -> None:
    """As `close`; what that raises is logged."""
    try:
        close(iterator)
    except Exception as error:
        logger.warning("an input failed to close: %r", error, exc_info=error)
