"""Names that several methods or tasks of a server share: how users tell them apart, and what errors suggest."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import replace
from typing import TypeVar

from .._text.cleaning import clean
from .._text.closest import closest
from ..errors import InputError
from .rpc import RemoteRPCDescriptor, ServiceDescription

T = TypeVar("T")
Tasks = Iterable[tuple[str, Sequence[RemoteRPCDescriptor]]]
"""Tasks by the names that `task=` takes, with their methods."""


def by_unique_name(named: Collection[tuple[str, RemoteRPCDescriptor, T]]) -> dict[str, T]:
    """Return values by name; if several have the same name, by the method's full RPC name or route."""
    count = Counter(name for name, _, _ in named)
    return {name if count[name] == 1 else rpc.full_name: value for name, rpc, value in named}


def matching_tasks(tasks: Tasks, wanted: str) -> list[str]:
    """Return the keys of the tasks that a name means: a key, a task's class, a full RPC name or a route."""
    found = []
    for key, methods in tasks:
        if key == wanted:
            return [key]
        if any(wanted in (method.task, method.full_name, method.path) for method in methods):
            found.append(key)
    return found


def matching_task(tasks: Tasks, wanted: str, runtime: str, model: str) -> str:
    """Return the key of the task that a name means.

    Raises:
        InputError: no task matches, or several do.
    """
    tasks = list(tasks)
    found = matching_tasks(tasks, wanted)
    if len(found) == 1:
        return found[0]
    prefix = f"task: the runtime at {runtime} has"
    if found:
        raise InputError(clean(f"{prefix} several tasks {wanted!r}; choose one: {task_choices(found, model)}"))
    names = [key for key, _ in tasks]
    close = closest(wanted, names)
    hint = f"did you mean {close}?" if close else f"it has {', '.join(names)}"
    raise InputError(clean(f"{prefix} no task {wanted!r}; {hint}"))


def task_choices(keys: Iterable[str], model: str | None = None) -> str:
    """Return the code that chooses one of a model's tasks, for every task."""
    name = "name" if model is None else repr(model)
    return ", ".join(f"client.model({name}, task={key!r})" for key in keys)


def without_namesakes(description: ServiceDescription, key: str) -> ServiceDescription:
    """Return the description without the other tasks that have a task's name."""
    chosen = description.tasks[key]
    others = {other: task for other, task in description.tasks.items() if task.name != chosen.name}
    return replace(description, tasks={**others, chosen.name: chosen})


def shared_method_names(tasks: Tasks) -> dict[str, list[str]]:
    """Return the names that methods of several tasks share -> the keys of these tasks."""
    owners: dict[str, list[str]] = {}
    for key, methods in tasks:
        for method in methods:
            owners.setdefault(method.name, []).append(key)
    return {name: keys for name, keys in owners.items() if len(keys) > 1}


def ambiguity_notes(tasks: Tasks) -> tuple[str, ...]:
    """Return a description's notes about method names that several tasks share."""
    shared = shared_method_names(tasks)
    if not shared:
        return ()
    methods = "; ".join(f"{name} (task={', task='.join(map(repr, keys))})" for name, keys in shared.items())
    return (clean(f"several tasks have methods of the same name; call them through model(name, task=...): {methods}"),)
