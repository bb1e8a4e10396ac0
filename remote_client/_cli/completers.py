"""What shells are offered for models, tasks and arguments: those of the runtime that the line names.

Asking takes two seconds at most, or `--timeout`, but no longer than five seconds. Without an answer nothing is offered:
a shell has no place for errors.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING

from .completion_scripts import FILES
from .options import Options

if TYPE_CHECKING:
    from cyclopts.completion import CompletionContext

    from .._bulk.kinds import Kind
    from .._client.client import RemoteClient
    from .._schema.rpc import RemoteRPCDescriptor, TaskDescription

Candidates = list[tuple[str, str]]
"""Words, and their descriptions."""
_FILE = re.compile(r"([^=:@]+(?:@|=@|:=@)).*", re.DOTALL)
"""A word such as `name@file`; its first group is what is no part of the file's name."""
_SECONDS, _MOST_SECONDS = 2.0, 5.0
"""The time to ask the runtime, and the most that `--timeout` can make of it."""


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


def call_arguments(context: CompletionContext) -> Candidates:
    """Return the arguments of the method that the words before name."""

    async def methods(client: RemoteClient) -> list[RemoteRPCDescriptor]:
        return _called((await client.describe()).tasks, context["task"].raw or "")[:1]

    return _arguments(context, methods)


def job_arguments(context: CompletionContext) -> Candidates:
    """Return the arguments of the job that the words before name."""

    async def methods(client: RemoteClient) -> list[RemoteRPCDescriptor]:
        task = (await client.describe()).tasks[context["task"].raw or ""]
        return [rpc for rpc in task.methods if rpc.job is not None]

    return _arguments(context, methods)


def training_arguments(context: CompletionContext) -> Candidates:
    """Return the arguments of a model's training; of all trainings, if it is not known."""

    async def methods(client: RemoteClient) -> list[RemoteRPCDescriptor]:
        config = (await client.model(context["model"].raw or "")).config
        return config.trainings if config.train_method is None else [config.train_method]

    return _arguments(context, methods)


def files(context: CompletionContext) -> Candidates:
    """Return the request for the shell's own completion of files."""
    return [(context.incomplete + FILES, "")]


def _asked(ask: Callable[[RemoteClient], Awaitable[Candidates]]) -> Candidates:
    """Return the answer of the runtime that the environment names (`completion` puts options there), or nothing."""
    import asyncio  # here, so that `--help` stays quick

    from .._text.cleaning import clean

    try:
        found = asyncio.run(_within_limit(Options.of({}), ask))
    except Exception:
        return []
    # The server's words go to a terminal.
    return [(word, clean(description)) for word, description in found if word.isprintable()]


async def _within_limit(options: Options, ask: Callable[[RemoteClient], Awaitable[Candidates]]) -> Candidates:
    import asyncio

    limit = _SECONDS if options.timeout is None else min(options.timeout, _MOST_SECONDS)
    async with asyncio.timeout(limit), options.client() as client:
        return await ask(client)


def _called(tasks: Mapping[str, TaskDescription], wanted: str) -> list[RemoteRPCDescriptor]:
    """Return the method of a name, or a task's, its unary one first."""
    if wanted in tasks:
        return sorted(
            (rpc for rpc in tasks[wanted].methods if rpc.job is None),
            key=lambda rpc: (rpc.input_streaming, rpc.output_streaming),
        )
    return [rpc for task in tasks.values() for rpc in task.methods if rpc.name == wanted]


def _arguments(
    context: CompletionContext, methods: Callable[[RemoteClient], Awaitable[list[RemoteRPCDescriptor]]]
) -> Candidates:
    """Return the beginnings of words for the arguments of methods, or ask for a file after an `@`."""
    if (file := _FILE.fullmatch(context.incomplete)) is not None:
        return [(context.incomplete + FILES, file[1])]

    async def ask(client: RemoteClient) -> Candidates:
        from .argument_words import argument_words

        kinds = {name: kind for rpc in await methods(client) for name, kind in _kinds(rpc).items()}
        return list(argument_words(kinds, context.incomplete, context["arguments"].raw_tokens))

    return _asked(ask)


def _kinds(rpc: RemoteRPCDescriptor) -> dict[str, Kind]:
    """Return the kinds of arguments: of streamed inputs and of training data, lists."""
    from .._bulk.kinds import Kind, kind_of
    from .._schema.declared.mismatches import stream_item
    from .training_arguments import row_kinds

    rows = row_kinds(rpc)
    kinds = {}
    for name, each in rpc.signature.parameters.items():
        item = stream_item(each.annotation)
        is_list = item is not each.annotation or name in rows
        kinds[name] = Kind("list", (kind_of(item),)) if is_list else kind_of(item)
    return kinds


def _shape(rpc: RemoteRPCDescriptor) -> str:
    """Return a method's parameters and its answer."""
    return str(rpc).removeprefix(rpc.name)
