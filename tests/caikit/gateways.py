"""A caikit runtime whose models are all on another one, by nothing but its configuration."""

from __future__ import annotations

from typing import Any, Literal

from ..support.runtime import Runtime

Protocol = Literal["grpc", "http"]


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
        super().__init__(models={}, model_management=management(connection, protocol, **finder), **spec)
