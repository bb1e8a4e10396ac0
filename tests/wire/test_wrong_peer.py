"""Servers of another protocol than the target says: the error says what they speak and which target to try, and a call
that cannot work is made once. A server that ends a handshake may be one that restarts: there it is made again.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import trustme

from remote_client._client.client import RemoteClient
from remote_client.errors import RemoteCallError, TlsError, UnavailableError
from remote_client.hooks import AttemptFailed
from remote_client.settings import ConnectionInfo, ConnectionTlsInfo
from remote_client.sync._modules import wrapped
from tests.support.http_wire import CLOSE, HttpWire, answer, http_module
from tests.support.proxy import Proxy
from tests.support.wire import ServerProcess, WireServer, raw_module

from ..conftest import ENGINE
from .test_tls import Authority

RETRIES = 2
ALERT = b"\x15\x03\x01\x00\x02\x02\x46"
"""What Envoy and servers of Go answer to plain text where they expect TLS."""
MAKE: dict[str, Callable[[ConnectionInfo], Any]] = {
    "grpc": raw_module,
    "grpcs": raw_module,
    "http": http_module,
    "https": http_module,
}
pytestmark = pytest.mark.own_http("what a server speaks instead is known on our own connections alone")


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"), "localhost", "127.0.0.1")


@pytest.fixture(scope="module")
def secure_servers(authority: Authority) -> Any:
    with WireServer(tls=authority.tls()) as grpc, HttpWire(tls=authority.tls()) as http:
        yield {"grpcs": grpc, "https": http}


@pytest.fixture
def servers(
    wire: WireServer, http_wire: HttpWire, secure_servers: dict[str, ServerProcess]
) -> dict[str, ServerProcess]:
    """A server of each scheme."""
    return {"grpc": wire, "http": http_wire, **secure_servers}


def target(scheme: str, port: int, authority: Authority, **more: Any) -> ConnectionInfo:
    secure = scheme.endswith("s")
    settings: dict[str, Any] = {
        "hostname": "127.0.0.1",
        "tls": ConnectionTlsInfo(enabled=secure, ca_file=authority.ca if secure else None),
        "timeout": 10,
        "retries": RETRIES,
        "retry_options": {"initialBackoff": "0.01s"},
    }
    return ConnectionInfo(port=port, **settings | more)


async def failure(scheme: str, info: ConnectionInfo, kind: str = "asyncio") -> RemoteCallError:
    """The error of one call."""
    module = MAKE[scheme](info)
    with pytest.raises(RemoteCallError) as caught:
        if kind == "blocking":
            with wrapped(module) as blocking:
                await asyncio.to_thread(blocking.echo, b"x")
        else:
            async with module:
                await (module.echo(b"x") if kind == "asyncio" else anext(module.silent()))
    return caught.value


@dataclass(frozen=True)
class Case:
    """A server, the scheme it is called by, and the error."""

    server: str
    scheme: str
    error: type[RemoteCallError]
    words: str
    once: bool = True

    def __str__(self) -> str:
        return f"{self.scheme} at {self.server}"


class Saying:
    """A server that says the same to everybody.

    Attributes:
        port: where it listens.
        accepted: connections so far.
    """

    def __init__(self, said: bytes, first: bool, reset: bool) -> None:
        self._said, self._first, self._reset = said, first, reset
        self.port = self.accepted = 0

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        if not self._first:
            await reader.read(1 << 16)
        writer.write(self._said)
        if self._reset:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await writer.drain()
        writer.close()


@asynccontextmanager
async def saying(said: bytes, *, first: bool = False, reset: bool = False) -> AsyncIterator[Saying]:
    """A server that says something, before or after it hears something, and ends the connection."""
    made = Saying(said, first, reset)
    server = await asyncio.start_server(made.accept, "127.0.0.1", 0)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()


NO_TLS = "the server does not speak TLS: try "
CASES = [
    Case("grpc", "http", UnavailableError, "the server speaks HTTP/2 (gRPC), not HTTP/1.1: try grpc://"),
    Case("grpc", "https", TlsError, f"{NO_TLS}http://"),
    Case("grpc", "grpcs", TlsError, f"{NO_TLS}grpc://"),
    Case("http", "grpc", UnavailableError, "the server speaks HTTP/1.1, not HTTP/2 (gRPC): try http://"),
    Case("http", "https", TlsError, f"{NO_TLS}http://"),
    Case("http", "grpcs", TlsError, f"{NO_TLS}grpc://"),
    Case("https", "grpcs", TlsError, "the server offers no HTTP/2 over TLS, which gRPC needs"),
    # Of these no byte comes, as of a server that restarts.
    Case("grpcs", "http", UnavailableError, "it may speak TLS (try https://", once=False),
    Case("grpcs", "https", UnavailableError, "it may speak gRPC (try grpcs://", once=False),
    Case("grpcs", "grpc", UnavailableError, "it may speak TLS (try grpcs://", once=False),
    Case("https", "http", UnavailableError, "it may speak TLS (try https://", once=False),
    Case("https", "grpc", UnavailableError, "it may speak TLS (try grpcs://", once=False),
]


@pytest.mark.parametrize("kind", ["asyncio", "stream", "blocking"])
@pytest.mark.parametrize("case", CASES, ids=str)
async def test_a_server_of_another_protocol(
    servers: dict[str, ServerProcess], authority: Authority, case: Case, kind: str
) -> None:
    if case.server == "http" and case.scheme.endswith("s"):
        await servers["http"].faults({"ACCEPT": {"steps": [*answer("TLS, what is that?", 400), CLOSE]}})
    async with Proxy(servers[case.server].port) as relay:
        error = await failure(case.scheme, target(case.scheme, relay.port, authority), kind)
    assert type(error) is case.error
    assert case.words in str(error)
    if "try " in case.words:
        assert f"{case.words.partition('try ')[2]}127.0.0.1:{relay.port}" in str(error)
    if case.once:
        assert (relay.accepted, len(error.previous), error.outcome_known) == (1, 0, True)
    else:
        assert len(error.previous) == RETRIES


@pytest.mark.parametrize("kind", ["asyncio", "stream"])
@pytest.mark.parametrize("first", [True, False], ids=["speaks first", "answers"])
@pytest.mark.parametrize("scheme", ["http", "grpc"])
async def test_an_alert_of_tls(authority: Authority, scheme: str, first: bool, kind: str) -> None:
    """It is shorter than what either protocol begins with."""
    async with saying(ALERT, first=first) as server:
        error = await failure(scheme, target(scheme, server.port, authority), kind)
    assert type(error) is UnavailableError
    if scheme == "http" or ENGINE == "asyncio":
        assert f"the server speaks TLS: try {scheme}s://127.0.0.1:{server.port}" in str(error)
        assert (server.accepted, error.previous, error.outcome_known) == (1, (), True)


async def test_a_page_that_asks_for_tls(authority: Authority) -> None:
    page = "<html><head><title>400 The plain HTTP request was sent to HTTPS port</title></head></html>"
    said = f"HTTP/1.1 400 Bad Request\r\ncontent-type: text/html\r\ncontent-length: {len(page)}\r\n\r\n{page}".encode()
    for scheme in ("http", "grpc"):
        async with saying(said) as server:
            error = await failure(scheme, target(scheme, server.port, authority))
        assert (type(error), error.previous, error.outcome_known) == (UnavailableError, (), True)
        if scheme == "http" or ENGINE == "asyncio":
            assert f"the server speaks TLS: try {scheme}s://127.0.0.1:{server.port}" in str(error)


async def test_an_edge_without_a_server_is_asked_again(authority: Authority) -> None:
    """What it says in HTTP/1.1 it says to all, and what is behind it may speak gRPC."""
    async with saying(b"HTTP/1.0 503 Service Unavailable\r\nconnection: close\r\n\r\n") as server:
        error = await failure("grpc", target("grpc", server.port, authority))
    assert len(error.previous) == RETRIES
    assert isinstance(error, UnavailableError)
    assert "at least for now (HTTP status 503)" in str(error)


@pytest.mark.parametrize("scheme", ["http", "grpc"])
async def test_what_is_not_known_is_told_as_it_is(authority: Authority, scheme: str) -> None:
    async with saying(b"220 mail ESMTP\r\n") as server:
        error = await failure(scheme, target(scheme, server.port, authority))
    assert "try " not in str(error)


async def test_the_next_call_finds_a_server_that_was_put_right(
    wire: WireServer, http_wire: HttpWire, authority: Authority
) -> None:
    """A mismatch lasts for its call alone."""
    for scheme, right, wrong in (("grpc", wire.port, http_wire.port), ("http", http_wire.port, wire.port)):
        async with Proxy(wrong) as relay:
            async with MAKE[scheme](target(scheme, relay.port, authority)) as module:
                with pytest.raises(UnavailableError):
                    await module.echo(b"x")
                relay._to = right
                async with asyncio.timeout(5):
                    while True:
                        try:
                            assert await module.echo(b"x") == b"x"
                            break
                        except UnavailableError:  # gRPC pauses between two tries to connect
                            await asyncio.sleep(0.05)


async def test_a_wrong_target_is_no_server_that_is_down(
    servers: dict[str, ServerProcess], authority: Authority
) -> None:
    """`healthy` says False of what may get well by itself."""
    for server, scheme in (("grpc", "http"), ("http", "grpc"), ("grpc", "grpcs")):
        more: dict[str, Any] = {"tls": {"ca_file": authority.ca}} if scheme == "grpcs" else {}
        async with RemoteClient(f"{scheme}://127.0.0.1:{servers[server].port}", **more) as client:
            for call in (client.healthy(), client.models(), client.model("foo"), client.describe()):
                with pytest.raises((UnavailableError, TlsError), match="try "):
                    await call


async def test_another_server_answers_where_one_speaks_another_protocol(wire: WireServer, http_wire: HttpWire) -> None:
    """No attempt is lost on the wrong one that another can make good."""
    for right, wrong, scheme in ((wire, http_wire, "grpc"), (http_wire, wire, "http")):
        async with Proxy(right.port) as one, Proxy(right.port) as two:
            targets = [f"{scheme}://127.0.0.1:{each.port}" for each in (one, two)]
            events: list[Any] = []
            async with RemoteClient(targets, retries=1, hooks=[events.append]) as client:
                model = await client.model("foo" if scheme == "grpc" else "raw")
                call = partial(model.run_sample, {"name": "a"}) if scheme == "grpc" else partial(model.run_echo, "a")
                while not (one.accepted and two.accepted):
                    await call()
                two._to = wrong.port
                two.cut()
                events.clear()
                async with asyncio.timeout(10):
                    while not any(isinstance(each, AttemptFailed) and "try " in str(each.error) for each in events):
                        await call()


# -- a server that restarts -------------------------------------------------------------------------------------------


HELLO = b"\x16\x03\x03\x00\x7a\x02\x00\x00"
"""The beginning of a server's part of a handshake."""
GOODBYE = b"\x15\x03\x03\x00\x02\x01\x00"
ENDS = {"nothing": (b"", False), "reset": (b"", True), "half": (HELLO, False), "half, reset": (HELLO, True)}


