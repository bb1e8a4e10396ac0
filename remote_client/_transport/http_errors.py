"""The typed errors of HTTP error responses, over both protocols: the runtime's own, and those of proxies.

Pure: no I/O, no clock of its own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple
from urllib.parse import SplitResult, urlsplit

from .._text.cleaning import clean
from .._text.redaction import redacted
from ..errors import (
    InvalidResponseError,
    RemoteCallError,
    ResourceExhaustedError,
    StreamTruncatedError,
    UnauthenticatedError,
    UnavailableError,
)
from .call import Call
from .metadata import RawMetadata
from .retry import retry_after
from .status_codes import CODES, http_error_class

MAX_ERROR_SIZE = 64 * 1024
"""Bytes that are read of an error response."""
PATIENCE = 1.0
"""Seconds that its body may take after its headers: a proxy may never end it."""
_MESSAGE_KEYS = ("details", "detail", "error_description", "message", "error")
"""The keys of an error's message: caikit's, FastAPI's, OAuth's, and those that gateways use."""
_FASTAPI = frozenset([400, 404, 405, 415, 422])
"""The statuses that FastAPI sends before any code of the runtime runs."""
_INTERRUPTED = frozenset([408, 499, 502, 503, 504])
"""The statuses after which even the runtime does not know whether the call was executed."""
_CDN = frozenset([*range(520, 528), 530])
_SHOWN = 200
"""Characters of a title or a URL that an error shows."""

_READ_TIMEOUTS = (
    "nginx: grpc_read_timeout or proxy_read_timeout; HAProxy: timeout server; Envoy: stream_idle_timeout, and the "
    "route's timeout; nghttpx: backend-read-timeout"
)
_NO_BACKEND = "a proxy or gateway answers so when it gets no valid answer from the server behind it"
_WANTS_LOGIN = "the server, or a gateway before it, wants other credentials"
_TOO_LARGE = "a proxy, or the server, accepts no request this large"
_EXPLANATIONS: dict[int, str] = {
    401: _WANTS_LOGIN,
    403: f"{_WANTS_LOGIN}, or does not allow the call",
    404: "nothing is served at this path: the target may be another server's, or a gateway does not pass the path on",
    405: "the target may be another server's, or a gateway does not pass the path on",
    407: "a proxy on the way wants credentials of its own",
    408: "a proxy, or the server, waited too long for the request",
    413: _TOO_LARGE,
    414: _TOO_LARGE,
    421: "no server for this host name: a proxy chose by TLS's server name, and that is another's",
    429: "too many requests for the server, or for a gateway before it",
    431: "a proxy, or the server, accepts no metadata (headers) this large",
    502: _NO_BACKEND,
    503: "a proxy or gateway answers so when no server is there behind it, and a server when it is overloaded",
    504: f"a proxy or gateway answers so when the server behind it takes too long: its read timeout ({_READ_TIMEOUTS})",
    511: "the network wants a login first (a captive portal)",
    **dict.fromkeys(_CDN, "a CDN answers so when it gets no valid answer, or none in time, from the server behind it"),
}
"""Who may send a status, and why, for responses that do not say."""
_NOT_FOUND = {"detail": "Not Found"}
"""The response of FastAPI, and so of a runtime, for an unknown path."""
NO_ROUTE = (
    "Not Found: the server has no such path; it is another server or an older runtime, or a gateway leaves its own "
    "path before the runtime's"
)
"""The message of that error."""
_NO_HTTP = (
    "a proxy passed on what is no HTTP/1.1: the server behind it speaks HTTP/2 (gRPC), and so must the proxy (nginx: "
    "grpc_pass, not proxy_pass)"
)
_NO_METHOD = (
    "no such method, without a word: a proxy answers so when it has no route for this host name or path (Envoy: the "
    "virtual host's domains)"
)
SILENCED = f"proxies end calls that are silent for longer than their read timeout ({_READ_TIMEOUTS})"
"""A likely reason why a stream was cut that the server had no reason to end."""
_SILENT_INPUT = "proxies end streams whose input pauses for longer than their limit (nginx: client_body_timeout)"
_ENVOYS = "stream timeout"
"""Envoy's message for `stream_idle_timeout`; its status depends on whether the input was complete."""
_PINGS = (
    "; a runtime allows two that come within grpc.http2.min_ping_interval_without_data_ms (5 minutes): lower it in its "
    "runtime.grpc.options, or raise grpc.keepalive_time_ms here"
)
_CLASSES: dict[int, type[RemoteCallError]] = {
    407: UnauthenticatedError,
    414: ResourceExhaustedError,
    421: UnavailableError,
    431: ResourceExhaustedError,
    504: UnavailableError,  # from the runtime a deadline, from a proxy a server that it cannot reach
    511: UnauthenticatedError,
    **dict.fromkeys(_CDN, UnavailableError),
}
"""The error classes of statuses that the runtime does not send; the others have that of `http_error_class`."""

