"""What the other end of a connection that failed seems to be, in words, with the target to try. Pure: no I/O."""

from __future__ import annotations

import enum
import re
import ssl
from collections.abc import Callable
from copy import copy

from ...errors import RemoteCallError, TlsError, UnavailableError
from ...settings import ConnectionInfo, Protocol
from ..retry import NOT_HERE

MAX_FIRST = 1024
"""Bytes at the beginning of a connection that are looked at: a page that asks for TLS is the longest that is known."""


class Speaks(enum.Enum):
    """What a server speaks."""

    HTTP1 = "HTTP/1.1"
    HTTP2 = "HTTP/2 (gRPC)"
    TLS = "TLS"


_OURS: dict[Protocol, Speaks] = {"grpc": Speaks.HTTP2, "http": Speaks.HTTP1}
_SCHEMES: dict[tuple[Protocol, bool], str] = {
    ("grpc", False): "grpc",
    ("grpc", True): "grpcs",
    ("http", False): "http",
    ("http", True): "https",
}
_HTTP1 = re.compile(rb"HTTP/1\.[01] ([0-9]{3})?|(?i:<!doctype |<html)")
"""A status line, or a page without one, as old servers answer what is no request."""
_TLS_RECORD = re.compile(rb"[\x15\x16](\x03|$)")
"""An alert or a part of a handshake."""
_SETTINGS = re.compile(rb"\0..\x04\0\0\0\0\0", re.DOTALL)
_TLS_WANTED = re.compile(
    rb"(?i)plain HTTP request was sent to HTTPS port"  # nginx
    rb"|speaking plain HTTP to an SSL-enabled server"  # Apache
    rb"|sent an HTTP request to an HTTPS server"  # Go
    rb"|combination of host and port requires TLS"  # Tomcat
)
_PASSING = (b"502", b"503", b"504")
"""What an edge answers in HTTP/1.1, whatever it was sent, while the server behind it is away."""


def spoken(first: bytes) -> Speaks | None:
    """Return what a server speaks, by the first bytes it sent; None where they are nothing known."""
    if _HTTP1.match(first):
        return Speaks.TLS if _TLS_WANTED.search(first, 0, MAX_FIRST) else Speaks.HTTP1
    if _TLS_RECORD.match(first):
        return Speaks.TLS
    return Speaks.HTTP2 if _SETTINGS.match(first) else None


def wrong_peer(first: bytes, info: ConnectionInfo, protocol: Protocol) -> UnavailableError | None:
    """Return the error of a server that speaks another protocol, by its first bytes; None where they do not tell.

    The call is not tried again at this server, unless the bytes are an edge's whose server is away at the moment.
    """
    found = spoken(first)
    if found is None or found is _OURS[protocol]:
        return None
    head = _HTTP1.match(first)
    return _speaks(found, info, protocol, head[1] or b"" if head else b"")


def speaks_http1(status: str, info: ConnectionInfo) -> UnavailableError:
    """Return the error of a server that answered gRPC by a status line of HTTP/1.1."""
    return _speaks(Speaks.HTTP1, info, "grpc", status.encode())


def wants_tls(page: bytes, info: ConnectionInfo, protocol: Protocol) -> UnavailableError | None:
    """Return the error of a page that asks for TLS; None for any other."""
    return _speaks(Speaks.TLS, info, protocol) if _TLS_WANTED.search(page, 0, MAX_FIRST) else None


def _speaks(found: Speaks, info: ConnectionInfo, protocol: Protocol, status: bytes = b"") -> UnavailableError:
    told = f"the server speaks {found.value}"
    if found is not Speaks.TLS:
        told += f", not {_OURS[protocol].value}"
    passing = found is Speaks.HTTP1 and status in _PASSING
    if passing:
        told += f", at least for now (HTTP status {status.decode()})"
    if not _has_no_other(info):
        told += f": try {_to_try(found, info, protocol, passing)}"
    failure = UnavailableError(told, target=info.target)
    failure.outcome_known = True
    failure.pushback = None if passing else NOT_HERE
    return failure


def _to_try(found: Speaks, info: ConnectionInfo, protocol: Protocol, passing: bool) -> str:
    """Return the target of what a server speaks."""
    secure = info.tls.enabled
    if found is Speaks.TLS:
        return _other(info, protocol, True)
    if found is Speaks.HTTP2:
        return _other(info, "grpc", secure)
    told = _other(info, "http", secure)
    if not secure and not passing:  # nginx answers gRPC so where it expects TLS
        told += f", or {_other(info, 'grpc', True)} if the port is one for TLS"
    return told


def _has_no_other(info: ConnectionInfo) -> bool:
    """Return whether there is no other target to try."""
    return info.is_unix or info.is_xds


def _other(info: ConnectionInfo, protocol: Protocol, secure: bool) -> str:
    place = info.target if protocol == "http" else info.target.removesuffix(info.base_path)
    return f"{_SCHEMES[protocol, secure]}://{place}"


def closed_early(info: ConnectionInfo, protocol: Protocol) -> str:
    """Return advice about a server that closed its first connection without a word, as it may do in a restart, too."""
    others = []
    if not info.tls.enabled:
        others.append(f"TLS (try {_other(info, protocol, True)})")
    if protocol == "http":
        others.append(f"gRPC (try {_other(info, 'grpc', info.tls.enabled)})")
    return f"; it may speak {' or '.join(others)}" if others and not _has_no_other(info) else ""


