"""Many rows through a method of a real runtime, over both protocols, by the asyncio and the blocking client."""

from __future__ import annotations

import asyncio
import gc
import pickle
import threading
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import remote_client.bulk
import remote_client.sync
import remote_client.sync.bulk
from remote_client import RemoteClient
from remote_client.bulk import Done, Failed, map_rows
from remote_client.errors import InputError, InternalError, InvalidResponseError, UnavailableError

from ..support.runtime import SAMPLE_MODELS, Runtime
from .protocols import Protocol, target_of


def hello(protocol: Protocol, count: int, **more: Any) -> list[dict[str, Any]]:
    """Rows as mappings. Over HTTP the one required input has no name of its own."""
    key = "sample_input" if protocol == "grpc" else "inputs"
    return [{key: {"name": str(number)}} | more for number in range(count)]


def greeting(number: int) -> str:
    return f"Hello {number}"


async def later(rows: list[Any]) -> AsyncIterator[Any]:
    for row in rows:
        await asyncio.sleep(0)
        yield row


KINDS_OF_ROWS: dict[str, Any] = {
    "mappings": lambda rows: rows,
    "tuples": lambda rows: [tuple(row.values()) for row in rows],
    "generator": lambda rows: (row for row in rows),
    "async iterator": later,
}


@pytest.mark.parametrize("kind", KINDS_OF_ROWS)
@pytest.mark.parametrize("concurrency", ["auto", 7])
async def test_every_row_is_answered_in_order(
    runtime: Runtime, protocol: Protocol, kind: str, concurrency: Any
) -> None:
    rows = KINDS_OF_ROWS[kind](hello(protocol, 300))
    async with RemoteClient(target_of(runtime, protocol)) as client:
        model = await client.model("foo", task="SampleTask")
        answers = map_rows(model.run, rows, concurrency=concurrency)
        found = [(done.index, done.value.greeting) async for done in answers]
    assert found == [(number, greeting(number)) for number in range(300)]
    assert (answers.failed, answers.skipped) == (0, 0)


async def test_single_values(runtime: Runtime, protocol: Protocol) -> None:
    async with RemoteClient(target_of(runtime, protocol)) as client:
        model = await client.model("text", task="TextTask")
        found = [done.value.greeting async for done in map_rows(model.run, ["a", "b", "c"])]
    assert found == ["a", "b", "c"]


async def test_options_of_the_model_hold(runtime: Runtime, protocol: Protocol) -> None:
    async with RemoteClient(target_of(runtime, protocol)) as client:
        model = (await client.model("foo", task="SampleTask")).with_options(output="dict")
        found = [done async for done in map_rows(model.run, hello(protocol, 2), ordered=False)]
    assert min(found, key=lambda done: done.index) == Done(0, {"greeting": "Hello 0"})


@pytest.mark.parametrize("kind", KINDS_OF_ROWS)
def test_blocking(runtime: Runtime, protocol: Protocol, kind: str) -> None:
    rows = KINDS_OF_ROWS[kind](hello(protocol, 300))
    with remote_client.sync.RemoteClient(target_of(runtime, protocol)) as client:
        model = client.model("foo", task="SampleTask")
        with remote_client.sync.bulk.map_rows(model.run, rows) as answers:
            found = [(done.index, done.value.greeting) for done in answers]
    assert found == [(number, greeting(number)) for number in range(300)]


# -- failures ---------------------------------------------------------------------------------------------------------


def some_fail(protocol: Protocol) -> list[dict[str, Any]]:
    return [row | {"throw": number in (3, 5)} for number, row in enumerate(hello(protocol, 20))]


async def test_the_first_failed_row_ends_the_map(runtime: Runtime, protocol: Protocol) -> None:
    async with RemoteClient(target_of(runtime, protocol), retries=0) as client:
        model = await client.model("foo", task="SampleTask")
        found = []
        with pytest.raises(InternalError, match="barf") as caught:
            async for done in map_rows(model.run, some_fail(protocol)):
                found.append(done.index)
    assert found == [0, 1, 2]
    assert caught.value.__notes__ == ["row 3"]


