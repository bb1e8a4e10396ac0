"""Server-sent events, without I/O: bytes in, events out."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic_core import from_json

from ..http_errors import SILENCED

LOST_WITHIN = f"the connection was lost before the stream had ended; {SILENCED}"
UNFRAMED = (
    "the answer has no framing: whether it is whole cannot be known; let the proxy answer in HTTP/1.1, with its "
    "chunked_transfer_encoding on"
)
"""The error of a stream that ended with its connection."""
_USUAL = b"event: message"
_DATA = b"data: "
_FIELD = len(_DATA)
_ENDS = (b"\n", b"\r")


class EventReader:
    """Splits a `text/event-stream` into events (https://html.spec.whatwg.org/multipage/server-sent-events.html).

    Lines end at CR, LF or CRLF only, as in `bytes.splitlines`: U+2028 and U+0085 are part of the text, though
    `str.splitlines` and httpx's `aiter_lines` break there.

    Args:
        limit: bytes of the largest event; of further lines, the field names count as well.

    Attributes:
        too_large: whether the next event exceeds the limit. The reader cannot be used any more then.
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

    @property
    def pending(self) -> bool:
        """Whether there is an incomplete event."""
        return bool(self._line) or self._data is not None

    def feed(self, chunk: bytes) -> list[tuple[bytes, bytes]]:
        """Return the names (`message` by default) and data of the events that a part of the stream completes."""
        if self._after_cr and chunk:
            self._after_cr = False
            chunk = chunk.removeprefix(b"\n")
        if not chunk:
            return []  # the next part may be the LF of a CRLF
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
        data = self._data
        for line in lines:
            if not line:
                if data is not None:
                    events.append((self._name or b"message", bytes(data)))
                data, self._name = None, b""
            elif line == _USUAL:
                self._name = b""
            elif data is None and line.startswith(_DATA):
                data = line[_FIELD:]
                self._size = len(data)
                self.too_large = self._size > self._limit
            else:
                data = self._take(line, data)
            if self.too_large:
                return events
        self._data = data
        if rest:
            self._line.append(rest)
            self._held += len(rest)
            self.too_large = self._held > self._limit + _FIELD
        return events

    def _take(self, line: bytes, data: bytes | bytearray | None) -> bytes | bytearray | None:
        """Return the event's data with the addition of a line."""
        field, _, value = line.partition(b":")
        if field == b"event":
            self._name = value.removeprefix(b" ")
        elif field == b"data":
            value = value.removeprefix(b" ")
            if data is None:
                data, self._size = value, len(line) - _FIELD
            else:
                if not isinstance(data, bytearray):
                    data = bytearray(data)
                data += b"\n"
                data += value
                self._size += len(line) + 1
            self.too_large = self._size > self._limit
        return data


def says_it_is_last(data: bytes) -> bool:
    """Return whether an event of caikit's text generation is the last: it contains the reason of the end."""
    if b"finish_reason" not in data:
        return False
    try:
        content = from_json(data, cache_strings="keys")
    except ValueError:
        return False
    if not isinstance(content, Mapping):
        return False
    candidates = (content, content.get("details"))
    reasons = (found.get("finish_reason") for found in candidates if isinstance(found, Mapping))
    return any(reason not in (None, 0, "NOT_FINISHED") for reason in reasons)
