"""What `remote-client stubs` writes, with the extra `cli` or without it."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from .ends import WrongUseError
from .files import SUFFIXES, read, schema_beside, write
from .server import OnFile, Server, offered, usable

if TYPE_CHECKING:
    from .._schema.rpc import ServiceDescription


async def write_stubs(
    server: Server, output: Path | None, *, blocking: bool, schema: str | None = None, force: bool = False
) -> int:
    """Write declared modules of what a server offers, and return the exit code.

    Args:
        server: the server.
        output: the Python file, beside which its schema is written; None for standard output, without the schema.
        blocking: for the blocking client.
        schema: the server's schema on file; nobody is asked then.
        force: overwrite files that others have written.
    """
    source = await offered(server, schema)
    beside = None if output is None else schema_beside(output, source.protocol, force=force)
    description = await source.description()
    text = _text(source, description, blocking, beside)
    if output is None or beside is None:
        sys.stdout.write(text)
        return 0
    if not (force or await _is_ours(output, text)):
        raise WrongUseError(
            f"-o {output}: it is there, and not as stubs wrote it: --force overwrites it; "
            f"remote-client schema -o {beside} renews the schema alone"
        )
    _write(description, text, output, beside)
    return 0


def _text(source: Server | OnFile, description: ServiceDescription, blocking: bool, beside: Path | None) -> str:
    from .._stubs.writer import write as written

    schema = None if beside is None else beside.name
    if isinstance(source, Server):
        return written(description, "a caikit runtime", blocking=blocking, schema=schema)
    with usable(source.option):  # of a file types are made as they are looked at
        return written(description, "a caikit runtime", blocking=blocking, schema=schema)


async def _is_ours(output: Path, text: str) -> bool:
    """Whether a file has nothing to lose: it is as it will be written, or as it was of the schema beside it."""
    held = _held(output)
    if held in (b"", text.encode()):
        return True
    return any([held in await _written_of(each) for each in _schemas_beside(output)])


def _held(output: Path) -> bytes:
    return read(output) if output.exists() else b""


def _schemas_beside(output: Path) -> list[Path]:
    """The schemas of a Python file; over the other protocol it had another one."""
    return [each for suffixes in SUFFIXES.values() if (each := output.with_suffix(suffixes[0])).exists()]


async def _written_of(schema: Path) -> list[bytes]:
    """What stubs writes of a schema; nothing of what is none."""
    from ..errors import ConfigurationError

    try:
        source = await OnFile.read(str(schema), None, "-o")
        description = await source.description()
        return [_text(source, description, blocking, schema).encode() for blocking in (False, True)]
    except (ConfigurationError, WrongUseError):
        return []


def _write(description: ServiceDescription, text: str, output: Path, beside: Path) -> None:
    from .._schema.schema_bytes import schema_bytes

    write(beside, schema_bytes(description))
    write(output, text.encode())
