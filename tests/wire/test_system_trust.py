"""TLS without files: whoever the system trusts is trusted, by every protocol and engine alike."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from remote_client import RemoteClient, sync
from remote_client.errors import TlsError

from .test_tls import Authority

KINDS = ["grpc by asyncio", "grpc by grpcio", "http"]


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "localhost")


@pytest.fixture(params=KINDS)
def settings(request: pytest.FixtureRequest, authority: Authority) -> dict[str, Any]:
    """The target of a server with TLS, and the engine."""
    protocol, _, engine = request.param.partition(" by ")
    start = request.getfixturevalue("start_wire" if protocol == "grpc" else "start_http")
    port = start(tls=authority.tls()).port
    scheme = "grpcs" if protocol == "grpc" else "https"
    return {"target": f"{scheme}://localhost:{port}", "engine": engine or None, "retries": 0}


async def _works(settings: dict[str, Any]) -> None:
    async with RemoteClient(**settings) as client:
        assert await client.models()

    def blocking() -> None:
        with sync.RemoteClient(**settings) as client:
            assert client.models()

    await asyncio.to_thread(blocking)


def _hashed(folder: Path, certificate: str) -> Path:
    """A folder of authorities as OpenSSL looks them up."""
    openssl = shutil.which("openssl")
    if openssl is None:
        pytest.skip("needs the openssl command")
    told = subprocess.run([openssl, "x509", "-hash", "-noout", "-in", certificate], capture_output=True, check=True)
    folder.mkdir()
    shutil.copy(certificate, folder / f"{told.stdout.decode().strip()}.0")
    return folder


async def test_the_file_that_the_environment_names(
    settings: dict[str, Any], authority: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", authority.ca)
    await _works(settings)


async def test_the_folder_that_the_environment_names(
    settings: dict[str, Any], authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_DIR", str(_hashed(tmp_path / "certs", authority.ca)))
    await _works(settings)


async def test_a_file_with_more_than_certificates(
    settings: dict[str, Any], authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "bundle.pem"
    file.write_text("# Ours: Zürich\n\n" + Path(authority.ca).read_text() + "\nand nothing else\n", encoding="utf-8")
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    await _works(settings)


async def test_a_file_that_is_replaced(
    settings: dict[str, Any], authority: Authority, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other").mkdir()
    file = tmp_path / "trusted.pem"
    shutil.copy(Authority(tmp_path / "other", "localhost").ca, file)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    async with RemoteClient(**settings) as client:
        with pytest.raises(TlsError):
            await client.models()
    shutil.copy(authority.ca, file)
    await _works(settings)


async def test_a_stranger(settings: dict[str, Any]) -> None:
    async with RemoteClient(**settings) as client:
        with pytest.raises(TlsError):
            await client.models()


async def test_nobody_is_trusted(settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "missing"))
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path / "missing too"))
    async with RemoteClient(**settings) as client:
        with pytest.raises(TlsError):
            await client.models()
