"""The ways to call a server without asking it what it is, for either kind of client."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import remote_client
from remote_client import ServiceDescription, sync
from remote_client.declare import registry

from ..support.front import Front
from ..support.runtime import SAMPLE_MODELS
from .clients import call
from .protocols import Protocol


@dataclass
class Place:
    """Where a way calls, and what it has beforehand.

    Attributes:
        front: what stands before the runtime.
        protocol: what the runtime speaks.
        kind: of the client, `asyncio` or `blocking`.
        engine: of the client; None for the usual one.
        schema: a file of the runtime's schema.
        description: what the runtime offers.
        stubs: what `remote-client stubs` wrote of the runtime for this kind of client, with a schema beside it.
    """

    front: Front
    protocol: Protocol
    kind: str
    engine: str | None
    schema: Path
    description: ServiceDescription
    stubs: Any
    _opened: list[Any] = field(default_factory=list)

    @property
    def api(self) -> Any:
        """The package of this kind of client."""
        return sync if self.kind == "blocking" else remote_client

    @property
    def target(self) -> str:
        """The front, as clients take it."""
        return self.front.target

    @property
    def connection(self) -> dict[str, Any]:
        """The front, as configurations have it."""
        return {"hostname": "127.0.0.1", "port": self.front.port, "engine": self.engine}

    def client(self, **settings: Any) -> Any:
        """A client of the front."""
        return self.opened(self.api.RemoteClient(self.target, engine=self.engine, **settings))

    def finder_config(self, **more: Any) -> dict[str, Any]:
        """The configuration of a finder that has the schema's file."""
        return {"connection": self.connection, "protocol": self.protocol, "schema": str(self.schema)} | more

    def opened(self, made: Any) -> Any:
        """Have something closed in the end."""
        self._opened.append(made)
        return made

    async def aclose(self) -> None:
        """Close all that was opened, the last first."""
        while self._opened:
            made = self._opened.pop()
            await call(made.close if self.kind == "blocking" else made.aclose)


async def _by_client(place: Place, schema: Any) -> Any:
    return await call(place.client(schema=schema).model, "foo")


async def _by_finder(place: Place, **more: Any) -> Any:
    finder = place.opened(place.api.RemoteModelFinder(place.finder_config(**more)))
    config = await call(finder.find_model, "foo")
    return place.opened(place.api.RemoteModelInitializer().init(config))


async def _by_configuration(place: Place) -> Any:
    finders = {"finders": {"behind": {"type": "REMOTE", "config": place.finder_config()}}}
    client = place.opened(place.api.RemoteClient.from_config(finders))
    return await call(client.model, "foo")


async def _by_environment(place: Place) -> Any:
    config = {"connection": place.connection, "protocol": place.protocol}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MODEL_MANAGEMENT_FINDERS_BEHIND_CONFIG_SCHEMA", str(place.schema))
        client = place.opened(
            place.api.RemoteClient.from_config({"finders": {"behind": {"type": "REMOTE", "config": config}}})
        )
    return await call(client.model, "foo")


async def _by_loaded_module(place: Place) -> Any:
    connection = remote_client.ConnectionInfo(**place.connection)
    config = place.api.RemoteModuleConfig.load_from_module(
        place.stubs.SampleTask, connection, place.protocol, "mm-model-id", "foo"
    )
    return place.opened(place.api.RemoteModelInitializer().init(config))


async def _by_known_id(place: Place) -> Any:
    registry[SAMPLE_MODELS["foo"]] = place.stubs.SampleTask
    try:
        known = {"foo": SAMPLE_MODELS["foo"]}
        return await _by_finder(place, schema=None, discover_models=False, supported_models=known)
    finally:
        del registry[SAMPLE_MODELS["foo"]]


Way = Callable[[Place], Awaitable[Any]]
FILES: dict[str, Way] = {
    "a path": lambda place: _by_client(place, place.schema),
    "a path as text": lambda place: _by_client(place, str(place.schema)),
    "bytes": lambda place: _by_client(place, place.schema.read_bytes()),
    "a description": lambda place: _by_client(place, place.description),
    "a finder": _by_finder,
    "a finder of known models": lambda place: _by_finder(
        place, discover_models=False, supported_models={"foo": SAMPLE_MODELS["foo"]}
    ),
    "a configuration": _by_configuration,
    "the environment": _by_environment,
}
"""A schema on file, or one that was learned before."""
STUBS: dict[str, Way] = {
    "a written class": lambda place: call(place.client().model, "foo", place.stubs.SampleTask),
    "a written class as a task": lambda place: call(place.client().model, "foo", task=place.stubs.SampleTask),
    "a loaded module": _by_loaded_module,
    "a finder of a known id": _by_known_id,
}
"""A class of a file that `remote-client stubs` wrote."""
WAYS = FILES | STUBS


async def greet(module: Any) -> str:
    """Call a model of `SampleTask`, whatever its class calls that."""
    method = module.run if hasattr(module, "run") else module.run_sample
    answer = await call(method, {"name": "World"})
    return str(answer.greeting)
