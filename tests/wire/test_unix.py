"""Unix sockets, of a path and abstract ones."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from remote_client.errors import ClosedError, UnavailableError
from remote_client.settings import ConnectionInfo
from tests.support.wire import raw_module


async def echo(request: bytes, context: Any) -> bytes:
    return request


@pytest.mark.parametrize("kind", ["unix", "unix-abstract"])
async def test_a_call_over_a_unix_socket(tmp_path: Path, kind: str) -> None:
    address = f"unix:{tmp_path}/socket" if kind == "unix" else f"unix-abstract:remote-client-{uuid.uuid4().hex}"
    server = grpc.aio.server()
    handlers = {"Echo": grpc.unary_unary_rpc_method_handler(echo)}
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler("test.Test", handlers),))
    server.add_insecure_port(address)
    await server.start()
    module = raw_module(ConnectionInfo(hostname=address, timeout=5, retries=0))
    assert await module.echo(b"near") == b"near"
    await server.stop(None)
    with pytest.raises(UnavailableError) as caught:
        await module.echo(b"gone")
    assert caught.value.target == address
    await module.aclose()
    with pytest.raises(ClosedError):
        await module.echo(b"closed")
