"""The messages of streamed inputs. Reads the caller's iterables and encodes their items; sends nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable
from typing import Any

from .._concurrency.iterators import END, Source, source_of
from .._schema.rpc import RemoteRPCDescriptor
from ..errors import InputError


def request_messages(
    descriptor: RemoteRPCDescriptor, constants: bytes, streams: dict[str, Any]
) -> AsyncIterator[bytes]:
    """Return the messages of a streamed input. Lists are encoded at once, so that an InputError precedes the call."""
    if not all(isinstance(stream, (list, tuple)) for stream in streams.values()):
        return _LazyMessages(descriptor, constants, streams)
    lengths = {name: len(stream) for name, stream in streams.items()}
    if len(set(lengths.values())) > 1:
        counts = ", ".join(f"{name} has {length} items" for name, length in lengths.items())
        raise InputError(f"{descriptor.name}(): streams must be of equal length: {counts}")
    encode = descriptor.codec.frame
    rows = enumerate(zip(*streams.values(), strict=True))
    return EncodedMessages([encode(constants, dict(zip(streams, row, strict=True)), index) for index, row in rows])


class EncodedMessages(AsyncIterator[bytes]):
    """Messages that are encoded already.

    Attributes:
        taken: whether the call took a message; then it may not be sent again.
        sent: the number of messages that it took.
    """

    def __init__(self, messages: Iterable[bytes]) -> None:
        self.taken = False
        self.sent = 0
        self._messages = iter(messages)

    async def __anext__(self) -> bytes:
        self.taken = True
        message = next(self._messages, None)
        if message is None:
            raise StopAsyncIteration
        self.sent += 1
        return message


class _LazyMessages(AsyncIterator[bytes]):
    """Advances several streams in step and encodes their items. See `EncodedMessages` for `taken` and `sent`."""

    def __init__(self, descriptor: RemoteRPCDescriptor, constants: bytes, streams: dict[str, Any]) -> None:
        self.taken = False
        self._descriptor = descriptor
        self._constants = constants
        self._streams = streams
        self._sources: dict[str, Source] = {}
        self.sent = 0

    async def __anext__(self) -> bytes:
        self.taken = True
        if not self._sources:
            for name, stream in self._streams.items():
                self._sources[name] = source_of(stream)  # one by one: `aclose` closes those before one that fails
        items = {name: await source.advance() for name, source in self._sources.items()}
        ended = [name for name, item in items.items() if item is END]
        if len(ended) == len(items):
            raise StopAsyncIteration
        if ended:
            raise InputError(
                f"{self._descriptor.name}(): streams must be of equal length: {', '.join(ended)} ended after "
                f"{self.sent} items, {', '.join(items.keys() - set(ended))} did not"
            )
        message = self._descriptor.codec.frame(self._constants, items, self.sent)
        self.sent += 1
        return message

    async def aclose(self) -> None:
        """Close the streams, in the task that read them."""
        for source in self._sources.values():
            await source.aclose()
