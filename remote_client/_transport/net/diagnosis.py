"""Guesses from a failed connection what the server speaks, and names the target to try. Pure: no I/O."""

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
"""Bytes at the beginning of a connection that are examined: the longest known are a page that asks for TLS."""


class PeerProtocol(enum.Enum):
    """A protocol that a server may speak."""

    HTTP1 = "HTTP/1.1"
    HTTP2 = "HTTP/2 (gRPC)"
    TLS = "TLS"


_OURS: dict[Protocol, PeerProtocol] = {"grpc": PeerProtocol.HTTP2, "http": PeerProtocol.HTTP1}
_SCHEMES: dict[tuple[Protocol, bool], str] = {
    ("grpc", False): "grpc",
    ("grpc", True): "grpcs",
    ("http", False): "http",
    ("http", True): "https",
}
_HTTP1 = re.compile(rb"HTTP/1\.[01] ([0-9]{3})?|(?i:<!doctype |<html)")
"""A status line, or a page without one, which old servers send in answer to an invalid request."""
_TLS_RECORD = re.compile(rb"[\x15\x16](\x03|$)")
"""An alert or a part of a handshake."""
_SETTINGS = re.compile(rb"\0..\x04\0\0\0\0\0", re.DOTALL)
_TLS_WANTED = re.compile(
    rb"(?i)plain HTTP request was sent to HTTPS port"  # nginx
    rb"|speaking plain HTTP to an SSL-enabled server"  # Apache
    rb"|sent an HTTP request to an HTTPS server"  # Go
    rb"|combination of host and port requires TLS"  # Tomcat
)
_TRANSIENT = (b"502", b"503", b"504")
"""The statuses that a proxy sends in HTTP/1.1, whatever it received, while the server behind it is away."""


def peer_protocol(first: bytes) -> PeerProtocol | None:
    """Return the protocol that a server's first bytes belong to, if it is known."""
    if _HTTP1.match(first):
        return PeerProtocol.TLS if _TLS_WANTED.search(first, 0, MAX_FIRST) else PeerProtocol.HTTP1
    if _TLS_RECORD.match(first):
        return PeerProtocol.TLS
    return PeerProtocol.HTTP2 if _SETTINGS.match(first) else None


def wrong_peer(first: bytes, info: ConnectionInfo, protocol: Protocol) -> UnavailableError | None:
    """Return the error of a server whose first bytes belong to another protocol; None for any other.

    It forbids retries at this server, unless the bytes come from a proxy whose server is away at the moment.
    """
    found = peer_protocol(first)
    if found is None or found is _OURS[protocol]:
        return None
    head = _HTTP1.match(first)
    return _speaks(found, info, protocol, head[1] or b"" if head else b"")


def http1_error(status: str, info: ConnectionInfo) -> UnavailableError:
    """Return the error of a server that answered gRPC with a status line of HTTP/1.1."""
    return _speaks(PeerProtocol.HTTP1, info, "grpc", status.encode())


def wants_tls(page: bytes, info: ConnectionInfo, protocol: Protocol) -> UnavailableError | None:
    """Return the error of a page that asks for TLS; None for any other."""
    return _speaks(PeerProtocol.TLS, info, protocol) if _TLS_WANTED.search(page, 0, MAX_FIRST) else None


def _speaks(found: PeerProtocol, info: ConnectionInfo, protocol: Protocol, status: bytes = b"") -> UnavailableError:
    details = f"the server speaks {found.value}"
    if found is not PeerProtocol.TLS:
        details += f", not {_OURS[protocol].value}"
    transient = found is PeerProtocol.HTTP1 and status in _TRANSIENT
    if transient:
        details += f", at least for now (HTTP status {status.decode()})"
    if not _is_only_target(info):
        details += f": try {_target_to_try(found, info, protocol, transient)}"
    failure = UnavailableError(details, target=info.target)
    failure.outcome_known = True
    failure.pushback = None if transient else NOT_HERE
    return failure


def _target_to_try(found: PeerProtocol, info: ConnectionInfo, protocol: Protocol, transient: bool) -> str:
    secure = info.tls.enabled
    if found is PeerProtocol.TLS:
        return _target(info, protocol, True)
    if found is PeerProtocol.HTTP2:
        return _target(info, "grpc", secure)
    target = _target(info, "http", secure)
    if not secure and not transient:  # nginx answers gRPC like this on a port for TLS
        target += f", or {_target(info, 'grpc', True)} if the port is one for TLS"
    return target


def _is_only_target(info: ConnectionInfo) -> bool:
    return info.is_unix or info.is_xds


def _target(info: ConnectionInfo, protocol: Protocol, secure: bool) -> str:
    place = info.target if protocol == "http" else info.target.removesuffix(info.base_path)
    return f"{_SCHEMES[protocol, secure]}://{place}"