@pytest.mark.parametrize("blocking", [False, True], ids=["asyncio", "blocking"])
@pytest.mark.parametrize("on_error", ["return", "skip"])
async def test_failed_rows(runtime: Runtime, protocol: Protocol, on_error: Any, blocking: bool) -> None:
    if blocking:
        found, failed, skipped = await asyncio.to_thread(
            _blocking, target_of(runtime, protocol), some_fail(protocol), on_error
        )
    else:
        async with RemoteClient(target_of(runtime, protocol), retries=0) as client:
            model = await client.model("foo", task="SampleTask")
            answers = map_rows(model.run, some_fail(protocol), on_error=on_error)
            found, failed, skipped = [done async for done in answers], answers.failed, answers.skipped
    broken = [done for done in found if isinstance(done.value, Failed)]
    assert [done.index for done in broken] == ([3, 5] if on_error == "return" else [])
    assert all(isinstance(done.value.error, InternalError) for done in broken)
    assert [done.value.row for done in broken] == ([some_fail(protocol)[3], some_fail(protocol)[5]] if broken else [])
    assert [done.index for done in found if done not in broken] == [n for n in range(20) if n not in (3, 5)]
    assert (failed, skipped) == (2, 0 if on_error == "return" else 2)


def _blocking(target: str, rows: list[Any], on_error: Any) -> tuple[list[Done], int, int]:
    with remote_client.sync.RemoteClient(target, retries=0) as client:
        answers = remote_client.sync.bulk.map_rows(client.model("foo", task="SampleTask").run, rows, on_error=on_error)
        return list(answers), answers.failed, answers.skipped


async def test_a_row_that_does_not_fit_is_a_failed_row(runtime: Runtime, protocol: Protocol) -> None:
    rows: list[Any] = [*hello(protocol, 2), ({"name": 3},), {"other": 1}, ({"name": "a"}, 1, 2, 3, 4, 5, 6)]
    async with RemoteClient(target_of(runtime, protocol)) as client:
        model = await client.model("foo", task="SampleTask")
        found = [done async for done in map_rows(model.run, rows, on_error="return")]
    assert [isinstance(done.value, Failed) for done in found] == [False, False, True, True, True]
    assert all(isinstance(done.value.error, InputError) for done in found[2:])


# -- a server that goes away ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["grpc", pytest.param("http", marks=pytest.mark.slow)])
@pytest.mark.parametrize("ordered", [True, pytest.param(False, marks=pytest.mark.slow)], ids=["ordered", "unordered"])
async def test_a_runtime_that_is_killed_loses_no_row(protocol: Protocol, ordered: bool) -> None:
    with Runtime(models={"foo": SAMPLE_MODELS["foo"]}) as runtime:
        async with RemoteClient(target_of(runtime, protocol)) as client:
            model = await client.model("foo", task="SampleTask")
            rows = (({"name": str(number)},) for number in range(2000))
            answers, found, back = map_rows(model.run, rows, ordered=ordered), [], None
            async for done in answers:
                found.append((done.index, done.value.greeting))
                if len(found) == 500:
                    runtime.kill()
                    back = threading.Timer(1.5, runtime.restart)
                    back.start()
            assert back is not None
            back.join()
    assert sorted(found) == [(number, greeting(number)) for number in range(2000)]
    assert not ordered or found == sorted(found)
    assert answers.failed == 0


@pytest.mark.parametrize("protocol", ["grpc", pytest.param("http", marks=pytest.mark.slow)])
async def test_a_server_that_stays_away_ends_the_map(protocol: Protocol) -> None:
    with Runtime(models={"foo": SAMPLE_MODELS["foo"]}) as runtime:
        async with RemoteClient(target_of(runtime, protocol)) as client:
            model = await client.model("foo", task="SampleTask")
            answers = map_rows(model.run, (({"name": str(n)},) for n in range(10_000)), outage=1.0)
            count, begun = 0, 0.0
            with pytest.raises(UnavailableError) as caught:
                async for _ in answers:
                    count += 1
                    if count == 100:
                        runtime.kill()
                        begun = time.monotonic()
            assert 1.0 <= time.monotonic() - begun < 8
            assert caught.value.__notes__[0].startswith("row ")


