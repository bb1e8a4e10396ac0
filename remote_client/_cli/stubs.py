"""`remote-client stubs`: a runtime's types and tasks as a Python file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from .server import Server
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
    """Write declared modules of what a runtime offers.

    Args:
        target: The runtime, as with -t.
        output: The file to write, and the runtime's schema beside it; standard output without it, and no schema.
        schema: A schema on file, in the place of the runtime.
        sync: For the blocking client, remote_client.sync.
        force: Overwrite a file that was edited.
        server: The runtime where TARGET is not given.
    """
    if target is not None:
        server = replace(server, target=target, is_named=True)
    return await write_stubs(server, output, blocking=sync, schema=schema, force=force)
