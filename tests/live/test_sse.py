"""Streams as server-sent events: what they say, and what FastAPI's and Starlette's responses make of them.

The model that is left early writes a tick to a file every 0.02 seconds while it works.
"""

from __future__ import annotations

import asyncio
import json
import logging
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio

from remote_client import RemoteClient, sync

from ..support.runtime import Runtime
from .protocols import PROTOCOLS, Protocol, target_of

WORLD = {"name": "World"}
GREETED = [b'data: {"greeting":"Hello World %d"}\n\n' % number for number in range(3)]
END = b"event: end\ndata: {}\n\n"
APPS = ["/starlette", "/sse-starlette", "/fastapi", "/sync"]
WATCHED = {"watched": "11110203-0405-0607-0809-0a0b02dd0e0f"}


# -- events -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("protocol", "output"), [("grpc", None), ("grpc", "dict"), ("grpc", "proto"), ("http", None)])
async def test_answers_are_messages_of_json(client: RemoteClient, output: Any) -> None:
    model: Any = (await client.model("foo")).with_options(output=output)
    events = model.run_sample_stream_out(WORLD, count=3).sse()
    seen = [event async for event in events]
    assert [seen[0].replace(b'": "', b'":"'), *seen[1:]] == [*GREETED, END]
    assert [event async for event in events] == []


async def test_json_has_all_kinds_of_values(grpc_client: RemoteClient) -> None:
    zoo: Any = await grpc_client.model("zoo")
    given = {"text": "one\ntwo\r\u2028", "double": float("nan"), "blob": b"\xfb\xff", "color": "GREEN", "int64": 2**60}
    event = await anext(zoo.run_zoo_stream_out(given, count=1).sse())
    assert event.count(b"\n") == 2
    answer = json.loads(event.removeprefix(b"data: "), parse_constant=pytest.fail)
    assert {name: answer[name] for name in given} == given | {"double": None, "blob": "+/8="}


async def test_an_error_is_the_last_event(client: RemoteClient, caplog: pytest.LogCaptureFixture) -> None:
    model: Any = await client.model("foo")
    with caplog.at_level(logging.WARNING, "remote_client"):
        *before, last = [event async for event in model.run_sample_stream_out(WORLD, err_after=2).sse()]
    assert before == GREETED[:2]
    name, data = last.split(b"\ndata: ")
    assert name == b"event: error"
    told = json.loads(data)
    assert told["status"] == "INVALID_ARGUMENT"
    assert "asked to fail after 2" in told["details"]
    assert f"the error event {told['id']}: INVALID_ARGUMENT: " in caplog.text


async def test_an_error_tells_no_addresses(protocol: Protocol, runtime: Runtime, gate: Any) -> None:
    target = f"localhost:{gate.port}"
    async with RemoteClient(target if protocol == "grpc" else f"http://{target}", retries=0) as client:
        model: Any = await client.model("foo")
        await gate.shut()
        (event,) = [event async for event in model.run_sample_stream_out(WORLD).sse()]
    told = json.loads(event.partition(b"data: ")[2])
    assert told.pop("id")
    assert told == {"status": "UNAVAILABLE", "details": "the runtime cannot be reached"}


async def test_an_error_of_the_callers_own_is_logged_and_not_told(
    grpc_client: RemoteClient, caplog: pytest.LogCaptureFixture
) -> None:
    def names() -> Iterator[dict[str, str]]:
        yield WORLD
        raise LookupError("the password is s3cret")

    model: Any = await grpc_client.model("foo")
    *_, event = [event async for event in model.run_sample_bidi_stream(names()).sse()]
    assert event == b'event: error\ndata: {"status": "INTERNAL", "details": "internal error", "id": null}\n\n'
    assert "LookupError: the password is s3cret" in caplog.text


async def test_others_have_their_turn_between_events(client: RemoteClient) -> None:
    model: Any = await client.model("foo")
    events = model.run_sample_stream_out(WORLD, count=100).sse()
    await anext(events)
    await asyncio.sleep(0.2)  # the rest arrives
    turns = 0

    async def take_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(take_turns())
    assert len([event async for event in events]) == 100
    other.cancel()
    assert turns >= 100


