"""The header blocks of requests, cached for calls with equal metadata. Pure."""

from __future__ import annotations

from functools import lru_cache

from ...settings import ConnectionInfo
from ..call import Call
from ..grpc_options import GrpcOptions
from ..metadata import REQUEST_ID, RawMetadata
from .headers import FIELD_OVERHEAD, encode, encode_request
from .messages import encode_metadata, encode_timeout

Block = tuple[bytes, int]
"""A header block, and the size of its header list."""
_KEPT = 256
"""The number of header blocks that are cached."""


class RequestHeads:
    """Makes the header blocks of a server's calls."""

    def __init__(self, connection: ConnectionInfo, options: GrpcOptions) -> None:
        self._scheme = "https" if connection.tls.enabled else "http"
        self._authority = options.authority or connection.authority
        agent = (options.primary_user_agent, connection.user_agent, options.secondary_user_agent)
        fixed = [
            (b"content-type", b"application/grpc"),
            (b"te", b"trailers"),
            (b"user-agent", " ".join(filter(None, agent)).encode()),
            (b"grpc-accept-encoding", b"identity,gzip"),
        ]
        if options.compression == "gzip":
            fixed.append((b"grpc-encoding", b"gzip"))
        self._fixed = encode(fixed)
        self._fixed_size = _size(fixed)
        self._blocks: dict[tuple[str, RawMetadata], Block] = {}

    def block(self, call: Call) -> Block:
        """Return the header block of a call, without its timeout."""
        key = (call.path, call.metadata)
        found = self._blocks.get(key)
        if found is None:
            if len(self._blocks) >= _KEPT:
                self._blocks.clear()  # the metadata changes with every call
            found = self._blocks[key] = self._make(call)
        return found

    def _make(self, call: Call) -> Block:
        metadata = encode_metadata(call.metadata)
        pseudo = (":method", "POST", ":scheme", self._scheme, ":path", call.path, ":authority", self._authority)
        size = sum(map(len, pseudo)) + 4 * FIELD_OVERHEAD + self._fixed_size + _size(metadata)
        return encode_request(self._scheme, self._authority, call.path) + self._fixed + encode(
            metadata, secret=True
        ), size


ID_OVERHEAD = FIELD_OVERHEAD + len(REQUEST_ID)
"""The size of the id's field in a header list, without that of the id."""
_ID_NAME = b"\x00" + bytes((len(REQUEST_ID),)) + REQUEST_ID.encode()


def id_block(request_id: str) -> bytes:
    """Return the field of a call's id, which follows its header block."""
    return b"%b%c%b" % (_ID_NAME, len(request_id), request_id.encode())


@lru_cache(maxsize=256)
def timeout_block(seconds: float) -> bytes:
    """Return the `grpc-timeout` field, which follows a call's header block."""
    return encode(((b"grpc-timeout", encode_timeout(seconds)),))


def _size(fields: list[tuple[bytes, bytes]]) -> int:
    return sum(len(name) + len(value) + FIELD_OVERHEAD for name, value in fields)
