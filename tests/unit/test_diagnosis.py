"""What a failed connection says about the server, by its first bytes and by the words of a TLS library."""

from __future__ import annotations

import pickle
import ssl
import struct
from typing import Any

import pytest

from remote_client._transport.net.diagnosis import (
    PeerProtocol,
    closed_early,
    copy_for,
    handshake_error,
    http1_error,
    is_tls_failure,
    no_http2,
    peer_protocol,
    tls_message,
    wants_tls,
    wrong_peer,
)
from remote_client._transport.retry import NOT_HERE, may_retry
from remote_client.errors import RemoteCallError, TlsError
from remote_client.settings import ConnectionInfo, ConnectionTlsInfo, Protocol, RetryPolicy

SETTINGS = b"\0\0\x18\4\0\0\0\0\0" + bytes(24)
NGINX = (
    b"HTTP/1.1 400 Bad Request\r\nServer: nginx/1.22.1\r\nContent-Type: text/html\r\n\r\n<html>\r\n<head><title>400 "
    b"The plain HTTP request was sent to HTTPS port</title></head>"
)
GO = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"
ALERT = b"\x15\x03\x01\x00\x02\x02\x46"


OR_TLS = "or grpcs://host:8085 if the port is one for TLS"


def info(secure: bool = False, **more: Any) -> ConnectionInfo:
    settings: dict[str, Any] = {"hostname": "host", "port": 8085, "tls": ConnectionTlsInfo(enabled=secure)}
    return ConnectionInfo(**settings | more)


@pytest.mark.parametrize(
    ("first", "found"),
    [
        (SETTINGS, PeerProtocol.HTTP2),
        (b"\0\0\0\4\0\0\0\0\0", PeerProtocol.HTTP2),
        (b"\0\0\4\4\0\0\0\0\0", PeerProtocol.HTTP2),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", PeerProtocol.HTTP1),
        (b"HTTP/1.0 200 OK\r\n", PeerProtocol.HTTP1),
        (b"<html>\r\n<head><title>400 Bad Request</title>", PeerProtocol.HTTP1),
        (b"<!DOCTYPE html>", PeerProtocol.HTTP1),
        (ALERT, PeerProtocol.TLS),
        (b"\x15", PeerProtocol.TLS),
        (b"\x16\x03\x03\x04\x00", PeerProtocol.TLS),
        (NGINX, PeerProtocol.TLS),
        (GO, PeerProtocol.TLS),
        (b"", None),
        (b"\0\0\x18\4\1\0\0\0\0", None),
        (b"\0\0\x18\4\0\0\0\0\1", None),
        (b"\0\0\x18\6\0\0\0\0\0", None),
        (bytes(9), None),
        (b"220 mail ESMTP\r\n", None),
        (b"SSH-2.0-OpenSSH_9\r\n", None),
        (b"-ERR unknown command\r\n", None),
        (b"\x15\x02", None),
        (b"HTTP/2 200", None),
    ],
)
def test_the_first_bytes_tell_what_a_server_speaks(first: bytes, found: PeerProtocol | None) -> None:
    assert peer_protocol(first) is found


@pytest.mark.parametrize(
    ("protocol", "secure", "first", "told"),
    [
        ("http", False, SETTINGS, "the server speaks HTTP/2 (gRPC), not HTTP/1.1: try grpc://host:8085"),
        ("http", True, SETTINGS, "the server speaks HTTP/2 (gRPC), not HTTP/1.1: try grpcs://host:8085"),
        ("http", False, ALERT, "the server speaks TLS: try https://host:8085"),
        (
            "grpc",
            False,
            b"HTTP/1.1 400 ",
            f"the server speaks HTTP/1.1, not HTTP/2 (gRPC): try http://host:8085, {OR_TLS}",
        ),
        ("grpc", True, b"HTTP/1.1 400 ", "the server speaks HTTP/1.1, not HTTP/2 (gRPC): try https://host:8085"),
        ("grpc", False, ALERT, "the server speaks TLS: try grpcs://host:8085"),
        ("grpc", False, NGINX, "the server speaks TLS: try grpcs://host:8085"),
    ],
)
def test_the_error_names_the_target_to_try(protocol: Protocol, secure: bool, first: bytes, told: str) -> None:
    error = wrong_peer(first, info(secure=secure), protocol)
    assert error is not None
    assert (error.details, error.target) == (told, "host:8085")
    assert (error.outcome_known, error.pushback) == (True, NOT_HERE)


