"""Writes cassettes: a line for each call, whole, as soon as the call is over."""

from __future__ import annotations

import contextlib
import os
import threading
from io import FileIO
from pathlib import Path
from typing import Final

from ...errors import ConfigurationError
from .format import Header, RecordedCall, Shown, call_line, header_line


class CassetteWriter:
    """A cassette that is being written.

    The file appears, or replaces an old one, with its first call. A crash of the process loses the calls in flight and
    leaves whole lines.

    Raises:
        ConfigurationError: the path cannot be a file.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: Final = Path(path).absolute()
        self._file: FileIO | None = None
        self._is_closed = False
        self._guard = threading.Lock()
        if self.path.exists() and not self.path.is_file():
            raise ConfigurationError(f"record: {self.path} is no file")
        if not os.access(self.path.parent, os.W_OK | os.X_OK):
            raise ConfigurationError(f"record: {self.path.parent} is no folder that can be written to")

    def add(self, header: Header, call: RecordedCall, shown: Shown) -> None:
        """Write a call, after the header if it is the first one.

        Raises:
            OSError: the disk is full, for one. What was written before stays readable.
        """
        line = call_line(call, shown)
        with self._guard:
            if self._is_closed:
                return
            if self._file is None:
                self._file = self._begin(header_line(header) + line)
            else:
                _append(self._file, line)

    def _begin(self, lines: bytes) -> FileIO:
        """Write the first lines beside the old file, and put them in its place."""
        path = self.path.resolve()  # of a link, the file it leads to
        beside = path.with_name(f".{path.name}.{os.getpid()}.part")
        file = open(beside, "wb", buffering=0)  # noqa: SIM115 - open as long as the recording
        try:
            _append(file, lines)
            os.replace(beside, path)
        except BaseException:
            file.close()
            beside.unlink(missing_ok=True)
            raise
        return file

    def close(self) -> None:
        """Close the file; calls that end later are not in it. Idempotent."""
        with self._guard:
            self._is_closed = True
            if self._file is not None:
                self._file.close()


def _append(file: FileIO, lines: bytes) -> None:
    start, left = file.tell(), memoryview(lines)
    try:
        while left:
            left = left[file.write(left) :]
    except OSError:
        with contextlib.suppress(OSError):  # a torn line is dropped by readers only if it is the last one
            file.truncate(start)
            file.seek(start)
        raise