RUNTIMES_OWN = frozenset(CODES) - {"OK", "CANCELLED", "UNKNOWN", "DEADLINE_EXCEEDED", "UNAVAILABLE"}
"""The gRPC statuses by which the runtime itself says that it did not execute a call.

The others also come from a proxy, or from a library in the server, for calls that it may have passed on.
"""
_PROTOCOL_ERROR, _INTERNAL_ERROR, _CANCEL = 0x1, 0x2, 0x8


class Answer(NamedTuple):
    """An error response, or one of the wrong type.

    Attributes:
        status: the HTTP status.
        body: the beginning of the body.
        kind: the value of `Content-Type`; empty without one.
        location: the value of `Location`; None without one.
        retry_after: the value of `Retry-After`; None without one.
        is_compressed: whether the body is compressed, and therefore ignored.
    """

    status: int
    body: bytes = b""
    kind: str = ""
    location: str | None = None
    retry_after: str | None = None
    is_compressed: bool = False

    def with_body(self, body: bytes) -> Answer:
        # `_replace` would put a tuple into CPython's free list each time, up to 2,000 of them.
        return self if self.is_compressed else Answer(self.status, body, *self[2:])


def read_answer(status: int, headers: Mapping[bytes, bytes]) -> Answer:
    """Return a response without its body; the names of headers are in lower case."""

    def value(name: bytes) -> str | None:
        found = headers.get(name)
        return None if found is None else found.decode("latin-1")

    return Answer(
        status,
        kind=value(b"content-type") or "",
        location=value(b"location"),
        retry_after=value(b"retry-after"),
        is_compressed=headers.get(b"content-encoding", b"identity") != b"identity",
    )


def is_page(kind: bytes) -> bool:
    """Return whether a content type is HTML, which no runtime sends."""
    return kind.partition(b";")[0].strip().lower() in (b"text/html", b"application/xhtml+xml")


def answer_error(answer: Answer, call: Call, target: str, *, wanted: str, now: float) -> RemoteCallError:
    """Return the typed error of a response. The call's outcome is known only if the runtime itself reports it.

    Args:
        answer: the response.
        call: the call, whose secrets the error must not repeat.
        target: the server.
        wanted: the expected response: `JSON`, `gRPC` or `a stream of events`.
        now: the Unix time.
    """
    content, kind = redacted(_parsed(answer.body), call.secrets), redacted(answer.kind, call.secrets)
    if isinstance(content, Mapping) and _is_runtimes(content, answer.status):
        failure = _json_error(content, answer.status, call, target)
        failure.outcome_known = answer.status not in _INTERRUPTED
    else:
        failure = _edge_error(answer._replace(kind=kind), content, call, target, wanted)
    failure.pushback = retry_after(answer.retry_after, now)
    return failure


def event_error(body: bytes, call: Call, target: str) -> RemoteCallError:
    """Return the typed error of an `error` event, whose body contains the status; without one it is 500."""
    content = redacted(_parsed(body), call.secrets)
    if not isinstance(content, Mapping):
        content = {"details": content}
    code = content.get("code")
    status = code if isinstance(code, int) and 400 <= code < 600 else 500
    failure = _json_error(content, status, call, target)
    failure.outcome_known = status not in _INTERRUPTED
    return failure