async def test_closed_events_end_without_an_error(
    grpc_client: RemoteClient, runtime: Runtime, caplog: pytest.LogCaptureFixture
) -> None:
    model: Any = await grpc_client.model("slow")
    events = model.run_slow_stream_out(0.5, count=2).sse()
    reading = asyncio.ensure_future(anext(events))
    await asyncio.sleep(0.1)
    await events.aclose()
    with pytest.raises(StopAsyncIteration):
        await reading
    with sync.RemoteClient(runtime.target) as client:
        blocking: Any = client.model("slow").run_slow_stream_out(0.5, count=2).sse()
        listing = asyncio.ensure_future(asyncio.to_thread(list, blocking))
        await asyncio.sleep(0.1)
        await asyncio.to_thread(blocking.close)
        assert await listing == []
    assert "error event" not in caplog.text


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_blocking_events_are_the_same(runtime: Runtime, protocol: Protocol) -> None:
    with sync.RemoteClient(target_of(runtime, protocol)) as client:
        model: Any = client.model("foo")
        events = model.run_sample_stream_out(WORLD, count=3).sse()
        assert list(events) == [*GREETED, END]
        assert list(events) == []
        *before, last = model.run_sample_stream_out(WORLD, err_after=2).sse()
        assert before == GREETED[:2]
        assert json.loads(last.removeprefix(b"event: error\ndata: "))["status"] == "INVALID_ARGUMENT"


# -- services ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    command = [sys.executable, "-m", "tests.support.sse_app"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parents[2], text=True) as process:
        assert process.stdout is not None
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
        process.terminate()


@pytest_asyncio.fixture
async def browser(service: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=service) as client:
        yield client


def query(target: str, model: str, method: str, *args: Any) -> dict[str, str]:
    return {"target": target, "model": model, "method": method, "args": json.dumps(args)}


@pytest.mark.parametrize("app", APPS)
async def test_responses_carry_the_events(
    browser: httpx.AsyncClient, runtime: Runtime, protocol: Protocol, app: str
) -> None:
    asked = query(target_of(runtime, protocol), "foo", "run_sample_stream_out", WORLD, 3)
    response = await browser.get(app, params=asked)
    assert response.headers["content-type"].startswith("text/event-stream")
    assert response.content == b"".join([*GREETED, END])
    response = await browser.get(app, params=query(asked["target"], "foo", "run_sample_stream_out", WORLD, 3, 1))
    assert response.status_code == 200
    assert response.content.startswith(GREETED[0] + b"event: error\n")


async def test_fastapi_encodes_the_answers_themselves(browser: httpx.AsyncClient, runtime: Runtime) -> None:
    asked = query(runtime.target, "foo", "run_sample_stream_out", WORLD, 3)
    assert (await browser.get("/yielded", params=asked)).content == b"".join(GREETED)


# -- leaving ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def watched() -> Iterator[Runtime]:
    with Runtime("watched_lib", WATCHED) as running:
        yield running


@pytest.fixture
def ticks(tmp_path: Path) -> Path:
    return tmp_path / "ticks"


async def is_over(ticks: Path) -> bool:
    """Wait until the model has begun and stopped to work, at most for three seconds."""

    def grown() -> int:
        return ticks.stat().st_size if ticks.exists() else 0

    for _ in range(30):
        before = grown()
        await asyncio.sleep(0.1)
        if before and grown() == before:
            return True
    return False


def work(ticks: Path) -> dict[str, Any]:
    return {"path": str(ticks), "seconds": 0.05}


@pytest.mark.parametrize("read", ["texts", "sse", "collect"])
async def test_a_reader_that_is_dropped_or_cancelled_stops_the_model(watched: Runtime, ticks: Path, read: str) -> None:
    async with RemoteClient(watched.target) as client:
        model: Any = await client.model("watched")
        stream = model.run_watch_stream_out(work(ticks), count=100)
        if read == "collect":
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.3):
                    await stream.collect()
        elif read == "sse":
            await anext(stream.sse())
        else:
            async for _ in stream:
                break
        del stream
        assert await is_over(ticks)


@pytest.mark.parametrize("app", [*APPS, "/yielded"])
async def test_a_browser_that_leaves_stops_the_model(
    browser: httpx.AsyncClient, watched: Runtime, protocol: Protocol, ticks: Path, app: str
) -> None:
    asked = query(target_of(watched, protocol), "watched", "run_watch_stream_out", work(ticks), 100)
    async with browser.stream("GET", app, params=asked) as response:
        async for line in response.aiter_lines():
            assert line.startswith("data: ")
            break
    assert await is_over(ticks)
