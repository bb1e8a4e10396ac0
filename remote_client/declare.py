"""Declared modules: a class with the methods of a model's module, for editors and type checkers.

    @module("00110203-0405-0607-0809-0a0b02dd0e0f", "SampleModule", "0.1.0", task="SampleTask")
    class SampleModule(RemoteModuleBase):
        @taskmethod()
        async def run(self, sample_input: SampleInput, throw: bool = False) -> SampleOutput:
            raise NotImplementedError

The methods need no body: calling them calls the server. Annotations are the user's own types: pydantic models,
dataclasses, plain types. An `AsyncIterable` parameter is a streamed input; an `AsyncIterator` result is a stream of
answers. The decorators take the arguments of caikit's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

__all__ = ["module", "task", "taskmethod"]

F = TypeVar("F", bound=Callable[..., Any])
C = TypeVar("C", bound=type)

TASK_MARK = "__remote_task__"
MODULE_MARK = "__remote_module__"
"""The attributes that `taskmethod` and `module` set. `_schema.declaration` reads them."""
registry: dict[str, type] = {}
"""Module id -> declared class: the class of all models whose module has the id."""


def task(declared: C) -> C:
    """Declare a task: a class whose name is the task's, for `taskmethod` and `module`."""
    return declared


def taskmethod(task: str | type | None = None) -> Callable[[F], F]:
    """Declare a method of a task.

    Args:
        task: the task, or its name such as `SampleTask`. The default is the module's task.
    """

    def mark(method: F) -> F:
        setattr(method, TASK_MARK, _name(task))
        return method

    return mark


def module(
    id: str = "", name: str = "", version: str = "", *, task: str | type | None = None, schema: str | None = None
) -> Callable[[C], C]:
    """Declare a module. From now on the class is used for all models whose module has this id.

    Args:
        id: the module's id.
        name: its name. The default is the name of the class.
        version: its version.
        task: the task of methods that name none.
        schema: the path of a schema file, relative to the Python file of the class. `remote-client stubs -o` and
            `remote-client schema -o` write such files. Models of the class then do not ask the server for its
            interface. The file is read on first use; derived classes inherit it.
    """

    def mark(declared: C) -> C:
        setattr(declared, MODULE_MARK, (id, name or declared.__name__, version, _name(task), schema))
        if id:
            registry[id] = declared
        return declared

    return mark


def _name(task: str | type | None) -> str:
    return task.__name__ if isinstance(task, type) else task or ""
