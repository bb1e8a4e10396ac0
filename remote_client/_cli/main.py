"""The entry point of `remote-client`: runs a command and turns errors into exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from .usage import FAILED, INTERRUPTED, USAGE_ERROR, UsageError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    try:
        code = _run(sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of the pipe is gone. Python flushes again at exit, which would print a second error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:
        return _report(error)
    return code


def _run(arguments: Sequence[str]) -> int:
    try:
        from .cyclopts_app import run
    except ModuleNotFoundError as error:
        if error.name != "cyclopts":
            raise
        from .argparse_app import run
    return run(arguments)


def _report(error: Exception) -> int:
    """Print an expected error on one line and return its exit code. Re-raise any other."""
    from .._text.cleaning import clean  # here, so that `--help` stays quick
    from ..errors import ConfigurationError, RemoteClientError

    if not isinstance(error, (UsageError, RemoteClientError, OSError)):
        raise error
    sys.stderr.write(f"remote-client: {clean(str(error))}\n")
    return USAGE_ERROR if isinstance(error, (UsageError, ConfigurationError)) else FAILED


if __name__ == "__main__":
    sys.exit(main())
