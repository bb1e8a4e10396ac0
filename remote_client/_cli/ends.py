"""The commands there are, and how they end: the exit code, and one line about what went wrong."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

FAILED, WRONG_USE, INTERRUPTED = 1, 2, 130
COMMANDS = {
    "schema": "Write what a runtime offers, or compare a file with it.",
    "stubs": "Write declared modules of what a runtime offers.",
}
"""Each is a function of its name in the file of its name."""
USAGE = "usage: remote-client [-t TARGET] COMMAND [OPTIONS]; remote-client --help lists the commands\n"


class WrongUseError(Exception):
    """What was typed cannot be meant so."""


def ended(run: Callable[[], int]) -> int:
    """Run the command, and return its exit code."""
    try:
        code = run()
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader went away. Python would flush into nowhere when it ends, and complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:
        return _told(error)
    return code


def _told(error: Exception) -> int:
    """Tell of an error that users are to expect, and return the exit code for it. Others are raised."""
    from .._text.cleaning import clean  # here, because `--help` does without
    from ..errors import ConfigurationError, RemoteClientError  # here, because `--help` does without

    if not isinstance(error, (WrongUseError, RemoteClientError, OSError)):
        raise error
    sys.stderr.write(f"remote-client: {clean(str(error))}\n")
    return WRONG_USE if isinstance(error, (WrongUseError, ConfigurationError)) else FAILED