@pytest.mark.parametrize("end", [*ENDS, "goodbye"])
@pytest.mark.parametrize("scheme", ["https", "grpcs"])
async def test_a_server_that_ends_in_mid_handshake_is_tried_again(
    servers: dict[str, ServerProcess], authority: Authority, scheme: str, end: str
) -> None:
    said, reset = ENDS.get(end, (GOODBYE, False))
    async with saying(said, reset=reset) as ending:
        error = await failure(scheme, target(scheme, ending.port, authority))
        assert isinstance(error, UnavailableError)
        assert len(error.previous) == RETRIES
        advice = f"it may speak no TLS (try {scheme[:-1]}://127.0.0.1:{ending.port})"
        assert (advice in str(error)) is (end != "goodbye"), "that is TLS's own"
        async with Proxy(ending.port) as relay:
            module = MAKE[scheme](target(scheme, relay.port, authority, retries=20))
            async with module:
                call = asyncio.create_task(module.echo(b"x"))
                while not relay.accepted:
                    await asyncio.sleep(0.001)
                relay._to = servers[scheme].port
                assert await call == b"x"


async def test_a_tls_server_without_alpn_is_no_grpc_server(authority: Authority) -> None:
    """Its proxy may pass HTTP/2 on, but gRPC needs the agreement."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(authority.cert, authority.key)
    accepted = 0

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal accepted
        accepted += 1
        writer.close()

    server = await asyncio.start_server(accept, "127.0.0.1", 0, ssl=context)
    port = server.sockets[0].getsockname()[1]
    for kind in ("asyncio", "stream", "blocking"):
        accepted = 0
        error = await failure("grpcs", target("grpcs", port, authority), kind)
        assert (type(error), error.previous, error.outcome_known, accepted) == (TlsError, (), True, 1)
        assert f"let it, or the proxy before it, offer h2 by ALPN, or try https://127.0.0.1:{port}" in str(error)
    server.close()


# -- certificates -----------------------------------------------------------------------------------------------------


def expired(folder: Path) -> Authority:
    made, files = trustme.CA(), Authority(folder, "localhost")
    begin, end = (datetime.now(UTC) + timedelta(days=days) for days in (-20, -10))
    issued = made.issue_cert("localhost", not_before=begin, not_after=end)
    made.cert_pem.write_to_path(files.ca)
    issued.private_key_pem.write_to_path(files.key)
    issued.cert_chain_pems[0].write_to_path(files.cert)
    return files


@pytest.mark.parametrize("wrong", ["authority", "system", "name", "time"])
@pytest.mark.parametrize("scheme", ["https", "grpcs"])
async def test_what_is_wrong_with_a_certificate_and_what_to_set(tmp_path: Path, scheme: str, wrong: str) -> None:
    (tmp_path / "other").mkdir()
    right = (
        expired(tmp_path) if wrong == "time" else Authority(tmp_path, "elsewhere" if wrong == "name" else "localhost")
    )
    other = Authority(tmp_path / "other", "localhost")
    ca = {"authority": other.ca, "system": None}.get(wrong, right.ca)
    words = {
        "authority": f"no authority in tls.ca_file ({other.ca}) signed the server's certificate: set tls.ca_file to",
        "system": "no authority in the system's trust store signed the server's certificate: set tls.ca_file to",
        "name": "the server's certificate is not for localhost: connect by a name that it has",
        "time": "the server's certificate has expired",
    }[wrong]
    with (WireServer if scheme == "grpcs" else HttpWire)(tls=right.tls()) as server:
        tls = ConnectionTlsInfo(enabled=True, ca_file=ca)
        for kind in ("asyncio", "stream", "blocking"):
            info = target(scheme, server.port, right, hostname="localhost", tls=tls)
            error = await failure(scheme, info, kind)
            assert (type(error), error.previous, error.outcome_known) == (TlsError, (), True)
            assert words in str(error)
            assert ("grpc.ssl_target_name_override" in str(error)) is (wrong == "name" and scheme == "grpcs")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("who", ["nobody", "a stranger"])
@pytest.mark.parametrize("scheme", ["https", "grpcs"])
async def test_what_a_server_wants_of_the_clients_certificate(
    tmp_path: Path, scheme: str, who: str, version: ssl.TLSVersion
) -> None:
    """With TLS 1.3 it says so after the client's part of the handshake."""
    for name in ("server", "friend", "stranger"):
        (tmp_path / name).mkdir()
    server, friend, stranger = (Authority(tmp_path / name, "127.0.0.1") for name in ("server", "friend", "stranger"))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=friend.ca)
    context.load_cert_chain(server.cert, server.key)
    context.verify_mode, context.maximum_version = ssl.CERT_REQUIRED, version
    context.set_alpn_protocols(["h2", "http/1.1"])
    files: dict[str, Any] = {"cert_file": stranger.cert, "key_file": stranger.key} if who == "a stranger" else {}
    with refusing(context) as port:
        tls = ConnectionTlsInfo(enabled=True, ca_file=server.ca, **files)
        error = await failure(scheme, target(scheme, port, server, tls=tls))
    assert (type(error), error.previous, error.outcome_known) == (TlsError, (), True)
    if version is ssl.TLSVersion.TLSv1_3 or who == "a stranger":  # TLS 1.2 has no word for a missing certificate
        assert "tls.cert_file" in str(error)