# -- TLS --------------------------------------------------------------------------------------------------------------


def tls_words(told: str, info: ConnectionInfo, protocol: Protocol) -> str:
    """Return what to tell of a TLS handshake that failed.

    Args:
        told: what the TLS library says.
        info: the server.
        protocol: what was to be spoken over TLS.
    """
    meaning = next((words for pattern, words in _WORDS if pattern.search(told)), None)
    return told if meaning is None else f"{meaning(info, protocol)} ({told})"


def no_http2(info: ConnectionInfo) -> str:
    """Return what to tell of a server that agreed to TLS, and not to HTTP/2 in it."""
    told = "the server offers no HTTP/2 over TLS, which gRPC needs: let it, or the proxy before it, offer h2 by ALPN"
    return told if _has_no_other(info) else f"{told}, or try {_other(info, 'http', True)} if it serves HTTP"


def _no_alpn(info: ConnectionInfo, protocol: Protocol) -> str:
    if protocol == "grpc":
        return no_http2(info)
    return f"the server offers no HTTP/1.1 over TLS (ALPN): try {_other(info, 'grpc', True)} if it serves gRPC"


def _no_tls(info: ConnectionInfo, protocol: Protocol) -> str:
    told = "the server does not speak TLS"
    return told if _has_no_other(info) else f"{told}: try {_other(info, protocol, False)}"


def _wrong_name(info: ConnectionInfo, protocol: Protocol) -> str:
    name = info.options.get("grpc.ssl_target_name_override") if protocol == "grpc" else None
    told = f"the server's certificate is not for {name or info.tls_name}: connect by a name that it has"
    return f"{told}, or set the option grpc.ssl_target_name_override to one" if protocol == "grpc" else told


def _unknown_authority(info: ConnectionInfo, protocol: Protocol) -> str:
    known = f"tls.ca_file ({info.tls.ca_file})" if info.tls.ca_file else "the system's trust store"
    told = f"no authority in {known} signed the server's certificate"
    return f"{told}: set tls.ca_file to the certificate of the one that did"


def _always(told: str) -> Callable[[ConnectionInfo, Protocol], str]:
    return lambda info, protocol: told


_WORDS = tuple(
    (re.compile(pattern), words)
    for pattern, words in (
        ("WRONG_VERSION_NUMBER|RECORD_LAYER_FAILURE|PACKET_LENGTH_TOO_LONG|UNKNOWN_PROTOCOL|HTTP_REQUEST", _no_tls),
        ("(?i)NO.APPLICATION.PROTOCOL|selected ALPN", _no_alpn),
        ("(Hostname|IP address) mismatch|Hostname Verification Check failed|not in peer certificate", _wrong_name),
        ("issuer certificate|self[- ]signed certificate", _unknown_authority),
        ("certificate has expired", _always("the server's certificate has expired")),
        (
            "certificate is not yet valid",
            _always("the server's certificate is not valid yet: look at this machine's clock"),
        ),
        (
            "CERTIFICATE_REQUIRED",
            _always("the server wants a certificate of the client's: set tls.cert_file and tls.key_file"),
        ),
        (
            "Unwrap failed",  # gRPC's word for an alert after its part of the handshake
            _always("the server refused TLS; it may want a certificate: set tls.cert_file and tls.key_file"),
        ),
        (
            "ALERT_UNKNOWN_CA",
            _always("the server does not know the authority of the client's certificate (tls.cert_file)"),
        ),
    )
)
"""What OpenSSL and gRPC's BoringSSL say, and the words for it."""
_REFUSED = re.compile(r"_ALERT_(CERTIFICATE_|UNKNOWN_CA|BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|ACCESS_DENIED)")


def refuses_us(told: str) -> bool:
    """Return whether a TLS library says that the server refused the client's certificate, and so all that was sent."""
    return _REFUSED.search(told) is not None


def closed_in_handshake(info: ConnectionInfo, protocol: Protocol) -> str:
    """Return advice about a server that closed the connection before TLS was agreed on, as it may do in a restart."""
    return "" if _has_no_other(info) else f"; it may speak no TLS (try {_other(info, protocol, False)})"


def is_tls_failure(error: BaseException | None) -> bool:
    """Return whether TLS itself failed. A server that ends or restarts during a handshake is not to blame for that."""
    return isinstance(error, ssl.SSLError) and not isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError))


def handshake_error(error: OSError, info: ConnectionInfo, protocol: Protocol) -> Exception:
    """Return a failure to connect with what it says about the server."""
    if is_tls_failure(error):
        return TlsError(f"TLS handshake failed: {tls_words(str(error), info, protocol)}", target=info.target)
    if info.tls.enabled and isinstance(error, (ConnectionResetError, ssl.SSLError)):  # asyncio resets at an end, too
        told = f": {error}" if str(error) else ""
        if not isinstance(error, ssl.SSLZeroReturnError):  # which is TLS's own goodbye
            told += closed_in_handshake(info, protocol)
        return ConnectionResetError(f"the server closed the connection during the TLS handshake{told}")
    return error


def again(failure: RemoteCallError, method: str | None) -> RemoteCallError:
    """Return an error for one more call that it ends: each raises its own."""
    made = copy(failure)
    made.method = method
    return made
