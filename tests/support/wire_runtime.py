"""The part of a caikit runtime that the wire server plays: its models, and one task of all four kinds."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import grpc

from remote_client.testing._builder import STREAMS
from remote_client.testing._caikit_files import INFO

from .wire_library import Library

LIBRARY = Library()
MODEL_ID = "00110203-0405-0607-0809-0a0b02dd0e0f"


class GetModelsInfo:
    """Faults: `models` (names), `models_delay` (seconds), `models_fail` (a status), `models_raw` (hex, the answer)."""

    def __init__(self, state: Any) -> None:
        self._state = state

    async def __call__(self, request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        faults = self._state.faults
        await asyncio.sleep(faults.get("models_delay", 0))
        if faults.get("models_fail"):
            await context.abort(grpc.StatusCode[faults["models_fail"]], "as ordered")
        if "models_raw" in faults:
            return bytes.fromhex(faults["models_raw"])
        models = [
            LIBRARY.new(
                f"{INFO}.ModelInfo", name=name, module_id=MODEL_ID, loaded=True, module_metadata={"name": "Sample"}
            )
            for name in faults.get("models", ["foo"])
        ]
        data: bytes = LIBRARY.new(f"{INFO}.ModelInfoResponse", models=models).SerializeToString()
        return data


class GetRuntimeInfo:
    """The version says which server this is."""

    def __init__(self, state: Any) -> None:
        self._state = state

    async def __call__(self, request: bytes, context: grpc.aio.ServicerContext) -> bytes:
        answer = LIBRARY.new(f"{INFO}.RuntimeInfoResponse", runtime_version="1.2.3")
        data: bytes = answer.SerializeToString()
        return data


def sample_handlers(state: Any) -> dict[str, Any]:
    """`SampleTaskPredict` and its three siblings: greetings, and the tree that was sent.

    Faults of the first two: `predict_delay` (seconds), `predict_raw` (hex, the answer).
    """
    makers = (partial(_unary, state), partial(_stream_out, state), _stream_in, _bidi)
    return {f"{prefix}SampleTaskPredict": (each, kind) for (prefix, kind), each in zip(STREAMS.items(), makers)}  # noqa: B905


def _greet(request: bytes) -> bytes:
    asked = LIBRARY.new("caikit.runtime.Test.SampleTaskRequest")
    asked.ParseFromString(request)
    answer = LIBRARY.new("caikit_data_model.test.SampleOutputType", greeting=f"Hello {asked.sample_input.name}")
    if asked.HasField("tree"):
        answer.tree.CopyFrom(asked.tree)
    data: bytes = answer.SerializeToString()
    return data


async def _unary(state: Any, request: bytes, context: Any) -> bytes:
    await asyncio.sleep(state.faults.get("predict_delay", 0))
    return _answer(state, request)


async def _stream_out(state: Any, request: bytes, context: Any) -> None:
    for _ in range(3):
        await context.write(_answer(state, request))


def _answer(state: Any, request: bytes) -> bytes:
    raw = state.faults.get("predict_raw")
    return _greet(request) if raw is None else bytes.fromhex(raw)


async def _stream_in(requests: AsyncIterator[bytes], context: Any) -> bytes:
    last = b""
    async for each in requests:
        last = each
    return _greet(last)


async def _bidi(requests: AsyncIterator[bytes], context: Any) -> None:
    async for each in requests:
        await context.write(_greet(each))
