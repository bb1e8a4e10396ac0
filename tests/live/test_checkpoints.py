"""Maps that go on where they were stopped, over both protocols, by the asyncio and the blocking client."""

from __future__ import annotations

import asyncio
import json
import math
import random
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import remote_client.sync
import remote_client.sync.bulk
from remote_client import FileResponse, RemoteClient
from remote_client.bulk import Done, Failed, map_rows
from remote_client.errors import ConfigurationError, InternalError
from remote_client.hooks import CallEnded

from ..support.runtime import Runtime
from ..support.script import python
from ..support.wire import ROOT, WireServer
from .protocols import Protocol, named, target_of
from .test_zoo import CASES, ONLY

Kind = str


class Mapping:
    """Maps over a model of a server, and counts the calls that reached an end.

    Args:
        kind: the client, `asyncio` or `blocking`.
        target: the server.
        model, task: the model whose `run` is called.
        output: the form of answers.
    """

    def __init__(self, kind: Kind, target: str, model: str, task: str, *, output: Any = None) -> None:
        self.kind, self.target, self.model, self.task = kind, target, model, task
        self._options = {} if output is None else {"output": output}
        self.calls = 0

    def _count(self, event: Any) -> None:
        self.calls += isinstance(event, CallEnded) and event.model is not None

    async def __call__(self, rows: Iterable[Any], *, stop: int | None = None, **options: Any) -> list[Done]:
        """Return the answers, the first ones only if a number is given at which to stop."""
        self.calls = 0
        work = self._with_asyncio if self.kind == "asyncio" else self._blocking
        return await work(rows, stop, options)

    async def _with_asyncio(self, rows: Any, stop: int | None, options: Any) -> list[Done]:
        found: list[Done] = []
        async with RemoteClient(self.target, retries=0, hooks=[self._count]) as client:
            model = (await client.model(self.model, task=self.task)).with_options(**self._options)
            async for done in map_rows(model.run, rows, **options):
                found.append(done)
                if len(found) == stop:
                    break
        return found

    async def _blocking(self, rows: Any, stop: int | None, options: Any) -> list[Done]:
        def work() -> list[Done]:
            found: list[Done] = []
            with remote_client.sync.RemoteClient(self.target, retries=0, hooks=[self._count]) as client:
                model = client.model(self.model, task=self.task).with_options(**self._options)
                for done in remote_client.sync.bulk.map_rows(model.run, rows, **options):
                    found.append(done)
                    if len(found) == stop:
                        break
            return found

        return await asyncio.to_thread(work)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "done.jsonl"


@pytest.fixture
def greet(kind_of_client: Kind, runtime: Runtime, protocol: Protocol) -> Mapping:
    return Mapping(kind_of_client, target_of(runtime, protocol), "foo", "SampleTask")


def people(protocol: Protocol, count: int, **more: Any) -> list[dict[str, Any]]:
    return [{named(protocol, "sample_input"): {"name": str(number)}} | more for number in range(count)]


def indexes(path: Path) -> list[int]:
    return [json.loads(line)["row"] for line in path.read_text().splitlines()]


def greetings(found: list[Done]) -> list[tuple[int, str]]:
    return [(done.index, done.value.greeting) for done in found]


def all_greetings(count: int) -> list[tuple[int, str]]:
    return [(number, f"Hello {number}") for number in range(count)]


# -- stopped, and started again ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("ordered", [True, False])
async def test_after_a_break(greet: Mapping, protocol: Protocol, path: Path, ordered: bool) -> None:
    rows, options = people(protocol, 100), {"checkpoint": path, "ordered": ordered, "concurrency": 8}
    begun = await greet(rows, stop=30, **options)
    finished = set(indexes(path))
    assert {done.index for done in begun} <= finished  # what was given is in the file
    assert len(finished) < 100
    found = await greet(iter(rows), **options)
    assert sorted(greetings(found)) == all_greetings(100)
    assert not ordered or found == sorted(found, key=lambda done: done.index)
    assert greet.calls == 100 - len(finished)
    assert sorted(indexes(path)) == [*range(100)]
    assert sorted(greetings(await greet(rows, **options))) == all_greetings(100)
    assert greet.calls == 0


