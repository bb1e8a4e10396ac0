"""Error answers over HTTP, on both protocols: the runtime's own, and those of proxies in its place.

Pure: no I/O, no clock of its own.
"""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
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
from .metadata import RawMetadata
from .retry import retry_after
from .status_codes import http_error_class

MAX_ERROR_SIZE = 64 * 1024
"""Bytes that are read of an answer that reports an error."""
PATIENCE = 1.0
"""Seconds that the body of such an answer may take after its head: a proxy may never end it."""
_WORDS = ("details", "detail", "error_description", "message", "error")
"""Where an error's words are: caikit's name, FastAPI's, OAuth's, and those that gateways use."""
_FASTAPI = frozenset([400, 404, 405, 415, 422])
"""The statuses that FastAPI gives on the runtime's behalf, before any of its code runs."""
_INTERRUPTED = frozenset([408, 499, 502, 503, 504])
"""Of these even the runtime does not know what became of the work."""
_CDN = frozenset([*range(520, 528), 530])
_SHOWN = 200
"""Characters of a title or an address that an error shows."""

_READ_TIMEOUTS = (
    "nginx: grpc_read_timeout or proxy_read_timeout; HAProxy: timeout server; Envoy: stream_idle_timeout, and the "
    "route's timeout; nghttpx: backend-read-timeout"
)
_NOWHERE = "a proxy or gateway answers so when it gets no valid answer from the server behind it"
_WANTS_LOGIN = "the server, or a gateway before it, wants other credentials"
_TOO_LARGE = "a proxy, or the server, accepts no request this large"
_WHO: dict[int, str] = {
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
    502: _NOWHERE,
    503: "a proxy or gateway answers so when no server is there behind it, and a server when it is overloaded",
    504: f"a proxy or gateway answers so when the server behind it takes too long: its read timeout ({_READ_TIMEOUTS})",
    511: "the network wants a login first (a captive portal)",
    **dict.fromkeys(_CDN, "a CDN answers so when it gets no valid answer, or none in time, from the server behind it"),
}
"""Who may answer with a status, and why, where the answer itself does not tell."""
_NOT_FOUND = {"detail": "Not Found"}
"""What FastAPI, and so a runtime, answers for a path that it has no route for."""
NO_ROUTE = (
    "Not Found: the server has no such path; it is another server or an older runtime, or a gateway leaves its own "
    "path before the runtime's"
)
"""The words of an error of such a path."""
_NO_HTTP = (
    "a proxy passed on what is no HTTP/1.1: the server behind it speaks HTTP/2 (gRPC), and so must the proxy (nginx: "
    "grpc_pass, not proxy_pass)"
)
_NO_METHOD = (
    "no such method, without a word: a proxy answers so when it has no route for this host name or path (Envoy: the "
    "virtual host's domains)"
)
SILENCED = f"proxies end calls that are silent for longer than their read timeout ({_READ_TIMEOUTS})"
"""Why a stream may have been cut that the server itself had no reason to end."""
_SILENT_INPUT = "proxies end streams whose input pauses for longer than their limit (nginx: client_body_timeout)"
_ENVOYS = "stream timeout"
"""Envoy's words for `stream_idle_timeout`; its status depends on whether the input was complete."""
_PINGS = (
    "; a runtime allows two that come within grpc.http2.min_ping_interval_without_data_ms (5 minutes): lower it in its "
    "runtime.grpc.options, or raise grpc.keepalive_time_ms here"
)
_CLASSES: dict[int, type[RemoteCallError]] = {
    407: UnauthenticatedError,
    414: ResourceExhaustedError,
    421: UnavailableError,
    431: ResourceExhaustedError,
    504: UnavailableError,  # the runtime's own is a deadline; a proxy's is that of a server that it does not reach
    511: UnauthenticatedError,
    **dict.fromkeys(_CDN, UnavailableError),
}
"""The error classes of statuses that are not the runtime's; all others have the class of `http_error_class`."""

RUNTIMES_OWN = frozenset(
    [
        "INVALID_ARGUMENT",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ]
)
"""The statuses of gRPC by which the runtime itself says that it did not do what it was asked.

All others a proxy, or a library in the server, says of calls that it may have handed on.
"""
_PROTOCOL_ERROR, _INTERNAL_ERROR, _CANCEL = 0x1, 0x2, 0x8


