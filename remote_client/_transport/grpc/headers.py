"""Header blocks of HTTP/2 (HPACK, RFC 7541), without I/O: requests as literals, responses decoded by `hpack`."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable

import hpack
from hpack.huffman_table import decode_huffman

# At DEBUG it logs the value of every header, secrets included.
logging.getLogger("hpack").setLevel(logging.CRITICAL)

FIELD_OVERHEAD = 32
"""Bytes that a field adds to the size of a header list besides its name and value (RFC 9113, 6.5.2)."""
_CACHED_HEADS, _CACHED_FIELDS, _CACHED_BYTES = 64, 256, 512
"""The numbers of blocks and fields that a connection caches, and the bytes of the largest."""
_CONNECTION_FIELDS = frozenset(
    [b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade", b"te"]
)
_NAME = frozenset(range(0x21, 0x7F)) - frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ:")
_FORBIDDEN_IN_VALUES = (b"\0", b"\r", b"\n")
_NO_TABLE = b"\x20"
"""A dynamic table size update to 0."""
_MANY_UPDATES = re.compile(rb"(?:[\x20-\x3e]|\x3f[\x80-\xff]*[\x00-\x7f]){3}")
"""More size updates at the beginning of a block than any use needs."""
_LONG = 127
"""The least length that takes more than one byte."""


class MalformedBlockError(Exception):
    """A header block cannot be decoded: the compression state is lost, and the connection with it."""


class Field:
    """One field of a header block.

    Attributes:
        name, value: as they were sent.
        size: its share of the size of a header list.
        fault: the reason why no block may contain it, if any.
        special: whether the framing needs it: a pseudo-header or the content length.
    """

    __slots__ = ("fault", "name", "size", "special", "value")

    def __init__(self, name: bytes, value: bytes) -> None:
        self.name, self.value = name, value
        self.size = len(name) + len(value) + FIELD_OVERHEAD
        self.special = name[:1] == b":" or name == b"content-length"
        self.fault = _fault(name, value)


class Head:
    """The fields of a header block, and whether they may be response headers or trailers.

    Attributes:
        fields: in order, pseudo-headers included.
        status: the HTTP status; 0 without one.
        content_length: the announced size of the body; -1 without one.
        fault: the reason why they cannot be response headers, if any.
        trailers_fault: the reason why they cannot be trailers, if any.
        size: the size of the header list, as limits count it.
        meaning: the result of the protocol above, cached for equal blocks.
    """

    __slots__ = ("content_length", "fault", "fields", "meaning", "size", "status", "trailers_fault")

    def __init__(self, fields: list[Field]) -> None:
        self.fields = fields
        self.status = self.size = 0
        self.content_length = -1
        self.meaning: object = None
        fault: str | None = None
        pseudo: list[bytes] = []
        for field in fields:
            self.size += field.size
            fault = fault or field.fault
            if field.special:
                fault = fault or self._read(field)
                if field.name[:1] == b":":
                    pseudo.append(field.name)
        self.trailers_fault = fault or (f"trailers with {pseudo[0]!r}" if pseudo else None)
        if fault is None and pseudo != [b":status"]:
            fault = f"an answer has the one pseudo-header ':status', not {pseudo!r:.200}"
        elif fault is None and fields[0].name != b":status":
            fault = "a pseudo-header after a regular one"
        self.fault = fault

    def _read(self, field: Field) -> str | None:
        """Set the attribute of a field that the framing needs; return its fault, if any."""
        value = field.value
        if field.name == b":status":
            if not (len(value) == 3 and value.isdigit()):
                return f"the status {value[:20]!r}"
            self.status = int(value)
        elif field.name == b"content-length":
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
    if any(character in value for character in _FORBIDDEN_IN_VALUES):
        return f"a control character in the value of {name[:40]!r}"
    return None


class HeadDecoder:
    """Decodes header blocks, and caches blocks and fields.

    Once the server has set its dynamic table to size 0 (this client announces HEADER_TABLE_SIZE 0), equal bytes mean
    equal fields. Before, every block is decoded as a whole.

    Args:
        limit: the bytes of a header list from which on a block is refused; no honest server exceeds them.
    """

    def __init__(self, limit: int) -> None:
        self._hpack = hpack.Decoder(max_header_list_size=limit)
        self._limit = limit
        self._heads: dict[bytes, Head] = {}
        self._fields: dict[bytes, Field] = {}
        self._names: dict[bytes, bytes] = {}
        """Names by the bytes that precede the value."""
        self._stateless = False

    def decode(self, block: bytes) -> Head:
        """Return the decoded block.

        Raises:
            MalformedBlockError: the block breaks the rules of HPACK, or exceeds the limit.
        """
        if self._stateless and (head := self._heads.get(block)) is not None:
            return head
        fields = self._cut(block) if self._stateless else None
        head = Head(self._decode(block) if fields is None else fields)
        if head.size > self._limit:
            raise MalformedBlockError(f"a header list of {head.size} bytes")
        if self._stateless and len(block) <= _CACHED_BYTES:
            if len(self._heads) >= _CACHED_HEADS:
                self._heads.clear()
            self._heads[block] = head
        return head

    def _decode(self, block: bytes) -> list[Field]:
        if _MANY_UPDATES.match(block):
            raise MalformedBlockError("more than two size updates")
        try:
            fields = [Field(bytes(name), bytes(value)) for name, value in self._hpack.decode(block, raw=True)]
        except Exception as error:  # hpack's own, and at times IndexError
            raise MalformedBlockError(f"{type(error).__name__}: {error}") from None
        self._stateless = self._hpack.header_table_size == 0
        return fields

    def _cut(self, block: bytes) -> list[Field] | None:
        """Return the fields of a block, most of them from the cache; None if `hpack` must decode all of it.

        The dates and request ids of proxies make every block different, and `hpack` takes 10 us a field.
        """
        known, fields = self._fields, []
        position, size = 0, len(block)
        while position < size:
            found = _find_field(block, position)
            if found is None or found[1] > size:
                return None
            value_at, end = found
            data = block[position:end]
            field = known.get(data)
            if field is None:
                field = self._read_field(data, value_at - position)
                if len(data) <= _CACHED_BYTES:
                    if len(known) >= _CACHED_FIELDS:
                        known.clear()
                    known[data] = field
            fields.append(field)
            position = end
        return fields

    def _read_field(self, data: bytes, value_at: int) -> Field:
        """Decode a field that is not cached; its name may be."""
        name = self._names.get(data[:value_at])
        if name is None:
            (field,) = self._decode(data)
            if len(self._names) >= _CACHED_FIELDS:
                self._names.clear()
            if value_at < len(data):
                self._names[data[:value_at]] = field.name
            return field
        value = data[value_at + 1 :]
        if data[value_at] & 0x80:
            try:
                value = decode_huffman(value)
            except hpack.HPACKDecodingError as error:
                raise MalformedBlockError(f"{type(error).__name__}: {error}") from None
        return Field(name, value)


def _find_field(block: bytes, position: int) -> tuple[int, int] | None:
    """Return the positions of a field's value and of its end (RFC 7541, 6).

    None for a size update, a long length, and a field that exceeds the block.
    """
    kind = block[position]
    if kind & 0x80:
        return (position + 1, position + 1) if kind != 0xFF else None
    if kind & 0xE0 == 0x20:
        return None
    mask = 0x3F if kind & 0x40 else 0x0F
    index = kind & mask
    position += 1
    try:
        if index == mask:
            if block[position] & 0x80:
                return None
            position += 1
        elif not index:
            if block[position] & _LONG == _LONG:
                return None
            position += 1 + (block[position] & _LONG)
        length = block[position] & _LONG
    except IndexError:
        return None
    return (position, position + 1 + length) if length != _LONG else None


def encode(fields: Iterable[tuple[bytes, bytes]], secret: bool = False) -> bytes:
    """Return fields as literals that enter no table, not even the tables of proxies if they are `secret`."""
    mark = b"\x10" if secret else b"\x00"
    return b"".join(mark + _string(name) + _string(value) for name, value in fields)


def encode_request(scheme: str, authority: str, path: str) -> bytes:
    """Return the pseudo-headers of a POST, which begin its header block.

    A size update that gives up the dynamic table comes first: servers that allow less than the default require it, and
    any block may begin with one.
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
    """Return a string literal without Huffman coding, which costs more time than the saved bytes are worth."""
    size = len(data)
    if size < 127:
        return bytes((size,)) + data
    length, size = bytearray(b"\x7f"), size - 127
    while size >= 128:
        length.append(size % 128 + 128)
        size //= 128
    length.append(size)
    return bytes(length) + data
