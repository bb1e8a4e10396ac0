"""SSL contexts of TLS settings, made once and made anew when their files change; and whom the system trusts."""

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
from ...settings import ConnectionTlsInfo

T = TypeVar("T")
Versions = tuple[tuple[int, ...], ...]
"""What differs once one of some files was written or replaced."""
_ATTEMPTS = 3
"""How often files that change while they are read are read again."""
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----\s.*?-----END CERTIFICATE-----", re.DOTALL)
_HASHED = re.compile(r"[0-9a-f]{8}\.[0-9]+")
"""The names of files that OpenSSL finds in a folder of authorities."""


def tls_context(tls: ConnectionTlsInfo, alpn: tuple[str, ...] = ()) -> ssl.SSLContext | None:
    """Return the SSL context of a TLS setting, or None where TLS is off.

    A context takes 20 ms to make, so equal settings share one until a file of theirs changes. The system's trust store
    counts where no `ca_file` is given; `SSL_CERT_FILE` and `SSL_CERT_DIR` override it.

    Args:
        tls: the setting.
        alpn: the protocols to offer, most wanted first.

    Raises:
        ConfigurationError: a file cannot be used any more.
    """
    if not tls.enabled:
        return None
    files = (tls.ca_file, tls.cert_file, tls.key_file)

    def make(versions: Versions) -> ssl.SSLContext:
        store = () if tls.ca_file else trust_store_version()
        return _make_context(*files, _password(tls), tls.insecure_verify, alpn, versions, store)

    return made_of(files, make)


def made_of(files: tuple[str | None, ...], make: Callable[[Versions], T]) -> T:
    """Return what a function makes of files, given their versions; made anew where one changes meanwhile.

    A file that was replaced between its first and its last read would give a key of another certificate.

    Raises:
        ConfigurationError: a file cannot be used any more.
    """
    names = ", ".join(file for file in files if file)
    try:
        for _ in range(_ATTEMPTS):
            versions = _versions(files)
            made = make(versions)
            if _versions(files) == versions:
                return made
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"tls: {names}: cannot be used any more: {error}") from None
    raise ConfigurationError(f"tls: {names}: they change all the time")


def _password(tls: ConnectionTlsInfo) -> str | None:
    secret = tls.key_password
    return None if secret is None else secret.get_secret_value()


def _versions(files: tuple[str | None, ...]) -> Versions:
    """Return what differs once a file was written or replaced: a replacement may come with an old time."""
    return tuple(_version(file) for file in files if file)


def _version(path: str) -> tuple[int, ...]:
    found = os.stat(path)
    return found.st_mtime_ns, found.st_ino, found.st_size


def trust_store_version() -> tuple[object, ...]:
    """Return what differs once the system trusts others: the places of its certificates, and their versions."""
    return tuple((place, *_version_if_any(place)) for place in _trust_store())


def trusted_certificates() -> str:
    """Return the certificates of the authorities that the system trusts, as PEM, for engines that do not use OpenSSL.

    They are those that a context trusts without a `ca_file`.
    """
    found: dict[bytes, str] = {}
    readable = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for text in _trusted_texts():
        for pem in _CERTIFICATE.findall(text):
            with contextlib.suppress(ValueError, ssl.SSLError):  # OpenSSL passes over one that is broken, too
                readable.load_verify_locations(cadata=pem)
                found.setdefault(ssl.PEM_cert_to_DER_cert(pem), pem)
    return "\n".join(found.values())


def _trusted_texts() -> Iterator[str]:
    for place in map(Path, _trust_store()):
        files = [each for each in place.iterdir() if _HASHED.fullmatch(each.name)] if place.is_dir() else [place]
        for file in files:
            with contextlib.suppress(OSError):
                yield file.read_text(encoding="ascii", errors="replace")
    if hasattr(ssl, "enum_certificates"):  # Windows, where they are in no file
        for der in ssl.create_default_context().get_ca_certs(binary_form=True):
            yield ssl.DER_cert_to_PEM_cert(der)


def _trust_store() -> tuple[str, ...]:
    """Return the file and the folders where OpenSSL looks for trusted certificates; not all of them need to exist."""
    paths = ssl.get_default_verify_paths()
    folders = os.environ.get(paths.openssl_capath_env, paths.openssl_capath)
    return os.environ.get(paths.openssl_cafile_env, paths.openssl_cafile), *folders.split(os.pathsep)


def _version_if_any(path: str) -> tuple[int, ...]:
    try:
        return _version(path)
    except OSError:
        return ()


@lru_cache(maxsize=64)
def _make_context(
    ca_file: str | None,
    cert_file: str | None,
    key_file: str | None,
    password: str | None,
    insecure: bool,
    alpn: tuple[str, ...],
    versions: Versions,
    trust_store: tuple[object, ...],
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
    """Refuse: without a callback OpenSSL would ask for the password on the terminal, and block everything."""
    raise ValueError("the key is encrypted, and tls.key_password is not set")