@dataclass(frozen=True, slots=True)
class Answer:
    """What is read of an answer that is not the wanted one.

    Attributes:
        status: the HTTP status.
        body: the beginning of the body.
        kind: the value of `Content-Type`; empty without one.
        location: the value of `Location`; None without one.
        retry_after: the value of `Retry-After`; None without one.
        is_compressed: whether the body is, and says nothing.
    """

    status: int
    body: bytes = b""
    kind: str = ""
    location: str | None = None
    retry_after: str | None = None
    is_compressed: bool = False

    def with_body(self, body: bytes) -> Answer:
        """Return the answer with its body."""
        return self if self.is_compressed else replace(self, body=body)


def read_answer(status: int, headers: Mapping[bytes, bytes]) -> Answer:
    """Return an answer without its body, by its headers, with names in lower case."""

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
    """Whether a content type is that of a page for people, which no runtime answers with."""
    return kind.partition(b";")[0].strip().lower() in (b"text/html", b"application/xhtml+xml")


def answer_error(
    answer: Answer, *, method: str, target: str, metadata: RawMetadata, wanted: str, now: float
) -> RemoteCallError:
    """Return the typed error of an answer; what the call did is known only where the runtime itself tells.

    Args:
        answer: the answer.
        method: the call's method.
        target: the server.
        metadata: what the call was sent with: its secrets are not repeated.
        wanted: what a good answer is: `JSON`, `gRPC` or `a stream of events`.
        now: the Unix time.
    """
    told, answer = redacted(_read(answer.body), metadata), replace(answer, kind=redacted(answer.kind, metadata))
    if isinstance(told, Mapping) and _is_runtimes(told, answer.status):
        failure = _told_error(told, answer.status, method=method, target=target)
        failure.outcome_known = answer.status not in _INTERRUPTED
    else:
        failure = _edge_error(answer, told, method, target, metadata, wanted)
    failure.pushback = retry_after(answer.retry_after, now)
    return failure


def event_error(body: bytes, *, method: str, target: str, metadata: RawMetadata) -> RemoteCallError:
    """Return the typed error of an `error` event, which tells its status in its body; 500 where it does not."""
    told = redacted(_read(body), metadata)
    if not isinstance(told, Mapping):
        told = {"details": told}
    code = told.get("code")
    status = code if isinstance(code, int) and 400 <= code < 600 else 500
    failure = _told_error(told, status, method=method, target=target)
    failure.outcome_known = status not in _INTERRUPTED
    return failure


def _told_error(
    told: Mapping[str, Any],
    status: int,
    *,
    method: str,
    target: str,
    kind: type[RemoteCallError] | None = None,
    more: str = "",
) -> RemoteCallError:
    """Return the error of a JSON object that tells it, `more` where it has no words; `kind` where it isn't caikit's."""
    error_id = told.get("id")
    return (kind or http_error_class(status))(
        NO_ROUTE if status == 404 and told == _NOT_FOUND else _words(told) or more,
        method=method,
        target=target,
        http_status=status,
        error_id=clean(error_id, 100) if isinstance(error_id, str) else None,
        additional_info=told.get("additional_info"),
    )


def _edge_error(
    answer: Answer, told: Any, method: str, target: str, metadata: RawMetadata, wanted: str
) -> RemoteCallError:
    status = answer.status
    if status < 100:  # nginx's 000
        return InvalidResponseError(_NO_HTTP, method=method, target=target, http_status=status)
    if 200 <= status < 300:
        packed = " (compressed)" * answer.is_compressed
        details = (
            f"HTTP status {status}, but {_kind(answer.kind)}{packed}, not {wanted}{_beginning(answer, told, metadata)}"
        )
        return InvalidResponseError(details, method=method, target=target, http_status=status)
    kind = _CLASSES.get(status) or http_error_class(status)
    if 300 <= status < 400:
        return kind(_redirect(answer, method, metadata), method=method, target=target, http_status=status)
    if isinstance(told, Mapping):
        return _told_error(told, status, method=method, target=target, kind=kind, more=_WHO.get(status, ""))
    details, who = told, _WHO.get(status)
    if not told.strip():
        details = f"HTTP status {status}: {who}" if who else ""
    elif _is_html(answer, told):
        details = "; ".join(part for part in (_title(told, metadata), who) if part)
    return kind(details, method=method, target=target, http_status=status)


