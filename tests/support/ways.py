"""The ways to a server: the protocols and their engines."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

from remote_client._transport.manager import ConnectionManager
from remote_client.settings import CallOptions, RetryPolicy

from .over_httpx import owning

QUICK = RetryPolicy(retries=3, initial_backoff=0.01)


@dataclass
class Way:
    """A way to a server: a protocol and its engine."""

    server: Any
    engine: str

    @property
    def is_grpc(self) -> bool:
        return self.engine in ("asyncio", "grpcio")

    def module(self, **more: Any) -> Any:
        options = CallOptions(**{"timeout": 20, "retry": QUICK, **more})
        engine = {"engine": self.engine} if self.is_grpc else {}
        info = self.server.info(**engine)
        connections = None
        if self.engine == "httpx":
            connections = ConnectionManager(partial(owning, info), target=info.target)
        module = self.server.plain(connections, call_options=options, **engine)
        module._owned = True  # closes the connections in any case
        return module

    async def sent(self) -> list[dict[str, str]]:
        found: list[dict[str, str]] = (await self.server.stats())["metadata"]
        return found

    async def fails(self, times: int) -> None:
        """Let the next calls of `echo` and `count` fail."""
        if self.is_grpc:
            refused = [*["UNAVAILABLE"] * times, *[None] * 9]
            await self.server.faults(refuse={"Echo": refused, "Count": list(refused)})
        else:
            refusals = [{"status": 503, "body": "{}"}] * times
            await self.server.faults({"POST /echo": refusals, "POST /count": refusals})
