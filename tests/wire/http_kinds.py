"""HTTP calls that hang at some place, as coroutine functions that take a module. See `kinds` for gRPC's."""

from __future__ import annotations

from typing import Any

from tests.support.http_wire import answer, chunked, sleep

from .kinds import Deed, stream_out, stream_out_between, unary

HANG = sleep(3600)


async def unary_body(module: Any) -> Any:
    return await module.script(steps=[*answer("a part", headers={"content-length": 100}), HANG])


async def stream_head(module: Any) -> Any:
    async for _ in module.script_stream(steps=[HANG]):
        raise AssertionError("nothing was sent")


async def stream_inside(module: Any) -> Any:
    async for _ in module.script_stream(steps=[*chunked("data: a part", end=False), HANG]):
        raise AssertionError("no event was sent")


HANGING: dict[str, Deed] = {
    each.__name__: each for each in (unary, unary_body, stream_head, stream_out, stream_out_between, stream_inside)
}
ONE_OF_EACH: dict[str, Deed] = {
    "POST /sleep": unary,
    "POST /silent": stream_out,
    "POST /count": stream_out_between,
    "POST /script": stream_head,
}
"""By the request the server sees."""
