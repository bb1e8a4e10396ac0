"""TLS on both protocols: certificates out of their time, of both sides, and files that change while a client lives.

tests/wire/test_tls.py, tests/wire/test_http_tls.py and tests/live/test_tls.py have the rest.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import os
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from remote_client.errors import ConfigurationError, RemoteCallError, TlsError, UnavailableError
from remote_client.hooks import AttemptFailed
from remote_client.settings import CallOptions, ConnectionInfo, ConnectionTlsInfo, RetryPolicy
from tests.support.http_wire import http_module
from tests.support.wire import raw_module
from tests.wire.test_tls import Authority

Start = Callable[..., Any]
PROTOCOLS = ["grpc", "http"]
MODULES = {"grpc": raw_module, "http": http_module}


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "localhost", "127.0.0.1")


@pytest.fixture
def newer(tmp_path: Path) -> Authority:
    """Another authority, and the certificate of the same server that it issued."""
    (tmp_path / "newer").mkdir()
    return Authority(tmp_path / "newer", "localhost", "127.0.0.1")


@pytest.fixture
def start(start_wire: Start, start_http: Start) -> Start:
    """Starts a server of a protocol."""
    return lambda protocol, **wish: (start_wire if protocol == "grpc" else start_http)(**wish)


def info_of(port: int, **more: Any) -> ConnectionInfo:
    tls = ConnectionTlsInfo(enabled=True, **more.pop("files"))
    return ConnectionInfo(hostname="localhost", port=port, tls=tls, timeout=10, **{"retries": 0} | more)


@contextlib.asynccontextmanager
async def mutual(protocol: str, start: Start, server: Authority, clients: str) -> AsyncIterator[int]:
    """The port of a server that takes clients of one authority; its file is read when the server starts."""
    if protocol == "http":
        yield start("http", tls={**server.tls(), "ca": clients}).port
        return

    async def echo(request: bytes, context: Any) -> bytes:
        return request

    made = grpc.aio.server()
    handlers = {"Echo": grpc.unary_unary_rpc_method_handler(echo)}
    made.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Test", handlers),))
    key, cert, trusted = (Path(each).read_bytes() for each in (server.key, server.cert, clients))
    credentials = grpc.ssl_server_credentials([(key, cert)], trusted, require_client_auth=True)
    port = made.add_secure_port("127.0.0.1:0", credentials)
    await made.start()
    try:
        yield port
    finally:
        await made.stop(None)


# -- certificates -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("days", [(-20, -10), (10, 20)], ids=["expired", "not yet"])
async def test_a_certificate_out_of_its_time(start: Start, tmp_path: Path, days: tuple[int, int]) -> None:
    """Over gRPC; for HTTP see tests/wire."""
    made, authority = trustme.CA(), Authority(tmp_path, "localhost")
    begin, end = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=each) for each in days)
    issued = made.issue_cert("localhost", not_before=begin, not_after=end)
    made.cert_pem.write_to_path(authority.ca)
    issued.private_key_pem.write_to_path(authority.key)
    issued.cert_chain_pems[0].write_to_path(authority.cert)
    server = start("grpc", tls=authority.tls())
    async with raw_module(info_of(server.port, files={"ca_file": authority.ca})) as module:
        for call in (module.echo(b""), anext(module.silent())):
            with pytest.raises(TlsError):
                await call


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_certificates_of_both_sides(
    start: Start, authority: Authority, newer: Authority, tmp_path: Path, protocol: str
) -> None:
    (tmp_path / "friend").mkdir()
    friend = Authority(tmp_path / "friend", "client.example")
    async with mutual(protocol, start, authority, friend.ca) as port:
        own = {"ca_file": authority.ca}
        async with MODULES[protocol](
            info_of(port, files={**own, "cert_file": friend.cert, "key_file": friend.key})
        ) as module:
            assert await module.echo(b"private") == b"private"
        for files in (own, {**own, "cert_file": newer.cert, "key_file": newer.key}):
            async with MODULES[protocol](info_of(port, files=files)) as refused:
                with pytest.raises((TlsError, UnavailableError)):
                    await refused.echo(b"private")


@pytest.mark.only_engine("grpcio", "the own engine's TLS is Python's, which takes the key")
async def test_a_key_that_grpc_does_not_know(start: Start, authority: Authority, tmp_path: Path) -> None:
    """Python's TLS takes it, gRPC's does not, and says so when it connects."""
    key = ec.generate_private_key(ec.SECP256K1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "client")])
    now = datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=1))
    cert_file, key_file = tmp_path / "client.pem", tmp_path / "client.key"
    cert_file.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    server = start("grpc", tls=authority.tls())
    files = {"ca_file": authority.ca, "cert_file": str(cert_file), "key_file": str(key_file)}
    async with raw_module(info_of(server.port, files=files)) as module:
        with pytest.raises(TlsError):
            await module.echo(b"x")


# -- files that change ------------------------------------------------------------------------------------------------


def replaced(path: str, by: str) -> None:
    """As a tool does that renews certificates: with a rename. The time of the file is the old one's."""
    before = os.stat(path).st_mtime_ns
    shutil.copy(by, f"{path}.new")
    os.utime(f"{path}.new", ns=(before, before))
    os.rename(f"{path}.new", path)


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_new_authority_is_read_by_a_rotation(
    start: Start, authority: Authority, newer: Authority, protocol: str
) -> None:
    server = start(protocol, tls=newer.tls())
    info = info_of(server.port, files={"ca_file": authority.ca}, max_session_age=0.2)
    async with MODULES[protocol](info) as module:
        with pytest.raises(TlsError):
            await module.echo(b"x")
        replaced(authority.ca, newer.ca)
        await asyncio.sleep(0.25)
        for _ in range(3):
            assert await module.echo(b"x") == b"x"


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_new_certificate_of_the_client_is_read_by_a_rotation(
    start: Start, authority: Authority, newer: Authority, tmp_path: Path, protocol: str
) -> None:
    (tmp_path / "client").mkdir()
    client = Authority(tmp_path / "client", "client.example")
    async with mutual(protocol, start, authority, newer.ca) as port:
        files = {"ca_file": authority.ca, "cert_file": client.cert, "key_file": client.key}
        async with MODULES[protocol](info_of(port, files=files, max_session_age=0)) as module:
            with pytest.raises((TlsError, UnavailableError)):
                await module.echo(b"x")
            replaced(client.cert, newer.cert)
            replaced(client.key, newer.key)
            assert await module.echo(b"x") == b"x"


