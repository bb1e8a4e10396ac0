"""`remote-client models`, `health` and `info`: what a runtime has, whether it serves, and its versions."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from .._text.cleaning import clean
from .completers import models as known
from .output import wants_json, write_json, write_line, write_table
from .parameters import AllOptions
from .usage import FAILED

if TYPE_CHECKING:
    from .._client.client import RemoteClient
    from .options import Options

_SECONDS = 2.0
"""The time to ask a runtime that does not serve for the reason."""


async def models(*, options: AllOptions) -> int:
    """List a runtime's models.

    Args:
        options: Name the runtime.
    """
    async with options.client() as client:
        found = sorted(await client.models(), key=lambda model: model.name)
    if wants_json(options):
        write_json([{**vars(model), "module_name": model.module_name} for model in found])
        return 0
    rows = [(model.name, model.module_name, model.module_id, model.loaded, model.size) for model in found]
    write_table(("name", "module", "module id", "loaded", "bytes"), rows)
    return 0


async def info(*, options: AllOptions) -> int:
    """Show the versions of a runtime and of its packages.

    Args:
        options: Name the runtime.
    """
    async with options.client() as client:
        found = await client.runtime_info()
    if wants_json(options):
        write_json(found)
        return 0
    versions = {"runtime": found.runtime_version, **found.python_packages}
    write_table(("package", "version"), versions.items())
    return 0


async def health(
    *,
    wait: Annotated[float | None, Parameter(["--wait", "-w"])] = None,
    models: Annotated[list[str] | None, Parameter(completer=known)] = None,
    options: AllOptions,
) -> int:
    """Tell whether a runtime serves: the exit code is 0, or else 1.

    Args:
        wait: Seconds to wait until it serves and lists the models.
        models: Names of models that it must list, with commas between them.
        options: Name the runtime.
    """
    names = [name for text in models or [] for name in text.split(",") if name]
    async with options.client() as client:
        if wait is not None:
            await client.wait_until_ready(timeout=wait, models=names)
            return _tell(options, missing=[])
        reason = None if await client.healthy() else await _reason(client)
        listed = {model.name for model in await client.models()} if names and reason is None else set()
    return _tell(options, missing=[name for name in names if name not in listed], reason=reason)


async def _reason(client: RemoteClient) -> str:
    """Return why a runtime does not serve; it may have become silent."""
    import asyncio

    with contextlib.suppress(TimeoutError):
        async with client.watch_health() as watch, asyncio.timeout(_SECONDS):
            async for status in watch:
                error = status.error
                return status.state.value if error is None else f"{error.status}: {error.details}"
    return "it does not answer"


def _tell(options: Options, *, missing: list[str], reason: str | None = None) -> int:
    serving = reason is None
    if wants_json(options):
        write_json({"target": options.target, "serving": serving, "missing": missing, "reason": reason})
    elif reason is not None:
        write_line(f"{options.target} does not serve: {clean(reason)}")
    else:
        lacking = f" without {', '.join(missing)}" if missing else ""
        write_line(f"{options.target} serves{lacking}")
    return 0 if serving and not missing else FAILED
