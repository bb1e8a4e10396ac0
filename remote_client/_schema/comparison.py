"""The comparison of two schemas, of either protocol."""

from __future__ import annotations

from .._concurrency.threads import run_in_thread
from ..errors import SchemaError
from .budget import LIMITS, Budget
from .differences import Difference
from .rpc import ServiceDescription


def compare(
    old: ServiceDescription,
    new: ServiceDescription,
    budget: Budget | None = None,
    names: tuple[str, str] = ("the schema on file", "the server's schema"),
) -> list[Difference]:
    """Return what changed for callers of one schema at a server of another, in the order of the callers' tasks.

    Only what a caller of caikit can reach counts: tasks, jobs, trainings, the runtime's own methods, and the types of
    their requests and answers.

    Raises:
        SchemaError: one of them, by its name in `names`, cannot be used or is too large.
    """
    if old.source is None or new.source is None:
        raise SchemaError("only descriptions that came from a server or a file can be compared")
    budget = budget or _budget_for_two()
    # Imported here, as a client seldom compares schemas and one of HTTP need not load protobuf.
    if old.protocol == "http":
        from .openapi import comparison as openapi

        return openapi.compare(old, new, budget)
    from .protobuf import comparison as protobuf

    return protobuf.compare(old, new, budget, names)


async def compare_in_thread(
    old: ServiceDescription, new: ServiceDescription, names: tuple[str, str]
) -> list[Difference]:
    """Compare two schemas in a thread, which ends soon if the caller is cancelled; see `compare`."""
    budget = _budget_for_two()
    try:
        return await run_in_thread(compare, old, new, budget, names)
    finally:
        budget.cancel()


def _budget_for_two() -> Budget:
    """Return a budget for comparing two schemas that are within the limits of one."""
    return Budget(limits={kind: 3 * most for kind, most in LIMITS.items()})
