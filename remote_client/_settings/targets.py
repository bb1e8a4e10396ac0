"""Parsers of targets, host names and base paths. They return the normal form of a text or raise a ValueError.

No message repeats the text, which may hold a user and a password.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

_SCHEMES: dict[str, tuple[Literal["grpc", "http"], bool]] = {
    "grpc": ("grpc", False),
    "grpcs": ("grpc", True),
    "http": ("http", False),
    "https": ("http", True),
}
_SOCKETS = ("unix", "unix-abstract")
_GRPC_NAMES = ("dns", "ipv4", "ipv6", "passthrough", "vsock")
"""The schemes of gRPC's name syntax, which need no slashes."""
_NAME = re.compile(r"(?=.{1,254}$)[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_.])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
"""The last label of an IPv4 address in any of the forms that resolvers accept."""
_SOCKET = 107
"""The largest size of a unix socket's path, in bytes, on Linux, which allows the longest paths."""
_ZONE = re.compile(r"[A-Za-z0-9_.-]+")
_SEGMENT = re.compile(r"([A-Za-z0-9._~!$&'()*+,;=:-]|%[0-9A-Fa-f]{2}|\{\})*")
_EXPECTED = (
    "must be a DNS name, an IP address, unix:<path> or xds:///<service>, with at most one {} for the model's name"
)
NO_PATH = (
    "gRPC has no paths: a gateway chooses the server by the host name, or by a header that metadata= gives. "
    "Targets with http:// or https:// have them"
)


class Target(NamedTuple):
    """The parts of a target, as the fields of `ConnectionInfo` take them."""

    protocol: Literal["grpc", "http"]
    secure: bool
    hostname: str
    port: int | None = None
    base_path: str = ""


def read_target(text: str, default: Literal["grpc", "http"] = "grpc") -> Target:
    """Return the parts of a target.

    Args:
        text: the target.
        default: the protocol of a target that names none.

    Raises:
        ValueError: the target is invalid.
    """
    scheme, rest, slashes = _split_scheme(text)
    if scheme in _SOCKETS:
        return Target("grpc", False, f"{scheme}:{rest}")
    _check_marks(rest)
    if scheme == "xds":
        return Target("grpc", False, f"xds://{rest}")
    if scheme in _GRPC_NAMES:
        return _grpc_name(scheme, rest, slashes)
    if scheme and scheme not in _SCHEMES:
        # Not repeated: it may be a user, followed by the password.
        raise ValueError(f"unknown scheme; known are {', '.join(_SCHEMES)}, dns:///host:port, unix:/path and xds")
    protocol, secure = _SCHEMES[scheme or default]
    authority, _, path = rest.partition("/")
    hostname, port = _host_and_port(authority, is_url=slashes)
    if protocol == "grpc" and path:
        raise ValueError(NO_PATH)
    return Target(protocol, secure, hostname, port, path)


def _split_scheme(text: str) -> tuple[str, str, bool]:
    """Return the scheme in lower case, or nothing, the text after it, and whether `//` separates them."""
    name, colon, rest = text.partition(":")
    scheme = name.lower()
    if colon and scheme in _SOCKETS:
        return scheme, rest, False
    if rest.startswith("//"):
        return scheme, rest[2:], True
    if not rest or rest.rstrip("/").isdecimal():
        return "", text, False  # a port: a host may have the name of a scheme
    if scheme in _SCHEMES:
        raise ValueError(f"write {scheme}:// with two slashes")
    return (scheme, rest, False) if scheme in _GRPC_NAMES else ("", text, False)


def _check_marks(text: str) -> None:
    """Raise a ValueError for characters that no target has, except for the path of a socket."""
    if "@" in text:
        raise ValueError("it has a user name or an @; give credentials as metadata=, they are never part of a target")
    if "?" in text or "#" in text or "\\" in text:
        raise ValueError("it has a query, a fragment or a backslash: only a host, a port and a path are allowed")
    if " " in text or not text.isprintable():
        raise ValueError("it has white space or a control character")
    if "://" in text:
        raise ValueError("it has a second scheme")


def _grpc_name(scheme: str, rest: str, slashes: bool) -> Target:
    """Read a target in gRPC's name syntax, `dns:///host:port` or `ipv4:address:port`."""
    if scheme not in ("dns", "ipv4", "ipv6"):
        raise ValueError(f"{scheme}: is not supported; write host:port")
    if slashes:
        server, _, rest = rest.partition("/")
        if server:
            raise ValueError(f"no name server can be chosen; write {scheme}:///host:port, with three slashes")
    authority, _, path = rest.partition("/")
    if path:
        raise ValueError(NO_PATH)
    hostname, port = _host_and_port(authority, is_url=True)
    if port is None:
        raise ValueError(f"the port is missing, and gRPC's own would be 443; write {scheme}:<host>:<port>")
    if scheme != "dns" and is_address(hostname) != int(scheme[3]):
        raise ValueError(f"no IPv{scheme[3]} address stands behind {scheme}:")
    return Target("grpc", False, hostname, port)


def _host_and_port(authority: str, *, is_url: bool) -> tuple[str, int | None]:
    if "," in authority:
        raise ValueError("it has several hosts; give a list of targets")
    host, colon, port = authority.partition(":")
    if authority.startswith("["):
        host, bracket, end = authority.partition("]")
        host, (colon, port) = host + bracket, (end[:1], end[1:])
        if not bracket or colon not in ("", ":") or is_address(normal_host(host)) != 6:
            raise ValueError("what stands in brackets must be an IPv6 address, as in [::1]:8085")
    elif ":" in port:
        raise ValueError("write an IPv6 address in brackets, as in [::1]:8085")
    if not host:
        raise ValueError("the host is missing; write host:port")
    return normal_host(host, is_url=is_url), _port(port) if port else None


def _port(text: str) -> int:
    digits = text.lstrip("0")
    if not (text.isascii() and text.isdecimal() and 0 < len(digits) <= 5 and int(digits) < 2**16):
        raise ValueError("the port must be a number from 1 to 65535")
    return int(digits)


# -- hosts ------------------------------------------------------------------------------------------------------------


def normal_host(text: str, *, is_url: bool = False) -> str:
    """Return the normal form of a host name: in lower case, an IPv6 address without brackets, its zone after a `%`.

    Args:
        text: the name or address, which is not checked.
        is_url: whether it is part of a URL, where `%25` is the percent sign (RFC 6874). Outside of URLs, `%251` in
            brackets is the interface 251, and without brackets `%` is itself: an interface may be named `25gbe0`.
    """
    scheme, colon, rest = text.partition(":")
    if colon and scheme.lower() in _SOCKETS:
        return scheme.lower() + colon + (rest[2:] if rest.startswith("///") else rest)
    if rest.startswith("//"):
        return scheme.lower() + colon + rest  # of xds: names of services are case-sensitive
    bracketed = text.startswith("[") and text.endswith("]")
    name, percent, zone = (text[1:-1] if bracketed else text).partition("%")
    if len(zone) > 2 and (is_url or (bracketed and not zone.isdecimal())):
        zone = zone.removeprefix("25")
    return name.lower() + percent + zone


def check_host(host: str) -> None:
    """Check a host name or address.

    Raises:
        ValueError: it is neither.
    """
    if is_address(host):
        return
    filled = host.replace("{}", "x", 1)
    if not _NAME.fullmatch(filled) or is_number(filled):
        raise ValueError(_EXPECTED + _hint(host))


def _hint(host: str) -> str:
    """Return a hint for an invalid host name."""
    if "@" in host:
        return "; it never has a user name: give credentials as metadata="
    if "/" in host:
        return "; a path goes into base_path, and https:// is protocol and tls.enabled"
    if not host.isascii():
        return "; write a name of other letters as its punycode, as in xn--bcher-kva.example"
    if is_number(host):
        return "; an IPv4 address has four numbers from 0 to 255, without zeros in front"
    if "[" in host or host.count(":") > 1:
        return "; an IPv6 address is as in ::1 or fe80::1%eth0"
    return "; the port is a field of its own" if ":" in host else ""


def check_socket(hostname: str) -> None:
    """Check the path or name of a unix socket.

    Raises:
        ValueError: it is missing or invalid.
    """
    path = hostname.partition(":")[2]
    if not path or not path.isprintable():
        raise ValueError("unix: or unix-abstract: must be followed by the socket's path or name")
    if len(path.encode()) > _SOCKET:
        raise ValueError(f"a unix socket's path or name has at most {_SOCKET} bytes")
    if path.startswith("//"):
        raise ValueError("write a unix socket with three slashes or none, unix:///path or unix:path")


def is_address(host: str) -> int:
    """Return the version of an IP address in its usual form, 4 or 6, and 0 for any other text."""
    address, percent, zone = host.partition("%")
    if percent and not _ZONE.fullmatch(zone):
        return 0  # `ipaddress` accepts anything there, even a user and another host
    import ipaddress  # here, as the class of clients is imported without a target

    try:
        version = ipaddress.ip_address(address).version
    except ValueError:
        return 0
    return 0 if percent and version == 4 else version


def is_number(host: str) -> bool:
    """Whether resolvers may read an IPv4 address in an unusual form: the last label is a number (WHATWG)."""
    return bool(_NUMBER.fullmatch(host.removesuffix(".").rpartition(".")[2].lower())) and not is_address(host)


# -- paths ------------------------------------------------------------------------------------------------------------


def normal_path(text: str) -> str:
    """Return the normal form of a base path: `/a/b`, or nothing. Escapes stay, and other letters are escaped.

    Raises:
        ValueError: it is no path, or has segments that lead out of it.
    """
    _check_marks(text)
    if text.count("{}") > 1:
        raise ValueError("at most one {} stands for the model's name")
    from urllib.parse import quote, unquote  # here, as most targets have no path

    segments = [quote(segment, safe="".join(map(chr, range(33, 127)))) for segment in text.split("/") if segment]
    for segment in segments:
        if not _SEGMENT.fullmatch(segment):
            raise ValueError("a character must be escaped, as in %20")
        if any(part in (".", "..") for part in unquote(segment).replace("\\", "/").split("/")):
            raise ValueError(". and .. are no segments of it")
    return "".join(f"/{segment}" for segment in segments)


def is_segment(name: str) -> bool:
    """Whether a model's name can be a part of a path: its letters need no escape, and it does not begin with a dot."""
    return bool(re.fullmatch(r"[A-Za-z0-9_~-][A-Za-z0-9._~-]*", name))
