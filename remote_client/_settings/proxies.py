"""Proxies as users and the environment write them, without requests and connections."""

from __future__ import annotations

import base64
import contextlib
import re
from typing import TYPE_CHECKING, Annotated, Any, Self

from .._objects.copying import Immutable
from ..errors import PicklingError
from .checked import Conversion

if TYPE_CHECKING:
    from urllib.parse import SplitResult

_PORTS = {"http": 80, "https": 443}
_SOCKS = ("socks", "socks4", "socks4a", "socks5", "socks5h")
_HOST = re.compile(r"[A-Za-z0-9_.:%-]+")


class Proxy(Immutable, str):
    """The URL of a proxy. As text it has no credentials, so that nothing that shows settings shows them.

    Attributes:
        secure: whether the connection to the proxy uses TLS.
        host: its name or address; an IPv6 address has no brackets.
        port: its port.
        credentials: user and password as they are sent, `user:password`, or None.
    """

    __slots__ = ("credentials", "host", "port", "secure")

    secure: bool
    host: str
    port: int
    credentials: str | None

    @classmethod
    def parse(cls, url: str) -> Self:
        """Return the proxy of a URL; the default scheme is `http://`, as for curl.

        Raises:
            ValueError: the URL is invalid. The message never repeats it, as it may hold a password.
        """
        from urllib.parse import urlsplit  # here, as few clients have a proxy

        url = url.strip()
        scheme = url.partition("://")[0].lower() if "://" in url else "http"
        if scheme in _SOCKS:
            raise ValueError(f"{scheme}:// proxies are not supported; http:// and https:// are")
        parts = port = None
        with contextlib.suppress(ValueError):  # its message has the URL, so it must not be the context of ours
            found = urlsplit(url if "://" in url else f"http://{url}")
            port, parts = found.port, found
            del found
        del url  # a traceback shows a frame's variables, where it is asked to
        if parts is None or scheme not in _PORTS or port == 0 or not _is_plain(parts):
            del parts
            raise ValueError("must be the URL of a proxy, http://host:port or https://host:port")
        return cls._made(scheme, (parts.hostname or "").replace("%25", "%", 1), port or _PORTS[scheme], parts.netloc)

    @classmethod
    def _made(cls, scheme: str, host: str, port: int, netloc: str) -> Self:
        from urllib.parse import unquote

        made = cls(f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}")
        made.secure, made.host, made.port = scheme == "https", host, port
        user, _, password = netloc.rpartition("@")[0].partition(":")
        made.credentials = f"{unquote(user)}:{unquote(password)}" if user or password else None
        return made

    @property
    def address(self) -> str:
        """The proxy's `host:port` in error messages."""
        return self.partition("://")[2]

    @property
    def authorization(self) -> str | None:
        """The value of the header Proxy-Authorization, or None without credentials."""
        if self.credentials is None:
            return None
        return f"Basic {base64.b64encode(self.credentials.encode()).decode()}"

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """The headers for the proxy in requests that it forwards."""
        return () if self.authorization is None else (("proxy-authorization", self.authorization),)

    @property
    def secrets(self) -> tuple[tuple[str, str], ...]:
        """The values to redact, as `redacted` takes them."""
        if self.credentials is None or self.authorization is None:
            return ()
        password = self.credentials.partition(":")[2]
        return ("authorization", self.authorization), ("password", password), ("password", self.credentials)

    def __eq__(self, other: object) -> bool:
        return str.__eq__(self, other) is True and self.credentials == getattr(other, "credentials", None)

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return hash((str(self), self.credentials)) if self.credentials else str.__hash__(self)

    def __reduce_ex__(self, protocol: Any) -> Any:
        if self.credentials is not None:
            raise PicklingError(
                "proxy: credentials are never pickled. Give the other process the proxy in its environment, as "
                'HTTPS_PROXY, and proxy="env" here, or make the client there'
            )
        return type(self).parse, (str(self),)


def _is_plain(parts: SplitResult) -> bool:
    """Whether a URL has a host, and nothing after the port."""
    has_more = parts.path not in ("", "/") or parts.query or parts.fragment
    return bool(parts.hostname and _HOST.fullmatch(parts.hostname)) and not has_more


def proxy_setting(value: Any) -> str | None:
    """Return a user's setting as `"env"`, a `Proxy` or None, or raise a ValueError."""
    if value is None or value == "env" or isinstance(value, Proxy):
        return value  # type: ignore[no-any-return]
    if isinstance(value, str):
        return Proxy.parse(value)
    raise ValueError(f'must be "env" or the URL of a proxy, not {type(value).__name__}')


ProxySetting = Annotated[str | None, Conversion(proxy_setting)]
"""`"env"`, a `Proxy` (given as text), or None for no proxy."""
