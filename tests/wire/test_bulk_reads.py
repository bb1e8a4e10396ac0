"""Maps that several tasks or threads read, that another loop or a child reads, and whose rows or tasks end badly."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from itertools import chain
from typing import Any

import pytest

from remote_client.bulk import Done, MapRows, map_rows
from remote_client.errors import ClosedError, WrongLoopError
from remote_client.sync import bulk as blocking_bulk
from remote_client.sync._modules import wrapped
from tests.support.script import python

SECONDS = 10
INTERRUPTED = """
import os, random, signal, sys, threading, time
from remote_client.settings import ConnectionInfo
from remote_client.sync._modules import wrapped
from remote_client.sync.bulk import map_rows
from tests.support.wire import raw_module

signal.signal(signal.SIGINT, signal.default_int_handler)
ends = threading.Event()

def interrupt():
    while not ends.wait(random.uniform(0.002, 0.01)):
        os.kill(os.getpid(), signal.SIGINT)

found, interrupts = [], 0
with wrapped(raw_module(ConnectionInfo(hostname="127.0.0.1", port=int(sys.argv[1])))) as module:
    answers = map_rows(module.echo, [(b"%d" % number,) for number in range(2000)], concurrency=16)
    found.append(next(answers).index)
    thread = threading.Thread(target=interrupt)
    thread.start()
    while True:
        try:
            done = next(answers, None)
        except KeyboardInterrupt:
            interrupts += 1
            continue
        if done is None:
            break
        found.append(done.index)
    while thread.is_alive():
        try:
            ends.set()
            thread.join()
            time.sleep(0.01)
        except KeyboardInterrupt:
            pass
    print(interrupts > 5, found == list(range(2000)))
