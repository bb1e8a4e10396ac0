"""The file of finished rows: its lines, what is torn or foreign in it, who may use it, and what it costs."""

from __future__ import annotations

import asyncio
import errno
import gc
import json
import logging
import os
import resource
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from remote_client._bulk.checkpoint import Checkpoint
from remote_client._bulk.concurrency import FixedLimit
from remote_client._bulk.failures import CheckpointError
from remote_client._bulk.gate import Gate
from remote_client._bulk.map import Run
from remote_client._bulk.rows import rows_of
from remote_client._objects.content import Body
from remote_client.errors import ClosedError, ConfigurationError

from ..support.script import python

LINE = b'{"row":3,"digest":"00000000000000ff","answer":"aGVsbG8="}\n'
LARGE = 2**64 - 2
ANSWERS = {
    "empty": b"",
    "bytes": bytes(range(256)),
    "JSON": b'{\n "a": [NaN, 1e400, 12345678901234567890.10], "\\u2028": "\xc3\xa4"}\n',
    "file": Body(bytes(range(256)), "application/zip", 'a "name"\n\u2028ü.zip'),
    "file without a name": Body(b"", 'multipart/mixed; boundary="a,b}"'),
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "done.jsonl"


async def opened(path: Path) -> Checkpoint:
    checkpoint = Checkpoint(path)
    await checkpoint.open()
    return checkpoint


async def written(path: Path, *rows: tuple[int, int, bytes]) -> None:
    checkpoint = await opened(path)
    for row in rows:
        checkpoint.add(*row)
    checkpoint.close()


async def found(path: Path, *rows: tuple[int, int]) -> list[bytes | None]:
    checkpoint = await opened(path)
    try:
        return [checkpoint.find(*row) for row in rows]
    finally:
        checkpoint.close()


# -- the format -------------------------------------------------------------------------------------------------------


async def test_a_line_has_the_row_its_digest_and_its_answer(path: Path) -> None:
    await written(path, (3, 255, b"hello"))
    assert path.read_bytes() == LINE


@pytest.mark.parametrize("name", ANSWERS)
@pytest.mark.parametrize("digest", [0, 255, LARGE])
async def test_an_answer_returns_exactly(path: Path, name: str, digest: int) -> None:
    answer = ANSWERS[name]
    await written(path, (0, digest, answer))
    (back,) = await found(path, (0, digest))
    assert back == answer
    assert type(back) is type(answer)
    assert json.loads(path.read_bytes())["row"] == 0
    if isinstance(answer, Body):
        assert isinstance(back, Body)
        assert (back.content_type, back.filename) == (answer.content_type, answer.filename)


async def test_rows_in_any_order_and_with_gaps(path: Path) -> None:
    await written(path, (9, 90, b"nine"), (2, 20, b"two"), (1000, 1, b"thousand"))
    rows = [(0, 0), (2, 20), (3, 0), (9, 90), (10, 0), (999, 0), (1000, 1), (1001, 1)]
    assert await found(path, *rows) == [None, b"two", None, b"nine", None, None, b"thousand", None]


async def test_a_later_line_of_a_row_wins(path: Path) -> None:
    await written(path, (0, 1, b"old"), (1, 1, b"other"), (0, 2, b"new"))
    assert await found(path, (0, 1), (0, 2), (1, 1)) == [None, b"new", b"other"]


async def test_rows_are_added_after_those_that_are_there(path: Path) -> None:
    await written(path, (0, 1, b"a"))
    await written(path, (1, 1, b"b"))
    assert await found(path, (0, 1), (1, 1)) == [b"a", b"b"]


async def test_a_row_with_another_digest_is_not_finished(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    await written(path, *((index, 1, b"a") for index in range(5)))
    caplog.set_level(logging.WARNING)
    assert await found(path, *((index, 2) for index in range(4)), (4, 1)) == [None] * 4 + [b"a"]
    (record,) = caplog.records  # of a million changed rows one is told
    assert record.message == f"{path}: row 0 was of another method, model or arguments, and is called again"


# -- torn and damaged lines -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [0, 1, 2])
async def test_a_last_line_that_is_torn_at_any_byte_is_dropped(path: Path, before: int) -> None:
    await written(path, *((index, index, b"a") for index in range(before)))
    whole = path.read_bytes()
    await written(path, (before, 255, Body(b"hello", "text/plain", "a.txt")))
    full = path.read_bytes()
    for length in range(len(whole), len(full)):
        path.write_bytes(full[:length])
        rows = [*((index, index) for index in range(before)), (before, 255)]
        assert await found(path, *rows) == [b"a"] * before + [None], length
        assert path.read_bytes() == whole
        await written(path, (before, 255, b"again"))
        assert await found(path, *rows) == [b"a"] * before + [b"again"]


@pytest.mark.parametrize("length", [0, 20, 50])
async def test_zeros_after_a_power_failure_are_dropped(path: Path, length: int) -> None:
    await written(path, (3, 255, b"hello"), (4, 1, b"other"))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(LINE) + length] + bytes(5000))
    assert await found(path, (3, 255), (4, 1)) == [b"hello", None]
    assert path.read_bytes() == LINE


