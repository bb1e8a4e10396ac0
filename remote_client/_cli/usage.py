"""The commands, the exit codes, and the error of wrong usage."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from .options import Options

FAILED, USAGE_ERROR, INTERRUPTED = 1, 2, 130


class Command(NamedTuple):
    """A command: a function or a cyclopts App of its own name in a module of this package.

    Attributes:
        module: the module's name.
        help: what the command does, in a line.
    """

    module: str
    help: str


class Parsed(NamedTuple):
    """A command with its arguments.

    Attributes:
        run: runs it; returns the exit code, a coroutine of it, or None for 0.
        options: the options of all commands; None if there is no command to run.
    """

    run: Callable[[], int | Coroutine[Any, Any, int] | None]
    options: Options | None = None


COMMANDS = {
    "models": Command("look", "List a runtime's models."),
    "describe": Command("describe", "Show a runtime's tasks and methods, or the arguments of one."),
    "health": Command("look", "Tell whether a runtime serves, and wait for it."),
    "info": Command("look", "Show the versions of a runtime and of its packages."),
    "call": Command("call", "Call a model and print its answer."),
    "train": Command("train", "Train a model, and print the id of the training."),
    "jobs": Command("jobs", "Start a prediction job, or ask about jobs and trainings."),
    "deploy": Command("deploy", "Send a model's folder to a runtime."),
    "undeploy": Command("undeploy", "Remove a model from a runtime."),
    "bench": Command("bench", "Measure the calls a second and the latencies of a model."),
    "map": Command("map", "Call a model for every row of a file, and write the answers."),
    "schema": Command("schema", "Write a runtime's schema to a file, or check a file against a runtime."),
    "stubs": Command("stubs", "Write typed Python classes for a runtime's tasks."),
    "completion": Command("completion", "Print the script with which a shell completes this command."),
}
"""The commands by name, in the order of `--help`."""
USAGE = "usage: remote-client [-t TARGET] COMMAND [OPTIONS]; remote-client --help lists the commands\n"


class UsageError(Exception):
    """Arguments that the command cannot run with. The exit code is 2."""