@pytest.mark.parametrize("protocol", ["grpc", pytest.param("http", marks=pytest.mark.slow)])
@pytest.mark.parametrize("blocking", [False, pytest.param(True, marks=pytest.mark.slow)])
async def test_a_server_that_is_away_when_the_map_begins(protocol: Protocol, blocking: bool) -> None:
    with Runtime(models={"foo": SAMPLE_MODELS["foo"]}) as runtime:
        library = remote_client.sync if blocking else remote_client
        kind, target = library.RemoteClient, target_of(runtime, protocol)

        def maps_blocking() -> list[Done]:
            with kind(target) as client:
                pickled = pickle.dumps(client.model("foo", task="SampleTask"))
            runtime.kill()
            back = threading.Timer(1.0, runtime.restart)
            back.start()
            with pickle.loads(pickled) as model:  # it asks the server before its first call
                found = list(remote_client.sync.bulk.map_rows(model.run, hello(protocol, 5)))
                back.join()
            runtime.kill()
            with pickle.loads(pickled) as model:
                with pytest.raises(UnavailableError):
                    list(remote_client.sync.bulk.map_rows(model.run, hello(protocol, 1), outage=0.5))
            return found

        async def maps() -> list[Done]:
            async with kind(target) as client:
                pickled = pickle.dumps(await client.model("foo", task="SampleTask"))
            runtime.kill()
            back = threading.Timer(1.0, runtime.restart)
            back.start()
            async with pickle.loads(pickled) as model:
                found = [done async for done in map_rows(model.run, hello(protocol, 5))]
                back.join()
            runtime.kill()
            async with pickle.loads(pickled) as model:
                with pytest.raises(UnavailableError):
                    await anext(map_rows(model.run, hello(protocol, 1), outage=0.5))
            return found

        found = await (asyncio.to_thread(maps_blocking) if blocking else maps())
    assert [done.value.greeting for done in found] == [greeting(number) for number in range(5)]


# -- leaving ----------------------------------------------------------------------------------------------------------

SLEEP = 8.0
"""Seconds that a left call keeps a thread of the runtime: `time.sleep` cannot be interrupted."""


@pytest.mark.parametrize("leave", ["break", "aclose", "async with", "cancel"])
async def test_leaving_cancels_what_runs(runtime: Runtime, protocol: Protocol, leave: str) -> None:
    async with RemoteClient(target_of(runtime, protocol)) as client:
        model = await client.model("slow", task="SlowTask")
        rows = [(0.01,), *[(SLEEP,)] * 6]

        async def reads() -> None:
            answers = map_rows(model.run, rows, concurrency=4)
            if leave == "async with":
                async with answers:
                    await anext(answers)
                return
            async for _ in answers:
                if leave == "break":
                    break
                if leave == "aclose":
                    await answers.aclose()
                    return

        reading = asyncio.create_task(reads())
        if leave == "cancel":
            await asyncio.sleep(0.5)
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
        else:
            await reading
        gc.collect()
        begun = time.monotonic()
        while calls_in_flight():
            assert time.monotonic() - begun < 5
            await asyncio.sleep(0.02)


def calls_in_flight() -> int:
    return len([task for task in asyncio.all_tasks() if "RowCalls" in repr(task) or "Run." in repr(task)])


def test_leaving_the_blocking_map(runtime: Runtime, protocol: Protocol) -> None:
    with remote_client.sync.RemoteClient(target_of(runtime, protocol)) as client:
        model = client.model("slow", task="SlowTask")
        begun = time.monotonic()
        for _ in remote_client.sync.bulk.map_rows(model.run, [(0.01,), *[(SLEEP,)] * 6]):
            break
    assert time.monotonic() - begun < 5


