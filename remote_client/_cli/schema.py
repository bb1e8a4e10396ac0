"""`remote-client schema`: a runtime's schema as a file, and whether a runtime still is what a file says."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from .ends import FAILED, WrongUseError
from .files import check_output, write_schema
from .server import Server


async def schema(
    *,
    output: Annotated[Path | None, Parameter(["--output", "-o"])] = None,
    check: Path | None = None,
    server: Annotated[Server, Parameter(parse=False)],
) -> int:
    """Write what a runtime offers, or compare a file with it.

    Over gRPC the schema is a FileDescriptorSet (.binpb), over HTTP the OpenAPI document (.json).

    Args:
        output: The file to write; standard output without it.
        check: A file to compare with the runtime: exits with 1 where a caller of the file would fail.
        server: The runtime.
    """
    if check is not None and output is not None:
        raise WrongUseError("--check compares, -o writes: give one of them")
    return await (_write(server, output) if check is None else _check(server, check))


async def _write(server: Server, output: Path | None) -> int:
    from .._schema.schema_bytes import schema_bytes

    check_output(output, server.protocol)
    write_schema(schema_bytes(await server.description()), output)
    return 0


async def _check(server: Server, file: Path) -> int:
    async with server.client() as client:
        differences = await client.check_schema(file)
    for each in sorted(differences, key=lambda each: not each.breaking):
        sys.stdout.write(f"{each}\n")
    return FAILED if any(each.breaking for each in differences) else 0
