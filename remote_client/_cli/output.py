"""What commands write to standard output: tables on a terminal, else JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from .options import Options

STANDARD_OUTPUT = "standard output"


def wants_json(options: Options) -> bool:
    """Return whether to write JSON: with `--json`, or if standard output is no terminal."""
    return options.json or not sys.stdout.isatty()


def write_json(value: Any) -> None:
    """Write a value as JSON, indented on a terminal: bytes as base64, times as ISO 8601, enums by their names."""
    from .._schema.plain_values import json_text  # here, as it loads pydantic

    write_line(json_text(value, indent=2 if sys.stdout.isatty() else None))


def write_table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write rows in aligned columns, which are cut to the terminal's width; the first one, a name or an id, last."""
    from .._text.tables import text_table  # here, so that `--help` stays quick

    write_line(text_table(rows, [name.upper() for name in header], whole=1))


def write_line(text: str) -> None:
    """Write a line at once, so that the reader of a pipe has it."""
    with writing(STANDARD_OUTPUT):
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()


@contextmanager
def writing(name: object) -> Iterator[None]:
    """Let an OSError from inside name the file. A reader of a pipe that left stays a BrokenPipeError."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OSError(f"{name} cannot be written: {error.strerror}") from None
