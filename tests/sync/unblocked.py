"""The blocking client in the shape of the asyncio client, so that the same tests run through both."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, get_origin

import remote_client
from remote_client import sync
from remote_client.sync._facade import Blocking

ASYNC = {
    sync.RemoteClient: remote_client.RemoteClient,
    sync.PredictionJob: remote_client.PredictionJob,
    sync.TrainingJob: remote_client.TrainingJob,
    sync.RemoteStream: remote_client.RemoteStream,
}
HANDLES = ("prediction_job", "training", "with_options")
"""Methods that send nothing, and are no coroutines in the asyncio client either."""


_END = object()


class Done:
    """What a call gave, to be awaited."""

    def __init__(self, value: Any) -> None:
        self._value = value

    def __await__(self) -> Generator[Any, None, Any]:
        yield from ()
        return self._value


class Unblocked:
    """A blocking object whose methods are awaited. They are called at once, and the test's loop stands still meanwhile.

    Args:
        blocking: the object.
        threads: call from a thread of its own, and not from inside of the running loop.
    """

    def __init__(self, blocking: Any, *, threads: bool) -> None:
        self._blocking = blocking
        self._threads = threads

    @property
    def __class__(self) -> Any:
        return next((ASYNC[kind] for kind in type(self._blocking).__mro__ if kind in ASYNC), Unblocked)

    def _call(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Done:
        if not self._threads:
            return Done(self._adapted(method(*args, **kwargs)))
        with ThreadPoolExecutor(1) as pool:
            return Done(self._adapted(pool.submit(method, *args, **kwargs).result()))

    def _adapted(self, value: Any) -> Any:
        return Unblocked(value, threads=self._threads) if isinstance(value, Blocking) else value

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._blocking, name)
        if not inspect.ismethod(found):
            return found

        @functools.wraps(found)
        def call(*args: Any, **kwargs: Any) -> Any:
            if name in HANDLES or get_origin(inspect.signature(found).return_annotation) is Iterator:
                return self._adapted(found(*args, **kwargs))
            return self._call(found, *args, **kwargs)

        call.__signature__ = inspect.signature(found)  # type: ignore[attr-defined]
        return call

    def __dir__(self) -> list[str]:
        return dir(self._blocking)

    def __repr__(self) -> str:
        return repr(self._blocking)

    def __aiter__(self) -> Unblocked:
        return self

    async def __anext__(self) -> Any:
        item = await self._call(next, self._blocking, _END)
        if item is _END:
            raise StopAsyncIteration
        return item

    async def __aenter__(self) -> Unblocked:
        await self._call(self._blocking.__enter__)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._call(self._blocking.__exit__, None, None, None)