async def test_an_answer_that_is_damaged_is_called_again(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    await written(path, (0, 1, b"hello"), (1, 1, b"other"))
    path.write_bytes(path.read_bytes().replace(b"aGVsbG8=", b"aGVs\x00G8="))
    assert await found(path, (0, 1), (1, 1)) == [None, b"other"]
    assert "the line of row 0 is damaged" in caplog.text


FOREIGN = {
    "text": b"hello\n",
    "text without a line break": b"hello",
    "JSON": b'{"a": 1}\n',
    "JSON without a line break": b'{"a": 1}',
    "JSON that starts alike": b'{"row": 1, "digest": "x"}',
    "JSON that starts more alike": b'{"row":1,"digest":"000000000000000g',
    "JSON Lines that start alike": b'{"row":1,"digest":"00000000000000ff"}\n{"row":2}\n',
    "rows in another form": b'{"row":1,"digest":"00000000000000ff","answer":{"a":1}}\n',
    "Parquet": b"PAR1\x15\x04\x15" + bytes(range(256)) * 50,
    "zeros": bytes(4096),
    "an empty line": b"\n",
    "a torn line in the middle": LINE[:20] + LINE + LINE,
    "text after rows": LINE + b"hello\n",
    "text after rows, without a line break": LINE + b"hello",
    "a negative number": b'{"row":-1,"digest":"00000000000000ff","answer":""}\n',
    "a large number": b'{"row":%d,"digest":"00000000000000ff","answer":""}\n' % 10**18,
    "a larger number": b'{"row":%d,"digest":"00000000000000ff","answer":""}\n' % 10**19,
}


@pytest.mark.parametrize("kind", FOREIGN)
async def test_another_file_is_refused_and_left_as_it_is(path: Path, kind: str) -> None:
    path.write_bytes(FOREIGN[kind])
    os.utime(path, (1, 1))
    place = len(LINE) if kind.startswith("text after") else 0
    with pytest.raises(ConfigurationError) as caught:
        await opened(path)
    assert str(caught.value) == (
        f"checkpoint: {path} has something else than finished rows, from byte {place} on; give another file"
    )
    assert path.read_bytes() == FOREIGN[kind]
    assert path.stat().st_mtime == 1


async def test_another_file_is_not_read_as_a_whole(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(2**30)  # a line of a gigabyte
    tracemalloc.start()
    try:
        with pytest.raises(ConfigurationError, match="something else"):
            await opened(path)
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


# -- files that cannot be used ----------------------------------------------------------------------------------------


async def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"checkpoint: .*missing/done.jsonl: No such file or directory"):
        await opened(tmp_path / "missing" / "done.jsonl")


async def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="is no file"):
        await opened(tmp_path)


async def test_a_pipe_is_not_waited_for(path: Path) -> None:
    os.mkfifo(path)
    with pytest.raises(ConfigurationError, match="is no file"):
        await asyncio.wait_for(opened(path), 2)


READ_ONLY = """
import asyncio, os, sys
from remote_client._bulk.checkpoint import Checkpoint
if os.geteuid() == 0:
    os.seteuid(65534)
try:
    asyncio.run(Checkpoint(sys.argv[1]).open())
except ValueError as error:
    print(error)
"""


@pytest.mark.parametrize("exists", [False, True])
def test_a_file_or_folder_that_is_read_only(tmp_path: Path, exists: bool) -> None:
    path = tmp_path / "done.jsonl"
    if exists:
        path.touch()
        path.chmod(0o444)
    tmp_path.chmod(0o555)
    for folder in tmp_path.parents:  # root's own folders are closed to others
        if folder.stat().st_uid == os.geteuid() and folder.name.startswith("pytest-"):
            folder.chmod(folder.stat().st_mode | 0o111)
    assert python(READ_ONLY, str(path)) == f"checkpoint: {path}: Permission denied\n"


# -- one map at a time ------------------------------------------------------------------------------------------------


async def test_a_file_is_used_by_one_map_of_a_process_at_a_time(path: Path) -> None:
    first = await opened(path)
    with pytest.raises(ConfigurationError, match="is used by another map"):
        await opened(path)
    first.add(0, 1, b"a")
    first.close()
    assert await found(path, (0, 1)) == [b"a"]


HOLDS = """
import asyncio, sys
from remote_client._bulk.checkpoint import Checkpoint
checkpoint = Checkpoint(sys.argv[1])
try:
    asyncio.run(checkpoint.open())
    print("opened")
    checkpoint.close()
except ValueError as error:
    print(error)
"""


async def test_a_file_is_used_by_one_process_at_a_time(path: Path) -> None:
    first = await opened(path)
    assert await asyncio.to_thread(python, HOLDS, str(path)) == f"checkpoint: {path} is used by another map\n"
    first.close()
    assert await asyncio.to_thread(python, HOLDS, str(path)) == "opened\n"


