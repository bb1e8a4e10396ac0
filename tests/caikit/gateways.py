"""A caikit runtime whose models are all on another one, by nothing but its configuration."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import pytest

from remote_client import ServiceDescription
from remote_client.sync import RemoteClient

from ..support.runtime import Runtime
from ..support.slow import slow_if

Protocol = Literal["grpc", "http"]
PROTOCOLS: tuple[Protocol, ...] = ("grpc", "http")
WATCHED_MODELS = {"watch": "11110203-0405-0607-0809-0a0b02dd0e0f"}
"""Of `watched_lib`, whose model writes down its work."""

Route = tuple[Protocol, Protocol]
_QUICK: tuple[Route, ...] = (("grpc", "http"), ("http", "grpc"))
ROUTES = [
    pytest.param(
        (behind, before), id=f"{behind} behind, {before} before", marks=slow_if((behind, before) not in _QUICK)
    )
    for behind in PROTOCOLS
    for before in PROTOCOLS
]
"""The protocols of a gateway: to the runtime behind it, and to its callers. What each of them does, two pairs show."""


def port_of(runtime: Runtime, protocol: Protocol) -> int:
    return runtime.port if protocol == "grpc" else runtime.http_port


def connection_of(runtime: Runtime, protocol: Protocol, **more: Any) -> dict[str, Any]:
    return {"hostname": "localhost", "port": port_of(runtime, protocol), **more}


def management(connection: dict[str, Any], protocol: Protocol, **finder: Any) -> dict[str, Any]:
    """The `model_management` of a gateway. Its own marker, by which tests know it, is a local model."""
    own = {"type": "REMOTE_CLIENT"}
    remote = {"connection": connection, "protocol": protocol}
    parts = {
        "finders": {**own, "import_class": "remote_client.caikit.RemoteModelFinder", "config": {**remote, **finder}},
        "initializers": {**own, "import_class": "remote_client.caikit.RemoteModelInitializer"},
    }
    order = {"finders": "finder_priority", "initializers": "initializer_priority"}
    trainer = {**own, "import_class": "remote_client.caikit.RemoteModelTrainer", "config": remote}
    return {"trainers": {"default": trainer}} | {
        kind: {
            "local": {"type": "LOCAL"},
            "remote": part,
            "default": {"type": "MULTI", "config": {order[kind]: ["local", "remote"]}},
        }
        for kind, part in parts.items()
    }


class Gateway(Runtime):
    """A gateway to a runtime, over one of the protocols; it serves both."""

    def __init__(
        self, behind: Runtime, protocol: Protocol, connection: dict[str, Any] | None = None, **spec: Any
    ) -> None:
        finder = spec.pop("finder", {"min_poll_time": 1})
        connection = connection or connection_of(behind, protocol)
        parts = management(connection, protocol, **finder)
        super().__init__(behind.library, {}, model_management=parts, **spec)

    @property
    def threads(self) -> int:
        """The number of its threads."""
        assert self._process is not None
        return len(list(Path(f"/proc/{self._process.pid}/task").iterdir()))


_schemas: dict[tuple[str, Protocol], ServiceDescription] = {}


@contextmanager
def client_of(server: Runtime, protocol: Protocol) -> Iterator[RemoteClient]:
    """A client that trusts the names of models: a gateway lists a remote model only after its first call."""
    target = server.target if protocol == "grpc" else server.http_target
    key = (server.library, protocol)
    if key not in _schemas:
        with RemoteClient(target) as client:
            _schemas[key] = client.describe()
    with RemoteClient(target, schema=_schemas[key]) as client:
        yield client
