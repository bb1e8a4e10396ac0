"""Chooses the proxy of a server, and speaks CONNECT to open a tunnel through it. Pure: no I/O."""

from __future__ import annotations

import ipaddress
import os
import re
import sys
from collections.abc import Iterator, Mapping
from typing import NamedTuple, Self, cast

from ..._settings.proxies import Proxy
from ..._text.cleaning import clean
from ..._text.redaction import redacted
from ...errors import ConfigurationError
from ...settings import ConnectionInfo, Protocol

MAX_HEAD = 16 * 1024
"""Bytes of the largest response to CONNECT."""
_HEAD = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})(?: ([^\r\n]*))?\r?\n")
_BEGINNING = b"HTTP/1."
_END = re.compile(rb"\r?\n\r?\n")
_TLS = b"\x15\x03"
"""The beginning of a TLS alert, which a TLS server sends in answer to plain text."""

_VARIABLES = {
    # by protocol and TLS, as gRPC's C core reads them, and as curl and httpx do
    ("grpc", False): ("grpc_proxy", "https_proxy", "http_proxy"),
    ("grpc", True): ("grpc_proxy", "https_proxy", "http_proxy"),
    ("http", False): ("http_proxy", "all_proxy"),
    ("http", True): ("https_proxy", "all_proxy"),
}
_EXCEPTIONS = {"grpc": ("no_grpc_proxy", "no_proxy"), "http": ("no_proxy",)}


class ProxyError(OSError):
    """A proxy opened no tunnel.

    Attributes:
        status: the status of its response; None without one.
    """

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


# -- which proxy ------------------------------------------------------------------------------------------------------


def proxy_for(
    connection: ConnectionInfo, protocol: Protocol, environment: Mapping[str, str] | None = None
) -> Proxy | None:
    """Return the proxy of a server, if it has one.

    Args:
        connection: the server. `proxy="env"` stands for the environment's proxy, unless NO_PROXY lists the server.
        protocol: the protocol of the server.
        environment: the environment variables; those of the process if None.

    Raises:
        ConfigurationError: the environment's proxy cannot be used.
    """
    if connection.proxy != "env":
        return cast("Proxy | None", connection.proxy)
    environment = os.environ if environment is None else environment
    name = _variable(connection, protocol, environment)
    if name is None:
        return None
    try:
        return Proxy.parse(environment[name])
    except ValueError as error:
        reason = str(error)
    raise ConfigurationError(f"proxy: the environment's {name}: {reason}")


def hint(connection: ConnectionInfo, protocol: Protocol, environment: Mapping[str, str] | None = None) -> str:
    """Return advice about an unreachable server if the environment names a proxy that the settings do not use."""
    if connection.proxy is not None or connection.is_unix or connection.is_xds:
        return ""
    name = _variable(connection, protocol, os.environ if environment is None else environment)
    if name is None:
        return ""
    return f'; {name} is set, but proxies of the environment are not used by default: proxy="env"'


def _variable(connection: ConnectionInfo, protocol: Protocol, environment: Mapping[str, str]) -> str | None:
    """Return the environment variable with the server's proxy, if there is one."""
    name = _first_set(_VARIABLES[protocol, connection.tls.enabled], environment)
    excepted = _first_set(_EXCEPTIONS[protocol], environment)
    if name is None or not environment[name].strip() or connection.port is None:
        return None
    exceptions = environment[excepted] if excepted else ""
    return None if is_excluded(connection.hostname, connection.port, exceptions) else name


def _first_set(names: tuple[str, ...], environment: Mapping[str, str]) -> str | None:
    """Return the first variable that is set, even if it is empty; lower case takes precedence over upper case."""
    for name in names:
        if name in environment:
            return name
        # In a CGI script, HTTP_PROXY is the client's header `Proxy` (CVE-2016-5385).
        if name.upper() in environment and not (name == "http_proxy" and "REQUEST_METHOD" in environment):
            return name.upper()
    return None


def is_excluded(host: str, port: int, exceptions: str) -> bool:
    """Return whether a server is reached without the environment's proxy.

    `localhost` and loopback addresses always are: the proxy's own are other hosts.

    Args:
        host: its name or address.
        port: its port.
        exceptions: the value of NO_PROXY, entries separated by commas: `*` for all; a domain, with its subdomains, with
            or without a leading dot; an address; a network (`10.0.0.0/8`). A domain or an address may have a port.
            Names are never resolved.
    """
    host = host.partition("%")[0].rstrip(".").lower()
    address = _address(host)
    if host == "localhost" or host.endswith(".localhost") or (address is not None and address.is_loopback):
        return True
    return any(_matches(entry, host, port, address) for entry in _entries(exceptions))


def grpc_core_exception(host: str, environment: Mapping[str, str] | None = None) -> str | None:
    """Return the variable that keeps gRPC's C core from using any proxy for a host, even a channel's own, if one does.

    Older versions match an entry with the end of any name.
    """
    environment = os.environ if environment is None else environment
    name = next((variable for variable in ("no_grpc_proxy", "no_proxy") if variable in environment), None)
    host, address = host.lower(), _address(host)
    if name is None:
        return None
    for entry in _entries(environment[name]):
        if host.endswith(entry) or host == entry.strip(".") or (address is not None and _is_in(address, entry)):
            return name
    return None


Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def _entries(exceptions: str) -> Iterator[str]:
    for entry in exceptions.lower().split(","):
        if entry := entry.strip():
            yield entry


def _matches(entry: str, host: str, port: int, address: Address | None) -> bool:
    if entry == "*":
        return True
    if "/" in entry:
        return address is not None and _is_in(address, entry)
    name, wanted = _split_port(entry)
    if wanted not in (None, port):
        return False
    if address is not None:
        return _address(name) == address
    name = name.removeprefix("*").strip(".")
    return bool(name) and (host == name or host.endswith(f".{name}"))


