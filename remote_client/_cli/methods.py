"""The method that the words MODEL and TASK name on the command line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .usage import UsageError

if TYPE_CHECKING:
    from .._client.client import RemoteClient
    from .._client.module import RemoteModuleBase

_SHORT_NAMES = ("run", "run_stream_out", "run_stream_in", "run_bidi_stream")


async def method_to_call(client: RemoteClient, model: str, task: str) -> Any:
    """Return the method of that name, or a task's unary method, or its only one.

    Raises:
        UsageError: the model has no such method, or the task has several streaming ones.
        RemoteClientError: as `RemoteClient.model`.
    """
    module, name = await _module_and_name(client, model, task)
    if name is not None:
        return _named(module, name)
    found = _methods(module, _SHORT_NAMES)
    if len(found) == 1 or _SHORT_NAMES[0] in found:
        return next(iter(found.values()))
    names = ", ".join(method.rpc.name for method in found.values())
    raise UsageError(f"{task} has {f'several methods, name one: {names}' if found else 'no method'}")


async def method_to_map(client: RemoteClient, model: str, task: str) -> Any:
    """Return the method of that name, or a task's unary method, or the one that streams both ways.

    Raises:
        UsageError: the model has no such method.
        RemoteClientError: as `RemoteClient.model`.
    """
    module, name = await _module_and_name(client, model, task)
    if name is not None:
        return _named(module, name)
    found = _methods(module, ("run", "run_bidi_stream"))
    if not found:
        raise UsageError(f"{task} has no method with one answer for each row")
    return next(iter(found.values()))


async def _module_and_name(client: RemoteClient, model: str, task: str) -> tuple[RemoteModuleBase, str | None]:
    """Return the model's module, and the method's name unless TASK is a task's class."""
    by_name = re.fullmatch(r"run(_\w+)?", task) is not None
    return await client.model(model, task=None if by_name else task), task if by_name else None


def _named(module: RemoteModuleBase, name: str) -> Any:
    try:
        return getattr(module, name)
    except AttributeError as error:  # an UnsupportedError too, where HTTP cannot do it
        raise UsageError(str(error).replace(" has no attribute ", " has no method ", 1)) from None


def _methods(module: RemoteModuleBase, names: Sequence[str]) -> dict[str, Any]:
    return {name: getattr(module, name) for name in names if hasattr(module, name)}
