"""The progress of maps over a real runtime: functions of both clients, and the line in a notebook."""

from __future__ import annotations

import asyncio
import gc
import re
import threading
from itertools import pairwise
from pathlib import Path
from typing import Any

import nbformat
import numpy as np
import pytest

import remote_client.sync
import remote_client.sync.bulk
from remote_client import RemoteClient
from remote_client.bulk import Progress, map_rows
from remote_client.errors import InternalError

from ..support.notebooks import executed, kernels
from ..support.runtime import Runtime
from .protocols import Protocol, named, target_of


def people(protocol: Protocol, count: int) -> list[dict[str, Any]]:
    return [{named(protocol, "sample_input"): {"name": str(number)}} for number in range(count)]


class Seen:
    """A function that keeps what it gets, and in which thread."""

    def __init__(self) -> None:
        self.reports: list[Progress] = []
        self.threads: set[int] = set()

    def __call__(self, progress: Progress) -> None:
        self.reports.append(progress)
        self.threads.add(threading.get_ident())

    def check(self, *, done: int, failed: int, total: int | None) -> None:
        """Raise an AssertionError unless the numbers are right."""
        *before, last = self.reports
        assert (last.done, last.failed, last.in_flight, last.total) == (done, failed, 0, total)
        assert last.rate == pytest.approx(done / last.seconds, rel=0.01)
        assert before, "the map was too fast"
        assert all(each.in_flight <= 4 for each in before)
        assert [each.done for each in before] == sorted(each.done for each in before)
        gaps = [after.seconds - earlier.seconds for earlier, after in pairwise(before)]
        assert all(gap > 0.15 for gap in gaps), gaps


def slow_rows(count: int) -> list[tuple[float]]:
    return [(0.02,)] * count


async def test_a_function(runtime: Runtime, protocol: Protocol) -> None:
    seen = Seen()
    async with RemoteClient(target_of(runtime, protocol), retries=0) as client:
        model = await client.model("slow", task="SlowTask")
        rows = [*slow_rows(100), (-1.0,), *slow_rows(20)]
        async for _ in map_rows(model.run, rows, concurrency=4, progress=seen, on_error="skip"):
            pass
    seen.check(done=121, failed=1, total=121)
    assert seen.threads == {threading.get_ident()}


async def test_an_async_function(runtime: Runtime, protocol: Protocol) -> None:
    seen = Seen()

    async def function(progress: Progress) -> None:
        await asyncio.sleep(0.001)
        seen(progress)

    async with RemoteClient(target_of(runtime, protocol)) as client:
        model = await client.model("slow", task="SlowTask")
        async for _ in map_rows(model.run, iter(slow_rows(100)), concurrency=4, progress=function, total=100):
            pass
    seen.check(done=100, failed=0, total=100)


@pytest.mark.parametrize("is_async", [False, True])
def test_a_function_of_the_blocking_client(runtime: Runtime, protocol: Protocol, is_async: bool) -> None:
    seen = Seen()

    async def awaited(progress: Progress) -> None:
        await asyncio.sleep(0.001)
        seen(progress)

    def blocks(progress: Progress) -> None:
        assert client.model("slow", task="SlowTask").run(0.001).greeting == "slept 0.001"
        seen(progress)

    with remote_client.sync.RemoteClient(target_of(runtime, protocol)) as client:
        model = client.model("slow", task="SlowTask")
        function = awaited if is_async else blocks
        for _ in remote_client.sync.bulk.map_rows(model.run, iter(slow_rows(100)), concurrency=4, progress=function):
            pass
    seen.check(done=100, failed=0, total=None)
    assert is_async or seen.threads == {threading.get_ident()}


def test_a_function_of_a_blocking_map_of_a_table(runtime: Runtime, protocol: Protocol) -> None:
    polars = pytest.importorskip("polars")
    seen = Seen()

    def blocks(progress: Progress) -> None:
        assert client.model("slow", task="SlowTask").run(0.001).greeting == "slept 0.001"
        seen(progress)

    frame = polars.DataFrame({"seconds": np.full(100, 0.02)})
    with remote_client.sync.RemoteClient(target_of(runtime, protocol)) as client:
        model = client.model("slow", task="SlowTask")
        table = remote_client.sync.bulk.map_frame(
            model.run, frame, input="seconds", output="answer", concurrency=4, progress=blocks
        )
    assert len(table) == 100
    seen.check(done=100, failed=0, total=100)


async def test_batches_are_counted_in_rows(runtime: Runtime, protocol: Protocol) -> None:
    seen = Seen()
    async with RemoteClient(target_of(runtime, protocol)) as client:
        model = await client.model("numbers", task="NumbersTask")
        rows = [float(number) for number in range(105)]
        async for _ in map_rows(model.run, rows, batch_size=10, split="numbers", progress=seen):
            pass
    last = seen.reports[-1]
    assert (last.done, last.failed, last.in_flight, last.total) == (105, 0, 0, 105)


async def test_rows_of_a_checkpoint_are_done(runtime: Runtime, protocol: Protocol, tmp_path: Path) -> None:
    async with RemoteClient(target_of(runtime, protocol)) as client:
        model = await client.model("foo", task="SampleTask")
        for _ in range(2):
            seen = Seen()
            rows = people(protocol, 20)
            async for _ in map_rows(model.run, rows, checkpoint=tmp_path / "done.jsonl", progress=seen):
                pass
            assert seen.reports[-1].done == 20


