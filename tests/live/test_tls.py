"""TLS, with certificates of one side and of both."""

import datetime
from collections.abc import Iterator
from pathlib import Path

import pytest
import trustme

from remote_client import ConnectionTlsInfo, RemoteClient, errors

from ..support.runtime import Runtime
from .protocols import Protocol


class Files:
    """Certificates of one authority, as files."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.ca = self._write(folder / "ca.pem", [self.authority.cert_pem])
        tomorrow = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)
        server = self.authority.issue_cert("localhost", not_after=tomorrow)
        client = self.authority.issue_cert("client@example.org", not_after=tomorrow)
        self.server_key = self._write(folder / "server.key", [server.private_key_pem])
        self.server_cert = self._write(folder / "server.pem", server.cert_chain_pems)
        self.client_key = self._write(folder / "client.key", [client.private_key_pem])
        self.client_cert = self._write(folder / "client.pem", client.cert_chain_pems)

    @staticmethod
    def _write(path: Path, blobs: list[trustme.Blob]) -> str:
        path.write_bytes(b"".join(blob.bytes() for blob in blobs))
        return str(path)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def tls_runtime(files: Files) -> Iterator[Runtime]:
    tls = {"server": {"key": files.server_key, "cert": files.server_cert}}
    with Runtime(tls=tls, ca_file=files.ca) as running:
        yield running


@pytest.fixture(scope="module")
def mutual_runtime(files: Files) -> Iterator[Runtime]:
    tls = {"server": {"key": files.server_key, "cert": files.server_cert}, "client": {"cert": files.ca}}
    with Runtime(tls=tls, ca_file=files.ca, client_files=(files.client_key, files.client_cert)) as running:
        yield running


async def hello(client: RemoteClient) -> None:
    model = await client.model("foo")
    assert (await model.run_sample({"name": "x"})).greeting == "Hello x"
    assert [item.greeting async for item in model.run_sample_stream_out({"name": "x"}, count=1)] == ["Hello x 0"]


def at(runtime: Runtime, protocol: Protocol, host: str = "localhost") -> str:
    return f"grpcs://{host}:{runtime.port}" if protocol == "grpc" else f"https://{host}:{runtime.http_port}"


async def test_tls(tls_runtime: Runtime, files: Files, protocol: Protocol) -> None:
    async with RemoteClient(at(tls_runtime, protocol), tls={"ca_file": files.ca}) as client:
        await hello(client)
        assert await client.healthy() is True
    # The scheme need not say it.
    bare = at(tls_runtime, protocol).partition("://")[2]
    async with RemoteClient(bare, protocol=protocol, tls={"ca_file": files.ca}) as client:
        await hello(client)


async def test_wrong_authority(tls_runtime: Runtime, tmp_path: Path, protocol: Protocol) -> None:
    wrong = ConnectionTlsInfo(ca_file=Files(tmp_path).ca)
    async with RemoteClient(at(tls_runtime, protocol), tls=wrong) as client:
        with pytest.raises(errors.TlsError):
            await client.models()


async def test_wrong_host(tls_runtime: Runtime, files: Files, protocol: Protocol) -> None:
    async with RemoteClient(at(tls_runtime, protocol, "127.0.0.1"), tls={"ca_file": files.ca}) as client:
        with pytest.raises(errors.TlsError):  # the certificate is for localhost
            await client.models()


async def test_plain_text_to_a_tls_port(tls_runtime: Runtime, protocol: Protocol) -> None:
    plain = at(tls_runtime, protocol).replace("s://", "://")
    async with RemoteClient(plain) as client:
        with pytest.raises(errors.UnavailableError):
            await client.models()


async def test_tls_to_a_plain_text_port(runtime: Runtime, files: Files, protocol: Protocol) -> None:
    async with RemoteClient(at(runtime, protocol), tls={"ca_file": files.ca}) as client:
        with pytest.raises(errors.TlsError):
            await client.models()


async def test_mutual_tls(mutual_runtime: Runtime, files: Files, protocol: Protocol) -> None:
    ours = {"ca_file": files.ca, "cert_file": files.client_cert, "key_file": files.client_key}
    async with RemoteClient(at(mutual_runtime, protocol), tls=ours) as client:
        await hello(client)
    async with RemoteClient(at(mutual_runtime, protocol), tls={"ca_file": files.ca}) as client:
        with pytest.raises(errors.UnavailableError):  # the server just closes the connection
            await client.models()


async def test_insecure_verify(tls_runtime: Runtime, tmp_path: Path) -> None:
    # With an authority that did not sign the server's certificate, and a host that it is not for.
    tls = {"insecure_verify": True, "ca_file": Files(tmp_path).ca}
    async with RemoteClient(at(tls_runtime, "http", "127.0.0.1"), tls=tls) as client:
        with pytest.warns(UserWarning, match="insecure_verify is set: anybody can pose as the server"):
            await client.models()
        await hello(client)  # warned of once; a second warning would be an error here
    with pytest.raises(errors.ConfigurationError, match="insecure_verify"):
        RemoteClient(at(tls_runtime, "grpc"), tls=tls)
