"""Streams over gRPC: answers of a call, and dialogues."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

from remote_client import RemoteClient

from .. import engine, library
from ..floors import METADATA, TIMEOUT, Text, aio_channel, naive
from ..harness import Case
from ..worker import Bench

Run = Callable[[int], Awaitable[None]]
MESSAGES = 100
"""Of a dialogue, at least."""


async def cases(bench: Bench) -> AsyncIterator[Case]:
    """Per item: answers of a stream, question and answer in turns, and both at once."""
    target = bench.backend.grpc
    async with (
        RemoteClient(target) as client,
        RemoteClient(target, engine="grpcio") as other,
        engine.grpc_engine(target) as raw,
        aio_channel(target) as channel,
    ):
        model, theirs = await client.model(library.MODEL), await other.model(library.MODEL)
        for task in ("Tiny", "Rich"):
            path, request = library.rpc(task, "ServerStreaming"), library.text_request(task)
            method = channel.unary_stream(path)
            runs = {
                "grpc.aio, bytes": _plain_items(method, request),
                engine.NAME: _raw_items(engine.stream(raw, path, request)),
                "client": items(getattr(model, f"run_{task.lower()}_stream_out")),
                "json_format": _naive_items(method, task),
            }
            if task == "Tiny":
                runs["client, grpcio"] = items(theirs.run_tiny_stream_out)
            yield Case(f"stream out {task.lower()}", runs, unit="item", step=library.ITEMS)
        for task in ("Tiny", "Rich"):
            method = channel.stream_stream(library.rpc(task, "BidiStreaming"))
            request, ours = library.text_request(task), getattr(model, f"run_{task.lower()}_bidi_stream")
            turns = {"grpc.aio, bytes": _plain_turns(method, request), "client": _turns(ours)}
            yield Case(f"stream in turns {task.lower()}", turns, unit="item", step=MESSAGES)
            both = {"grpc.aio, bytes": _plain_both(method, request), "client": _both(ours)}
            yield Case(f"stream both ways {task.lower()}", both, unit="item", step=MESSAGES)


def _plain_items(method: Any, request: bytes) -> Run:
    async def run(items: int) -> None:
        for _ in range(items // library.ITEMS):
            await _count(method(request, metadata=METADATA, timeout=TIMEOUT), library.ITEMS)

    return run


def _raw_items(read: Callable[[], Awaitable[int]]) -> Run:
    async def run(items: int) -> None:
        for _ in range(items // library.ITEMS):
            seen = await read()
            assert seen == library.ITEMS, seen

    return run


def items(method: Callable[..., Any]) -> Run:
    """A run that reads streams to their ends."""

    async def run(items: int) -> None:
        for _ in range(items // library.ITEMS):
            await _count(method(sample_input=library.TEXT), library.ITEMS)

    return run


def _naive_items(method: Any, task: str) -> Run:
    encode, decode = naive(task)

    async def run(items: int) -> None:
        for _ in range(items // library.ITEMS):
            async for data in method(encode(Text(**library.TEXT)), metadata=METADATA, timeout=TIMEOUT):
                decode(data)

    return run


async def _count(stream: Any, items: int) -> None:
    seen = 0
    async for _ in stream:
        seen += 1
    assert seen == items, seen


def _plain_turns(method: Any, request: bytes) -> Run:
    async def run(items: int) -> None:
        call = method(metadata=METADATA, timeout=TIMEOUT)
        for _ in range(items):
            await call.write(request)
            await call.read()
        await call.done_writing()

    return run


def _turns(method: Callable[..., Any]) -> Run:
    async def run(items: int) -> None:
        answered = asyncio.Event()

        async def questions() -> AsyncIterator[dict[str, str]]:
            for _ in range(items):
                yield library.TEXT
                await answered.wait()
                answered.clear()

        async for _ in method(sample_input=questions()):
            answered.set()

    return run


def _plain_both(method: Any, request: bytes) -> Run:
    async def run(items: int) -> None:
        await _count(method(_repeated(request, items), metadata=METADATA, timeout=TIMEOUT), items)

    return run


def _both(method: Callable[..., Any]) -> Run:
    async def run(items: int) -> None:
        await _count(method(sample_input=_repeated(library.TEXT, items)), items)

    return run


def _repeated(item: Any, times: int) -> Iterator[Any]:
    return (item for _ in range(times))