def reset_reason(
    code: int, *, started: bool, within: bool, uploads: bool = False
) -> tuple[type[RemoteCallError], str] | None:
    """Return the error class of a stream that a proxy reset, and why it did; None where gRPC's table of codes tells.

    A proxy resets so whose server is gone, or silent for too long. As INTERNAL it would read as the model's own error.

    Args:
        code: HTTP/2's error code.
        started: whether an answer began.
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


def pings_advice(told: str) -> str:
    """Return what to do where a server tells of too many PINGs; nothing for anything else."""
    return _PINGS if told.replace("_", " ").lower() == "too many pings" else ""


# -- what it says -----------------------------------------------------------------------------------------------------


def _read(body: bytes) -> Any:
    """Return the object of a body of JSON, else its text."""
    from pydantic_core import from_json

    try:
        # Error ids differ each time: kept, as short texts are by default, thousands would never be asked for again.
        told = from_json(body, cache_strings="keys")
    except ValueError:
        told = None
    return told if isinstance(told, Mapping) else body.decode("utf-8", "replace")


def _is_runtimes(told: Mapping[str, Any], status: int) -> bool:
    """Whether an object of an error is the runtime's own: caikit's `{details, code, id}`, or FastAPI's `{detail}`."""
    if told.keys() == {"detail"}:
        return status in _FASTAPI
    return "details" in told and told.get("code") == status and isinstance(told.get("id"), str)


def _words(told: Mapping[str, Any]) -> str:
    words = _paths(told.get("additional_info")) or _paths(told.get("detail"))
    found = words or next(filter(None, map(told.get, _WORDS)), None)
    return found if isinstance(found, str) else ""


def _paths(errors: Any) -> str:
    """Return what a validation of FastAPI's found: where, and what."""
    if not isinstance(errors, list):
        return ""
    told = [each for each in errors[:5] if isinstance(each, Mapping) and isinstance(each.get("loc"), list)]
    return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each.get('msg')}" for each in told)


def _kind(kind: str) -> str:
    return clean(kind, 80) or "without a content type"


def _beginning(answer: Answer, told: Any, metadata: RawMetadata) -> str:
    """Return the end of a sentence about an answer that cannot be what was wanted."""
    if isinstance(told, Mapping):
        return f": {words}" if (words := _words(told)) else ""
    if _is_html(answer, told):
        page = f" ({title})" if (title := _title(told, metadata)) else ""
        return f": it is a page{page}, such as that of a login, a proxy or another server"
    return f": {text[:_SHOWN]}" if (text := told.strip()) else ""


def _is_html(answer: Answer, text: str) -> bool:
    return is_page(answer.kind.encode("latin-1", "replace")) or bool(_HTML.match(text))


_HTML = re.compile(r"\s*(<!doctype html|<html|<head|<body)", re.IGNORECASE)
_TAG = re.compile(r"<[^<>]*>")


def _title(page: str, metadata: RawMetadata) -> str:
    """Return a page's title, else its first heading, else how its text begins."""
    found = _element(page, "title") or _element(page, "h1")
    return _text(found, metadata) or _text(page, metadata)


def _element(page: str, name: str) -> str:
    """Return what the first element of a name holds. No pattern: on a hostile page one would take very long."""
    lower = page.lower()
    if len(lower) != len(page):
        lower = page  # some letters are longer in lower case
    start = lower.find(">", lower.find(f"<{name}")) + 1 if f"<{name}" in lower else 0
    end = lower.find(f"</{name}", start)
    return page[start:end] if 0 < start <= end else ""


def _text(page: str, metadata: RawMetadata) -> str:
    words = html.unescape(_TAG.sub(" ", page[:_BEGINNING])).split()
    text: str = redacted(" ".join(words), metadata)  # once more: any letter may be an entity
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


_BEGINNING = 4096


def _redirect(answer: Answer, method: str, metadata: RawMetadata) -> str:
    """Return the words for a redirect: scheme, host and path; a query or a user's name may be secret."""
    told = "a redirect, which is not followed: calls carry credentials"
    try:
        parts = urlsplit(answer.location or "")
        _ = parts.port  # raises
    except ValueError:
        return told
    host, path = parts.netloc.rpartition("@")[2], parts.path
    scheme = f"{parts.scheme}:" * bool(parts.scheme)
    place: str = redacted(f"{scheme}//{host}{path}" if host else path, metadata)
    if not place:
        return told
    hint: str = redacted(_hint(parts, host, method), metadata)
    return f"a redirect to {place[:_SHOWN]}, which is not followed: calls carry credentials{hint}"


def _hint(parts: SplitResult, host: str, method: str) -> str:
    """Return the target to use, where a redirect leads to the same path over TLS."""
    verb, _, route = method.rpartition(" ")
    route = route.partition("?")[0]
    if parts.scheme != "https" or not parts.path.endswith(route):
        return ""
    return f"; use https://{host}{parts.path.removesuffix(route)}" if verb else f"; use grpcs://{host}"
