"""`remote-client stubs`: writes a runtime's types and tasks as a Python file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from .description_sources import Server
from .stub_files import write_stubs


async def stubs(
    target: str | None = None,
    /,
    *,
    output: Annotated[Path | None, Parameter(["--output", "-o"])] = None,
    schema: str | None = None,
    sync: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    force: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    server: Annotated[Server, Parameter(parse=False)],
) -> int:
    """Write typed Python classes for a runtime's tasks.

    Args:
        target: The runtime, as with -t.
        output: The Python file; the runtime's schema goes beside it. The default is standard output, without schema.
        schema: A schema file to read instead of asking the runtime.
        sync: Write classes for the blocking client, remote_client.sync.
        force: Overwrite files that were edited.
        server: The runtime if TARGET is not given.
    """
    if target is not None:
        server = replace(server, target=target, is_explicit=True)
    return await write_stubs(server, output, blocking=sync, schema=schema, force=force)
