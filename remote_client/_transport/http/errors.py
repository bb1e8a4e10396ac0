"""The typed errors of HTTP calls: of error responses, and of calls without a response."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import MappingProxyType

from ..._text.redaction import redacted, with_cause
from ...errors import (
    ConfigurationError,
    InvalidResponseError,
    RemoteCallError,
    RemoteClientError,
    ResponseTooLargeError,
    TlsError,
    UnavailableError,
)
from ..call import RAISE_LIMIT, Call
from ..http_errors import answer_error, read_answer
from ..net.connect import connect_error
from ..net.diagnosis import closed_early, copy_for, is_tls_failure, refuses_client, tls_message, wants_tls, wrong_peer
from ..net.proxy import Route


def response_error(
    status: int,
    body: bytes,
    call: Call,
    target: str,
    headers: Mapping[bytes, bytes] = MappingProxyType({}),
    wanted: str = "JSON",
) -> RemoteCallError:
    """Return the typed error of a response with these headers, whose names are in lower case; see `answer_error`."""
    return answer_error(read_answer(status, headers).with_body(body), call, target, wanted=wanted, now=time.time())


class UnaskedError(Exception):
    """The server sent something before any request, so it does not speak HTTP; `start` are its first bytes."""

    def __init__(self, message: str, start: bytes = b"") -> None:
        super().__init__(message)
        self.start = start


def not_connected(error: BaseException, call: Call, route: Route) -> RemoteClientError:
    """Return the error of a call without a connection: nothing was sent."""
    if isinstance(error, ConfigurationError):
        return ConfigurationError(str(error))
    if isinstance(error, UnaskedError):
        failure = not_http(str(error), error.start, call, route)
        failure.outcome_known = True
        return failure
    return with_cause(connect_error(error, route, call.method), error, call.secrets)


def lost(error: BaseException | None, call: Call, route: Route, first: bool = False) -> RemoteCallError:
    """Return the error of a call whose connection ended: the server may have executed it.

    Args:
        error: the reason; None if the server closed the connection.
        call: the call.
        route: the route to the server.
        first: whether the server has never sent this client anything, and may speak another protocol.
    """
    info, target = route.connection, route.connection.target
    advice = closed_early(info, "http") if first and not route.passes_on else ""
    if error is None:
        details = f"the server closed the connection without an answer{advice}"
        return UnavailableError(details, method=call.method, target=target)
    reason = str(error) or type(error).__name__
    error.__traceback__ = None  # its frames refer to the call
    kind: type[RemoteCallError] = UnavailableError
    if is_tls_failure(error):
        kind, reason, advice = TlsError, tls_message(reason, info, "http"), ""
    details = f"the connection was lost: {redacted(reason, call.secrets)}{advice}"
    failure = kind(details, method=call.method, target=target)
    failure.outcome_known = kind is TlsError and refuses_client(details)
    return with_cause(failure, error, call.secrets)


def cut(call: Call, target: str) -> UnavailableError:
    """Return the error of a response without framing that ended too early."""
    return UnavailableError("the connection was cut in the middle of the answer", method=call.method, target=target)


def no_tls(page: bytes, call: Call, route: Route) -> RemoteCallError | None:
    """Return the error of the page (400) that a TLS server sends in answer to plain text; None for any other."""
    found = wants_tls(page, route.connection, "http")
    if found is None:
        return None
    if route.proxy is not None and route.passes_on:  # the page is the server's, or the proxy's own
        found.details += f", or https:// for the proxy at {route.proxy.address}"
    failure = copy_for(found, call.method)
    failure.http_status = 400
    return failure


def not_http(why: str, start: bytes, call: Call, route: Route) -> RemoteCallError:
    """Return the error of a response that is not HTTP/1.1, by its fault and its first bytes."""
    found = None if route.passes_on else wrong_peer(start, route.connection, "http")
    return invalid_response(why, call, route.connection.target) if found is None else copy_for(found, call.method)


def invalid_response(why: str, call: Call, target: str) -> InvalidResponseError:
    """Return the error of an invalid response."""
    details = f"the answer cannot be read: {redacted(why, call.secrets)}"
    return InvalidResponseError(details, method=call.method, target=target)


def too_large(limit: int, call: Call, target: str) -> ResponseTooLargeError:
    """Return the error of a response over the limit, the call's own or the connection's."""
    details = f"the answer is larger than {limit} bytes" + ("" if limit == call.max_size else f"; {RAISE_LIMIT}")
    return ResponseTooLargeError(details, method=call.method, target=target)
