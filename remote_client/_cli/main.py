"""The `remote-client` command. The commands themselves are in `_cli`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from .ends import ended


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; its exit code."""
    given = sys.argv[1:] if arguments is None else arguments
    return ended(lambda: _run(given))


def _run(arguments: Sequence[str]) -> int:
    try:
        from .app import run
    except ModuleNotFoundError as error:
        if error.name != "cyclopts":
            raise
        from .plain import run
    return run(arguments)


if __name__ == "__main__":
    sys.exit(main())