@pytest.mark.parametrize(
    ("protocol", "first"),
    [("grpc", SETTINGS), ("http", b"HTTP/1.1 200 OK\r\n"), ("grpc", b""), ("http", b""), ("http", b"220 mail\r\n")],
)
def test_what_is_right_or_not_known_is_no_mismatch(protocol: Protocol, first: bytes) -> None:
    assert wrong_peer(first, info(), protocol) is None


@pytest.mark.parametrize("status", [502, 503, 504])
def test_an_edge_without_a_server_may_have_one_soon(status: int) -> None:
    for error in (
        wrong_peer(b"HTTP/1.0 %d Away\r\n" % status, info(), "grpc"),
        http1_error(str(status), info()),
    ):
        assert error is not None
        assert f"HTTP/1.1, not HTTP/2 (gRPC), at least for now (HTTP status {status})" in str(error)
        assert may_retry(error, RetryPolicy(retries=1))
        assert error.outcome_known


def test_a_page_that_asks_for_tls() -> None:
    page = NGINX.partition(b"\r\n\r\n")[2]
    schemes: dict[Protocol, str] = {"http": "https", "grpc": "grpcs"}
    for protocol, scheme in schemes.items():
        error = wants_tls(page, info(), protocol)
        assert error is not None
        assert error.details == f"the server speaks TLS: try {scheme}://host:8085"
    assert wants_tls(b"<title>400 Bad Request</title>", info(), "http") is None


def test_a_unix_socket_has_no_other_target() -> None:
    connection = ConnectionInfo(hostname="unix:/tmp/x")
    for first, told in (
        (ALERT, "the server speaks TLS"),
        (b"HTTP/1.1 400 ", "the server speaks HTTP/1.1, not HTTP/2 (gRPC)"),
    ):
        error = wrong_peer(first, connection, "grpc")
        assert error is not None
        assert error.details == told
    assert closed_early(connection, "grpc") == ""
    assert "try" not in no_http2(connection)


def test_ipv6_targets_keep_their_brackets() -> None:
    error = wrong_peer(SETTINGS, info(hostname="::1"), "http")
    assert error is not None
    assert error.details.endswith("try grpc://[::1]:8085")


@pytest.mark.parametrize(
    ("protocol", "secure", "told"),
    [
        ("http", False, "; it may speak TLS (try https://host:8085) or gRPC (try grpc://host:8085)"),
        ("http", True, "; it may speak gRPC (try grpcs://host:8085)"),
        ("grpc", False, "; it may speak TLS (try grpcs://host:8085)"),
        ("grpc", True, ""),
    ],
)
def test_a_server_that_closes_at_once_may_speak_another_protocol(protocol: Protocol, secure: bool, told: str) -> None:
    assert closed_early(info(secure=secure), protocol) == told


# -- TLS --------------------------------------------------------------------------------------------------------------

