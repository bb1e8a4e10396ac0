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
    sync: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    server: Annotated[Server, Parameter(parse=False)],
) -> int:
    """Write declared modules of what a runtime offers.

    Args:
        target: The runtime, as with -t.
        output: The file to write, and the runtime's schema beside it; standard output without it, and no schema.
        sync: For the blocking client, remote_client.sync.
        server: The runtime where TARGET is not given.
    """
    return await write_stubs(server if target is None else replace(server, target=target), output, blocking=sync)
