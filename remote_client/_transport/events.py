"""Server-sent events, without I/O: bytes in, events out."""

from __future__ import annotations

import re

_BREAK = re.compile(rb"\r\n|\r|\n")


class EventTooLargeError(Exception):
    """An event is larger than its limit."""


class EventReader:
    """Splits a `text/event-stream` into events, as https://html.spec.whatwg.org/multipage/server-sent-events.html says.

    Lines end at CR, LF or CRLF and nowhere else: U+2028 and U+0085 are part of the text, though `str.splitlines` and
    httpx's `aiter_lines` break there. What the bytes mean is left to whoever reads the event.

    Args:
        limit: bytes an event may have.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._line: list[bytes] = []
        self._data: list[bytes] = []
        self._name = b""
        self._held = 0
        self._after_cr = False

    @property
    def pending(self) -> bool:
        """Whether an event has begun and not ended."""
        return bool(self._line or self._data)

    def feed(self, chunk: bytes) -> list[tuple[bytes, bytes]]:
        """The events that this part of the stream completes: their names (`message` without one) and their data.

        Raises:
            EventTooLargeError: the event that has begun is too large.
        """
        if self._after_cr:
            chunk = chunk.removeprefix(b"\n")
            self._after_cr = False
        if not chunk:
            return []
        self._after_cr = chunk.endswith(b"\r")
        *lines, rest = _BREAK.split(chunk)
        events: list[tuple[bytes, bytes]] = []
        for line in lines:
            if self._line:
                line = b"".join((*self._line, line))  # noqa: PLW2901
                self._line.clear()
            if line:
                self._take(line)
            elif self._data:
                events.append((self._name or b"message", b"\n".join(self._data)))
                self._clear()
            else:
                self._clear()
        if rest:
            self._line.append(rest)
        self._held += len(chunk) if not events else len(rest)
        if self._held > self._limit:
            raise EventTooLargeError
        return events

    def _take(self, line: bytes) -> None:
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._data.append(value)
        elif field == b"event":
            self._name = value

    def _clear(self) -> None:
        self._data = []
        self._name = b""
        self._held = 0