GRPCIO = "failed to connect to all addresses; last error: UNKNOWN: ipv4:127.0.0.1:1: "
FAILED = (
    f"{GRPCIO}Tls handshake failed (TSI_PROTOCOL_FAILURE): SSL_ERROR_SSL: error:1000007d:SSL routines:OPENSSL_internal:"
)


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ("[SSL: WRONG_VERSION_NUMBER] wrong version number", "the server does not speak TLS: try grpc://host:8085"),
        ("[SSL: RECORD_LAYER_FAILURE] record layer failure", "the server does not speak TLS: try grpc://host:8085"),
        (f"{FAILED}WRONG_VERSION_NUMBER: Invalid", "the server does not speak TLS: try grpc://host:8085"),
        (f"{GRPCIO}Cannot check peer: missing selected ALPN property.", "the server offers no HTTP/2 over TLS"),
        ("[SSL] tlsv1 alert no application protocol", "the server offers no HTTP/2 over TLS"),
        (f"{FAILED}TLSV1_ALERT_NO_APPLICATION_PROTOCOL: Invalid", "the server offers no HTTP/2 over TLS"),
        ("Hostname mismatch, certificate is not valid for 'host'.", "certificate is not for host: connect by a name"),
        ("IP address mismatch, certificate is not valid for '::1'.", "certificate is not for host: connect by a name"),
        (f"{GRPCIO}UNAUTHENTICATED: Hostname Verification Check failed.", "certificate is not for host: connect by a"),
        ("unable to get local issuer certificate", "no authority in the system's trust store signed"),
        (f"{FAILED}CERTIFICATE_VERIFY_FAILED: self signed certificate: OK", "no authority in the system's trust store"),
        (f"{FAILED}CERTIFICATE_VERIFY_FAILED: certificate has expired: OK", "the server's certificate has expired"),
        ("certificate is not yet valid", "not valid yet: look at this machine's clock"),
        ("[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED]", "set tls.cert_file and tls.key_file"),
        ("[SSL: TLSV1_ALERT_UNKNOWN_CA] tlsv1 alert unknown ca", "does not know the authority of the client's"),
    ],
)
def test_words_for_what_tls_libraries_say(told: str, words: str) -> None:
    shown = tls_message(told, info(secure=True), "grpc")
    assert words in shown
    assert shown.endswith(f" ({told})")


def test_what_is_not_known_is_told_as_it_is() -> None:
    assert tls_message("[SSL: BAD_ECPOINT] bad ecpoint", info(secure=True), "grpc") == "[SSL: BAD_ECPOINT] bad ecpoint"


def test_the_words_name_what_was_set() -> None:
    override = info(secure=True, options={"grpc.ssl_target_name_override": "other"})
    mismatch = "Hostname mismatch, certificate is not valid for 'other'."
    assert "not for other: connect by a name that it has, or set the option" in tls_message(mismatch, override, "grpc")
    assert "not for host: connect by a name that it has (" in tls_message(mismatch, override, "http")
    assert "try https://host:8085" in no_http2(override)
    assert "try grpcs://host:8085" in tls_message("tlsv1 alert no application protocol", info(secure=True), "http")


@pytest.mark.parametrize("kind", [ssl.SSLEOFError, ssl.SSLZeroReturnError, ConnectionResetError])
def test_an_end_of_the_handshake_may_be_a_restart(kind: type[OSError]) -> None:
    error = kind(8, "TLS/SSL connection has been closed (EOF)")
    assert not is_tls_failure(error)
    failure = handshake_error(error, info(secure=True), "grpc")
    assert isinstance(failure, ConnectionResetError)
    advice = "" if kind is ssl.SSLZeroReturnError else "; it may speak no TLS (try grpc://host:8085)"
    assert str(failure).endswith(f"(EOF){advice}")


def test_what_becomes_of_a_failure_to_connect() -> None:
    wrong = handshake_error(ssl.SSLError("[SSL: WRONG_VERSION_NUMBER] wrong version number"), info(secure=True), "http")
    assert isinstance(wrong, TlsError)
    assert "try http://host:8085" in str(wrong)
    ended = handshake_error(ConnectionResetError(), info(secure=True), "http")
    assert isinstance(ended, ConnectionResetError)
    assert str(ended).endswith("during the TLS handshake; it may speak no TLS (try http://host:8085)")
    refused = ConnectionRefusedError("no")
    assert handshake_error(refused, info(secure=True), "http") is refused
    plain = ConnectionResetError("reset")
    assert handshake_error(plain, info(), "http") is plain


def test_each_call_has_an_error_of_its_own() -> None:
    error = wrong_peer(SETTINGS, info(), "http")
    assert error is not None
    one, two = copy_for(error, "GET /a"), copy_for(error, "GET /b")
    assert [each.method for each in (error, one, two)] == [None, "GET /a", "GET /b"]
    assert {each.pushback for each in (one, two)} == {NOT_HERE}
    copied: RemoteCallError = pickle.loads(pickle.dumps(one))
    assert (str(copied), copied.pushback) == (str(one), NOT_HERE)


def test_any_bytes_are_something_or_nothing() -> None:
    for seed in range(2000):
        peer_protocol(struct.pack(">LLL", seed * 2654435761 % 2**32, seed, seed * 40503 % 2**32)[: seed % 13])