async def test_the_next_map_may_begin_right_after_a_break(runtime: Runtime, protocol: Protocol, path: Path) -> None:
    rows = people(protocol, 60)
    async with RemoteClient(target_of(runtime, protocol)) as client:
        model, counts = await client.model("foo", task="SampleTask"), []
        for stop in (1, 20, 40, 100):
            count = 0
            async for _ in map_rows(model.run, rows, checkpoint=path):
                count += 1
                if count == stop:
                    break
            counts.append(count)
    assert counts == [1, 20, 40, 60]

    def blocking() -> None:
        with remote_client.sync.RemoteClient(target_of(runtime, protocol)) as client:
            model = client.model("foo", task="SampleTask")
            for _ in range(50):
                for _ in remote_client.sync.bulk.map_rows(model.run, rows, checkpoint=path):
                    break

    await asyncio.to_thread(blocking)


async def test_after_an_error(greet: Mapping, protocol: Protocol, path: Path) -> None:
    rows = [row | {"throw": number == 30} for number, row in enumerate(people(protocol, 60))]
    with pytest.raises(InternalError, match="barf") as caught:
        await greet(rows, checkpoint=path)
    assert caught.value.__notes__ == ["row 30"]
    assert 30 not in indexes(path)
    finished = len(indexes(path))
    rows[30] = rows[0] | {"throw": False}
    found = await greet(rows, checkpoint=path)
    expected = all_greetings(60)
    expected[30] = 30, "Hello 0"
    assert greetings(found) == expected
    assert greet.calls == 60 - finished


@pytest.mark.parametrize("on_error", ["return", "skip"])
async def test_failed_rows_are_called_again(greet: Mapping, protocol: Protocol, path: Path, on_error: Any) -> None:
    rows = [row | {"throw": number in (3, 5)} for number, row in enumerate(people(protocol, 20))]
    for calls in (20, 2):
        found = await greet(rows, checkpoint=path, on_error=on_error)
        failed = [done.index for done in found if isinstance(done.value, Failed)]
        assert failed == ([3, 5] if on_error == "return" else [])
        assert len(found) - len(failed) == 18
        assert greet.calls == calls
    assert sorted(indexes(path)) == [number for number in range(20) if number not in (3, 5)]


async def test_in_batches(kind_of_client: Kind, runtime: Runtime, protocol: Protocol, path: Path) -> None:
    sums = Mapping(kind_of_client, target_of(runtime, protocol), "numbers", "NumbersTask")
    rows = [number / 8 for number in range(101)]
    options = {"checkpoint": path, "batch_size": 10, "split": "numbers", "concurrency": 2}
    await sums(rows, stop=25, **options)
    batches = len(indexes(path))
    assert 3 <= batches < 11
    assert await sums(rows, **options) == [Done(index, row) for index, row in enumerate(rows)]
    assert sums.calls == 11 - batches
    assert await sums(rows, **options) == [Done(index, row) for index, row in enumerate(rows)]
    assert sums.calls == 0
    # Batches of another size are other calls.
    assert await sums(rows, **options | {"batch_size": 20}) == [Done(index, row) for index, row in enumerate(rows)]
    assert sums.calls == 6


