"""SSL contexts of TLS settings, cached until their files change, and the authorities that the system trusts."""

from __future__ import annotations

import contextlib
import os
import re
import ssl
import warnings
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TypeVar

from ...errors import ConfigurationError
from ...settings import ConnectionTlsInfo, Protocol

T = TypeVar("T")
Versions = tuple[object, ...]
"""Changes when one of the files of a TLS setting is written or replaced."""
ALPN: dict[Protocol, tuple[str, ...]] = {"grpc": ("h2",), "http": ("http/1.1",)}
_ATTEMPTS = 3
"""Attempts to read files that change while they are read."""
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----\s.*?-----END CERTIFICATE-----", re.DOTALL)
_HASHED = re.compile(r"[0-9a-f]{8}\.[0-9]+")
"""The names by which OpenSSL finds files in a folder of authorities."""


def tls_context(tls: ConnectionTlsInfo, alpn: tuple[str, ...] = ()) -> ssl.SSLContext | None:
    """Return the SSL context of a TLS setting, or None if TLS is off.

    A context takes 20 ms to make, so equal settings share one until a file of theirs changes. Without a `ca_file` the
    system's trust store applies; `SSL_CERT_FILE` and `SSL_CERT_DIR` override it.

    Args:
        tls: the setting.
        alpn: the protocols to offer, most wanted first.

    Raises:
        ConfigurationError: a file can no longer be used.
    """
    if not tls.enabled:
        return None

    def make(versions: Versions) -> ssl.SSLContext:
        files = (tls.ca_file, tls.cert_file, tls.key_file)
        return _make_context(*files, tls.password, tls.insecure_verify, alpn, versions)

    return from_files(tls, make)


def from_files(tls: ConnectionTlsInfo, make: Callable[[Versions], T]) -> T:
    """Return what `make` reads from a setting's files, given their versions, and again if one changes meanwhile.

    A certificate that is replaced between two reads would otherwise be paired with the key of another.

    Raises:
        ConfigurationError: a file can no longer be used.
    """
    names = ", ".join(file for file in (tls.ca_file, tls.cert_file, tls.key_file) if file)
    try:
        for _ in range(_ATTEMPTS):
            versions = _versions(tls)
            made = make(versions)
            if _versions(tls) == versions:
                return made
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"tls: {names}: cannot be used any more: {error}") from None
    raise ConfigurationError(f"tls: {names}: they change all the time")


def _versions(tls: ConnectionTlsInfo) -> Versions:
    versions = [_version(file) for file in (tls.ca_file, tls.cert_file, tls.key_file) if file]
    if not tls.ca_file:
        versions += [(path, *_version_if_any(path)) for path in _trust_store()]
    return tuple(versions)


def _version(path: str) -> tuple[object, ...]:
    stat = os.stat(path)
    return stat.st_mtime_ns, stat.st_ino, stat.st_size  # a replacement may come with an old time


def _version_if_any(path: str) -> tuple[object, ...]:
    try:
        return _version(path)
    except OSError:
        return ()


def trusted_certificates() -> str:
    """Return the authorities that a context without a `ca_file` trusts, as PEM, for engines that do not use OpenSSL."""
    found: dict[bytes, str] = {}
    readable = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for text in _trusted_texts():
        for pem in _CERTIFICATE.findall(text):
            with contextlib.suppress(ValueError, ssl.SSLError):  # OpenSSL skips broken ones, too
                readable.load_verify_locations(cadata=pem)
                found.setdefault(ssl.PEM_cert_to_DER_cert(pem), pem)
    return "\n".join(found.values())


def _trusted_texts() -> Iterator[str]:
    for place in map(Path, _trust_store()):
        files = [file for file in place.iterdir() if _HASHED.fullmatch(file.name)] if place.is_dir() else [place]
        for file in files:
            with contextlib.suppress(OSError):
                yield file.read_text(encoding="ascii", errors="replace")
    if hasattr(ssl, "enum_certificates"):  # Windows keeps them outside of files
        for der in ssl.create_default_context().get_ca_certs(binary_form=True):
            yield ssl.DER_cert_to_PEM_cert(der)


def _trust_store() -> tuple[str, ...]:
    """Return the file and the folders where OpenSSL looks for trusted certificates; some may not exist."""
    paths = ssl.get_default_verify_paths()
    folders = os.environ.get(paths.openssl_capath_env, paths.openssl_capath)
    return os.environ.get(paths.openssl_cafile_env, paths.openssl_cafile), *folders.split(os.pathsep)


@lru_cache(maxsize=64)
def _make_context(
    ca_file: str | None,
    cert_file: str | None,
    key_file: str | None,
    password: str | None,
    insecure: bool,
    alpn: tuple[str, ...],
    versions: Versions,
) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca_file)
    if cert_file and key_file:
        context.load_cert_chain(cert_file, key_file, password=password or _no_password)
    if insecure:
        warnings.warn("tls.insecure_verify is set: anybody can pose as the server", stacklevel=2)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if alpn:
        context.set_alpn_protocols(list(alpn))
    return context


def _no_password() -> str:
    """Raise: without a callback OpenSSL would ask for the password on the terminal, and block the process."""
    raise ValueError("the key is encrypted, and tls.key_password is not set")
