"""The entry point of `remote-client`: runs a command and turns errors into exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Coroutine, Sequence
from io import TextIOWrapper

from .failures import report
from .options import Options
from .output import STANDARD_OUTPUT, writing
from .usage import FAILED, INTERRUPTED, Parsed


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code."""
    options: Options | None = None
    _open_standard_streams()
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # for terminals without all letters
    try:
        command = _parsed(sys.argv[1:] if arguments is None else arguments)
        options = command.options
        code = _exit_code(command)
        with writing(STANDARD_OUTPUT):
            sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of the pipe is gone. Python flushes again at exit, which would print a second error.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:
        return report(error, options)
    return code


def _open_standard_streams() -> None:
    """Open the streams that the parent process closed, as /dev/null: else a socket gets the number of one."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:
            number = os.open(os.devnull, os.O_RDWR)  # the lowest that is free, so that of the stream
            setattr(sys, name, os.fdopen(number, "r" if name == "stdin" else "w", closefd=False))


def _parsed(arguments: Sequence[str]) -> Parsed:
    try:
        from .cyclopts_app import parse
    except ModuleNotFoundError as error:
        if error.name != "cyclopts":
            raise
        from .argparse_app import parse
    return parse(arguments)


def _exit_code(command: Parsed) -> int:
    code = command.run()
    if isinstance(code, Coroutine):
        import asyncio  # here, so that `--help` stays quick

        code = asyncio.run(code)
    return code or 0


if __name__ == "__main__":
    sys.exit(main())