class StopError(Exception):
    pass


@pytest.mark.parametrize("when", ["while", "end"])
@pytest.mark.parametrize("blocking", [False, True])
async def test_an_error_of_the_function_ends_the_map(
    runtime: Runtime, protocol: Protocol, tmp_path: Path, when: str, blocking: bool
) -> None:
    raised = 0

    def function(progress: Progress) -> None:
        nonlocal raised
        if (progress.in_flight == 0) == (when == "end"):
            raised += 1
            raise StopError

    options: dict[str, Any] = {"concurrency": 4, "progress": function, "checkpoint": tmp_path / "done.jsonl"}
    rows = slow_rows(2000 if when == "while" else 3)

    async def maps() -> None:
        async with RemoteClient(target_of(runtime, protocol)) as client:
            model = await client.model("slow", task="SlowTask")
            async for _ in map_rows(model.run, rows, **options):
                pass

    def maps_blocking() -> None:
        with remote_client.sync.RemoteClient(target_of(runtime, protocol)) as client:
            for _ in remote_client.sync.bulk.map_rows(client.model("slow", task="SlowTask").run, rows, **options):
                pass

    with pytest.raises(StopError):
        await (asyncio.to_thread(maps_blocking) if blocking else maps())
    assert raised == 1
    async with RemoteClient(target_of(runtime, protocol)) as client:  # the file is free
        model = await client.model("slow", task="SlowTask")
        options = {"checkpoint": tmp_path / "done.jsonl"}
        assert len([done async for done in map_rows(model.run, rows[:3], **options)]) == 3


@pytest.mark.parametrize("blocking", [False, True])
async def test_the_error_of_a_row_is_told_rather_than_that_of_the_function(
    runtime: Runtime, protocol: Protocol, blocking: bool
) -> None:
    def function(progress: Progress) -> None:
        raise StopError

    rows = [row | {"throw": True} for row in people(protocol, 3)]

    def maps_blocking() -> None:
        with remote_client.sync.RemoteClient(target_of(runtime, protocol), retries=0) as client:
            model = client.model("foo", task="SampleTask")
            list(remote_client.sync.bulk.map_rows(model.run, rows, progress=function))

    with pytest.raises(InternalError, match="barf"):
        if blocking:
            await asyncio.to_thread(maps_blocking)
        else:
            async with RemoteClient(target_of(runtime, protocol), retries=0) as client:
                model = await client.model("foo", task="SampleTask")
                async for _ in map_rows(model.run, rows, progress=function):
                    pass


@pytest.mark.parametrize("leave", ["aclose", "drop"])
@pytest.mark.parametrize("blocking", [False, True])
async def test_leaving_a_map(
    runtime: Runtime, protocol: Protocol, leave: str, blocking: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("rich")
    seen, rows = Seen(), people(protocol, 20)

    def maps_blocking() -> None:
        with remote_client.sync.RemoteClient(target_of(runtime, protocol)) as client:
            for progress in (seen, True):
                answers = remote_client.sync.bulk.map_rows(
                    client.model("foo", task="SampleTask").run, rows, progress=progress
                )
                next(answers)
                if leave == "aclose":
                    answers.aclose()
                    answers.aclose()
                del answers
                gc.collect()

    if blocking:
        await asyncio.to_thread(maps_blocking)
    else:
        async with RemoteClient(target_of(runtime, protocol)) as client:
            for progress in (seen, True):
                answers = map_rows((await client.model("foo", task="SampleTask")).run, rows, progress=progress)
                await anext(answers)
                if leave == "aclose":
                    await answers.aclose()
                    await answers.aclose()
                del answers
                gc.collect()
    assert len(seen.reports) == (1 if leave == "aclose" else 0)
    assert re.fullmatch(r"\d+ of 20 rows, [\d,]+/s, \d+ in flight, \d:\d\d left\n", capfd.readouterr().err)


# -- notebooks --------------------------------------------------------------------------------------------------------

ASYNCIO = """
import os, sys
for name in ("rich", "tqdm"):
    sys.modules[name] = None  # a notebook needs neither
from remote_client import RemoteClient
from remote_client.bulk import map_rows

client = RemoteClient(os.environ["REMOTE_CLIENT_TARGET"])
model = await client.model("slow", task="SlowTask")
async for done in map_rows(model.run, [(0.02,)] * 100, concurrency=4, progress=True):
    if done.index == 50:
        print("half")
await client.aclose()
"""
BLOCKING = """
from remote_client.sync import RemoteClient
from remote_client.sync.bulk import map_rows

with RemoteClient(os.environ["REMOTE_CLIENT_TARGET"]) as client:
    for done in map_rows(client.model("slow", task="SlowTask").run, [(0.02,)] * 100, concurrency=4, progress=True):
        if done.index == 50:
            print("half")
"""


async def test_a_line_in_a_notebook(runtime: Runtime) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(code) for code in (ASYNCIO, BLOCKING)])
    with kernels(runtime.target):
        await executed(notebook)
    for cell in notebook.cells:
        line, half = cell.outputs
        assert re.fullmatch(r"100 of 100 rows, [\d,]+/s, 0 in flight, 0:00 left", line.data["text/plain"])
        assert half.text == "half\n"