@contextmanager
def refusing(context: ssl.SSLContext) -> Iterator[int]:
    """A server that tells why a handshake failed: one of asyncio's does not."""
    listener = socket.create_server(("127.0.0.1", 0))

    def refuse() -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = listener.accept()
                with connection.dup() as kept:  # closed at once, it would take its last words along
                    with contextlib.suppress(OSError):
                        context.wrap_socket(connection, server_side=True)
                    while kept.recv(1 << 16):
                        pass

    thread = threading.Thread(target=refuse)
    thread.start()
    try:
        yield listener.getsockname()[1]
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join()


async def test_the_name_that_is_to_be_set_works(tmp_path: Path) -> None:
    elsewhere = Authority(tmp_path, "elsewhere")
    with WireServer(tls=elsewhere.tls()) as server:
        for name, works in (("elsewhere", True), ("nowhere", False)):
            options = {"grpc.ssl_target_name_override": name}
            async with raw_module(target("grpcs", server.port, elsewhere, options=options)) as module:
                if works:
                    assert await module.echo(b"x") == b"x"
                    continue
                with pytest.raises(TlsError, match="is not for nowhere"):
                    await module.echo(b"x")


async def test_what_a_proxy_speaks_is_not_the_servers(wire: WireServer, authority: Authority) -> None:
    """One that passes requests on speaks for itself: no other target helps."""
    async with saying(b"", first=True) as silent:
        for port in (wire.port, silent.port):
            info = target("http", 1, authority, proxy=f"http://127.0.0.1:{port}")
            assert "(try " not in (told := str(await failure("http", info)))
            assert ": try " not in told


