"""`remote-client schema`: writes a runtime's schema to a file, or checks a file against a runtime."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

from .description_sources import FileSource, ServerSource, as_usage_error, source_of
from .files import check_output, write
from .parameters import AllOptions, FileName, Output
from .usage import FAILED, UsageError


async def schema(*, output: Output = None, check: FileName | None = None, options: AllOptions) -> int:
    """Write a runtime's schema to a file, or check a file against a runtime.

    Over gRPC the schema is a FileDescriptorSet (.binpb), over HTTP the OpenAPI document (.json).

    Args:
        output: The file to write. The default is standard output.
        check: A schema file to compare with the runtime. The exit code is 1 if the runtime would break its callers.
        options: Name the runtime, or with --schema a file to read instead; .proto files, too. With --json differences
            are JSON.
    """
    if check is not None and output is not None:
        raise UsageError("--check compares, -o writes: give one of them")
    if "json" in options.given and check is None:
        raise UsageError("--json goes with --check")
    source = await source_of(options)
    return await (_write(source, output) if check is None else _check(source, check, as_json=options.json))


async def _write(source: ServerSource | FileSource, output: Path | None) -> int:
    from .._schema.schema_file import schema_bytes

    check_output(output, source.protocol)
    write(output, schema_bytes(await source.description()))
    return 0


async def _check(source: ServerSource | FileSource, file: str, *, as_json: bool) -> int:
    from .._schema.comparison import compare_in_thread

    known = await FileSource.read(file, source.protocol, "--check")
    old, new = await known.description(), await source.description()
    names = file, source.schema.name if isinstance(source, FileSource) else "the server's schema"
    with as_usage_error("--check"):  # a file's types are parsed on first use
        found = await compare_in_thread(old, new, names)
    found.sort(key=lambda difference: not difference.breaking)
    if as_json:
        sys.stdout.write(json.dumps([asdict(difference) for difference in found], indent=2) + "\n")
    else:
        sys.stdout.writelines(f"{difference}\n" for difference in found)
    return FAILED if any(difference.breaking for difference in found) else 0
