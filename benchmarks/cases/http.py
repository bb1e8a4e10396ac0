"""HTTP: unary calls, and events."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aiohttp
import httpx

from remote_client import RemoteClient

from .. import engine, library
from ..floors import ANSWERS
from ..harness import Case, in_flight
from ..worker import Bench

Run = Callable[[int], Awaitable[None]]
BODY = json.dumps({"model_id": library.MODEL, "inputs": "World"}).encode()
HEADERS = {"content-type": "application/json"}
METADATA = ()
"""The model is named in the body."""


async def cases(bench: Bench) -> AsyncIterator[Case]:
    """A tiny and a rich answer, and streams of them."""
    target = bench.backend.http
    limits = httpx.Limits(max_connections=None)
    async with (
        RemoteClient(target) as client,
        engine.http_engine(target) as raw,
        aiohttp.ClientSession() as session,
        httpx.AsyncClient(limits=limits) as web,
    ):
        model = await client.model(library.MODEL)
        for task in library.JSON_TASKS:
            route = library.route(task)
            url = target + route
            calls = {
                "aiohttp, bytes": plain_call(session, url),
                engine.NAME: engine.unary(raw, f"POST {route}", BODY, METADATA),
                "client": _caller(getattr(model, f"run_{task}")),
                "httpx and pydantic": _stock(web, url, task),
            }
            for count in (1, 32):
                runs = {name: in_flight(count, call) for name, call in calls.items()}
                yield Case(f"http unary {task}, in flight: {count}", runs, step=count)
        for task in library.JSON_TASKS:
            route = library.route(task, streaming=True)
            url = target + route
            runs = {
                "aiohttp, lines": _plain_events(session, url),
                engine.NAME: _raw_events(engine.stream(raw, f"POST {route}", BODY, METADATA)),
                "client": _events(getattr(model, f"run_{task}_stream_out")),
                "httpx and pydantic": _stock_events(web, url, task),
            }
            yield Case(f"http events {task}", runs, unit="item", step=library.ITEMS)


def plain_call(session: aiohttp.ClientSession, url: str) -> Callable[[], Awaitable[bytes]]:
    """A call of bytes."""

    async def call() -> bytes:
        async with session.post(url, data=BODY, headers=HEADERS) as answer:
            return await answer.read()

    return call


def _caller(method: Callable[..., Awaitable[Any]]) -> Callable[[], Awaitable[Any]]:
    return lambda: method("World")


def _stock(web: httpx.AsyncClient, url: str, task: str) -> Callable[[], Awaitable[Any]]:
    model = ANSWERS[task.title()]

    async def call() -> Any:
        answer = await web.post(url, json={"model_id": library.MODEL, "inputs": "World"})
        return model.model_validate_json(answer.content)

    return call


def _plain_events(session: aiohttp.ClientSession, url: str) -> Run:
    async def run(items: int) -> None:
        for _ in range(items // library.ITEMS):
            seen = 0
            async with session.post(url, data=BODY, headers=HEADERS) as answer:
                async for line in answer.content:
                    seen += line.startswith(b"data:")
            assert seen == library.ITEMS, seen

    return run


def _raw_events(read: Callable[[], Awaitable[int]]) -> Run:
    async def run(items: int) -> None:
        for _ in range(items // library.ITEMS):
            seen = await read()
            assert seen == library.ITEMS, seen

    return run


def _events(method: Callable[..., Any]) -> Run:
    async def run(items: int) -> None:
        for _ in range(items // library.ITEMS):
            seen = 0
            async for _ in method("World"):
                seen += 1
            assert seen == library.ITEMS, seen

    return run


def _stock_events(web: httpx.AsyncClient, url: str, task: str) -> Run:
    model = ANSWERS[task.title()]

    async def run(items: int) -> None:
        for _ in range(items // library.ITEMS):
            async with web.stream("POST", url, content=BODY, headers=HEADERS) as answer:
                async for line in answer.aiter_lines():
                    if line.startswith("data:"):
                        model.model_validate_json(line[5:])

    return run
