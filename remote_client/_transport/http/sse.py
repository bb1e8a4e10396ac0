"""Server-sent events, without I/O: bytes in, events out."""

from __future__ import annotations

_FIELD = len(b"data: ")
_ENDS = (b"\n", b"\r")


class EventReader:
    """Splits a `text/event-stream` into events, as https://html.spec.whatwg.org/multipage/server-sent-events.html says.

    Lines end at CR, LF or CRLF and nowhere else, as `bytes.splitlines` has it: U+2028 and U+0085 are part of the text,
    though `str.splitlines` and httpx's `aiter_lines` break there. The reader of an event decides what its bytes mean.

    Args:
        limit: bytes the data of an event may have; further lines count with their names.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._line: list[bytes] = []
        self._held = 0
        self._data: bytes | bytearray | None = None
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
        """Return the events that a part of the stream completes: their names (`message` without one) and their data."""
        if self._after_cr and chunk:
            self._after_cr = False
            chunk = chunk.removeprefix(b"\n")
        if not chunk:
            return []  # the next part may still be the second half of a CRLF
        lines = chunk.splitlines()
        if chunk.endswith(_ENDS):
            self._after_cr = chunk.endswith(b"\r")
            rest = b""
        else:
            rest = lines.pop()
        if self._line and lines:
            lines[0] = b"".join((*self._line, lines[0]))
            self._line.clear()
            self._held = 0
        events: list[tuple[bytes, bytes]] = []
        for line in lines:
            if line:
                self._take(line)
                if self.too_large:
                    return events
            else:
                if self._data is not None:
                    events.append((self._name or b"message", bytes(self._data)))
                self._data, self._name = None, b""
        if rest:
            self._line.append(rest)
            self._held += len(rest)
            self.too_large = self._held > self._limit + _FIELD
        return events

    def _take(self, line: bytes) -> None:
        field, _, value = line.partition(b":")
        if field == b"data":
            value = value.removeprefix(b" ")
            if self._data is None:
                self._data = value
                self._size = len(line) - _FIELD
            else:
                if not isinstance(self._data, bytearray):
                    self._data = bytearray(self._data)
                self._data += b"\n"
                self._data += value
                self._size += len(line) + 1
            self.too_large = self._size > self._limit
        elif field == b"event":
            self._name = value.removeprefix(b" ")
