"""gRPC over HTTP/2 (PROTOCOL-HTTP2.md), without I/O: timeouts, metadata, messages and statuses."""

from __future__ import annotations

import base64
import binascii
import struct
import zlib
from collections import deque
from dataclasses import dataclass, field
from math import ceil
from urllib.parse import unquote_to_bytes

from ..http_errors import Answer, read_answer
from ..metadata import RawMetadata
from ..status_codes import CODES
from .headers import Head

RESET_CODES = {
    # PROTOCOL-HTTP2.md, "Errors"; every other code is INTERNAL.
    0x7: "UNAVAILABLE",  # REFUSED_STREAM
    0x8: "CANCELLED",
    0xB: "RESOURCE_EXHAUSTED",  # ENHANCE_YOUR_CALM
    0xC: "PERMISSION_DENIED",  # INADEQUATE_SECURITY
}
"""The status of a stream that the server reset, by HTTP/2 error code."""
_PREFIX = struct.Struct(">BL")
_RESERVED = (b":", b"grpc-", b"content-type")
_PREFIX_SIZE = 5
_SMALL = 1024
"""Parts of fewer bytes are joined: separate objects would take many times their size."""


class MessageError(Exception):
    """A body that contains no valid messages, or one over the limit.

    Attributes:
        too_large: whether the limit was exceeded.
    """

    def __init__(self, text: str, too_large: bool = False) -> None:
        super().__init__(text)
        self.too_large = too_large


@dataclass(frozen=True, slots=True)
class Status:
    """The end of a call.

    Attributes:
        code: the name of gRPC's status.
        message: the server's message.
        pushback: the value of `grpc-retry-pushback-ms`; None without one.
        http_answer: a response that is not gRPC, whose body may follow; None for a gRPC response.
        metadata: the trailing metadata; values of keys in `-bin` are bytes.
        bare: whether there were no headers before it and no metadata, as when an overloaded server sheds a call.
    """

    code: str
    message: str = ""
    pushback: str | None = None
    metadata: RawMetadata = field(default=(), repr=False)
    http_answer: Answer | None = None
    bare: bool = False


@dataclass(frozen=True, slots=True)
class AnswerHead:
    """The meaning of response headers.

    Attributes:
        encoding: the compression of its messages.
        status: the status, if the response is trailers only or not gRPC.
        is_grpc: whether the response is gRPC.
    """

    encoding: str
    status: Status | None
    is_grpc: bool


# -- requests ---------------------------------------------------------------------------------------------------------


def encode_timeout(seconds: float) -> bytes:
    """Return the value of `grpc-timeout`: at most eight digits and a unit, rounded up."""
    for unit, scale in ((b"u", 1e6), (b"m", 1e3), (b"S", 1.0), (b"M", 1 / 60)):
        count = ceil(seconds * scale)
        if count < 10**8:
            return b"%d%b" % (max(count, 1), unit)
    return b"%dH" % min(ceil(seconds / 3600), 10**8 - 1)


def encode_metadata(metadata: RawMetadata) -> list[tuple[bytes, bytes]]:
    """Return metadata as header fields; bytes go out as base64 without padding."""
    return [
        (name.encode(), base64.b64encode(value).rstrip(b"=") if isinstance(value, bytes) else value.encode())
        for name, value in metadata
    ]


def frame_message(data: bytes, compress: bool = False) -> bytes:
    """Return a message with its prefix, compressed by gzip on request if that makes it smaller."""
    if compress:
        packer = zlib.compressobj(wbits=31)
        packed = packer.compress(data) + packer.flush()
        if len(packed) < len(data):
            return _PREFIX.pack(1, len(packed)) + packed
    return _PREFIX.pack(0, len(data)) + data


# -- answers ----------------------------------------------------------------------------------------------------------


