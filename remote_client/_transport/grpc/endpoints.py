"""Which addresses of a server get a connection. Pure: no I/O, no clock."""

from __future__ import annotations

from collections.abc import Sequence

from ..grpc_options import Policy
from ..net.connect import Address, may_have_several

Group = tuple[Address, ...]
"""Addresses that share one connection: the first that answers."""


def policy_for(hostname: str, is_unix: bool) -> Policy:
    """Return how calls are spread where nothing is configured."""
    return "round_robin" if not is_unix and may_have_several(hostname) else "pick_first"


def group(addresses: Sequence[Address], policy: Policy, family: int | None) -> list[Group]:
    """Return the groups of addresses that get a connection each.

    Two families of one name may be two ways to the same servers: they are raced by one connection, and once `family`
    has won, each of its addresses gets one.
    """
    if policy == "pick_first":
        return [tuple(addresses)]
    families = {each[0] for each in addresses}
    if len(families) > 1 and family in families:
        addresses = [each for each in addresses if each[0] == family]
    elif len(families) > 1:
        return [tuple(addresses)]
    return [(each,) for each in addresses]
