"""The headers and targets of requests, and the content type and file name of responses. Pure."""

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
"""The longest header with a file name: file systems allow 255 bytes, which escaping makes at most 765."""
_UNQUOTED = "!$%&'()*+,;=:@/?~[]|^\\"


def whole(body: object) -> bytes:
    """Return a request body, or raise an UnsupportedError if it is a stream."""
    if not isinstance(body, bytes):
        raise UnsupportedError("HTTP has no streamed inputs; connect to the runtime's gRPC port")
    return body


def content_type(body: bytes) -> str | None:
    """Return the content type of a body. The runtime rejects any other spelling of JSON's, even one with a charset."""
    return body.content_type or None if isinstance(body, Body) else _JSON if body else None


def split_path(path: str, body: bytes) -> tuple[str, str, bytes]:
    """Return the verb, target and body of a request.

    The arguments of verbs other than POST become the query, unless they are a `Body`.
    """
    verb, _, target = path.partition(" ")
    if body and verb != "POST" and not isinstance(body, Body):
        return verb, f"{target}?{body.decode('latin-1')}", b""
    return verb, target, body


def quoted(target: str) -> str:
    """Return a target with everything but printable ASCII escaped; existing escapes stay."""
    return quote(target, safe=_UNQUOTED)


def host_of(connection: ConnectionInfo) -> str:
    """Return the Host header, without the scheme's default port: gateways compare it with bare names."""
    port = HTTPS_PORT if connection.tls.enabled else HTTP_PORT
    return connection.authority.removesuffix(f":{port}") if connection.port == port else connection.authority


def headers_of(metadata: RawMetadata, accept: str, kind: str | None, user_agent: str) -> dict[str, str]:
    headers = {"accept": accept, "accept-encoding": "identity", "user-agent": user_agent}
    if kind is not None:
        headers["content-type"] = kind
    for name, value in metadata:
        headers[name] = value if isinstance(value, str) else base64.b64encode(value).decode()
    return headers


def metadata_in(headers: Mapping[bytes, bytes]) -> RawMetadata:
    """Return response headers as metadata."""
    return tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in headers.items())


def as_answer(data: bytes, headers: dict[bytes, bytes], metadata: RawMetadata) -> bytes:
    """Return an answer's bytes, as a `Body` where they are a file, and `UnexpectedBody` where their type is not JSON's.

    Args:
        data: the response body.
        headers: the response headers.
        metadata: the metadata of the call, whose secrets must not be repeated.
    """
    disposition, kind = headers.get(b"content-disposition"), headers.get(b"content-type")
    if disposition is None:
        if kind is None or kind == b"application/json" or _IS_JSON.match(kind):
            return data
        return UnexpectedBody(data, clean(redacted(kind.decode("latin-1"), metadata), 80))
    kind = kind or b"application/octet-stream"
    return Body(data, kind.decode("latin-1"), _file_name(disposition))


def _file_name(disposition: bytes) -> str | None:
    """Return a file's name, if it has a reasonable length: parsing takes quadratic time."""
    if len(disposition) > _MAX_DISPOSITION:
        return None
    header = Message()
    header["content-disposition"] = disposition.decode("latin-1")
    return header.get_filename() or None


def is_answer(headers: Mapping[bytes, bytes]) -> bool:
    """Return whether a response may be the runtime's: JSON, or a file of any type, but not HTML."""
    kind = headers.get(b"content-type")
    return kind == b"application/json" or kind is None or b"content-disposition" in headers or not is_page(kind)


def is_event_stream(headers: dict[bytes, bytes]) -> bool:
    """Return whether a response is a stream of events."""
    kind = headers.get(b"content-type", b"")
    return kind.partition(b";")[0].strip().lower() == b"text/event-stream"


def is_compressed(headers: dict[bytes, bytes]) -> bool:
    """Return whether a response is encoded, though only identity was accepted."""
    return headers.get(b"content-encoding", b"identity") != b"identity"


def is_cut(body: bytes) -> bool:
    """Return whether a response without framing ends in the middle of its JSON; anything else counts as whole."""
    try:
        from_json(body, cache_strings="none")
    except ValueError as error:
        return bool(body) and str(error).startswith("EOF")
    return False