# -- batches ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("row", ["mapping", "tuple", "value"])
@pytest.mark.parametrize("size", [1, 7, 100])
async def test_batches(runtime: Runtime, protocol: Protocol, size: int, row: str) -> None:
    key = "numbers" if protocol == "grpc" else "inputs"
    make = {"mapping": lambda n: {key: float(n)}, "tuple": lambda n: (float(n),), "value": float}[row]
    rows = [make(number) for number in range(50)]
    async with RemoteClient(target_of(runtime, protocol)) as client:
        model = await client.model("numbers", task="NumbersTask")
        answers = map_rows(model.run, iter(rows), batch_size=size, split="numbers")
        found = [(done.index, done.value) async for done in answers]
    assert found == [(number, float(number)) for number in range(50)]


async def test_a_function_cuts_batches(runtime: Runtime, protocol: Protocol) -> None:
    async with RemoteClient(target_of(runtime, protocol)) as client:
        model = await client.model("numbers", task="NumbersTask")
        answers = map_rows(model.run, [1.0, 2.0, 3.0], batch_size=2, split=lambda answer: answer.numbers)
        assert [done.value async for done in answers] == [1.0, 2.0, 3.0]


async def test_a_wrong_count_is_an_error_of_its_batch(runtime: Runtime, protocol: Protocol) -> None:
    async with RemoteClient(target_of(runtime, protocol)) as client:
        model = await client.model("numbers", task="NumbersTask")

        def short(answer: Any) -> list[float]:
            return answer.numbers[1:] if 3.0 in answer.numbers else answer.numbers

        rows = [float(number) for number in range(6)]
        answers = map_rows(model.run, rows, batch_size=2, split=short, on_error="return")
        found = [done async for done in answers]
        assert [done.index for done in found] == [0, 1, 2, 3, 4, 5]
        assert [isinstance(done.value, Failed) for done in found] == [False, False, True, True, False, False]
        assert [done.value.row for done in found[2:4]] == [2.0, 3.0]
        assert answers.failed == 2
        with pytest.raises(InvalidResponseError, match="1 values for 2 rows") as caught:
            _ = [done async for done in map_rows(model.run, rows, batch_size=2, split=short)]
        assert caught.value.__notes__ == ["rows 2 to 3"]
        with pytest.raises(InvalidResponseError, match="the answer has no 'values'; it has numbers, total"):
            _ = [done async for done in map_rows(model.run, rows, batch_size=2, split="values")]
        with pytest.raises(InvalidResponseError, match="split: total: expected a list with a value per row, not float"):
            _ = [done async for done in map_rows(model.run, rows, batch_size=2, split="total")]


async def test_rows_of_a_batch_with_different_arguments(runtime: Runtime, protocol: Protocol) -> None:
    async with RemoteClient(target_of(runtime, protocol)) as client:
        model = await client.model("numbers", task="NumbersTask")
        rows = [{"numbers": 1.0}, {"other": 2.0}]
        with pytest.raises(InputError, match="the same arguments"):
            _ = [done async for done in map_rows(model.run, rows, batch_size=2, split="numbers")]


# -- a method that streams both ways ----------------------------------------------------------------------------------


async def test_rows_over_one_stream(runtime: Runtime) -> None:
    async with RemoteClient(runtime.target) as client:
        model = await client.model("foo", task="SampleTask")
        rows = ({"sample_inputs": {"name": str(number)}} for number in range(2000))
        found = [(done.index, done.value.greeting) async for done in map_rows(model.run_bidi_stream, rows)]
    assert found == [(number, greeting(number)) for number in range(2000)]


async def test_a_read_that_is_cancelled_loses_no_row_of_a_stream(runtime: Runtime) -> None:
    async with RemoteClient(runtime.target) as client:
        model = await client.model("foo", task="SampleTask")
        answers, found = map_rows(model.run_bidi_stream, (({"name": str(n)},) for n in range(300))), []
        cancelled = 0
        while len(found) < 300:
            reading = asyncio.ensure_future(anext(answers))
            await asyncio.sleep(0)
            if cancelled < 5 and reading.cancel():
                cancelled += 1
                with pytest.raises(asyncio.CancelledError):
                    await reading
            else:
                found.append((await reading).value.greeting)
        assert cancelled == 5
        assert found == [greeting(number) for number in range(300)]
        with pytest.raises(StopAsyncIteration):
            await anext(answers)


