"""Services that hand on a runtime's streams as server-sent events, run as `python -m tests.support.sse_app`.

It chooses its port and prints it. Every path but `/sync` has an asyncio client; the query names the runtime, the model,
the method and its arguments as JSON.
"""

from __future__ import annotations

import json
import socket
from collections.abc import AsyncIterator
from typing import Any

import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import Response
from fastapi.sse import EventSourceResponse
from sse_starlette import EventSourceResponse as PingingResponse
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

from remote_client import RemoteClient, sync

app = FastAPI()
clients: dict[str, RemoteClient] = {}


async def stream_of(request: Request) -> Any:
    query = request.query_params
    client = clients.setdefault(query["target"], RemoteClient(query["target"]))
    model = await client.model(query["model"])
    return getattr(model, query["method"])(*json.loads(query["args"]))


@app.get("/starlette")
async def starlette(request: Request) -> Response:
    return StreamingResponse((await stream_of(request)).sse(), media_type="text/event-stream")


@app.get("/sse-starlette")
async def sse_starlette(request: Request) -> Response:
    return PingingResponse((await stream_of(request)).sse(), ping=1)


@app.get("/fastapi")
async def fastapi(request: Request) -> Response:
    return EventSourceResponse((await stream_of(request)).sse())


@app.get("/yielded", response_class=EventSourceResponse)
async def yielded(request: Request) -> AsyncIterator[Any]:
    async for answer in await stream_of(request):
        yield answer


@app.get("/sync")
async def blocking(request: Request) -> Response:
    query = request.query_params

    def stream() -> Any:
        model = sync.RemoteClient(query["target"]).model(query["model"])
        return getattr(model, query["method"])(*json.loads(query["args"])).sse()

    events = await run_in_threadpool(stream)
    # A worker thread keeps the iterator until its next work.
    return StreamingResponse(events, media_type="text/event-stream", background=BackgroundTask(events.close))


if __name__ == "__main__":
    with socket.create_server(("127.0.0.1", 0)) as listening:
        print(listening.getsockname()[1], flush=True)
        config = uvicorn.Config(app, log_level="warning", lifespan="off", timeout_graceful_shutdown=1)
        uvicorn.Server(config).run(sockets=[listening])
