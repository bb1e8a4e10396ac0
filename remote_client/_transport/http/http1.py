"""HTTP/1.1 for a client's connection, without I/O: bytes in, events out, bytes to send.

llhttp, in its strict mode, parses headers and chunks. This module adds limits, finds the end of a response, and decides
whether the connection may be reused.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TypeAlias

import httptools

MAX_HEAD = 64 * 1024
"""Bytes of the largest response head, with those of interim responses (1xx) before it."""
MAX_FRAMING = 16 * 1024
"""Bytes between two parts of a chunked body: a chunk's size and extensions, or the trailers."""

_HEAD_END = b"\r\n\r\n"
_VERSIONS = (b"HTTP/1.1", b"HTTP/1.0")
_TAIL = 6
_START = 64
"""Bytes that are kept of an invalid response."""


@dataclass(slots=True)
class Head:
    """The head of a response.

    Attributes:
        status: the final status.
        headers: by their names in lower case; values of one name are joined by commas.
        framed: whether the response says where its body ends. Otherwise the connection's end does, and a truncated
            response looks complete.
    """

    status: int
    headers: dict[bytes, bytes]
    framed: bool


class End(enum.Enum):
    """A response is complete. Anything that follows it on the connection is ignored."""

    KEEP = enum.auto()
    """The connection may carry another request."""
    CLOSE = enum.auto()
    """The connection must be closed."""


@dataclass(slots=True)
class Malformed:
    """An invalid response. The connection must be closed.

    Attributes:
        detail: the reason.
        start: its first bytes, unless they are those of a response.
    """

    detail: str
    start: bytes = b""


@dataclass(slots=True)
class Cut:
    """The connection ended before the response did."""


Event: TypeAlias = Head | bytes | End | Malformed | Cut
"""The events of a response: its head, parts of its body, then one of the others."""


class _State(enum.Enum):
    IDLE = enum.auto()
    HEAD = enum.auto()
    LENGTH = enum.auto()
    CHUNKS = enum.auto()
    UNTIL_EOF = enum.auto()
    OVER = enum.auto()


