"""Requests as bytes, and what answers say about a body: headers and targets. Makes no calls."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from email.message import Message
from http.client import HTTP_PORT, HTTPS_PORT
from urllib.parse import quote

from pydantic_core import from_json

from ..._objects.content import Body, UnexpectedBody
from ..._text.cleaning import clean
from ..._text.redaction import redacted
from ...errors import UnsupportedError
from ...settings import ConnectionInfo
from ..http_errors import is_page
from ..metadata import RawMetadata

_JSON = "application/json"
_IS_JSON = re.compile(rb"application/(?:[^;]+\+)?json\b", re.IGNORECASE)
_MAX_DISPOSITION = 2_000
"""Letters of a header that names a file; file systems take names of 255, which escaping makes at most 765."""
_UNQUOTED = "!$%&'()*+,;=:@/?~[]|^\\"


def whole(body: object) -> bytes:
    """Return a request's body, which cannot be a stream.

    Raises:
        UnsupportedError: it is one.
    """
    if not isinstance(body, bytes):
        raise UnsupportedError("HTTP has no streamed inputs; connect to the runtime's gRPC port")
    return body


def content_type(body: bytes) -> str | None:
    """Return a body's type. The runtime refuses any other form of JSON's, a charset included."""
    return body.content_type if isinstance(body, Body) else _JSON if body else None


def split_path(path: str, body: bytes) -> tuple[str, str, bytes]:
    """Return the verb, the target and the body of a request: the arguments of other verbs than POST are the query."""
    verb, _, target = path.partition(" ")
    if body and verb != "POST":
        return verb, f"{target}?{body.decode('latin-1')}", b""
    return verb, target, body


def quoted(target: str) -> str:
    """Return a target as it may be sent: everything but printable ASCII is escaped, what is escaped already stays."""
    return quote(target, safe=_UNQUOTED)


def host_of(connection: ConnectionInfo) -> str:
    """Return the Host header, without the scheme's own port: gateways compare it with a name alone."""
    port = HTTPS_PORT if connection.tls.enabled else HTTP_PORT
    return connection.authority.removesuffix(f":{port}") if connection.port == port else connection.authority


def headers_of(metadata: RawMetadata, accept: str, kind: str | None) -> dict[str, str]:
    """Return a request's headers."""
    headers = {"accept": accept, "accept-encoding": "identity", "user-agent": "remote-client"}
    if kind is not None:
        headers["content-type"] = kind
    for name, value in metadata:
        headers[name] = value if isinstance(value, str) else base64.b64encode(value).decode()
    return headers


def as_answer(data: bytes, headers: dict[bytes, bytes], metadata: RawMetadata) -> bytes:
    """Return an answer's bytes, as a `Body` where they are a file, and `UnexpectedBody` where their type is not JSON's.

    Args:
        data: the answer's body.
        headers: the answer's.
        metadata: what the call was sent with: its secrets are not repeated.
    """
    disposition, kind = headers.get(b"content-disposition"), headers.get(b"content-type")
    if disposition is None:
        if kind is None or kind == b"application/json" or _IS_JSON.match(kind):
            return data
        return UnexpectedBody(data, clean(redacted(kind.decode("latin-1"), metadata), 80))
    kind = kind or b"application/octet-stream"
    return Body(data, kind.decode("latin-1"), _file_name(disposition))


def _file_name(disposition: bytes) -> str | None:
    """Return the name of a file; None for none, or one that is too long: reading it takes the square of its length."""
    if len(disposition) > _MAX_DISPOSITION:
        return None
    header = Message()
    header["content-disposition"] = disposition.decode("latin-1")
    return header.get_filename() or None


def is_answer(headers: Mapping[bytes, bytes]) -> bool:
    """Whether an answer may be the runtime's: JSON, or a file of any type, but no page for people."""
    kind = headers.get(b"content-type")
    return kind == b"application/json" or kind is None or b"content-disposition" in headers or not is_page(kind)


def is_event_stream(headers: dict[bytes, bytes]) -> bool:
    """Whether an answer is a stream of events."""
    kind = headers.get(b"content-type", b"")
    return kind.partition(b";")[0].strip().lower() == b"text/event-stream"


def is_compressed(headers: dict[bytes, bytes]) -> bool:
    """Whether an answer is encoded, though nothing but identity was accepted."""
    return headers.get(b"content-encoding", b"identity") != b"identity"


def is_cut(body: bytes) -> bool:
    """Whether an answer without framing ends in the middle of its JSON. What is no JSON counts as whole."""
    try:
        from_json(body, cache_strings="none")
    except ValueError as error:
        return bool(body) and str(error).startswith("EOF")
    return False
