"""The health service that the wire server plays."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
from grpc_health.v1 import health_pb2

Context = grpc.aio.ServicerContext


class Health:
    """Faults: `health` (a status, by its name), `unwatched` (there is no Watch), `watch_ends` (seconds)."""

    def __init__(self, state: Any) -> None:
        self._state = state

    def _answer(self) -> bytes:
        status = self._state.faults.get("health", "SERVING")
        data: bytes = health_pb2.HealthCheckResponse(status=status).SerializeToString()
        return data

    async def check(self, request: bytes, context: Context) -> bytes:
        health_pb2.HealthCheckRequest.FromString(request)
        return self._answer()

    async def watch(self, request: bytes, context: Context) -> None:
        faults, told, left = self._state.faults, None, self._state.faults.get("watch_ends", 3600)
        if faults.get("unwatched"):
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, "Method not found!")
        while left > 0:
            answer = self._answer()
            if answer != told:
                told = answer
                await context.write(answer)
            await asyncio.sleep(0.01)
            left -= 0.01
