"""What a stream's answers can be read as: a list, text, server-sent events."""

from __future__ import annotations

import asyncio
import logging
from abc import abstractmethod
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from .._text.events import event
from ..errors import RemoteCallError, UnavailableError
from .text_field import TextField

if TYPE_CHECKING:
    from .._schema.rpc import RemoteRPCDescriptor

T = TypeVar("T")
logger = logging.getLogger("remote_client")
END_EVENT = event("{}", "end")
"""Tells a browser to close its `EventSource`, which would make the call again otherwise."""


class Answers(AsyncIterator[T], Generic[T]):
    """The base of streams: reads them to their end, or as something else."""

    _descriptor: RemoteRPCDescriptor

    @abstractmethod
    async def aclose(self) -> None:
        """Cancel the call if it still runs."""

    async def collect(self) -> list[T]:
        """Return the answers that are left, and close the stream."""
        try:
            return [answer async for answer in self]
        finally:
            await self.aclose()

    async def text(self, field: str | None = None) -> str:
        """Return the joined texts of the answers that are left, and close the stream.

        Args:
            field: the field of the answers that is read, by default their only text field.

        Raises:
            InputError: the answers have no such field, or several text fields. Nothing was sent, unless their type is
                not known before the first one, as of a method that was pickled.
        """
        texts = self.texts(field)
        try:
            return "".join([text async for text in texts])
        finally:
            await self.aclose()

    def texts(self, field: str | None = None) -> Texts:
        """Return an async iterator of the answers' texts. Answers with an empty text are left out.

        Args:
            field: see `text`.

        Raises:
            InputError: see `text`.
        """
        return Texts(self, TextField(field, self._descriptor))

    def sse(self) -> Events:
        """Return an async iterator of server-sent events, as bytes: the body of a response of Starlette or FastAPI.

        Every answer is a `message` with its JSON. The last event is an `end`, at which a browser closes its
        `EventSource`; or an `error`, if the call failed. Its JSON has the error's `status`, its `details`, and an `id`
        for the logs: caikit's, or the request's. Errors are logged, and those that are not the runtime's have no
        details.
        """
        return Events(self)


class _Reader(AsyncIterator[T], Generic[T]):
    """An async iterator over a stream's answers, and an async context manager. It holds nothing but the stream."""

    def __init__(self, stream: Answers[Any]) -> None:
        self._stream = stream

    def __aiter__(self) -> Self:
        return self

    async def aclose(self) -> None:
        """Close the stream. Idempotent."""
        await self._stream.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()


class Texts(_Reader[str]):
    """The texts of a stream's answers; see `RemoteStream.texts`."""

    def __init__(self, stream: Answers[Any], field: TextField) -> None:
        super().__init__(stream)
        self._field = field

    async def __anext__(self) -> str:
        while True:
            answer = await anext(self._stream)
            try:
                text = self._field.of(answer, self._stream._descriptor)
            except BaseException:
                await self.aclose()
                raise
            if text:
                return text


class Events(_Reader[bytes]):
    """The answers of a stream as server-sent events; see `RemoteStream.sse`."""

    _over = False

    async def __anext__(self) -> bytes:
        # Reading answers that have arrived does not suspend: without this a server would not hear that a browser left.
        await asyncio.sleep(0)
        if self._over:
            raise StopAsyncIteration
        try:
            return answer_event(await anext(self._stream))
        except StopAsyncIteration:
            self._over = True
            return END_EVENT
        except Exception as error:
            if self._over:  # closed meanwhile, by another task
                raise StopAsyncIteration from None
            await self.aclose()
            return error_event(error)

    async def aclose(self) -> None:
        """Close the stream. Idempotent."""
        self._over = True
        await super().aclose()


def answer_event(answer: Any) -> bytes:
    """Return the event of an answer: its JSON, with null for numbers that JSON does not have."""
    from pydantic_core import from_json, to_json  # here, as they are loaded with the first schema

    from .._schema.plain_values import json_text

    text = json_text(_message_dict(answer) if hasattr(answer, "DESCRIPTOR") else answer)
    if "NaN" in text or "Infinity" in text:
        text = to_json(from_json(text), inf_nan_mode="null").decode()
    return event(text)


def _message_dict(message: Any) -> Any:
    from google.protobuf.json_format import MessageToDict  # here, as only `output="proto"` needs it

    return MessageToDict(message, preserving_proto_field_name=True)


def error_event(error: Exception) -> bytes:
    """Return the event of the error that ended a stream, and log the error.

    People see it in browsers: it has the runtime's message, but no addresses, and no error of the service itself.
    """
    status, details, id = "INTERNAL", "internal error", None
    is_call = isinstance(error, RemoteCallError)
    if isinstance(error, RemoteCallError):
        status, id = error.status, error.error_id or error.request_id
        details = "the runtime cannot be reached" if isinstance(error, UnavailableError) else error.details
    logger.warning("the error event %s: %s", id, error, exc_info=None if is_call else error)
    import json

    return event(json.dumps({"status": status, "details": details, "id": id}), "error")