async def test_a_proxy_may_be_the_one_that_speaks_tls(authority: Authority) -> None:
    """The page that says so is the server's, or that of the proxy before it."""
    page = b"<title>400 The plain HTTP request was sent to HTTPS port</title>"
    answer = b"HTTP/1.1 400 Bad Request\r\nContent-Length: %d\r\n\r\n%b" % (len(page), page)
    async with saying(answer) as proxy:
        info = target("http", 1, authority, proxy=f"http://127.0.0.1:{proxy.port}")
        told = str(await failure("http", info))
    assert f"try https://127.0.0.1:1, or https:// for the proxy at 127.0.0.1:{proxy.port}" in told


async def test_a_server_that_takes_a_connection_and_says_nothing(mute: int, authority: Authority) -> None:
    options = {"grpc.min_reconnect_backoff_ms": 200}
    error = await failure("grpc", target("grpc", mute, authority, options=options, retries=0))
    assert type(error) is UnavailableError
    assert f"; it may speak TLS (try grpcs://127.0.0.1:{mute})" in str(error)


async def test_a_page_without_a_status_line(authority: Authority) -> None:
    """As Python's own server answers a request of HTTP/2."""
    for page in (
        b"<!DOCTYPE HTML>\n<html><title>Error response</title>",
        b"<html><title>400 Bad Request</title></html>",
    ):
        async with saying(page) as server:
            error = await failure("grpc", target("grpc", server.port, authority))
        assert (type(error), error.previous) == (UnavailableError, ())
        assert f"the server speaks HTTP/1.1, not HTTP/2 (gRPC): try http://127.0.0.1:{server.port}" in str(error)


async def test_a_reset_before_the_first_byte(authority: Authority) -> None:
    """As servers of TLS answer plain text, too."""
    for scheme in ("http", "grpc"):
        async with saying(b"", reset=True) as server:
            error = await failure(scheme, target(scheme, server.port, authority))
        assert len(error.previous) == RETRIES
        assert f"it may speak TLS (try {scheme}s://127.0.0.1:{server.port})" in str(error)
