"""`remote-client schema`: a runtime's schema as a file, and whether a runtime still is what a file says."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from .ends import FAILED, WrongUseError
from .files import check_output, write
from .server import OnFile, Server, offered, usable

if TYPE_CHECKING:
    from .._schema.differences import Difference


async def schema(
    *,
    output: Annotated[Path | None, Parameter(["--output", "-o"])] = None,
    check: str | None = None,
    schema: str | None = None,
    as_json: Annotated[bool, Parameter("--json", negative="", show_default=False)] = False,
    server: Annotated[Server, Parameter(parse=False)],
) -> int:
    """Write what a runtime offers, or compare a file with it.

    Over gRPC the schema is a FileDescriptorSet (.binpb), over HTTP the OpenAPI document (.json).

    Args:
        output: The file to write; standard output without it.
        check: A file to compare with the runtime: exits with 1 where a caller of the file would fail.
        schema: A schema on file, in the place of the runtime; also .proto files.
        as_json: List what --check finds as JSON.
        server: The runtime.
    """
    if check is not None and output is not None:
        raise WrongUseError("--check compares, -o writes: give one of them")
    if as_json and check is None:
        raise WrongUseError("--json goes with --check")
    source = await offered(server, schema)
    return await (_write(source, output) if check is None else _check(source, check, as_json=as_json))


async def _write(source: Server | OnFile, output: Path | None) -> int:
    from .._schema.schema_bytes import schema_bytes

    check_output(output, source.protocol)
    write(output, schema_bytes(await source.description()))
    return 0


async def _check(source: Server | OnFile, file: str, *, as_json: bool) -> int:
    from .._concurrency.threads import aside
    from .._schema.differences import differences

    known = await OnFile.read(file, source.protocol, "--check")
    old, new = await known.description(), await source.description()
    names = file, source.schema.name if isinstance(source, OnFile) else "the server's schema"
    with usable("--check"):  # of files only what is used was looked at before
        found = await aside(differences, old, new, None, names)
    found.sort(key=lambda each: not each.breaking)
    sys.stdout.write(_json(found) if as_json else "".join(f"{each}\n" for each in found))
    return FAILED if any(each.breaking for each in found) else 0


def _json(found: list[Difference]) -> str:
    import json

    return json.dumps([asdict(each) for each in found], indent=2) + "\n"
