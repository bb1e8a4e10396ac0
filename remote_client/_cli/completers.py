"""What shells are offered for models, tasks and arguments: those of the runtime that the line names.

Asking takes a second at most. Without an answer nothing is offered: a shell has no place for errors.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from .completion_scripts import FILES
from .options import Options

if TYPE_CHECKING:
    from cyclopts.completion import CompletionContext

    from .._client.client import RemoteClient
    from .._schema.rpc import RemoteRPCDescriptor

Candidates = list[tuple[str, str]]
"""Words, and their descriptions."""
SECONDS = 1.0
"""The time to ask the runtime."""


def models(_: CompletionContext) -> Candidates:
    """Return the models."""

    async def ask(client: RemoteClient) -> Candidates:
        return [(model.name, model.module_name or "") for model in await client.models()]

    return _asked(ask)


def tasks(_: CompletionContext) -> Candidates:
    """Return the tasks, and the methods of all of them."""

    async def ask(client: RemoteClient) -> Candidates:
        found = (await client.describe()).tasks
        methods = [rpc for task in found.values() for rpc in task.methods if rpc.job is None]
        return [*((name, "task") for name in found), *((rpc.name, _shape(rpc)) for rpc in methods)]

    return _asked(ask)


def job_tasks(_: CompletionContext) -> Candidates:
    """Return the tasks that have prediction jobs."""

    async def ask(client: RemoteClient) -> Candidates:
        found = (await client.describe()).tasks
        return [(name, "task") for name, task in found.items() if any(rpc.job for rpc in task.methods)]

    return _asked(ask)


def files(context: CompletionContext) -> Candidates:
    """Return the request for the shell's own completion of files."""
    return [(context.incomplete + FILES, "")]


def _asked(ask: Callable[[RemoteClient], Awaitable[Candidates]]) -> Candidates:
    """Return the answer of the runtime that the environment names (`completion` puts options there), or nothing."""
    import asyncio  # here, so that `--help` stays quick

    try:
        return asyncio.run(_within_limit(Options.of({}), ask))
    except Exception:
        return []


async def _within_limit(options: Options, ask: Callable[[RemoteClient], Awaitable[Candidates]]) -> Candidates:
    import asyncio

    async with asyncio.timeout(SECONDS), options.client() as client:
        return await ask(client)


def _shape(rpc: RemoteRPCDescriptor) -> str:
    """Return a method's parameters and its answer."""
    return str(rpc).removeprefix(rpc.name)
