"""The typed errors of HTTP: of answers that report one, and of calls that got none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import from_json

from ...errors import (
    ConfigurationError,
    DeadlineExceededError,
    InvalidResponseError,
    RemoteCallError,
    RemoteClientError,
    ResponseTooLargeError,
    TlsError,
    UnavailableError,
    because,
    clean,
    http_error_class,
    redacted,
)
from ..base import Call
from ..net.diagnosis import again, closed_early, is_tls_failure, tls_words, wants_tls, wrong_peer
from ..net.dial import connect_error
from ..net.proxy import Route

_DETAILS = ("details", "detail", "error_description", "message", "error")
"""Where an error's words are: caikit's name, FastAPI's, OAuth's, and those that gateways use."""
MAX_ERROR_SIZE = 64 * 1024
"""Bytes that are read of an answer that reports an error."""


def problem(status: int | None, body: bytes, call: Call, target: str) -> RemoteCallError:
    """Return the typed error of an answer that reports one. Without a status the body tells it, as in an `error` event.

    The body is caikit's `{details, code, id, additional_info}`, FastAPI's `{detail}`, another with words in one of
    `_DETAILS`, or any text.
    """
    try:
        # Error ids differ each time: kept, as short texts are by default, thousands would never be asked for again.
        told = from_json(body, cache_strings="keys")
    except ValueError:
        told = None
    if not isinstance(told, Mapping):
        told = {"details": body.decode("utf-8", "replace")}
    told = redacted(told, call.metadata)
    if status is None:
        code = told.get("code")
        status = code if isinstance(code, int) and 400 <= code < 600 else 500
    info = told.get("additional_info")
    details = _paths(info) or _paths(told.get("detail")) or next(filter(None, map(told.get, _DETAILS)), None)
    if 300 <= status < 400:
        details = "the server answered with a redirect, which is not followed: calls carry credentials"
    error_id = told.get("id")
    failure = http_error_class(status)(
        details if isinstance(details, str) else "",
        method=call.path,
        target=target,
        http_status=status,
        error_id=clean(error_id, 100) if isinstance(error_id, str) else None,
        additional_info=info,
    )
    failure.outcome_known = status not in (408, 499, 502, 503, 504)  # which a gateway answers, too
    return failure


def _paths(errors: Any) -> str:
    """Return what a validation of FastAPI's found: where, and what."""
    if not isinstance(errors, list):
        return ""
    told = [each for each in errors[:5] if isinstance(each, Mapping) and isinstance(each.get("loc"), list)]
    return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each.get('msg')}" for each in told)


class UnaskedError(Exception):
    """The server spoke before it was asked anything, so it speaks no HTTP; `start` is how it began."""

    def __init__(self, told: str, start: bytes = b"") -> None:
        super().__init__(told)
        self.start = start


def not_connected(error: BaseException, call: Call, target: str, route: Route) -> RemoteClientError:
    """Return the error of a call that got no connection: nothing of it was sent."""
    if isinstance(error, ConfigurationError):
        return ConfigurationError(str(error))
    if isinstance(error, UnaskedError):
        failure = not_http(str(error), error.start, call, route)
        failure.outcome_known = True
        return failure
    return because(connect_error(error, target, call.path, route), error, call.metadata)


def lost(error: BaseException | None, call: Call, route: Route, first: bool = False) -> RemoteCallError:
    """Return the error of a call whose connection ended: the server may have done what it was asked.

    Args:
        error: what ended it; None where the server closed it.
        call: the call.
        route: the way to the server.
        first: whether the server never said a word to this client: it may speak another protocol.
    """
    info, target = route.connection, route.connection.target
    more = closed_early(info, "http") if first and not route.passes_on else ""
    if error is None:
        told = f"the server closed the connection without an answer{more}"
        return UnavailableError(told, method=call.path, target=target)
    told = str(error) or type(error).__name__
    error.__traceback__ = None  # it leads to frames that know the call
    kind: type[RemoteCallError] = UnavailableError
    if is_tls_failure(error):
        kind, told, more = TlsError, tls_words(told, info, "http"), ""
    told = f"the connection was lost: {redacted(told, call.metadata)}{more}"
    return because(kind(told, method=call.path, target=target), error, call.metadata)


def cut(call: Call, target: str) -> UnavailableError:
    """Return the error of an answer without framing that ended too early."""
    return UnavailableError("the connection was cut in the middle of the answer", method=call.path, target=target)


def no_tls(page: bytes, call: Call, route: Route) -> RemoteCallError | None:
    """Return the error of a page that a server of TLS answers to plain text (400); None for any other."""
    found = wants_tls(page, route.connection, "http")
    if found is None:
        return None
    failure = again(found, call.path)
    failure.http_status = 400
    return failure


def not_http(why: str, start: bytes, call: Call, route: Route) -> RemoteCallError:
    """Return the error of an answer that is no HTTP/1.1, by what is wrong with it and how it begins."""
    found = None if route.passes_on else wrong_peer(start, route.connection, "http")
    return unreadable(why, call, route.connection.target) if found is None else again(found, call.path)


def unreadable(why: str, call: Call, target: str) -> InvalidResponseError:
    """Return the error of an answer that is none."""
    told = f"the answer cannot be read: {redacted(why, call.metadata)}"
    return InvalidResponseError(told, method=call.path, target=target)


def too_large(limit: int, call: Call, target: str) -> ResponseTooLargeError:
    """Return the error of an answer above the limit."""
    return ResponseTooLargeError(f"the answer is larger than {limit} bytes", method=call.path, target=target)


def late(call: Call, target: str) -> DeadlineExceededError:
    """Return the error of a wait that was too long."""
    return DeadlineExceededError(f"no answer within {call.timeout} seconds", method=call.path, target=target)


def late_as_a_whole(call: Call, target: str) -> DeadlineExceededError:
    """Return the error of a stream that took too long."""
    told = f"the stream was not over within {call.total_timeout} seconds"
    return DeadlineExceededError(told, method=call.path, target=target)