class Http1:
    """One connection: requests and their responses, one after the other."""

    def __init__(self) -> None:
        self.unsent = 0
        """Bytes of the request body that have not been sent."""
        self._state = _State.IDLE
        self._to_head = False
        self._held = bytearray()
        """The beginning of an incomplete head."""
        self._interim = 0
        self._left = 0
        self._quiet = 0
        self._tail = b""
        self._status = 0
        self._headers: dict[bytes, bytes] = {}
        self._parts: list[bytes] = []
        self._complete = self._keep = self._began = False
        self.on_body = self._parts.append  # llhttp's callback
        self._parser: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)

    # -- requests -----------------------------------------------------------------------------------------------------

    def send_request(self, head: bytes, size: int = 0, *, to_head: bool = False) -> bytes:
        """Begin a request, and return the bytes of its head.

        Args:
            head: see `encode_head`.
            size: the size of the body, which `send_body` sends.
            to_head: whether it is a HEAD request, whose response has no body whatever its head says.

        Raises:
            RuntimeError: the connection cannot carry a request now.
        """
        if self._state is not _State.IDLE:
            raise RuntimeError("the connection cannot carry another request")
        self._state = _State.HEAD
        self._to_head = to_head
        self._interim = 0
        self.unsent = size
        return head

    def send_body(self, data: bytes | memoryview) -> bytes | memoryview:
        """Return the bytes to send for a part of the request body.

        Raises:
            RuntimeError: the body exceeds its announced size.
        """
        if len(data) > self.unsent:
            raise RuntimeError("the body is longer than its announced length")
        self.unsent -= len(data)
        return data

    @property
    def is_idle(self) -> bool:
        """Whether another request can be sent."""
        return self._state is _State.IDLE

    # -- answers ------------------------------------------------------------------------------------------------------

    def receive_data(self, data: bytes) -> list[Event]:
        """Take bytes from the server, and return the events they complete."""
        if not data:
            return []
        match self._state:
            case _State.HEAD:
                return self._receive_head(data)
            case _State.LENGTH | _State.CHUNKS | _State.UNTIL_EOF:
                return self._receive_body(data)
            case _State.IDLE:
                return self._malformed("the server sent something that nobody asked for", data)
        return []

    def receive_eof(self) -> list[Event]:
        """Return the events of the connection's end."""
        state = self._state
        self._finish()
        if state is _State.UNTIL_EOF:
            return [End.CLOSE]
        return [] if state in (_State.IDLE, _State.OVER) else [Cut()]

    def _malformed(self, detail: str, start: bytes | bytearray = b"") -> list[Event]:
        malformed = Malformed(detail, bytes(start[:_START]))
        self._finish()
        return [malformed]

    def _finish(self) -> None:
        """Stop reading. The parser is dropped, as a reference cycle would wait for the garbage collector."""
        self._state = _State.OVER
        self._held.clear()
        self._parts.clear()
        self._parser = None

    def _receive_head(self, data: bytes) -> list[Event]:
        """Give llhttp complete heads only: it copies an incomplete one with every piece."""
        searched = max(len(self._held) - len(_HEAD_END) + 1, 0)
        if self._held:
            self._held += data
            end = self._held.find(_HEAD_END, searched)
            if end >= 0:
                data = bytes(self._held)
                self._held.clear()
        else:
            end = data.find(_HEAD_END)
            if end < 0:
                self._held += data
        while end >= 0:
            end += len(_HEAD_END)
            if end + self._interim > MAX_HEAD:
                return self._malformed(f"its head is larger than {MAX_HEAD} bytes")
            if not data.startswith(_VERSIONS):
                return self._malformed(f"it begins with {data[: len(_VERSIONS[0])]!r}, not with HTTP/1.1", data)
            detail = self._parse(data[:end] if len(data) > end else data)
            if self._status != 101:  # where llhttp stops
                detail = detail or self._wrong_head()
                if detail is not None:
                    return self._malformed(detail)
            data = data[end:]
            if self._status == 101 or self._status >= 200:
                return self._take_head(data)
            self._interim += end
            end = data.find(_HEAD_END)
            self._held += data if end < 0 else b""
            searched = 0
        return self._wait_for_head(searched)

    def _wait_for_head(self, searched: int) -> list[Event]:
        """Check whether the buffered bytes can become a head."""
        held = self._held
        if len(held) + self._interim > MAX_HEAD:
            return self._malformed(f"its head is larger than {MAX_HEAD} bytes")
        start = bytes(held[: len(_VERSIONS[0])])
        if not any(version.startswith(start) for version in _VERSIONS):
            return self._malformed(f"it begins with {start!r}, not with HTTP/1.1", held)
        if held.find(b"\n\n", searched) >= 0:
            return self._malformed("its lines end with LF alone")
        return []

    def _parse(self, data: bytes) -> str | None:
        """Give bytes to llhttp, and return their fault, if any."""
        assert self._parser is not None
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            return None
        except httptools.HttpParserError as error:
            return str(error) or "it is not HTTP"
        return None

    def _wrong_head(self) -> str | None:
        """Return the fault of a head that llhttp accepted, if any."""
        status, headers = self._status, self._headers
        if not self._began:
            return "it is not HTTP"
        if status < 100:
            return f"its status is {status}"
        if status < 200 and not self._complete:
            return f"it has a body, in spite of its status {status}"
        coding = headers.get(b"transfer-encoding")
        if coding is not None and (coding.strip().lower() != b"chunked" or b"content-length" in headers):
            return "its transfer-encoding is not `chunked` alone"
        length = headers.get(b"content-length")
        if length is not None and not length.strip().isdigit():
            return "its content-length is not a number"
        return None

    def _take_head(self, rest: bytes) -> list[Event]:
        """Return the events of the final head and the bytes after it."""
        headers, self._headers = self._headers, {}
        self._held.clear()
        length = headers.get(b"content-length")
        chunked = b"transfer-encoding" in headers
        events: list[Event] = [Head(self._status, headers, chunked or length is not None or self._complete)]
        if self._status == 101:
            self._keep = False
            return [*events, self._end(b"")]
        if self._to_head and not self._complete:
            self._parser = httptools.HttpResponseParser(self)  # the old one waits for a body
            self._complete = True
        if self._complete:
            return [*events, self._end(rest)]
        if chunked:
            self._state, self._tail, self._quiet = _State.CHUNKS, b"", 0
        elif length is not None:
            self._state, self._left = _State.LENGTH, int(length)
        else:
            self._state = _State.UNTIL_EOF
        return events + self._receive_body(rest) if rest else events

    def _receive_body(self, data: bytes) -> list[Event]:
        rest = b""
        if self._state is _State.LENGTH:
            if len(data) > self._left:
                data, rest = data[: self._left], data[self._left :]
            self._left -= len(data)
        elif self._state is _State.CHUNKS:
            self._tail = data[-_TAIL:] if len(data) >= _TAIL else (self._tail + data)[-_TAIL:]
        detail = self._parse(data)
        parts = self._parts
        events: list[Event] = []
        if parts:
            events.append(parts[0] if len(parts) == 1 else b"".join(parts))
            parts.clear()
            self._quiet = 0
        else:
            self._quiet += len(data)
        if self._complete:
            if self._state is _State.CHUNKS and (detail or not self._is_clean_end()):
                rest = b"?"
            events.append(self._end(rest))
        elif detail is not None:
            events += self._malformed(detail)
        elif self._quiet > MAX_FRAMING and self._state is _State.CHUNKS:
            events += self._malformed(f"its framing or its trailers are larger than {MAX_FRAMING} bytes")
        return events

    def _is_clean_end(self) -> bool:
        """Return whether nothing follows a chunked body: llhttp ignores empty lines before a head."""
        return self._tail.endswith(_HEAD_END) and self._tail != b"\r\n" + _HEAD_END

    def _end(self, rest: bytes) -> End:
        if self._keep and not rest and not self.unsent:
            self._state = _State.IDLE
            return End.KEEP
        self._finish()
        return End.CLOSE

    # -- llhttp's callbacks -------------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """Begin a head."""
        if self._complete and self._state is not _State.HEAD:
            raise ValueError("another answer follows")  # stops the parser; the error is not used
        self._began, self._complete, self._keep, self._status = False, False, False, 0
        self._headers = {}

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header or a trailer."""
        if self._state is not _State.HEAD:
            return
        name, headers = name.lower(), self._headers
        headers[name] = headers[name] + b", " + value if name in headers else value

    def on_headers_complete(self) -> None:
        """Take the end of a head."""
        assert self._parser is not None
        self._began = True
        self._status = self._parser.get_status_code()
        self._keep = self._parser.should_keep_alive()

    def on_message_complete(self) -> None:
        """Take the end of a response."""
        self._complete = True


def encode_head(method: str, target: str, headers: list[tuple[str, str]]) -> bytes:
    """Return the head of a request, without the empty line that ends it.

    Raises:
        ValueError: it contains a line break or a NUL.
    """
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
    if any("\r" in line or "\n" in line or "\0" in line for line in lines) or " " in target:
        raise ValueError("a line break or a NUL in the head of a request")
    return ("\r\n".join(lines) + "\r\n").encode("latin-1")
