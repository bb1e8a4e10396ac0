"""What a blocking stream's answers can be read as. See `remote_client._calls.answers`."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, Generic, Self, TypeVar

from .._calls.answers import END_EVENT, answer_event, error_event
from .._calls.text_field import TextField

T = TypeVar("T")


class Answers(Iterator[T], Generic[T]):
    """The base of blocking streams: reads them to their end, or as something else."""

    _twin: Any

    @abstractmethod
    def aclose(self) -> None:
        """Cancel the call if it still runs."""

    def collect(self) -> list[T]:
        """Return the answers that are left, and close the stream."""
        try:
            return list(self)
        finally:
            self.aclose()

    def text(self, field: str | None = None) -> str:
        """Return the joined texts of the answers that are left, and close the stream.

        Args:
            field: the field of the answers that is read, by default their only text field.

        Raises:
            InputError: the answers have no such field, or several text fields. Nothing was sent, unless their type is
                not known before the first one, as of a method that was pickled.
        """
        texts = self.texts(field)
        try:
            return "".join(texts)
        finally:
            self.aclose()

    def texts(self, field: str | None = None) -> Texts:
        """Return an iterator of the answers' texts. Answers with an empty text are left out.

        Args:
            field: see `text`.

        Raises:
            InputError: see `text`.
        """
        return Texts(self, TextField(field, self._twin._descriptor))

    def sse(self) -> Events:
        """Return an iterator of server-sent events, as bytes: the body of a response of Flask, Django or Starlette.

        See `remote_client.RemoteStream.sse`.
        """
        return Events(self)


class _Reader(Iterator[T], Generic[T]):
    """An iterator over a stream's answers, and a context manager. It holds nothing but the stream."""

    def __init__(self, stream: Answers[Any]) -> None:
        self._stream = stream

    def __iter__(self) -> Self:
        return self

    def aclose(self) -> None:
        """Close the stream. Idempotent."""
        self._stream.aclose()

    def close(self) -> None:
        """Close the stream; servers of WSGI call this when the client leaves. Idempotent."""
        self.aclose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.aclose()


class Texts(_Reader[str]):
    """The texts of a stream's answers; see `RemoteStream.texts`."""

    def __init__(self, stream: Answers[Any], field: TextField) -> None:
        super().__init__(stream)
        self._field = field

    def __next__(self) -> str:
        while True:
            answer = next(self._stream)
            try:
                text = self._field.of(answer, self._stream._twin._descriptor)
            except BaseException:
                self.aclose()
                raise
            if text:
                return text


class Events(_Reader[bytes]):
    """The answers of a stream as server-sent events; see `RemoteStream.sse`."""

    _over = False

    def __next__(self) -> bytes:
        if self._over:
            raise StopIteration
        try:
            return answer_event(next(self._stream))
        except StopIteration:
            self._over = True
            return END_EVENT
        except Exception as error:
            if self._over:  # closed meanwhile, by another thread
                raise StopIteration from None
            self.aclose()
            return error_event(error)

    def aclose(self) -> None:
        """Close the stream. Idempotent."""
        self._over = True
        super().aclose()