def _json_error(
    content: Mapping[str, Any],
    status: int,
    call: Call,
    target: str,
    kind: type[RemoteCallError] | None = None,
    explanation: str = "",
) -> RemoteCallError:
    """Return the error of a JSON object; the explanation replaces a missing message, `kind` caikit's error class."""
    error_id = content.get("id")
    return (kind or http_error_class(status))(
        NO_ROUTE if status == 404 and content == _NOT_FOUND else _message(content) or explanation,
        method=call.method,
        target=target,
        http_status=status,
        error_id=clean(error_id, 100) if isinstance(error_id, str) else None,
        additional_info=content.get("additional_info"),
    )


def _edge_error(answer: Answer, content: Any, call: Call, target: str, wanted: str) -> RemoteCallError:
    """Return the error of a response that is not the runtime's."""
    status, metadata = answer.status, call.secrets
    if status < 100:  # nginx's 000
        return InvalidResponseError(_NO_HTTP, method=call.method, target=target, http_status=status)
    if 200 <= status < 300:
        found = f"{_kind(answer.kind)}{' (compressed)' * answer.is_compressed}"
        details = f"HTTP status {status}, but {found}, not {wanted}{_beginning(answer, content, metadata)}"
        return InvalidResponseError(details, method=call.method, target=target, http_status=status)
    kind = _CLASSES.get(status) or http_error_class(status)
    if 300 <= status < 400:
        return kind(_redirect(answer, call), method=call.method, target=target, http_status=status)
    explanation = _EXPLANATIONS.get(status, "")
    if isinstance(content, Mapping):
        return _json_error(content, status, call, target, kind, explanation)
    details = content
    if not content.strip():
        details = f"HTTP status {status}: {explanation}" if explanation else ""
    elif _is_html(answer, content):
        details = "; ".join(part for part in (_title(content, metadata), explanation) if part)
    return kind(details, method=call.method, target=target, http_status=status)


def reset_reason(
    code: int, *, started: bool, within: bool, uploads: bool = False
) -> tuple[type[RemoteCallError], str] | None:
    """Return the error class and the likely reason of a reset by a proxy; None if gRPC's table of codes applies.

    A proxy resets a stream whose server is gone or silent for too long. INTERNAL would look like the model's error.

    Args:
        code: HTTP/2's error code.
        started: whether the response has begun.
        within: whether it was in the middle of a stream.
        uploads: whether the request is a stream.
    """
    if code == _PROTOCOL_ERROR and uploads:
        return StreamTruncatedError if within else UnavailableError, _SILENT_INPUT
    if not started and code in (_INTERNAL_ERROR, _CANCEL):
        return UnavailableError, SILENCED
    return (StreamTruncatedError, SILENCED) if within and code == _INTERNAL_ERROR else None


def explained_status(status: str, message: str) -> tuple[type[RemoteCallError] | None, str]:
    """Return the message of a gRPC status with advice, and the error class if it is not the status's own."""
    if message == _ENVOYS and status in ("UNKNOWN", "UNAVAILABLE"):
        return UnavailableError, f"{message}; {SILENCED}"
    return None, message + (_NO_METHOD if status == "UNIMPLEMENTED" and not message else pings_advice(message))


def pings_advice(message: str) -> str:
    """Return advice for a server that complains of too many PINGs; nothing for any other message."""
    return _PINGS if message.replace("_", " ").lower() == "too many pings" else ""


# -- the content of the response --------------------------------------------------------------------------------------


def _parsed(body: bytes) -> Any:
    """Return the JSON object of a body, else its text."""
    from pydantic_core import from_json

    try:
        # Values are not cached, as error ids never repeat.
        content = from_json(body, cache_strings="keys")
    except ValueError:
        content = None
    return content if isinstance(content, Mapping) else body.decode("utf-8", "replace")