async def test_a_broken_stream_goes_on_with_a_new_one() -> None:
    with Runtime(models={"foo": SAMPLE_MODELS["foo"]}) as runtime:
        async with RemoteClient(runtime.target) as client:
            model = await client.model("foo", task="SampleTask")
            rows = ({"sample_inputs": {"name": str(number)}} for number in range(5000))
            found, back = [], None
            async for done in map_rows(model.run_bidi_stream, rows):
                found.append((done.index, done.value.greeting))
                if len(found) == 500:
                    runtime.kill()
                    back = threading.Timer(1.0, runtime.restart)
                    back.start()
            assert back is not None
            back.join()
    assert found == [(number, greeting(number)) for number in range(5000)]


@pytest.mark.parametrize("on_error", ["raise", "return", "skip"])
async def test_a_row_that_cannot_be_sent_on_a_stream(runtime: Runtime, on_error: Any) -> None:
    rows = [({"name": "a"},), ({"name": 3},), ({"name": "b"},)]
    async with RemoteClient(runtime.target) as client:
        model = await client.model("foo", task="SampleTask")
        answers, found = map_rows(model.run_bidi_stream, rows, on_error=on_error), []
        if on_error == "raise":
            with pytest.raises(InputError, match="sample_inputs"):
                async for done in answers:
                    found.append(done)
            assert [done.index for done in found] == [0]
            return
        found = [done async for done in answers]
    assert [done.index for done in found] == ([0, 1, 2] if on_error == "return" else [0, 2])
    assert (answers.failed, answers.skipped) == (1, 0 if on_error == "return" else 1)


async def test_leaving_a_stream_reads_no_more_rows(runtime: Runtime) -> None:
    read = 0

    def rows() -> Iterator[Any]:
        nonlocal read
        while True:
            read += 1
            yield ({"name": str(read)},)

    async with RemoteClient(runtime.target) as client:
        model = await client.model("foo", task="SampleTask")
        async for _ in map_rows(model.run_bidi_stream, rows()):
            break
        gc.collect()
        await asyncio.sleep(0.3)
        seen = read
        await asyncio.sleep(0.3)
    assert read == seen
    assert read < 1500


# -- arguments --------------------------------------------------------------------------------------------------------


async def test_arguments_are_checked_at_once(runtime: Runtime) -> None:
    async with RemoteClient(runtime.target) as client:
        model = await client.model("foo", task="SampleTask")
        wrong: list[tuple[str, dict[str, Any]]] = [
            ("concurrency: expected", {"concurrency": 0}),
            ("concurrency: expected", {"concurrency": "many"}),
            ("on_error: expected", {"on_error": "ignore"}),
            ("batch_size and split", {"batch_size": 5}),
            ("batch_size and split", {"split": "numbers"}),
            ("batch_size: expected", {"batch_size": 0, "split": "numbers"}),
            ("outage", {"outage": -1}),
        ]
        for message, options in wrong:
            with pytest.raises(ValueError, match=message):
                map_rows(model.run, [], **options)
        for method in (model.run_stream_out, model.run_stream_in, model.start_job, print, None):
            with pytest.raises(InputError, match="method:"):
                map_rows(method, [])
        with pytest.raises(InputError, match="are for unary methods"):
            map_rows(model.run_bidi_stream, [], ordered=False)


def test_a_method_of_the_other_client_is_told(runtime: Runtime) -> None:
    with remote_client.sync.RemoteClient(runtime.target) as client:
        model = client.model("foo", task="SampleTask")
        with pytest.raises(InputError, match=r"remote_client\.sync\.bulk"):
            map_rows(model.run, [])
        with pytest.raises(InputError, match=r"remote_client\.sync"):
            remote_client.sync.bulk.map_rows(print, [])
