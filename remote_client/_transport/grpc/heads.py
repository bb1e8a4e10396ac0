"""Header blocks of HTTP/2 (HPACK, RFC 7541), without I/O: requests written as literals, answers read by `hpack`."""

from __future__ import annotations

import logging
from collections.abc import Iterable

import hpack

# At DEBUG it writes every header's value, secrets included.
logging.getLogger("hpack").setLevel(logging.CRITICAL)

Fields = tuple[tuple[bytes, bytes], ...]

FIELD_OVERHEAD = 32
"""Bytes that each field counts in the size of a header list, besides its name and value (RFC 9113, 6.5.2)."""
_CACHED_HEADS, _CACHED_BYTES = 64, 512
"""Blocks a connection remembers, and the largest that is worth it."""
_CONNECTION_FIELDS = frozenset(
    [b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade", b"te"]
)
_NAME = frozenset(range(0x21, 0x7F)) - frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ:")
_FORBIDDEN_IN_VALUES = (b"\0", b"\r", b"\n")
_NO_TABLE = b"\x20"
"""A dynamic table size update to 0."""


class MalformedBlockError(Exception):
    """A header block cannot be decoded: the state of the compression is lost, and the connection with it."""


class Head:
    """The fields of a header block, and whether they may be an answer's head or its trailers.

    Attributes:
        fields: names and values in order, pseudo-headers included.
        status: the HTTP status; 0 where the block has none.
        content_length: the announced size of the body; -1 without one.
        fault: why the block cannot be an answer's head; None where it can.
        trailers_fault: why it cannot be trailers; None where it can.
        size: the size of the header list, as limits count it.
        meaning: what the protocol above makes of it, kept for the next time.
    """

    __slots__ = ("content_length", "fault", "fields", "meaning", "size", "status", "trailers_fault")

    def __init__(self, fields: Fields) -> None:
        self.fields = fields
        self.status = 0
        self.content_length = -1
        self.size = sum(len(name) + len(value) + FIELD_OVERHEAD for name, value in fields)
        self.meaning: object = None
        pseudo = [name for name, _ in fields if name[:1] == b":"]
        common = next(filter(None, (_fault(name, value) for name, value in fields)), None) or self._read()
        self.trailers_fault = common or (f"trailers with {pseudo[0]!r}" if pseudo else None)
        if common is None and pseudo != [b":status"]:
            common = f"an answer has the one pseudo-header ':status', not {pseudo!r}"
        elif common is None and fields[0][0] != b":status":
            common = "a pseudo-header after a regular one"
        self.fault = common

    def _read(self) -> str | None:
        """Take what the framing needs; returns what is wrong with it."""
        for name, value in self.fields:
            if name == b":status":
                if not (len(value) == 3 and value.isdigit()):
                    return f"the status {value[:20]!r}"
                self.status = int(value)
            elif name == b"content-length":
                if not (value.isdigit() and len(value) < 20) or self.content_length not in (-1, int(value)):
                    return f"the content-length {value[:20]!r}"
                self.content_length = int(value)
        return None


def _fault(name: bytes, value: bytes) -> str | None:
    bare = name.removeprefix(b":")
    if not bare or not _NAME.issuperset(bare):
        return f"the field name {name[:40]!r}"
    if bare in _CONNECTION_FIELDS:
        return f"the connection's own field {name!r}"
    if any(each in value for each in _FORBIDDEN_IN_VALUES):
        return f"a control character in the value of {name!r}"
    return None


class HeadDecoder:
    """Decodes header blocks, and remembers those that decode alike each time.

    Once the peer's dynamic table has no room (we announce HEADER_TABLE_SIZE 0), equal blocks mean equal fields; until
    its first block says so, every block is decoded.

    Args:
        limit: bytes of a header list that no honest peer exceeds; beyond it a block is refused as a whole.
    """

    def __init__(self, limit: int) -> None:
        self._hpack = hpack.Decoder(max_header_list_size=limit)
        self._known: dict[bytes, Head] = {}
        self._stateless = False

    def decode(self, block: bytes) -> Head:
        """Return the head.

        Raises:
            MalformedBlockError: the block breaks the rules of HPACK, or exceeds the limit.
        """
        if self._stateless and (head := self._known.get(block)) is not None:
            return head
        try:
            fields = tuple((bytes(name), bytes(value)) for name, value in self._hpack.decode(block, raw=True))
        except Exception as error:  # hpack has a family of its own, and lets IndexError pass in odd places
            raise MalformedBlockError(f"{type(error).__name__}: {error}") from None
        head = Head(fields)
        self._stateless = self._hpack.header_table_size == 0
        if self._stateless and len(block) <= _CACHED_BYTES:
            if len(self._known) >= _CACHED_HEADS:
                self._known.clear()
            self._known[block] = head
        return head


def encode(fields: Iterable[tuple[bytes, bytes]], secret: bool = False) -> bytes:
    """Return fields as literals that enter no table; `secret` ones no proxy may put into a table of its own either."""
    mark = b"\x10" if secret else b"\x00"
    return b"".join(mark + _string(name) + _string(value) for name, value in fields)


def encode_request(scheme: str, authority: str, path: str) -> bytes:
    """Return the pseudo-headers of a POST, which begin its header block.

    They begin with a size update that gives up the dynamic table: a peer that allows less than the default demands it,
    and it may stand in front of every block.
    """
    return b"".join(
        (
            _NO_TABLE,
            b"\x83",  # :method POST, index 3 of the static table
            b"\x87" if scheme == "https" else b"\x86",
            b"\x04" + _string(path.encode()),
            b"\x01" + _string(authority.encode()),
        )
    )


def _string(data: bytes) -> bytes:
    """A string literal without Huffman coding, which takes Python longer than the bytes it saves are worth."""
    size = len(data)
    if size < 127:
        return bytes((size,)) + data
    length, size = bytearray(b"\x7f"), size - 127
    while size >= 128:
        length.append(size % 128 + 128)
        size //= 128
    length.append(size)
    return bytes(length) + data