FORKS = """
import asyncio, os, signal, sys
from remote_client._bulk.checkpoint import Checkpoint

async def main():
    first = Checkpoint(sys.argv[1])
    await first.open()
    child = os.fork()
    if not child:
        first.close()  # as when it drops its copy: the map is the parent's
        signal.pause()
    try:
        await Checkpoint(sys.argv[1]).open()
    except ValueError as error:
        print(error)
    first.close()
    second = Checkpoint(sys.argv[1])
    await second.open()
    second.close()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)

asyncio.run(main())
"""


def test_a_child_that_was_forked_does_not_keep_the_file(path: Path) -> None:
    assert python(FORKS, str(path)) == f"checkpoint: {path} is used by another map\n"


async def test_a_file_that_was_refused_is_free_again(path: Path) -> None:
    path.write_bytes(b"hello\n")
    checkpoint = Checkpoint(path)
    with pytest.raises(ConfigurationError):
        await checkpoint.open()
    path.write_bytes(b"")
    (await opened(path)).close()


async def test_opening_that_is_cancelled_can_be_done_again(path: Path) -> None:
    await written(path, (0, 1, b"a"))
    checkpoint = Checkpoint(path)
    opening = asyncio.ensure_future(checkpoint.open())
    await asyncio.sleep(0)
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    await checkpoint.open()
    assert checkpoint.find(0, 1) == b"a"
    checkpoint.close()


async def test_a_map_that_is_closed_writes_no_more(path: Path) -> None:
    await written(path, (0, 1, b"a"))
    checkpoint = await opened(path)
    checkpoint.close()
    checkpoint.close()
    checkpoint.add(1, 1, b"late")
    with pytest.raises(ClosedError):
        checkpoint.find(0, 1)
    assert await found(path, (0, 1), (1, 1)) == [b"a", None]


# -- the disk ---------------------------------------------------------------------------------------------------------


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let writes fail as on a full disk: no file may become larger."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


async def test_a_full_disk_is_told_and_what_was_written_stays(path: Path) -> None:
    checkpoint = await opened(path)
    checkpoint.add(0, 255, b"hello")
    with largest_file(100), pytest.raises(CheckpointError) as caught:
        checkpoint.add(1, 255, bytes(200))
    assert caught.value.errno == errno.EFBIG
    assert str(caught.value) == f"[Errno {errno.EFBIG}] checkpoint: File too large: '{path}'"
    assert path.stat().st_size == 100
    checkpoint.add(2, 255, b"later")  # nothing may follow the torn line
    assert await found(path, (0, 255), (1, 255), (2, 255)) == [b"hello", None, None]


@pytest.mark.parametrize("on_error", ["raise", "return", "skip"])
@pytest.mark.parametrize("ordered", [True, False])
async def test_a_full_disk_ends_the_map_whatever_becomes_of_failed_rows(
    path: Path, on_error: Any, ordered: bool
) -> None:
    checkpoint = await opened(path)

    async def call(index: int, row: int) -> int:
        await asyncio.sleep(0)
        checkpoint.add(index, 1, bytes(30))
        return row

    map = Run(call, rows_of(range(1000)), FixedLimit(4), Gate(300), on_error=on_error, ordered=ordered)
    count = 0
    with largest_file(1000), pytest.raises(OSError, match="checkpoint: File too large") as caught:
        while await map.next() is not None:
            count += 1
    assert count < 20
    assert caught.value.__notes__[0].startswith("row ")
    await map.aclose()


# -- costs ------------------------------------------------------------------------------------------------------------


def million(path: Path, count: int) -> None:
    line = b'{"row":%d,"digest":"%016x","answer":"' + b"A" * 80 + b'"}\n'
    with path.open("wb") as file:
        for index in range(count):
            file.write(line % (index, index))


async def test_a_finished_row_takes_little_memory(path: Path) -> None:
    million(path, count := 50_000)
    tracemalloc.start()
    try:
        checkpoint = await opened(path)
        gc.collect()
        kept, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert checkpoint.find(count - 1, count - 1) is not None
    checkpoint.close()
    assert kept < 20 * count
    assert most < 30 * count


async def test_rows_that_are_added_take_no_memory(path: Path) -> None:
    checkpoint = await opened(path)
    checkpoint.add(0, 0, bytes(60))
    tracemalloc.start()
    try:
        for index in range(1, 5000):
            checkpoint.add(index, index, bytes(60))
        assert tracemalloc.get_traced_memory()[0] < 5000
    finally:
        tracemalloc.stop()
    checkpoint.close()


async def test_the_loop_goes_on_while_a_file_is_read(path: Path) -> None:
    million(path, 500_000)
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0.001)

    turning = asyncio.ensure_future(turn())
    (await opened(path)).close()
    turning.cancel()
    assert turns > 5
