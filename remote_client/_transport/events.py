"""Server-sent events, without I/O: bytes in, events out."""

from __future__ import annotations

import re

_BREAK = re.compile(rb"\r\n|\r|\n")
_FIELD = len(b"data: ")


class EventReader:
    """Splits a `text/event-stream` into events, as https://html.spec.whatwg.org/multipage/server-sent-events.html says.

    Lines end at CR, LF or CRLF and nowhere else: U+2028 and U+0085 are part of the text, though `str.splitlines` and
    httpx's `aiter_lines` break there. What the bytes mean is left to whoever reads the event.

    Args:
        limit: bytes the data of an event may have; further lines count with their names.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._line: list[bytes] = []
        self._held = 0
        self._data: bytearray | None = None
        self._size = 0
        self._name = b""
        self._after_cr = False
        self.too_large = False
        """Whether the event that follows those given so far has no place in the limit. The reader is of no use then."""

    @property
    def pending(self) -> bool:
        """Whether an event has begun and not ended."""
        return bool(self._line) or self._data is not None

    def feed(self, chunk: bytes) -> list[tuple[bytes, bytes]]:
        """The events that this part of the stream completes: their names (`message` without one) and their data."""
        if not chunk:
            return []  # what follows may still be the second half of a CRLF
        if self._after_cr:
            self._after_cr = False
            chunk = chunk.removeprefix(b"\n")
            if not chunk:
                return []
        self._after_cr = chunk.endswith(b"\r")
        *lines, rest = _BREAK.split(chunk)
        events: list[tuple[bytes, bytes]] = []
        for line in lines:
            if self._line:
                line = b"".join((*self._line, line))  # noqa: PLW2901
                self._line.clear()
                self._held = 0
            if line:
                self._take(line)
            else:
                if self._data is not None:
                    events.append((self._name or b"message", bytes(self._data)))
                self._data, self._name = None, b""
            if self.too_large:
                return events
        if rest:
            self._line.append(rest)
            self._held += len(rest)
            self.too_large = self._held > self._limit + _FIELD
        return events

    def _take(self, line: bytes) -> None:
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"event":
            self._name = value
        elif field == b"data":
            if self._data is None:
                self._data = bytearray(value)
                self._size = len(line) - _FIELD
            else:
                self._data += b"\n"
                self._data += value
                self._size += len(line) + 1
            self.too_large = self._size > self._limit
