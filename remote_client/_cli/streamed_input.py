"""Files of arguments, which are read whole or line by line: the items of streamed inputs."""

from __future__ import annotations

import json
import os
import signal
import stat
from collections import deque
from collections.abc import AsyncIterator, Mapping
from typing import IO, Any

from .._bulk.kinds import Kind
from .._concurrency.threads import run_in_thread
from ..errors import InputError
from .arguments import value_of_json
from .progress import note
from .usage import UsageError

STANDARD = "-"
"""Standard input."""


def read_file(name: str, option: str) -> bytes:
    """Return the content of a file. Raises a UsageError of the option or word that names it."""
    # asyncio's own handler would wait for the end of the file.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with open_file(name, option) as file:
            return file.read()
    finally:
        signal.signal(signal.SIGINT, handler)


def open_file(name: str, option: str) -> IO[bytes]:
    """Open a file, or standard input. Raises a UsageError of the option or word that names it."""
    try:
        # Not `sys.stdin`: Python waits at its exit for the lock of a thread that reads from it.
        return open(0, "rb", closefd=False) if name == STANDARD else open(name, "rb")
    except OSError as error:
        raise UsageError(f"{_named(name, option)}: {error.strerror}") from None


def _named(name: str, option: str) -> str:
    return option if name in option else f"{option} {name}"


def _mode(name: str, option: str) -> int:
    try:
        return os.stat(0 if name == STANDARD else name).st_mode
    except OSError as error:
        raise UsageError(f"{_named(name, option)}: {error.strerror}") from None


class ItemFile:
    """JSON Lines with the items of streamed inputs: of one stream an item a line, of several an object with theirs.

    The file is opened when the call reads its first line, so that whoever reads it closes it.

    Args:
        name: the file, or `-`.
        option: the option or word that names it, for errors.
        kinds: the streams, and what their items become.

    Raises:
        UsageError: the file cannot be read.
    """

    def __init__(self, name: str, option: str, kinds: Mapping[str, Kind]) -> None:
        self._option = option
        self._kinds = kinds
        self._name = name
        self._file: IO[bytes] | None = None
        self._line = 0
        self._is_reading = self._is_over = False
        if not stat.S_ISFIFO(_mode(name, option)):  # opening a pipe twice would end its writer
            open_file(name, option).close()
        self._read: dict[str, deque[Any]] = {stream: deque() for stream in kinds}
        """The items of lines that only some of the streams took."""
        if name == STANDARD and os.isatty(0):
            note("reading items from the terminal, as JSON and each on a line; Ctrl-D ends them")

    @property
    def streams(self) -> dict[str, AsyncIterator[Any]]:
        """The items of every stream."""
        return {stream: _Items(self, stream) for stream in self._kinds}

    async def next(self, stream: str) -> Any:
        """Return the next item of a stream.

        Raises:
            StopAsyncIteration: there are no more lines.
            InputError: a line does not have the items.
        """
        if not self._read[stream]:
            for name, item in self._items_of(await self._next_line()).items():
                self._read[name].append(item)
        return self._read[stream].popleft()

    async def _next_line(self) -> bytes:
        while not self._is_over:
            self._is_reading = True
            data = await run_in_thread(self._read_line)
            self._is_reading = False
            self._line += 1
            self._is_over = not data  # a terminal could go on after Ctrl-D
            if data.strip():
                return data
        raise StopAsyncIteration

    def _read_line(self) -> bytes:
        if self._file is None:
            self._file = open_file(self._name, self._option)
        return self._file.readline()

    def _items_of(self, data: bytes) -> dict[str, Any]:
        where = f"{self._option}: line {self._line}"
        try:
            row = json.loads(data.strip().decode("utf-8-sig"))
        except json.JSONDecodeError as error:
            raise InputError(f"{where}: not JSON: {error.msg} at character {error.pos + 1}") from None
        except ValueError as error:
            raise InputError(f"{where}: not JSON: {error}") from None
        names = list(self._kinds)
        if len(names) == 1:
            row = {names[0]: row}
        elif not isinstance(row, dict) or row.keys() != self._kinds.keys():
            raise InputError(f"{where}: expected an object with {' and '.join(names)}")
        try:
            return {name: value_of_json(kind, row[name]) for name, kind in self._kinds.items()}
        except ValueError as error:
            raise InputError(f"{where}: {error}") from None

    async def aclose(self) -> None:
        """Close the file, unless an abandoned thread still waits for its next line. Idempotent."""
        self._is_over = True
        if self._file is not None and not self._is_reading:
            self._file.close()


class _Items(AsyncIterator[Any]):
    def __init__(self, file: ItemFile, stream: str) -> None:
        self._file = file
        self._stream = stream

    async def __anext__(self) -> Any:
        return await self._file.next(self._stream)

    async def aclose(self) -> None:
        await self._file.aclose()