def _split_port(entry: str) -> tuple[str, int | None]:
    if _address(entry) is not None:
        return entry, None
    name, _, port = entry.rpartition(":")
    if name and port.isascii() and port.isdecimal():
        return name.removeprefix("[").removesuffix("]"), int(port)
    return entry.removeprefix("[").removesuffix("]"), None


def _address(host: str) -> Address | None:
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        return None


def _is_in(address: Address, network: str) -> bool:
    try:
        return address in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def _has_nested_tls(version: tuple[int, ...] = sys.version_info[:3]) -> bool:
    """Return whether asyncio supports TLS in TLS: older versions never close an aborted connection (gh-113214)."""
    return version >= (3, 12, 2) or (3, 11, 8) <= version < (3, 12)


class Route(NamedTuple):
    """The route to a server: direct, or through a proxy.

    Attributes:
        connection: the server.
        protocol: the protocol it speaks.
        proxy: the proxy; None for a direct route.
    """

    connection: ConnectionInfo
    protocol: Protocol
    proxy: Proxy | None

    @classmethod
    def to(cls, connection: ConnectionInfo, protocol: Protocol) -> Self:
        """Return the current route to a server.

        Raises:
            ConfigurationError: the proxy cannot be used, or not for this server.
        """
        route = cls(connection, protocol, proxy_for(connection, protocol))
        if route.proxy is not None and route.proxy.secure and connection.tls.enabled and not _has_nested_tls():
            raise ConfigurationError(
                f"proxy: {route.proxy}: TLS to a server through a proxy of TLS needs Python 3.11.8 or 3.12.2; use http://"
            )
        return route

    @property
    def is_tunnel(self) -> bool:
        """Whether the proxy only passes bytes on. Otherwise it receives HTTP requests whose targets are URLs."""
        return self.proxy is not None and (self.protocol == "grpc" or self.connection.tls.enabled)

    @property
    def passes_on(self) -> bool:
        """Whether responses may be the proxy's own."""
        return self.proxy is not None and not self.is_tunnel

    @property
    def first(self) -> tuple[str, int]:
        """The host and port to connect to: the proxy's if there is one, which then resolves the server's name."""
        if self.proxy is not None:
            return self.proxy.host, self.proxy.port
        assert self.connection.port is not None
        return self.connection.hostname, self.connection.port

    @property
    def through(self) -> str:
        """The words of an error about a server behind a proxy."""
        return "" if self.proxy is None else f" through the proxy at {self.proxy.address}"

    def request(self) -> bytes:
        """Return the CONNECT request."""
        assert self.proxy is not None
        assert self.connection.port is not None
        return connect_request(self.connection.hostname, self.connection.port, self.proxy)


# -- the tunnel -------------------------------------------------------------------------------------------------------


def connect_request(host: str, port: int, proxy: Proxy) -> bytes:
    """Return a CONNECT request for a server, whose name the proxy resolves."""
    name = host.partition("%")[0]
    server = f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
    lines = [f"CONNECT {server} HTTP/1.1", f"Host: {server}"]
    if proxy.authorization is not None:
        lines.append(f"Proxy-Authorization: {proxy.authorization}")
    return "\r\n".join([*lines, "", ""]).encode("ascii")


class ConnectReply:
    """Reads a proxy's response to CONNECT."""

    def __init__(self, proxy: Proxy) -> None:
        self._proxy = proxy
        self._held = b""
        self._room = MAX_HEAD

    def receive_data(self, data: bytes) -> bytes | None:
        """Return the tunnel's first bytes once the response is complete; None until then.

        Raises:
            ProxyError: the proxy opened no tunnel.
        """
        self._held += data
        while (end := _END.search(self._held)) is not None and end.end() <= self._room:
            head, self._held = self._held[: end.end()], self._held[end.end() :]
            self._room -= len(head)
            status, reason = self._status(head)
            if status >= 200:  # 1xx precede the final response
                self._check(status, reason)
                return self._held
        if not _BEGINNING.startswith(self._held[: len(_BEGINNING)]):
            raise self._invalid(self._held)
        if end is not None or len(self._held) > self._room:
            raise ProxyError(f"{self._name} answered with a head larger than {MAX_HEAD} bytes")
        return None

    def receive_eof(self) -> ProxyError:
        """Return the error of a proxy that closed the connection instead."""
        when = "in the middle of its answer" if self._held else "without an answer"
        return ProxyError(f"{self._name} closed the connection {when}")

    @property
    def _name(self) -> str:
        return f"the proxy at {self._proxy.address}"

    def _status(self, head: bytes) -> tuple[int, str]:
        found = _HEAD.match(head)
        if found is None:
            raise self._invalid(head)
        return int(found[1]), (found[2] or b"").decode("latin-1")

    def _check(self, status: int, reason: str) -> None:
        if 200 <= status < 300:
            return
        if status == 407:
            problem = "wants credentials" if self._proxy.credentials is None else "refuses these credentials"
            advice = "give them in its URL, http://user:password@host:port"
            raise ProxyError(f"the proxy {problem}: {self._name} answered 407; {advice}", status)
        shown = f"{status} {clean(redacted(reason, self._proxy.secrets), 80)}".rstrip()
        raise ProxyError(f"{self._name} opens no tunnel: it answered {shown}", status)

    def _invalid(self, data: bytes) -> ProxyError:
        if data.startswith(_TLS):
            return ProxyError(f"{self._name} speaks TLS: write https://{self._proxy.address}")
        return ProxyError(f"{self._name} answered with what is no HTTP/1.1: is it a proxy?")
