"""`remote-client schema`: a runtime's schema as a file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from .files import check_output, write_schema
from .server import Server


async def schema(
    *,
    output: Annotated[Path | None, Parameter(["--output", "-o"])] = None,
    server: Annotated[Server, Parameter(parse=False)],
) -> int:
    """Write what a runtime offers.

    Over gRPC the schema is a FileDescriptorSet (.binpb), over HTTP the OpenAPI document (.json).

    Args:
        output: The file to write; standard output without it.
        server: The runtime.
    """
    return await _write(server, output)


async def _write(server: Server, output: Path | None) -> int:
    from .._schema.schema_bytes import schema_bytes

    check_output(output, server.protocol)
    async with server.client() as client:
        write_schema(schema_bytes(await client.describe()), output)
    return 0
