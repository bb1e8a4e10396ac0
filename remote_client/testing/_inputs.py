"""Streamed inputs of bodies: iterables, blocking and async, that read a request's frames when they are asked."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from functools import partial
from typing import Any

from ..errors import InternalError

_END: Any = object()
Frames = AsyncIterator[Mapping[str, Any]]


class FrameReader:
    """Reads the frames of a streamed request, each of which has an item of every streamed parameter.

    Frames are read when a body asks for an item, so that a client that sends faster than the body reads has to wait.

    Args:
        frames: the frames as values by name.
        streamed: the names of the streamed parameters.

    Attributes:
        items: name -> the items that have been read.
    """

    def __init__(self, frames: Frames, streamed: Iterable[str]) -> None:
        self._frames = frames
        self._waiting: dict[str, deque[Any]] = {name: deque() for name in streamed}
        self._reading = asyncio.Lock()
        self._loop = asyncio.get_running_loop()
        self.items: dict[str, list[Any]] = {name: [] for name in streamed}

    async def first(self) -> Mapping[str, Any]:
        """Return the values of the first frame, which are also those of the other parameters.

        Raises:
            InternalError: there is none, which the real runtime does not answer either.
        """
        frame = await anext(self._frames, _END)
        if frame is _END:
            raise InternalError("")
        return self._keep(frame)

    def streams(self, convert: Callable[[str, Any], Any]) -> dict[str, InputStream]:
        """Return the streamed arguments; `convert` returns an item of a parameter as its declared type."""
        return {name: InputStream(self, name, partial(convert, name)) for name in self.items}

    async def item(self, name: str) -> Any:
        """Return the next item of a parameter.

        Raises:
            StopAsyncIteration: there are no more.
        """
        waiting = self._waiting[name]
        while not waiting:
            async with self._reading:
                if not waiting:  # another parameter's reader may have got a frame meanwhile
                    self._keep(await anext(self._frames))
        return waiting.popleft()

    def blocking_item(self, name: str) -> Any:
        """Return the next item of a parameter in a body's thread."""
        if _running_loop() is self._loop:
            raise RuntimeError(f"an async body reads {name} with `async for`: `for` would stop the runtime")
        return asyncio.run_coroutine_threadsafe(self._next(name), self._loop).result()

    async def _next(self, name: str) -> Any:
        try:
            return await self.item(name)
        except StopAsyncIteration:  # which a future cannot hold
            return _END

    def _keep(self, frame: Mapping[str, Any]) -> Mapping[str, Any]:
        for name, waiting in self._waiting.items():
            if name in frame:
                waiting.append(frame[name])
                self.items[name].append(frame[name])
        return frame


class InputStream:
    """A streamed argument, which plain functions read with `for`, coroutines with `async for`."""

    def __init__(self, reader: FrameReader, name: str, convert: Callable[[Any], Any]) -> None:
        self._reader = reader
        self._name = name
        self._convert = convert

    def __aiter__(self) -> InputStream:
        return self

    async def __anext__(self) -> Any:
        return self._convert(await self._reader.item(self._name))

    def __iter__(self) -> InputStream:
        return self

    def __next__(self) -> Any:
        item = self._reader.blocking_item(self._name)
        if item is _END:
            raise StopIteration
        return self._convert(item)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