def closed_early(info: ConnectionInfo, protocol: Protocol) -> str:
    """Return advice about a server that closed its first connection without sending anything, maybe in a restart."""
    others = []
    if not info.tls.enabled:
        others.append(f"TLS (try {_target(info, protocol, True)})")
    if protocol == "http":
        others.append(f"gRPC (try {_target(info, 'grpc', info.tls.enabled)})")
    return f"; it may speak {' or '.join(others)}" if others and not _is_only_target(info) else ""


# -- TLS --------------------------------------------------------------------------------------------------------------


def tls_message(message: str, info: ConnectionInfo, protocol: Protocol) -> str:
    """Return the message of a failed TLS handshake: its meaning, and in parentheses the TLS library's message."""
    explain = next((explain for pattern, explain in _EXPLANATIONS if pattern.search(message)), None)
    return message if explain is None else f"{explain(info, protocol)} ({message})"


def no_http2(info: ConnectionInfo) -> str:
    """Return the message about a server that agreed to TLS, but not to HTTP/2 in it."""
    message = "the server offers no HTTP/2 over TLS, which gRPC needs: let it, or the proxy before it, offer h2 by ALPN"
    return message if _is_only_target(info) else f"{message}, or try {_target(info, 'http', True)} if it serves HTTP"


def _no_alpn(info: ConnectionInfo, protocol: Protocol) -> str:
    if protocol == "grpc":
        return no_http2(info)
    return f"the server offers no HTTP/1.1 over TLS (ALPN): try {_target(info, 'grpc', True)} if it serves gRPC"


def _no_tls(info: ConnectionInfo, protocol: Protocol) -> str:
    message = "the server does not speak TLS"
    return message if _is_only_target(info) else f"{message}: try {_target(info, protocol, False)}"


def _wrong_name(info: ConnectionInfo, protocol: Protocol) -> str:
    name = info.options.get("grpc.ssl_target_name_override") if protocol == "grpc" else None
    message = f"the server's certificate is not for {name or info.tls_name}: connect by a name that it has"
    return f"{message}, or set the option grpc.ssl_target_name_override to one" if protocol == "grpc" else message


def _unknown_authority(info: ConnectionInfo, protocol: Protocol) -> str:
    known = f"tls.ca_file ({info.tls.ca_file})" if info.tls.ca_file else "the system's trust store"
    message = f"no authority in {known} signed the server's certificate"
    return f"{message}: set tls.ca_file to the certificate of the one that did"


def _always(message: str) -> Callable[[ConnectionInfo, Protocol], str]:
    return lambda info, protocol: message


_EXPLANATIONS = tuple(
    (re.compile(pattern), explain)
    for pattern, explain in (
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
            "Unwrap failed",  # gRPC's message for an alert after its part of the handshake
            _always("the server refused TLS; it may want a certificate: set tls.cert_file and tls.key_file"),
        ),
        (
            "ALERT_UNKNOWN_CA",
            _always("the server does not know the authority of the client's certificate (tls.cert_file)"),
        ),
    )
)
"""Messages of OpenSSL and gRPC's BoringSSL, and their explanations."""
_REFUSED = re.compile(r"_ALERT_(CERTIFICATE_|UNKNOWN_CA|BAD_CERTIFICATE|UNSUPPORTED_CERTIFICATE|ACCESS_DENIED)")


def refuses_client(message: str) -> bool:
    """Return whether the server refused the client's certificate, and so everything that was sent."""
    return _REFUSED.search(message) is not None


def closed_in_handshake(info: ConnectionInfo, protocol: Protocol) -> str:
    """Return advice about a server that closed the connection during the TLS handshake, maybe in a restart."""
    return "" if _is_only_target(info) else f"; it may speak no TLS (try {_target(info, protocol, False)})"


def is_tls_failure(error: BaseException | None) -> bool:
    """Return whether TLS itself failed, and not a server that ended or restarted during the handshake."""
    return isinstance(error, ssl.SSLError) and not isinstance(error, (ssl.SSLEOFError, ssl.SSLZeroReturnError))


def handshake_error(error: OSError, info: ConnectionInfo, protocol: Protocol) -> Exception:
    """Return the error of a failed connection attempt; a TLS handshake's says what it means."""
    if is_tls_failure(error):
        return TlsError(f"TLS handshake failed: {tls_message(str(error), info, protocol)}", target=info.target)
    # asyncio turns an EOF into a reset.
    if info.tls.enabled and isinstance(error, (ConnectionResetError, ssl.SSLError)):
        reason = f": {error}" if str(error) else ""
        if not isinstance(error, ssl.SSLZeroReturnError):  # the server's TLS closed it
            reason += closed_in_handshake(info, protocol)
        return ConnectionResetError(f"the server closed the connection during the TLS handshake{reason}")
    return error


def copy_for(failure: RemoteCallError, method: str | None) -> RemoteCallError:
    """Return a copy of an error for another call that it ends: every call raises its own."""
    copied = copy(failure)
    copied.method = method
    return copied
