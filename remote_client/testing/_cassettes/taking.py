"""Calls as they pass a recorder, until they are lines of its cassette."""

from __future__ import annotations

import re

from .format import Answer, RecordedCall
from .messages import Messages
from .secrets import Pairs, Secrets, in_method

PARTIAL = (
    "the cassette has only the beginning of this stream, as its reader left early when it was recorded; record it anew "
    "and read it to its end"
)
"""The error that ends a stream of which no more is known."""
_EVENT = re.compile(rb".*?(?:\r\n\r\n|\n\n|\r\r)|.+\Z", re.DOTALL)
"""A server-sent event with the empty line that ends it, or the rest."""


class Taking:
    """A call that passes.

    Args:
        method: as in `RecordedCall`.
        metadata: the request's metadata or headers.
        model_key: the metadata key that names the model.

    Attributes:
        metadata: as given.
        headers, trailers: the metadata of the answer.
        status, details: its status; empty until it is known.
        is_kept: whether the cassette has it, or is about to.
    """

    def __init__(self, method: str, metadata: Pairs, model_key: str) -> None:
        self.method = method
        self.metadata = metadata
        self.headers: Pairs = ()
        self.trailers: Pairs = ()
        self.status: str | int = ""
        self.details = ""
        self.is_kept = False
        self._secrets = Secrets(metadata, model_key)
        self._requests: list[bytes] = []
        self._answers: list[Answer] = []
        self._is_input_whole = False

    def sent(self, data: bytes | None) -> None:
        """Note a message of the client before it is sent on; None for the end of its input."""
        if data is None:
            self._is_input_whole = True
        else:
            self._requests.append(data)

    def came(self, data: bytes) -> None:
        """Note a message of the server."""
        self._answers.append(Answer(data, self._progress))

    @property
    def is_unary(self) -> bool:
        """Whether the client has sent one message, as far as is known."""
        return len(self._requests) == 1

    @property
    def is_answered(self) -> bool:
        """Whether the client has got anything of the answer; over HTTP it gets a body as a whole, unless it streams."""
        if isinstance(self.status, int):
            return is_stream(self.headers)
        return bool(self._answers or self.headers or self.trailers)

    @property
    def _progress(self) -> int:
        return len(self._requests) + self._is_input_whole

    def done(self, messages: Messages, *, is_whole: bool) -> RecordedCall:
        """Return the line, without secrets.

        Args:
            messages: what is known of the server's messages.
            is_whole: whether the server ended the call.
        """
        secrets = self._secrets
        return RecordedCall(
            method=in_method(self.method),
            metadata=secrets.kept,
            requests=tuple(
                secrets.in_request(messages.without_credentials(self.method, data)) for data in self._requests
            ),
            # grpc.aio gives a client that leaves for one whose input has ended.
            is_input_whole=self._is_input_whole and is_whole,
            status=self.status,
            details=secrets.in_text(self.details),
            headers=secrets.of_answer(self.headers),
            answers=tuple(Answer(secrets.in_answer(answer.data), answer.after) for answer in self._messages()),
            trailers=secrets.of_answer(self.trailers),
            ended_after=self._progress if is_whole else len(self._requests),
            is_whole=is_whole,
        )

    def _messages(self) -> list[Answer]:
        """Return the messages; of a stream over HTTP, which comes in pieces, the events."""
        if not is_stream(self.headers):
            return self._answers
        body = b"".join(answer.data for answer in self._answers)
        return [Answer(event) for event in _EVENT.findall(body)]


def is_stream(headers: Pairs) -> bool:
    """Return whether an HTTP answer is a stream of server-sent events."""
    return any(name.lower() == "content-type" and str(value).startswith("text/event-stream") for name, value in headers)
