"""The words of CONNECT, byte by byte, and the errors of proxies that open no tunnel."""

from __future__ import annotations

import base64
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remote_client._settings.proxies import Proxy
from remote_client._transport.net.connect import connect_error
from remote_client._transport.net.proxy import MAX_HEAD, ConnectReply, ProxyError, Route, connect_request
from remote_client._transport.retry import may_retry
from remote_client.errors import (
    PermissionDeniedError,
    RemoteCallError,
    ResourceExhaustedError,
    UnauthenticatedError,
    UnavailableError,
)
from remote_client.settings import ConnectionInfo, RetryPolicy

SECRET = "s3cret-of-the-proxy"
URL = f"http://user:{SECRET}@proxy.example:3128"
PLAIN = Proxy.parse("http://proxy.example:3128")
ROUTE = Route(ConnectionInfo(hostname="runtime.example", port=8085), "grpc", PLAIN)


def test_the_request() -> None:
    assert connect_request("runtime.example", 8085, PLAIN) == (
        b"CONNECT runtime.example:8085 HTTP/1.1\r\nHost: runtime.example:8085\r\n\r\n"
    )
    assert connect_request("fe80::1%eth0", 1, PLAIN).startswith(
        b"CONNECT [fe80::1]:1 HTTP/1.1\r\nHost: [fe80::1]:1\r\n"
    )
    shown = base64.b64encode("us er:pä@ss".encode())
    wanted = b"\r\nProxy-Authorization: Basic " + shown + b"\r\n\r\n"
    assert connect_request("h", 1, Proxy.parse("http://us%20er:p%C3%A4%40ss@p")).endswith(wanted)


ESTABLISHED = b"HTTP/1.1 200 Connection established\r\nX: y\r\n\r\n"


@pytest.mark.parametrize(
    ("data", "rest"),
    [
        (ESTABLISHED, b""),
        (ESTABLISHED + b"\x00\x00\x12", b"\x00\x00\x12"),
        (ESTABLISHED + ESTABLISHED, ESTABLISHED),
        (b"HTTP/1.0 200\r\n\r\n", b""),
        (b"HTTP/1.1 200 \r\n\r\n", b""),
        (b"HTTP/1.1 204 No Content\r\n\r\nx", b"x"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\nx", b"x"),
        (b"HTTP/1.1 200 OK\n\nx", b"x"),
        (b"HTTP/1.1 200 OK\r\n\nx", b"x"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\n\r\n" + ESTABLISHED + b"x", b"x"),
    ],
)
def test_tunnels(data: bytes, rest: bytes) -> None:
    assert ConnectReply(PLAIN).receive_data(data) == rest
    for piece in (1, 2, 7):
        reply, found = ConnectReply(PLAIN), None
        for start in range(0, len(data) - len(rest), piece):
            assert found is None
            found = reply.receive_data(data[start : min(start + piece, len(data) - len(rest))])
        assert found == b""


def _refused(*pieces: bytes, proxy: Proxy = PLAIN) -> ProxyError:
    reply = ConnectReply(proxy)
    with pytest.raises(ProxyError) as caught:
        for piece in pieces:
            assert reply.receive_data(piece) is None
    return caught.value


ANSWERS: list[tuple[int, type[RemoteCallError]]] = [
    *((status, PermissionDeniedError) for status in (400, 401, 403, 404, 405, 421, 431, 451)),
    (407, UnauthenticatedError),
    (408, UnavailableError),
    (429, ResourceExhaustedError),
    *((status, UnavailableError) for status in (301, 302, 307, 500, 501, 502, 503, 504, 511, 520, 599, 999)),
]


@pytest.mark.parametrize(("status", "kind"), ANSWERS)
def test_statuses(status: int, kind: type[RemoteCallError]) -> None:
    error = _refused(b"HTTP/1.1 %d Said so\r\nContent-Length: 3\r\n\r\nno!" % status)
    failure = connect_error(error, ROUTE)
    assert type(failure) is kind
    assert error.status == status
    assert str(status) in failure.details
    assert "the proxy at proxy.example:3128" in failure.details
    assert failure.outcome_known
    assert failure.http_status == (None if kind is UnavailableError else status)
    assert may_retry(failure, RetryPolicy()) is (kind in (UnavailableError, ResourceExhaustedError))


def test_a_proxy_that_wants_credentials_says_where_they_are_given() -> None:
    answer = b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n"
    told = str(_refused(answer))
    assert "the proxy wants credentials" in told
    assert "http://user:password@host:port" in told
    assert "the proxy refuses these credentials" in str(_refused(answer, proxy=Proxy.parse(URL)))


@pytest.mark.parametrize("part", [SECRET, f"user:{SECRET}", base64.b64encode(f"user:{SECRET}".encode()).decode()])
def test_a_proxy_that_repeats_its_credentials(part: str) -> None:
    error = _refused(f"HTTP/1.1 403 {part}\r\n\r\n".encode(), proxy=Proxy.parse(URL))
    assert part not in str(error)


def test_the_words_of_an_answer_are_cleaned() -> None:
    told = str(_refused(b"HTTP/1.1 503 \x1b[31m" + b"x" * 9000 + b"\r\n\r\n"))
    assert told.isprintable()
    assert len(told) < 300


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH\r\n",
        b"\r\n",
        b"HTTP/2 200\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n",
        b"HTTP/1.1 20\r\n\r\n",
        b"\x00\x00\x12\x04",
    ],
)
def test_what_is_no_answer(data: bytes) -> None:
    assert "what is no HTTP/1.1: is it a proxy?" in str(_refused(data))
    assert "what is no HTTP/1.1: is it a proxy?" in str(_refused(*(data[each : each + 1] for each in range(len(data)))))


