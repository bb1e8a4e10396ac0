"""A client in a process of its own, run as `python -m tests.support.xds_client <JSON of options>`: gRPC reads the
bootstrap of xDS once, at its first use. Each command has it call all four kinds of method.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from remote_client import RemoteClient
from remote_client.errors import RemoteClientError

ADA = {"name": "Ada"}


async def calls(client: RemoteClient) -> dict[str, Any]:
    """What the four kinds answer, or how they fail."""
    try:
        model = await client.model("foo")
        return {
            "unary": (await model.run_sample(ADA)).greeting,
            "stream_out": [each.greeting async for each in model.run_sample_stream_out(ADA)],
            "stream_in": (await model.run_sample_stream_in([ADA])).greeting,
            "bidi": [each.greeting async for each in model.run_sample_bidi_stream([ADA, ADA])],
        }
    except RemoteClientError as error:
        return {"error": type(error).__name__, "told": str(error)}


async def serve(wish: dict[str, Any]) -> None:
    config, target = wish.get("config"), wish.get("target", "")
    made = RemoteClient.from_config(config) if config else RemoteClient(target, **wish.get("settings", {}))
    async with made as client:
        print(json.dumps({"port": 0}), flush=True)
        while await asyncio.to_thread(sys.stdin.readline):
            print(json.dumps(await calls(client)), flush=True)


if __name__ == "__main__":
    asyncio.run(serve(json.loads(sys.argv[1])))
