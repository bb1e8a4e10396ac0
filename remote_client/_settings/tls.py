"""TLS settings and the checks of their files."""

import os
import ssl
from dataclasses import dataclass
from typing import Annotated

from .._objects.exports import exported_from
from .checked import Conversion, Settings, checked
from .secret import Secret

# The annotations are no strings: the check of the arguments reads them.


@exported_from("remote_client.settings")
@checked
@dataclass(frozen=True, kw_only=True, repr=False)
class ConnectionTlsInfo(Settings):
    """TLS of a connection. The files are PEM; they are read and checked at construction where `enabled` is set.

    Attributes:
        enabled: whether to use TLS; everything else is ignored without it.
        insecure_verify: do not verify the server's certificate (HTTP only: gRPC refuses it).
        ca_file: certificates of the authorities to trust; the system's without it.
        cert_file: the client's certificate chain for mutual TLS, together with `key_file`.
        key_file: the client's private key.
        key_password: the password of an encrypted `key_file` (not with `engine="grpcio"`). It is never shown.
    """

    enabled: bool = False
    insecure_verify: bool = False
    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    key_password: Annotated[str | Secret | None, Conversion(Secret.of)] = None

    @property
    def mtls_enabled(self) -> bool:
        """Whether the client shows a certificate of its own."""
        return bool(self.cert_file and self.key_file)

    @property
    def password(self) -> str | None:
        """The key's password in the clear, for `SSLContext.load_cert_chain`."""
        return self.key_password.get_secret_value() if isinstance(self.key_password, Secret) else None

    def __post_init__(self) -> None:
        if not self.enabled:
            return
        if bool(self.cert_file) != bool(self.key_file):
            raise ValueError(
                "mutual TLS needs cert_file and key_file together "
                f"(cert_file={self.cert_file}, key_file={self.key_file})"
            )
        for name in ("ca_file", "cert_file", "key_file"):
            file = getattr(self, name)
            if file and not os.path.isfile(file):
                raise ValueError(f"{name}: no such file: {file}")
        self._load(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))

    def _load(self, context: ssl.SSLContext) -> None:
        """Load the files, which raises a ValueError if one has other contents."""
        if self.ca_file:
            try:
                context.load_verify_locations(cafile=self.ca_file)
            except (ssl.SSLError, OSError) as error:
                raise ValueError(f"ca_file: {self.ca_file} is not a PEM file of certificates: {error}") from None
        if self.cert_file and self.key_file:
            try:
                context.load_cert_chain(self.cert_file, self.key_file, password=self.password or _refuse_encrypted_key)
            except (ssl.SSLError, OSError) as error:
                raise ValueError(
                    f"cert_file and key_file ({self.cert_file}, {self.key_file}) are not a PEM certificate "
                    f"and its key{', or key_password is wrong' if self.key_password else ''}: {error}"
                ) from None


def _refuse_encrypted_key() -> str:
    raise ValueError("key_file: the key is encrypted; give its password as key_password")
