"""The file of a map's finished rows: JSON Lines that are appended, and found again after a restart."""

from __future__ import annotations

import json
import logging
import os
from array import array
from io import BufferedRandom
from pathlib import Path
from typing import Any

from ..errors import ConfigurationError

logger = logging.getLogger("remote_client")
_NONE = 2**64 - 1
"""The place of a row that is not in the file."""


class Checkpoint:
    """The finished rows of a map, in a file that this process has for itself.

    A line has the row's index, a digest of its request, and its answer. A last line that was torn when the process
    ended is dropped. Of a row only the place of its line is kept in memory, and its digest: 16 bytes.

    Raises:
        ConfigurationError: the file has other contents, or another process uses it.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self._places, self._digests = array("Q"), array("Q")
        self._other = False
        self._file: BufferedRandom = open(self.path, "a+b")  # noqa: SIM115  (open as long as the map)
        try:
            _lock(self._file, self.path)
            self._read()
        except BaseException:
            self._file.close()
            raise

    def _read(self) -> None:
        self._file.seek(0)
        place = 0
        for line in self._file:
            if not line.endswith(b"\n"):
                self._file.truncate(place)
                break
            try:
                record = json.loads(line)
                self._note(record["row"], int(record["digest"], 16), place)
                record["answer"]
            except (ValueError, KeyError, TypeError, OverflowError):
                raise ConfigurationError(
                    f"checkpoint: {self.path} has a line that is no finished row, at byte {place}; give another file"
                ) from None
            place += len(line)
        self._end = place

    def _note(self, index: int, digest: int, place: int) -> None:
        missing = index + 1 - len(self._places)
        if missing > 0:
            self._places.extend([_NONE] * missing)
            self._digests.extend([0] * missing)
        self._places[index], self._digests[index] = place, digest

    def find(self, index: int, digest: int) -> Any:
        """Return a record of a finished row, with its `answer`; None if the row is not finished, or was another one."""
        if index >= len(self._places) or self._places[index] == _NONE:
            return None
        if self._digests[index] != digest:
            if not self._other:
                logger.warning(
                    "%s: row %d was of another method, model or arguments, and is called again", self.path, index
                )
            self._other = True
            return None
        if self._file.closed:
            return None
        self._file.seek(self._places[index])
        return json.loads(self._file.readline())

    def add(self, index: int, digest: int, answer: Any) -> None:
        """Append a finished row, and hand it to the operating system: it survives the end of this process."""
        if self._file.closed:  # the map was dropped, and this call's end came too late
            return
        record = {"row": index, "digest": f"{digest:016x}", "answer": answer}
        line = json.dumps(record, separators=(",", ":")).encode() + b"\n"
        self._file.write(line)
        self._file.flush()
        self._note(index, digest, self._end)
        self._end += len(line)

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _lock(file: BufferedRandom, path: Path) -> None:
    try:
        import fcntl
    except ImportError:  # Windows
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        raise ConfigurationError(f"checkpoint: {path} is used by another map") from None
