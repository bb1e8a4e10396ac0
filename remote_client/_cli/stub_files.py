"""What `remote-client stubs` writes, with the extra `cli` or without it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .files import schema_beside
from .server import Server

if TYPE_CHECKING:
    from .._schema.rpc import ServiceDescription


async def write_stubs(server: Server, output: Path | None, *, blocking: bool) -> int:
    """Write declared modules of what a server offers, and return the exit code.

    Args:
        server: the server.
        output: the Python file, beside which its schema is written; None for standard output, without the schema.
        blocking: for the blocking client.
    """
    beside = None if output is None else schema_beside(output, server.protocol)
    description = await server.description()
    text = _text(description, blocking, None if beside is None else beside.name)
    if output is None or beside is None:
        sys.stdout.write(text)
    else:
        _write(description, text, output, beside)
    return 0


def _text(description: ServiceDescription, blocking: bool, schema: str | None) -> str:
    from ..stubs import write

    return write(description, "a caikit runtime", blocking=blocking, schema=schema)


def _write(description: ServiceDescription, text: str, output: Path, beside: Path) -> None:
    from .._schema.schema_bytes import schema_bytes

    beside.write_bytes(schema_bytes(description))
    output.write_text(text, encoding="utf-8")
