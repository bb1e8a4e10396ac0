"""The addresses of a server: how its name is resolved, and which of them share a connection."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Any

from ..._settings.targets import is_address
from ..grpc_options import Policy

Address = tuple[int, int, int, str, tuple[Any, ...]]
"""An address as `socket.getaddrinfo` returns it."""
Group = tuple[Address, ...]
"""Addresses that share one connection: the first that answers."""
_LOOPBACK = ("::1", "127.0.0.1")


async def resolve(host: str, port: int) -> list[Address]:
    """Return the addresses of a name, in the resolver's order; those of a literal address without a look-up.

    Raises:
        OSError: the name has none.
    """
    if is_address(host):
        return _literal(host, port)
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise OSError(f"error resolving {host}:{port}: {error}") from None
    if not found:
        raise OSError(f"error resolving {host}:{port}: it has no address")
    # Servers listen at loopback addresses that the hosts file may leave out.
    loopback = _LOOPBACK if is_localhost(host) else ()
    return list(dict.fromkeys([*found, *(address for literal in loopback for address in _literal(literal, port))]))


def is_localhost(host: str) -> bool:
    """Return whether a name means this machine on every machine (RFC 6761)."""
    return host.lower().rstrip(".") == "localhost"


def may_have_several(host: str) -> bool:
    """Return whether a host may have several addresses that all serve.

    Those of localhost do not count: another server may listen at one of them.
    """
    return not (is_address(host) or is_localhost(host))


def _literal(host: str, port: int) -> list[Address]:
    """Return the addresses of a literal. Its zone names an interface, not only for link-local addresses."""
    address, zoned, zone = host.partition("%")
    found = socket.getaddrinfo(address, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    if not zoned:
        return list(found)
    scope = int(zone) if zone.isdecimal() else socket.if_nametoindex(zone)
    return [(*info[:4], (*info[4][:3], scope)) for info in found]


def policy_for(hostname: str, is_unix: bool) -> Policy:
    """Return the default balancing policy for a host."""
    return "round_robin" if not is_unix and may_have_several(hostname) else "pick_first"


def group(addresses: Sequence[Address], policy: Policy, family: int | None) -> list[Group]:
    """Return the groups of addresses that get a connection each.

    The two families of a name may lead to the same servers. One connection races both; once `family` has won, each of
    its addresses gets a connection.
    """
    if policy == "pick_first":
        return [tuple(addresses)]
    families = {address[0] for address in addresses}
    if len(families) > 1 and family in families:
        addresses = [address for address in addresses if address[0] == family]
    elif len(families) > 1:
        return [tuple(addresses)]
    return [(address,) for address in addresses]