async def test_a_changed_row_method_or_model_is_called_again(
    greet: Mapping, protocol: Protocol, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = people(protocol, 20)
    await greet(rows, checkpoint=path)
    rows[4] = people(protocol, 100)[99]
    expected = all_greetings(20)
    expected[4] = 4, "Hello 99"
    assert greetings(await greet(rows, checkpoint=path)) == expected
    assert greet.calls == 1
    assert [record.message for record in caplog.records if "called again" in record.message] == [
        f"{path}: row 4 was of another method, model or arguments, and is called again"
    ]
    other = Mapping(greet.kind, greet.target, "bar", "SampleTask")
    assert greetings(await other(rows, checkpoint=path)) == expected
    assert other.calls == 20
    text = "text" if protocol == "grpc" else "inputs"
    texts = [{text: str(number)} for number in range(20)]
    other = Mapping(greet.kind, greet.target, "prefix", "StreamingTask")
    assert (await other(texts, checkpoint=path))[7].value.greeting == "streaming 7"
    other = Mapping(greet.kind, greet.target, "prefix", "BidiStreamingTask")
    assert (await other(texts, checkpoint=path))[7].value.greeting == "bidi 7"
    assert other.calls == 20


async def test_more_and_fewer_rows(greet: Mapping, protocol: Protocol, path: Path) -> None:
    for count, calls in ((10, 10), (30, 20), (5, 0)):
        assert greetings(await greet(people(protocol, count), checkpoint=path)) == all_greetings(count)
        assert greet.calls == calls


async def test_a_file_in_use_ends_the_second_map(greet: Mapping, protocol: Protocol, path: Path) -> None:
    async with RemoteClient(greet.target) as client:
        model = await client.model("foo", task="SampleTask")
        async with map_rows(model.run, people(protocol, 5), checkpoint=path) as first:
            await anext(first)
            with pytest.raises(ConfigurationError, match="is used by another map"):
                await greet(people(protocol, 5), checkpoint=path)
            assert len([done async for done in first]) == 4
        assert greetings(await greet(people(protocol, 5), checkpoint=path)) == all_greetings(5)
        assert greet.calls == 0


async def test_a_map_that_is_never_read_does_not_use_its_file(
    runtime: Runtime, protocol: Protocol, tmp_path: Path
) -> None:
    async with RemoteClient(target_of(runtime, protocol)) as client:
        model = await client.model("foo", task="SampleTask")
        unread = map_rows(model.run, people(protocol, 5), checkpoint=tmp_path / "done.jsonl")
        assert [*tmp_path.iterdir()] == []
        await unread.aclose()


# -- answers from the file equal those of calls -----------------------------------------------------------------------


def zoo_rows(protocol: Protocol) -> list[dict[str, Any]]:
    values = [{field: value} for field, value in [*CASES, *ONLY[protocol]]]
    values += [{"double": math.nan, "doubles": [math.nan, -0.0], "float32": -0.0}, {"double": -math.inf}]
    return [{named(protocol, "zoo"): value} for value in values]


def plain(value: Any) -> str:
    """Return an answer's whole value: the type, and what it holds, with NaN as equal."""
    if hasattr(value, "SerializeToString"):
        return f"{type(value).__name__} {value.SerializeToString(deterministic=True)!r}"
    if isinstance(value, dict):
        return f"{type(value).__name__} { {key: plain(each) for key, each in value.items()} }"
    if isinstance(value, np.ndarray):
        return f"{value.dtype} {value.tolist()}"
    if isinstance(value, FileResponse):
        return f"{value.filename} {value.content_type} {value.data!r}"
    return f"{type(value)} {value!r}"


@pytest.mark.parametrize("output", ["pydantic", "dict", "proto", "numpy"])
async def test_every_type_in_every_form(
    kind_of_client: Kind, runtime: Runtime, protocol: Protocol, path: Path, output: str
) -> None:
    if protocol == "http" and output in ("proto", "numpy"):
        pytest.skip("HTTP has no protobuf messages")
    echo = Mapping(kind_of_client, target_of(runtime, protocol), "zoo", "ZooTask", output=output)
    rows = zoo_rows(protocol)
    called = await echo(rows, checkpoint=path)
    assert echo.calls == len(rows)
    kept = await echo(rows, checkpoint=path)
    assert echo.calls == 0
    assert [done.index for done in kept] == [*range(len(rows))]
    for row, before, after in zip(rows, called, kept, strict=True):
        assert plain(after.value) == plain(before.value), row


async def test_one_file_for_every_form(kind_of_client: Kind, runtime: Runtime, path: Path) -> None:
    rows = zoo_rows("grpc")
    for index, output in enumerate(("proto", "pydantic", "numpy", "dict")):
        echo = Mapping(kind_of_client, runtime.target, "zoo", "ZooTask", output=output)
        kept = await echo(rows, checkpoint=path)
        assert echo.calls == (0 if index else len(rows))
        called = await echo(rows)
        assert [plain(done.value) for done in kept] == [plain(done.value) for done in called]


async def test_files(kind_of_client: Kind, runtime: Runtime, protocol: Protocol, path: Path) -> None:
    bundles = Mapping(kind_of_client, target_of(runtime, protocol), "bundle", "BundleTask")
    rows = [(name, size) for name, size in (("a.zip", 10), ("b c.zip", 100_000), ("ü.zip", 1))]
    called = await bundles(rows, checkpoint=path)
    assert protocol == "grpc" or isinstance(called[1].value, FileResponse)
    kept = await bundles(rows, checkpoint=path)
    assert bundles.calls == 0
    assert [plain(done.value) for done in kept] == [plain(done.value) for done in called]


async def test_files_that_are_sent(kind_of_client: Kind, runtime: Runtime, protocol: Protocol, path: Path) -> None:
    files = Mapping(kind_of_client, target_of(runtime, protocol), "file", "FileTask")
    # Over HTTP these are multipart bodies, whose boundary differs every time.
    rows = [
        ({"data": bytes(range(256)) * 300, "filename": "a.bin", "type": "application/octet-stream"},),
        ({"data": b"", "filename": "b.txt", "type": "text/plain"},),
    ]
    called = await files(rows, checkpoint=path)
    kept = await files(rows, checkpoint=path)
    assert files.calls == 0
    assert kept == called
    rows[0][0]["data"] += b"x"
    assert (await files(rows, checkpoint=path))[0].value.size == 256 * 300 + 1
    assert files.calls == 1


# -- the same digests in every process --------------------------------------------------------------------------------

AGAIN = """
import asyncio, json, sys
from remote_client import RemoteClient
from remote_client.hooks import CallEnded
from remote_client.bulk import map_rows

def backwards(value):
    if isinstance(value, list):
        return [backwards(each) for each in value]
    return {key: backwards(each) for key, each in reversed(value.items())} if isinstance(value, dict) else value

async def main(target, path, rows, turn):
    calls = []
    async with RemoteClient(target, hooks=[calls.append]) as client:
        zoo = await client.model("zoo", task="ZooTask")
        async for done in map_rows(zoo.run, [backwards(row) if turn else row for row in rows], checkpoint=path):
            pass
    print(sum(isinstance(call, CallEnded) and call.model is not None for call in calls))

target, path, rows, turn = sys.argv[1:]
asyncio.run(main(target, path, json.loads(rows), turn == "backwards"))
"""


@pytest.mark.parametrize("turn", [pytest.param("", marks=pytest.mark.slow), "backwards"])
async def test_another_process_knows_the_rows(runtime: Runtime, protocol: Protocol, path: Path, turn: str) -> None:
    many = {f"key {number}": number for number in range(20)}
    values = [
        {"counts": many, "text": "a", "double": 0.1, "doubles": [1e300, 1e-300, 0.1 + 0.2]},
        {"settings": {f"key {number}": {"a": 1.5, "b": [{"c": 1, "d": 2}]} for number in range(20)}},
        {"places": [{"label": "x", "lat": 1.0, "lon": 2.5, "tags": ["b", "a"]}]},
    ]
    rows = json.dumps([{named(protocol, "zoo"): value} for value in values])
    target = target_of(runtime, protocol)
    assert await asyncio.to_thread(python, AGAIN, target, str(path), rows, "") == "3\n"
    assert await asyncio.to_thread(python, AGAIN, target, str(path), rows, turn) == "0\n"


# -- killed -----------------------------------------------------------------------------------------------------------

MAPS = """
import asyncio, sys
from remote_client import RemoteClient
from remote_client.bulk import map_rows

async def main(target, path, count, concurrency, key):
    async with RemoteClient(target) as client:
        model = await client.model("foo", task="SampleTask")
        rows = ({key: {"name": str(number)}} for number in range(int(count)))
        async for done in map_rows(model.run, rows, checkpoint=path, concurrency=int(concurrency)):
            print(done.index, done.value.greeting, flush=done.index == 0)

asyncio.run(main(*sys.argv[1:]))
"""
CONCURRENCY = 8


def killed_again_and_again(target: str, path: Path, count: int, kills: int, key: str) -> str:
    """Run the script until it is through, killed at random times; return what it printed at last."""
    command = [sys.executable, "-W", "error", "-c", MAPS, target, str(path), str(count), str(CONCURRENCY), key]
    for number in range(kills):
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            if number % 10 != 9:  # else it may be killed while it starts, or reads the file
                process.stdout.readline()
            try:
                process.wait(random.uniform(0, 0.25))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
            assert process.wait() == -signal.SIGKILL, "it was through too early"
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True, text=True, timeout=120).stdout


@pytest.mark.parametrize("kills", [6, pytest.param(50, marks=pytest.mark.slow)])
async def test_a_process_that_is_killed_loses_no_row(wire: WireServer, path: Path, kills: int) -> None:
    count = 300 * kills
    await wire.faults(predict_delay=0.01)
    printed = await asyncio.to_thread(killed_again_and_again, wire.target, path, count, kills, "sample_input")
    assert printed.splitlines() == [f"{number} Hello {number}" for number in range(count)]
    assert sorted(indexes(path)) == [*range(count)]
    calls = await wire.started("SampleTaskPredict")
    assert count <= calls <= count + CONCURRENCY * kills
    assert calls > count, "no kill came while rows were under way"


@pytest.mark.slow
@pytest.mark.parametrize("kills", [20])
async def test_a_process_that_is_killed_on_the_real_runtime(
    runtime: Runtime, protocol: Protocol, path: Path, kills: int
) -> None:
    count, key = 1000 * kills, named(protocol, "sample_input")
    printed = await asyncio.to_thread(killed_again_and_again, target_of(runtime, protocol), path, count, kills, key)
    assert printed.splitlines() == [f"{number} Hello {number}" for number in range(count)]
    assert sorted(indexes(path)) == [*range(count)]
