"""What the live tests run over, and in which ways the same answer differs between the protocols."""

from __future__ import annotations

import contextlib
import math
from enum import Enum
from pathlib import Path
from typing import Any, Literal

import httpx
from pydantic import BaseModel

from remote_client import FileResponse
from remote_client.errors import NotFoundError

from ..support.runtime import Runtime

Protocol = Literal["grpc", "http"]
PROTOCOLS: tuple[Protocol, ...] = ("grpc", "http")


def target_of(runtime: Runtime, protocol: Protocol) -> str:
    return runtime.target if protocol == "grpc" else runtime.http_target


async def undeploy(client: Any, name: str) -> None:
    """Leave no model behind. The runtime says NOT_FOUND of one that it has just begun to load, and deletes it."""
    with contextlib.suppress(NotFoundError):
        await client.undeploy_model(name)


def nobody(port: int, protocol: Protocol) -> str:
    """The target of a port where nobody listens."""
    return f"localhost:{port}" if protocol == "grpc" else f"http://localhost:{port}"


def port_of(runtime: Runtime, protocol: Protocol) -> int:
    return runtime.port if protocol == "grpc" else runtime.http_port


def connection_of(runtime: Runtime, protocol: Protocol) -> dict[str, Any]:
    return {"hostname": "localhost", "port": port_of(runtime, protocol)}


def named(protocol: Protocol, name: str) -> str:
    """What a task's single required input is called: over HTTP no server tells its own name."""
    return name if protocol == "grpc" else "inputs"


DIFFERENCES = {
    "unset": "a field that an answer does not set is None over HTTP; gRPC does not tell it from an empty one",
    "enum": "an enum's value is its name over HTTP, as the runtime writes it; over gRPC it is an enum",
    "keys": "the keys of a map are text over HTTP: JSON has no others",
    "sequence": "a union's list is a plain list over HTTP; over gRPC it is the message that holds its `values`",
    "number": "integers inside of JSON values stay integers over HTTP; over gRPC they are floats",
    "file": "a result that can be written to a file is that file over HTTP: a FileResponse",
}
"""All ways in which answers may differ; everything else about them is equal."""


def differences(grpc: Any, http: Any) -> set[str]:
    """Compare an answer over both protocols, object by object. The keys of `DIFFERENCES` that were met.

    Raises:
        AssertionError: there is another difference.
    """
    if isinstance(http, FileResponse):
        assert (http.filename, http.data) == (grpc.name, grpc.data)
        return {"file"}
    if http is None and grpc is not None:
        assert _is_empty(grpc), grpc
        return {"unset"}
    if isinstance(grpc, Enum):
        assert http == grpc.name
        return {"enum"}
    if isinstance(grpc, BaseModel):
        if isinstance(http, list):
            return {"sequence"} | differences(vars(grpc), {"values": http})
        assert [type(grpc).__module__, type(grpc).__name__] == [type(http).__module__, type(http).__name__]
        return differences(vars(grpc), vars(http))
    if isinstance(grpc, dict):
        found: set[str] = {"keys"} if any(type(key) is int for key in grpc) else set()
        assert {str(key) for key in grpc} == http.keys()
        return found.union(*(differences(value, http[str(key)]) for key, value in grpc.items()))
    if isinstance(grpc, list):
        assert len(grpc) == len(http)
        return set().union(*map(differences, grpc, http))
    if type(grpc) is float and type(http) is int:
        assert grpc == http
        return {"number"}
    assert type(grpc) is type(http)
    assert grpc == http or (type(grpc) is float and math.isnan(grpc) and math.isnan(http))
    return set()


def _is_empty(value: Any) -> bool:
    return all(map(_is_empty, vars(value).values())) if isinstance(value, BaseModel) else not value


class Recorder(httpx.AsyncBaseTransport):
    """Sends everything to the real runtime and keeps what was sent; `document` replaces the server's OpenAPI's."""

    def __init__(self, document: Path | None = None) -> None:
        self.requests: list[httpx.Request] = []
        self._document = document
        self._engine = httpx.AsyncHTTPTransport()

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        if self._document is not None and request.url.path == "/openapi.json":
            return httpx.Response(200, content=self._document.read_bytes())
        return await self._engine.handle_async_request(request)

    async def aclose(self) -> None:
        await self._engine.aclose()