class MessageReader:
    """Splits a body into messages, one at a time: unread messages cost only their bytes.

    Args:
        limit: bytes of the largest message, after decompression; None for no limit.

    Attributes:
        encoding: the compression of messages.
        error: the reason why the next message cannot be read, if any.
        ready: whether `take` returns a message.
        held: the number of bytes of messages that were not read yet.
    """

    __slots__ = ("_buffer", "_length", "_limit", "_packed", "_parts", "_position", "encoding", "error", "held", "ready")

    def __init__(self, limit: int | None, encoding: str = "identity") -> None:
        self.encoding = encoding
        self.error: MessageError | None = None
        self.ready = False
        self.held = 0
        self._limit = limit
        self._buffer: bytes | memoryview = b""
        self._position = 0
        self._parts: deque[bytes | memoryview] = deque()
        """The parts that follow the buffer."""
        self._length = -1
        """The length of the next message; -1 until its prefix has arrived."""
        self._packed = 0

    @property
    def pending(self) -> bool:
        """Whether there are unread messages, or a part of one."""
        return self.held > 0

    @property
    def more_than_one(self) -> bool:
        """Whether anything follows the first message."""
        return 0 <= self._length < self.held - _PREFIX_SIZE

    def feed(self, data: bytes | memoryview) -> None:
        """Add a part of the body."""
        if self.held:
            parts = self._parts
            if parts and len(data) < _SMALL and len(parts[-1]) < _SMALL:
                parts[-1] = b"".join((parts[-1], data))
            else:
                parts.append(data)
        else:
            self._buffer, self._position = data, 0
        self.held += len(data)
        if self._length < 0:
            self._look()
        else:
            self.ready = self.error is None and self._length + _PREFIX_SIZE <= self.held

    def take(self) -> bytes | None:
        """Return the next message; None if it is not complete, or cannot be read (see `error`)."""
        if not self.ready:
            return None
        length = self._length
        start = self._position + _PREFIX_SIZE
        end = start + length
        if end > len(self._buffer):
            data = self._gather(start, length)
        else:
            part = self._buffer[start:end]
            data = part if isinstance(part, bytes) else bytes(part)
            self._position = end
        self.held -= length + _PREFIX_SIZE
        packed = self._packed
        self._look()
        if packed:
            try:
                data = self._unpacked(data)
            except MessageError as error:
                self.error, self.ready = error, False
                return None
        return data

    def _look(self) -> None:
        """Read the next message's prefix, if it has arrived."""
        self._length, self.ready = -1, False
        if self.held < _PREFIX_SIZE:
            return
        while len(self._buffer) - self._position < _PREFIX_SIZE:
            self._buffer = b"".join((self._buffer[self._position :], self._parts.popleft()))
            self._position = 0
        packed, length = _PREFIX.unpack_from(self._buffer, self._position)
        if packed or (self._limit is not None and length > self._limit):
            self._check(packed, length)
        self._packed, self._length = packed, length
        self.ready = length + _PREFIX_SIZE <= self.held and self.error is None

    def _check(self, packed: int, length: int) -> None:
        if packed > 1:
            self.error = MessageError(f"the answer's body is not made of messages: it has a flag of {packed}")
        elif self._limit is not None and length > self._limit:
            self.error = MessageError(f"received message larger than max ({length} vs. {self._limit})", too_large=True)
        elif self.encoding != "gzip":
            self.error = MessageError(f"the answer is compressed by {self.encoding[:40]!r}, which was not accepted")

    def _gather(self, start: int, length: int) -> bytes:
        """Return a message that extends beyond the buffer, copied once, however many parts it came in."""
        pieces = [self._buffer[start:]]
        missing = length - len(pieces[0])
        part: bytes | memoryview = b""
        while missing > 0:
            part = self._parts.popleft()
            pieces.append(part if len(part) <= missing else part[:missing])
            missing -= len(part)
        self._buffer, self._position = part, len(part) + min(missing, 0)
        return b"".join(pieces)

    def _unpacked(self, data: bytes) -> bytes:
        unpacker = zlib.decompressobj(wbits=31)
        # One byte over the limit proves a larger message, without the memory that a zip bomb would take.
        most = 0 if self._limit is None else self._limit + 1
        try:
            unpacked = unpacker.decompress(data, most)
        except zlib.error as error:
            raise MessageError(f"the answer cannot be decompressed: {error}") from None
        if most and len(unpacked) >= most:
            raise MessageError(f"received message larger than max (over {self._limit}, unpacked)", too_large=True)
        if not unpacker.eof or unpacker.unused_data:
            problem = "it has bytes left over" if unpacker.eof else "it is cut short"
            raise MessageError(f"the answer cannot be decompressed: {problem}")
        return unpacked


def read_head(head: Head, end: bool) -> AnswerHead:
    """Return the meaning of response headers; `end` if nothing follows them."""
    known = head.meaning
    if isinstance(known, AnswerHead) and not end:
        return known
    fields = {header.name: header.value for header in head.fields}
    kind = fields.get(b"content-type", b"")
    is_grpc = kind == b"application/grpc" or kind.startswith((b"application/grpc+", b"application/grpc;"))
    status: Status | None = None
    if b"grpc-status" in fields:
        status = _status(head, bare=end)
    elif head.status != 200 or not is_grpc:
        status = Status("UNKNOWN", f"HTTP status {head.status}", http_answer=read_answer(head.status, fields))
    elif end:
        status = Status("UNKNOWN", "the server ended the call without a status")
    encoding = fields.get(b"grpc-encoding", b"identity").decode("latin-1")
    answer = AnswerHead(encoding, status, is_grpc or b"grpc-status" in fields)
    if not end:
        head.meaning = answer
    return answer


def read_trailers(head: Head) -> Status:
    """Return the status in trailers."""
    known = head.meaning
    if isinstance(known, Status):
        return known
    status = _status(head, bare=False)
    head.meaning = status
    return status


def read_metadata(head: Head) -> RawMetadata:
    """Return the fields that are metadata; values of keys in `-bin` are decoded."""
    found: list[tuple[str, str | bytes]] = []
    for header in head.fields:
        if not header.name.startswith(_RESERVED):
            key = header.name.decode("latin-1")
            found.append((key, _binary(header.value) if key.endswith("-bin") else header.value.decode("latin-1")))
    return tuple(found)


def _status(head: Head, bare: bool) -> Status:
    fields = {header.name: header.value for header in head.fields}
    value = fields.get(b"grpc-status")
    if value is None:
        return Status("UNKNOWN", "the server ended the call without a status", metadata=read_metadata(head))
    number = int(value) if value.isdigit() and len(value) <= 3 else -1
    code = CODES[number] if 0 <= number < len(CODES) else "UNKNOWN"
    message = unquote_to_bytes(fields.get(b"grpc-message", b"")).decode("utf-8", "replace")
    if code == "UNKNOWN" and number != 2:
        message = f"the unknown status {value[:20].decode('latin-1')!r}; {message}"
    pushback = fields.get(b"grpc-retry-pushback-ms")
    metadata = read_metadata(head)
    return Status(
        code,
        message,
        pushback=None if pushback is None else pushback.decode("latin-1"),
        metadata=metadata,
        bare=bare and not metadata,
    )


def _binary(value: bytes) -> bytes:
    """Decode base64 with or without padding: the first of several values of a key, which are joined by commas."""
    first = value.partition(b",")[0]
    try:
        return binascii.a2b_base64(first + b"=" * (-len(first) % 4))
    except binascii.Error:
        return b""
