"""Certificates of one authority for TLS of both sides, made by the `openssl` command."""

from __future__ import annotations

import subprocess
from pathlib import Path


class Certificates:
    """Files of an authority, of a server on `localhost`, and of a client.

    Attributes:
        ca, server_key, server_cert, client_key, client_cert: their paths.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.ca, ca_key = self._path("ca.pem"), self._path("ca.key")
        self._openssl("req", "-x509", *_new_key(ca_key), "-out", self.ca, "-subj", "/CN=tests", "-days", "2")
        self._authority = ("-CA", self.ca, "-CAkey", ca_key)
        self.server_key, self.server_cert = self._issue("server", "DNS:localhost")
        self.client_key, self.client_cert = self._issue("client", "email:client@example.org")

    def _issue(self, name: str, alternative: str) -> tuple[str, str]:
        key, cert = self._path(f"{name}.key"), self._path(f"{name}.pem")
        extension = f"subjectAltName={alternative}"
        subject = ("-subj", f"/CN={name}", "-addext", extension, "-days", "1")
        self._openssl("req", "-x509", *_new_key(key), *self._authority, "-out", cert, *subject)
        return key, cert

    def _path(self, name: str) -> str:
        return str(self._folder / name)

    @staticmethod
    def _openssl(*command: str) -> None:
        subprocess.run(["openssl", *command], check=True, capture_output=True)


def _new_key(path: str) -> tuple[str, ...]:
    return ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", path)
