"""The commands, the exit codes, and the error of wrong usage."""

from __future__ import annotations

FAILED, USAGE_ERROR, INTERRUPTED = 1, 2, 130
COMMANDS = {
    "map": "Call a model for every row of a file, and write the answers.",
    "schema": "Write a runtime's schema to a file, or check a file against a runtime.",
    "stubs": "Write typed Python classes for a runtime's tasks.",
}
"""Each command is a function in the module of its name."""
USAGE = "usage: remote-client [-t TARGET] COMMAND [OPTIONS]; remote-client --help lists the commands\n"


class UsageError(Exception):
    """Arguments that the command cannot run with. The exit code is 2."""