def encrypted(key: bytes) -> bytes:
    made: bytes = serialization.load_pem_private_key(key, None).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"password"),
    )
    return made


BREAKS = [
    *((which, change) for which in ("ca", "cert", "key") for change in ("gone", "garbage", "empty", "half")),
    ("key", "of another key"),
    ("key", "encrypted"),
]


@pytest.mark.parametrize(("which", "change"), BREAKS)
@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_file_that_breaks_is_told(
    start: Start, authority: Authority, newer: Authority, tmp_path: Path, protocol: str, which: str, change: str
) -> None:
    """As what it is, by its name; nothing of it is shown, nobody is asked for a password; and later all is well."""
    (tmp_path / "client").mkdir()
    client = Authority(tmp_path / "client", "client.example")
    shutil.copy(authority.ca, client.ca)
    (tmp_path / "trusted").mkdir()
    async with mutual(protocol, start, authority, _authority_of(client, tmp_path)) as port:
        files = {"ca_file": client.ca, "cert_file": client.cert, "key_file": client.key}
        async with MODULES[protocol](info_of(port, files=files, max_session_age=0)) as module:
            assert await module.echo(b"x") == b"x"
            path = Path(getattr(client, which))
            good = path.read_bytes()
            broken = {
                "garbage": b"s3cr3t garbage",
                "empty": b"",
                "of another key": Path(newer.key).read_bytes(),
                "encrypted": encrypted(Path(client.key).read_bytes()),
                "half": good[: len(good) // 2],
            }
            path.unlink()
            if change != "gone":
                path.write_bytes(broken[change])
            for _ in range(2):
                with pytest.raises(ConfigurationError, match=path.name) as caught:
                    await module.echo(b"x")
                assert "s3cr3t" not in str(caught.value)
                assert (change == "encrypted") is ("encrypted" in str(caught.value))
            path.write_bytes(good)
            assert await module.echo(b"x") == b"x"


def _authority_of(client: Authority, folder: Path) -> str:
    """A client's own certificate as the authority of it is enough for a server of a test: here a new one issues it."""
    made = trustme.CA()
    issued = made.issue_cert("client.example")
    issued.private_key_pem.write_to_path(client.key)
    issued.cert_chain_pems[0].write_to_path(client.cert)
    made.cert_pem.write_to_path(folder / "trusted" / "ca.pem")
    return str(folder / "trusted" / "ca.pem")


# -- never without TLS, never again -----------------------------------------------------------------------------------


@pytest.mark.parametrize("said", [b"", bytes(9) + b"\x04" + bytes(9), b"HTTP/1.1 400 Bad Request\r\n\r\n"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_nothing_goes_out_as_plain_text(authority: Authority, protocol: str, said: bytes) -> None:
    """Whatever a server does instead of a handshake, with retries and with rotation."""
    heard: list[bytes] = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read(1 << 16))
        writer.write(said)
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    info = info_of(port, files={"ca_file": authority.ca}, max_session_age=0)
    options = CallOptions(timeout=3, retry=RetryPolicy(retries=2), metadata=({"authorization": "my secret"},))
    async with MODULES[protocol](info, options=options) as module:
        for call in (module.echo(b"my secret"), anext(module.silent())):
            with pytest.raises(RemoteCallError):
                await call
    server.close()
    assert heard
    assert all(each.startswith(b"\x16\x03") and b"secret" not in each and b"PRI" not in each for each in heard)


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_tls_error_is_not_tried_again(
    start: Start, authority: Authority, newer: Authority, protocol: str
) -> None:
    server = start(protocol, tls=authority.tls())
    failed: list[AttemptFailed] = []

    def note(event: Any) -> None:
        if isinstance(event, AttemptFailed):
            failed.append(event)

    options = CallOptions(timeout=5, retry=RetryPolicy(retries=5), hooks=(note,))
    async with MODULES[protocol](info_of(server.port, files={"ca_file": newer.ca}), options=options) as module:
        for number, call in enumerate((module.echo(b""), anext(module.silent())), 1):
            with pytest.raises(TlsError) as caught:
                await call
            assert caught.value.previous == ()
            assert [each.wait for each in failed] == [None] * number
