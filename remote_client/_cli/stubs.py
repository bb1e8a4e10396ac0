"""`remote-client stubs`: writes a runtime's types and tasks as a Python file."""

from __future__ import annotations

from dataclasses import replace

from .parameters import AllOptions, Flag, Output
from .stub_files import write_stubs


async def stubs(
    target: str | None = None,
    /,
    *,
    output: Output = None,
    sync: Flag = False,
    force: Flag = False,
    options: AllOptions,
) -> int:
    """Write typed Python classes for a runtime's tasks.

    Args:
        target: The runtime, as with -t.
        output: The Python file; the runtime's schema goes beside it. The default is standard output, without schema.
        sync: Write classes for the blocking client, remote_client.sync.
        force: Overwrite files that were edited.
        options: Name the runtime if TARGET is not given, or the schema file.
    """
    if target is not None:
        options = replace(options, target=target, given=options.given | {"target"})
    return await write_stubs(options, output, blocking=sync, force=force)
