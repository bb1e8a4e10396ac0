"""SSL contexts of TLS settings, made once and made anew when their files change."""

from __future__ import annotations

import os
import ssl
import warnings
from functools import lru_cache

from ...errors import ConfigurationError
from ...settings import ConnectionTlsInfo

_ATTEMPTS = 3
"""How often files that change while they are read are read again."""


def tls_context(tls: ConnectionTlsInfo, alpn: tuple[str, ...] = ()) -> ssl.SSLContext | None:
    """Return the SSL context of a TLS setting, or None where TLS is off.

    A context takes 20 ms to make, so equal settings share one until a file of theirs changes. The system's trust store
    counts where no `ca_file` is given, and `SSL_CERT_FILE` overrides it.

    Args:
        tls: the setting.
        alpn: the protocols to offer, most wanted first.

    Raises:
        ConfigurationError: a file cannot be used any more.
    """
    if not tls.enabled:
        return None
    files = (tls.ca_file, tls.cert_file, tls.key_file)
    names = ", ".join(file for file in files if file)
    try:
        for _ in range(_ATTEMPTS):
            versions = _versions(files)
            context = _make_context(*files, _password(tls), tls.insecure_verify, alpn, versions, _trust_store())
            # A file that was replaced between its first and its last read would give a key of another certificate.
            if _versions(files) == versions:
                return context
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"tls: {names}: cannot be used any more: {error}") from None
    raise ConfigurationError(f"tls: {names}: they change all the time")


def _password(tls: ConnectionTlsInfo) -> str | None:
    secret = tls.key_password
    return None if secret is None else secret.get_secret_value()


def _versions(files: tuple[str | None, ...]) -> tuple[tuple[int, ...], ...]:
    """Return what differs once a file was written or replaced: a replacement may come with an old time."""
    found = [os.stat(file) for file in files if file]
    return tuple((each.st_mtime_ns, each.st_ino, each.st_size) for each in found)


def _trust_store() -> tuple[str | None, ...]:
    return os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")


@lru_cache(maxsize=64)
def _make_context(
    ca_file: str | None,
    cert_file: str | None,
    key_file: str | None,
    password: str | None,
    insecure: bool,
    alpn: tuple[str, ...],
    versions: tuple[tuple[int, ...], ...],
    trust_store: tuple[str | None, ...],
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