def _is_runtimes(content: Mapping[str, Any], status: int) -> bool:
    """Return whether an error is the runtime's own: caikit's `{details, code, id}`, or FastAPI's `{detail}`."""
    if content.keys() == {"detail"}:
        return status in _FASTAPI
    return "details" in content and content.get("code") == status and isinstance(content.get("id"), str)


def _message(content: Mapping[str, Any]) -> str:
    invalid = _validation_errors(content.get("additional_info")) or _validation_errors(content.get("detail"))
    message = invalid or next(filter(None, map(content.get, _MESSAGE_KEYS)), None)
    return message if isinstance(message, str) else ""


def _validation_errors(errors: Any) -> str:
    """Return the paths and messages of FastAPI's validation errors."""
    if not isinstance(errors, list):
        return ""
    shown = [error for error in errors[:5] if isinstance(error, Mapping) and isinstance(error.get("loc"), list)]
    return "; ".join(f"{'.'.join(map(str, error['loc']))}: {error.get('msg')}" for error in shown)


def _kind(kind: str) -> str:
    return clean(kind, 80) or "without a content type"


def _beginning(answer: Answer, content: Any, metadata: RawMetadata) -> str:
    """Return the end of a sentence about a response of the wrong type: how it begins."""
    if isinstance(content, Mapping):
        return f": {message}" if (message := _message(content)) else ""
    if _is_html(answer, content):
        page = f" ({title})" if (title := _title(content, metadata)) else ""
        return f": it is a page{page}, such as that of a login, a proxy or another server"
    return f": {text[:_SHOWN]}" if (text := content.strip()) else ""


def _is_html(answer: Answer, text: str) -> bool:
    return is_page(answer.kind.encode("latin-1", "replace")) or bool(_HTML.match(text))


_HTML = re.compile(r"\s*(<!doctype html|<html|<head|<body)", re.IGNORECASE)
_TAG = re.compile(r"<[^<>]*>")


def _title(page: str, metadata: RawMetadata) -> str:
    """Return a page's title, else its first heading, else the beginning of its text."""
    found = _element(page, "title") or _element(page, "h1")
    return _text(found, metadata) or _text(page, metadata)


def _element(page: str, name: str) -> str:
    """Return the content of the first such element. A regular expression would take very long on a hostile page."""
    lower = page.lower()
    if len(lower) != len(page):
        lower = page  # some letters get longer in lower case
    start = lower.find(">", lower.find(f"<{name}")) + 1 if f"<{name}" in lower else 0
    end = lower.find(f"</{name}", start)
    return page[start:end] if 0 < start <= end else ""


def _text(page: str, metadata: RawMetadata) -> str:
    import html  # here, as few servers answer with pages

    words = html.unescape(_TAG.sub(" ", page[:_BEGINNING])).split()
    text: str = redacted(" ".join(words), metadata)  # again, as any letter may be an entity
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


_BEGINNING = 4096


def _redirect(answer: Answer, call: Call) -> str:
    """Return the message of a redirect, with scheme, host and path; the query and the user may be secret."""
    unknown = "a redirect, which is not followed: calls carry credentials"
    try:
        parts = urlsplit(answer.location or "")
        _ = parts.port  # raises
    except ValueError:
        return unknown
    host, path = parts.netloc.rpartition("@")[2], parts.path
    scheme = f"{parts.scheme}:" * bool(parts.scheme)
    place: str = redacted(f"{scheme}//{host}{path}" if host else path, call.secrets)
    if not place:
        return unknown
    hint: str = redacted(_hint(parts, host, call.method), call.secrets)
    return f"a redirect to {place[:_SHOWN]}, which is not followed: calls carry credentials{hint}"


def _hint(parts: SplitResult, host: str, method: str) -> str:
    """Return the target to use if a redirect leads to the same path over TLS."""
    verb, _, route = method.rpartition(" ")
    route = route.partition("?")[0]
    if parts.scheme != "https" or not parts.path.endswith(route):
        return ""
    return f"; use https://{host}{parts.path.removesuffix(route)}" if verb else f"; use grpcs://{host}"
