"""The file of a map's finished rows: JSON Lines that are appended, and found again after a restart."""

from __future__ import annotations

import base64
import contextlib
import json
import logging
import os
import re
import threading
from array import array
from functools import reduce
from io import BufferedReader, FileIO
from pathlib import Path
from typing import Any

from .._concurrency import fork as _fork
from .._concurrency.threads import run_in_thread
from .._objects.content import Body
from ..errors import ClosedError, ConfigurationError
from .failures import CheckpointError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

logger = logging.getLogger("remote_client")
_NONE = 2**64 - 1
"""The place of a row that is not in the file."""
_START = re.compile(rb'\{"row":([0-9]{1,19}),"digest":"([0-9a-f]{16})","answer":"')
"""The start of every line."""
_BYTE_BY_BYTE = [
    *map(re.escape, '{"row":'),
    "[0-9]{1,19}",
    *map(re.escape, ',"digest":"'),
    *["[0-9a-f]"] * 16,
    *map(re.escape, '","answer":"'),
]
_TORN = re.compile(reduce(lambda rest, byte: f"(?:{byte}{rest})?", reversed(_BYTE_BY_BYTE), ".*").encode())
"""What is left of a line that was cut anywhere."""
_LONGEST_START = 100
"""Bytes within which a line's start ends."""


class Checkpoint:
    """The finished rows of a map, in a file that one map has for itself.

    A line has the row's index, a digest of its request, and the bytes of its answer in base64. It is handed to the
    operating system before the answer is given, so it survives the end of the process. It is not forced to the disk:
    the last seconds before a power failure may be missing, and their rows are called again.

    A last line that was torn is dropped. Of a row that is in the file when the map begins, 16 bytes are kept in memory.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path: Path = Path(path)
        self._rows = _Rows()
        self._warned = self._closed = False
        self._file: FileIO | None = None
        self._reader: BufferedReader | None = None
        # The map may be dropped, and its file closed, in any thread and at any time.
        self._guard = threading.RLock()
        self._born = _fork.count

    async def open(self) -> None:
        """Lock the file, and find its rows.

        Raises:
            ConfigurationError: it cannot be opened, another map uses it, or it has other contents and is left as it is.
        """
        try:
            self._open()
            assert self._reader is not None
            assert self._file is not None
            rows, end = await run_in_thread(_rows_in, self._reader, self.path)
            with self._guard:
                if self._closed:
                    raise ClosedError("the map was closed")
                if os.fstat(self._file.fileno()).st_size > end:  # after it there is a torn line
                    self._file.truncate(end)
                self._rows = rows
        except OSError as error:
            self._release()
            raise ConfigurationError(f"checkpoint: {self.path}: {error.strerror or error}") from None
        except BaseException:
            self._release()
            raise

    def _open(self) -> None:
        if self.path.exists() and not self.path.is_file():  # a pipe would wait for its other end
            raise ConfigurationError(f"checkpoint: {self.path} is no file")
        self._file = open(self.path, "ab", buffering=0)  # noqa: SIM115  (open as long as the map)
        try:
            if fcntl is not None:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigurationError(f"checkpoint: {self.path} is used by another map") from None
        self._reader = open(self.path, "rb")  # noqa: SIM115

    def find(self, index: int, digest: int) -> bytes | None:
        """Return the answer of a row; None if the row is not finished, or its request was another one."""
        place = self._rows.place(index)
        if place is None:
            return None
        if self._rows.digests[index] != digest:
            self._warn(f"row {index} was of another method, model or arguments, and is called again")
            return None
        with self._guard:
            if self._closed or self._reader is None:
                raise ClosedError("the map was closed")
            try:
                self._reader.seek(place)
                line = self._reader.readline()
            except OSError as error:
                raise self._error(error) from error
        try:
            return _answer_in(line)
        except (ValueError, KeyError, TypeError):
            self._warn(f"the line of row {index} is damaged, and the row is called again")
            return None

    def add(self, index: int, digest: int, answer: bytes) -> None:
        """Append a finished row. After `close` this does nothing: nobody gets the answer.

        Raises:
            CheckpointError: the disk is full, for one.
        """
        left = memoryview(_line(index, digest, answer))
        with self._guard:
            try:
                while left and not self._closed and self._file is not None:
                    left = left[self._file.write(left) :]
            except OSError as error:
                # Part of the line may be in the file: nothing may follow it, so that the next map can drop it.
                self.close()
                raise self._error(error) from error

    def close(self) -> None:
        """Close the file, and let other maps use it. From any thread; idempotent."""
        if self._born != _fork.count:  # in a forked child, whose copy of `_guard` may be locked for ever
            return
        with self._guard:
            self._closed = True
            self._release()

    def _release(self) -> None:
        file, self._file = self._file, None
        reader, self._reader = self._reader, None
        if file is not None:
            with contextlib.suppress(OSError):
                if fcntl is not None:
                    fcntl.flock(file, fcntl.LOCK_UN)  # closing is not enough if a child was forked meanwhile
                file.close()
        if reader is not None:
            reader.close()

    def _error(self, error: OSError) -> CheckpointError:
        return CheckpointError(error.errno, f"checkpoint: {error.strerror or error}", str(self.path))

    def _warn(self, message: str) -> None:
        """Tell the first of such rows: there may be a million."""
        if not self._warned:
            logger.warning("%s: %s", self.path, message)
        self._warned = True


class _Rows:
    """The places of rows in the file, and their digests."""

    def __init__(self) -> None:
        self.places, self.digests = array("Q"), array("Q")

    def place(self, index: int) -> int | None:
        place = self.places[index] if index < len(self.places) else _NONE
        return None if place == _NONE else place

    def note(self, index: int, digest: int, place: int) -> None:
        missing = index + 1 - len(self.places)
        if missing > 0:
            self.places.extend(array("Q", [_NONE]) * missing)
            self.digests.extend(array("Q", [0]) * missing)
        self.places[index], self.digests[index] = place, digest


def _rows_in(file: BufferedReader, path: Path) -> tuple[_Rows, int]:
    """Return the rows of a file, and where the last whole line ends."""
    rows, place = _Rows(), 0
    first = file.peek(_LONGEST_START)[:_LONGEST_START]
    if not (_START.match(first) or _TORN.fullmatch(first)):  # the lines of such a file may be long
        raise _foreign(path, place)
    for line in file:
        start = _START.match(line)
        if start is not None and line.endswith(b"}\n"):
            try:
                rows.note(int(start[1]), int(start[2], 16), place)
            except (MemoryError, OverflowError):  # no map has so many rows
                raise _foreign(path, place) from None
            place += len(line)
        elif _TORN.fullmatch(line.rstrip(b"\0")):  # the last one; after a power failure, zeros may follow it
            break
        else:
            raise _foreign(path, place)
    return rows, place


def _foreign(path: Path, place: int) -> ConfigurationError:
    return ConfigurationError(
        f"checkpoint: {path} has something else than finished rows, from byte {place} on; give another file"
    )


def _line(index: int, digest: int, answer: bytes) -> bytes:
    file = ""
    if isinstance(answer, Body):
        file = f',"file":{json.dumps([answer.content_type, answer.filename])}'
    text = base64.b64encode(answer).decode()
    return f'{{"row":{index},"digest":"{digest:016x}","answer":"{text}"{file}}}\n'.encode()


def _answer_in(line: bytes) -> bytes:
    record: dict[str, Any] = json.loads(line)
    data = base64.b64decode(record["answer"], validate=True)
    return Body(data, *record["file"]) if "file" in record else data
