"""Servers of each kind that a forward proxy alone can reach: their name, `runtime.example`, is known to the proxy."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import trustme

from remote_client.settings import CallOptions, ConnectionInfo
from tests.conftest import ENGINE
from tests.support.forward_proxy import ForwardProxy
from tests.support.http_wire import http_module
from tests.support.wire import ServerProcess, raw_module

KINDS = ("grpc", "grpcs", "http", "https")
TUNNELS = pytest.mark.parametrize("process", ["grpc", "grpcs", "https"], indirect=True)
"""Over plain HTTP the proxy passes requests on: what it answers and what the server answers look alike."""
OVER_TLS = pytest.mark.parametrize("process", ["grpcs", "https"], indirect=True)
IN_THE_CLEAR = pytest.mark.parametrize("process", ["grpc", "http"], indirect=True)
HOST, PORT = "runtime.example", 8085
SECRET = "s3cret of/the:proxy"
CREDENTIALS = f"us er:{SECRET}"
SHOWN = "us%20er:s3cret%20of%2Fthe%3Aproxy"
VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy", "no_proxy", "no_grpc_proxy")
NESTED_TLS = sys.version_info >= (3, 12, 2) or (3, 11, 8) <= sys.version_info < (3, 12)


class Way:
    """A server that can be reached through a proxy alone.

    Attributes:
        kind: one of `KINDS`.
    """

    def __init__(self, kind: str, server: ServerProcess, proxy: ForwardProxy, ca: str) -> None:
        self.kind, self.server, self.proxy, self._ca = kind, server, proxy, ca
        self.is_grpc, self.secure = kind.startswith("grpc"), kind.endswith("s")

    @property
    def is_tunnel(self) -> bool:
        return self.kind != "http"

    def info(self, **changes: Any) -> ConnectionInfo:
        tls = {"enabled": self.secure, "ca_file": self._ca if self.secure else None}
        given: dict[str, Any] = {
            "hostname": HOST,
            "port": PORT,
            "tls": tls,
            "timeout": 20,
            "retries": 0,
            "proxy": self.proxy.url(),
        }
        return ConnectionInfo(**given | changes)

    def module(self, calls: CallOptions | None = None, **changes: Any) -> Any:
        return (raw_module if self.is_grpc else http_module)(self.info(**changes), options=calls)

    @property
    def dials_again(self) -> bool:
        """Whether the engine dials by itself again after a failure, as gRPC's own does."""
        return ENGINE == "grpcio" and self.is_grpc

    @property
    def ways(self) -> int:
        """How often the proxy was asked for something."""
        return len(self.proxy.seen("tunnels" if self.is_tunnel else "requests"))


class Files:
    """Certificates of the server and of the proxy."""

    def __init__(self, folder: Path) -> None:
        authority = trustme.CA()
        self.ca = str(folder / "ca.pem")
        authority.cert_pem.write_to_path(self.ca)
        self.server = self._issue(authority, folder / "server", HOST)
        self.proxy = self._issue(authority, folder / "proxy", "localhost")

    @staticmethod
    def _issue(authority: trustme.CA, path: Path, name: str) -> dict[str, str]:
        issued = authority.issue_cert(name)
        key, cert = f"{path}.key", f"{path}.pem"
        issued.private_key_pem.write_to_path(key)
        issued.cert_chain_pems[0].write_to_path(cert)
        return {"key": key, "cert": cert}
