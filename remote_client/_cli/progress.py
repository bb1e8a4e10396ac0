"""A line on a terminal that shows how far a command is."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from .._text.cleaning import clean


@contextmanager
def status_line(text: str) -> Iterator[Callable[[str], None]]:
    """Show a line on standard error, if that is a terminal, and give the function that replaces its text."""
    if not sys.stderr.isatty():
        yield lambda text: None
        return
    from rich.console import Console
    from rich.status import Status
    from rich.text import Text

    with Status(Text(clean(text)), console=Console(stderr=True)) as line:
        yield lambda text: line.update(Text(clean(text)))  # `Text`, because the server's words are no markup


@contextmanager
def sending(text: str) -> Iterator[None]:
    """Show a line while a request is sent that is sent once; tell of an interruption what it leaves open."""
    from asyncio import CancelledError  # here, so that completion stays quick

    try:
        with status_line(text):
            yield
    except CancelledError:
        note("interrupted; if the request was sent already, the runtime carries it out")
        raise


def note(text: str) -> None:
    """Tell something on standard error, whether that is a terminal or not. The server's words may be in it."""
    sys.stderr.write(f"remote-client: {clean(text)}\n")