def test_a_proxy_of_tls_that_is_spoken_to_in_the_clear() -> None:
    assert "speaks TLS: write https://proxy.example:3128" in str(_refused(b"\x15\x03\x01\x00\x02\x02\x46"))


@pytest.mark.parametrize(
    "pieces",
    [
        [b"HTTP/1.1 200 " + b"x" * MAX_HEAD],
        [b"HTTP/1.1 200 ", *[b"x" * 1000] * 17],
        [b"HTTP/1.1 200 OK\r\nX: " + b"x" * MAX_HEAD + b"\r\n\r\nrest"],
        [b"HTTP/1.1 100 Continue\r\n\r\n"] * 1000,
        [b"HTTP/1.1 100 Continue\r\n\r\n" * 1000],
    ],
)
def test_heads_are_bounded(pieces: list[bytes]) -> None:
    assert "a head larger than 16384 bytes" in str(_refused(*pieces))


@given(
    st.lists(st.one_of(st.binary(max_size=40), st.sampled_from([ESTABLISHED, b"HTTP/1.1 ", b"200", b"\r\n", b"\n"])))
)
def test_any_bytes_in_any_pieces(pieces: list[bytes]) -> None:
    def read(pieces: list[bytes]) -> Any:
        reply = ConnectReply(PLAIN)
        for index, piece in enumerate(pieces):
            try:
                rest = reply.receive_data(piece)
            except ProxyError as error:
                return error.status
            if rest is not None:
                return rest + b"".join(pieces[index + 1 :])
        return None

    whole = b"".join(pieces)
    assert read(pieces) == read([whole]) == read([whole[each : each + 1] for each in range(len(whole))])


def test_a_large_tunnel_is_no_large_head() -> None:
    assert ConnectReply(PLAIN).receive_data(ESTABLISHED + bytes(100_000)) == bytes(100_000)


@pytest.mark.parametrize(("data", "told"), [(b"", "without an answer"), (b"HTTP/1.1 2", "in the middle of its answer")])
def test_a_proxy_that_closes_the_connection(data: bytes, told: str) -> None:
    reply = ConnectReply(PLAIN)
    assert reply.receive_data(data) is None
    error = reply.receive_eof()
    assert str(error) == f"the proxy at proxy.example:3128 closed the connection {told}"
    assert type(connect_error(error, ROUTE)) is UnavailableError