"""


def rows(count: int) -> list[tuple[bytes]]:
    return [(b"%d" % number,) for number in range(count)]


async def indexes(answers: MapRows) -> list[int]:
    async with asyncio.timeout(SECONDS):
        return [done.index async for done in answers]


@pytest.mark.parametrize("method", ["echo", "chat"])
async def test_several_tasks_share_the_answers(module: Any, method: str) -> None:
    answers = map_rows(getattr(module, method), rows(300), concurrency=8)
    shares = await asyncio.gather(*[indexes(answers) for _ in range(3)])
    assert sorted(chain(*shares)) == list(range(300))


async def test_several_threads_share_the_answers(server: Any, protocol: str) -> None:
    def work() -> list[int]:
        with wrapped(server.plain()) as module:
            answers = blocking_bulk.map_rows(module.echo, rows(300), concurrency=8)
            with ThreadPoolExecutor(4) as pool:
                shares = [pool.submit(lambda: [done.index for done in answers]) for _ in range(4)]
                return sorted(chain(*[share.result(SECONDS) for share in shares]))

    assert await asyncio.to_thread(work) == list(range(300))


@pytest.mark.parametrize("method", ["echo", "chat"])
async def test_a_map_that_is_over_stays_over(module: Any, method: str) -> None:
    answers = map_rows(getattr(module, method), rows(3))
    assert await indexes(answers) == [0, 1, 2]
    assert await indexes(answers) == []
    await answers.aclose()
    assert await indexes(answers) == []


@pytest.mark.parametrize("method", ["echo", "chat"])
async def test_closing_ends_the_reads_of_other_tasks(module: Any, method: str) -> None:
    async def never() -> AsyncIterator[bytes]:
        yield b"0"
        await asyncio.Event().wait()

    answers = map_rows(getattr(module, method), never())
    await anext(answers)
    reads = [asyncio.ensure_future(indexes(answers)) for _ in range(2)]
    await asyncio.sleep(0.02)
    await answers.aclose()
    errors = await asyncio.gather(*reads, return_exceptions=True)
    assert [type(error) for error in errors] == [ClosedError, ClosedError]
    assert "the map was closed" in str(errors[0])
    assert answers.failed == 0


@pytest.mark.parametrize("method", ["echo", "chat"])
@pytest.mark.parametrize("error", [asyncio.CancelledError, GeneratorExit, KeyError], ids=lambda error: error.__name__)
async def test_whatever_the_rows_raise_ends_the_map(module: Any, method: str, error: type[BaseException]) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"0"
        raise error("torn")

    answers, found = map_rows(getattr(module, method), broken()), []
    with pytest.raises(Exception, match="torn") as caught:
        async with asyncio.timeout(SECONDS):
            async for done in answers:
                found.append(done)
    assert found == [Done(0, b"0")]
    assert isinstance(caught.value, (KeyError, RuntimeError))


async def test_one_task_reads_the_rows_and_closes_them(plain: Any) -> None:
    count: ContextVar[int] = ContextVar("count", default=0)
    tasks = set()

    async def numbered() -> AsyncIterator[bytes]:
        with contextlib.suppress(TimeoutError):
            try:
                async with asyncio.timeout(0.05), asyncio.TaskGroup() as group:
                    group.create_task(asyncio.sleep(0))
                    while True:
                        tasks.add(asyncio.current_task())
                        count.set(count.get() + 1)
                        yield b"%d" % count.get()
                        if count.get() == 3:
                            await asyncio.Event().wait()
            finally:
                tasks.add(asyncio.current_task())
        yield b"after the timeout"

    async with asyncio.timeout(SECONDS):
        found = [done.value async for done in map_rows(plain.echo, numbered())]
    assert found == [b"1", b"2", b"3", b"after the timeout"]
    assert len(tasks) == 1


async def test_rows_that_ignore_a_cancel_are_left_all_the_same(plain: Any) -> None:
    async def stubborn() -> AsyncIterator[bytes]:
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(0.01)
            yield b"row"

    answers = map_rows(plain.echo, stubborn())
    await anext(answers)
    async with asyncio.timeout(SECONDS):
        await answers.aclose()


async def test_a_cancel_of_all_other_tasks_ends_the_map(plain: Any) -> None:
    answers = map_rows(plain.echo, rows(3000), concurrency=4)
    await anext(answers)
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()
    with pytest.raises((ClosedError, asyncio.CancelledError)):
        await indexes(answers)


async def test_a_hook_that_exits_ends_the_map(server: Any, protocol: str) -> None:
    class Unusual(BaseException):
        pass

    def metadata() -> dict[str, str]:
        raise Unusual

    async with server.plain() as module:
        with pytest.raises(Unusual):
            await indexes(map_rows(module.with_options(metadata=metadata).echo, rows(3), on_error="skip"))


async def test_a_client_that_is_closed_ends_the_map(server: Any, protocol: str) -> None:
    async with server.plain() as module:
        answers = map_rows(module.echo, rows(3000), on_error="skip")
        await anext(answers)
    with pytest.raises(ClosedError) as caught:
        await indexes(answers)
    assert caught.value.__notes__[0].startswith("row ")
    assert answers.skipped == 0


def test_a_map_is_read_in_the_loop_that_began_it(server: Any, protocol: str) -> None:
    answers = map_rows(server.plain().echo, rows(500), concurrency=4)

    async def read() -> Done:
        async with asyncio.timeout(SECONDS):
            return await anext(answers)

    assert asyncio.run(read()) == Done(0, b"0")
    for again in (read, answers.aclose):
        with pytest.raises(WrongLoopError, match="another event loop"):
            asyncio.run(again())


def test_a_map_of_the_parent_process(server: Any, protocol: str) -> None:
    head = "http_wire import http_module as module" if protocol == "http" else "wire import raw_module as module"
    lines = [
        f"from tests.support.{head}",
        "import gc, os, sys",
        "from remote_client.errors import ForkedError",
        "from remote_client.settings import ConnectionInfo",
        "from remote_client.sync._modules import wrapped",
        "from remote_client.sync.bulk import map_rows",
        "info = ConnectionInfo(hostname='127.0.0.1', port=int(sys.argv[1]))",
        "method = wrapped(module(info)).echo",
        "answers = map_rows(method, [(b'row',)] * 500, concurrency=4)",
        "next(answers)",
        "if os.fork() == 0:",
        "    for deed in (lambda: list(answers), answers.close):",
        "        try: deed()",
        "        except ForkedError: print('forked', flush=True)",
        "    answers = None; gc.collect()",
        "    os._exit(0)",
        "os.wait(); print(len(list(answers)))",
    ]
    assert python("\n".join(lines), str(server.port)).split() == ["forked", "forked", "499"]


def test_ctrl_c_loses_no_answer_of_a_blocking_map(wire: Any) -> None:
    assert python(INTERRUPTED, str(wire.port)).split() == ["True", "True"]


@pytest.mark.parametrize("left", ["dropped", "closed"])
def test_nested_blocking_maps_end_together(wire: Any, left: str) -> None:
    closed: list[bool] = []

    def source() -> Iterator[tuple[bytes]]:
        try:
            while True:
                yield (b"row",)
        finally:
            closed.append(True)

    with wrapped(wire.plain()) as module:
        inner = blocking_bulk.map_rows(module.echo, source())
        outer = blocking_bulk.map_rows(module.echo, ((done.value,) for done in inner))
        assert next(outer) == Done(0, b"row")
        if left == "closed":
            outer.close()
        del inner, outer
        for _ in range(200):
            if closed:
                break
            os.sched_yield()
            module.sleep(seconds=0.01)
    assert closed == [True]
