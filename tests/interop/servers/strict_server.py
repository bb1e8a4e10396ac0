"""A gRPC server on the h2 library that keeps the client to the rules, run as `python -m <this> <JSON of options>`.

It has the methods of `asyncio_server`. What a client may not send is listed as `violations` in its statistics.

Faults, which count for what begins after they were set:
    settings: names of HTTP/2's settings and their values, told to a new connection.
    later_settings: the same, told when a call's first data arrives.
    change: the same, told to all connections at once.
    late: seconds until a new connection is told anything.
    connection_window: bytes by which the connection's window is larger than 65,535.
    goaway: the number of requests after which a connection takes no more of them (GOAWAY, by the last one's id).
    goaway_twice: true says at first that all streams are served, and 50 ms later by a second GOAWAY which are.
    unseen: the number of requests that are refused (REFUSED_STREAM), from now on.
    rst: `after_header`, `during_data` or `after_data`, and the name of an error code: where a stream is reset.
    ping: true sends PINGs when a request arrived, after the head, after all data, before the trailers.
    data: bytes of the largest DATA frame; pad: bytes of the longest padding, which all of them then have.
    interim: statuses sent before an answer's own.
    continuation: bytes of the largest HEADERS frame; the rest follows in CONTINUATION frames.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from tests.support.obey import obey

from .strict_connection import Connection
from .strict_stream import StrictState


async def serve(wish: dict[str, Any]) -> None:
    state = StrictState()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Connection(state, wish["identity"]), "127.0.0.1", wish.get("port", 0), backlog=1024
    )
    print(json.dumps({"port": server.sockets[0].getsockname()[1], "identity": wish["identity"]}), flush=True)
    await obey(state)


if __name__ == "__main__":
    asyncio.run(serve(json.loads(sys.argv[1])))
