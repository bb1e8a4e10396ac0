"""A module's configuration, completed with the server's description at the first call that needs it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

from .._calls.caller import Caller
from .._concurrency.threads import run_in_thread
from .._schema.codec import UnboundCodec
from .._schema.rpc import RemoteRPCDescriptor
from ..errors import RemoteCallError, SchemaError
from .introspection import parse_schema
from .module_config import RemoteModuleConfig, name_of
from .schema_errors import outdated_schema_hint, redeployment_hint, with_class_advice
from .shared_connections import server_description
from .single_flight import SingleFlight


class ConfigCompletion:
    """A module's configuration. All copies of the module share it, and read the description at most once."""

    def __init__(self, config: RemoteModuleConfig, forget_description: Callable[[], None] | None) -> None:
        self._config = config
        self._forget_description = forget_description
        self._single_flight = SingleFlight()

    def stale_schema_hint(self, error: RemoteCallError) -> str:
        """Return what to do if the error suggests a stale schema, else ""; drop the server's description then."""
        schema = self._config.schema
        if schema is not None:
            return outdated_schema_hint(error, name_of(schema))
        hint = redeployment_hint(error)
        if hint and self._forget_description is not None:
            self._forget_description()
        return hint

    async def complete(self, caller: Caller) -> RemoteModuleConfig:
        """Return the configuration with methods that can be called."""
        if not self._config.bound:
            self._config = await self._single_flight.join(None, partial(self._read, caller))
        return self._config

    async def _read(self, caller: Caller) -> RemoteModuleConfig:
        config = replace(self._config)
        if config.schema is None and config.declaration is not None:
            from .._schema.declared.schemas import schema_for

            config.schema = await run_in_thread(schema_for, config.declaration, config.protocol)
        if config.schema is None:
            with with_class_advice(config.declaration, config.protocol):
                description = await server_description(caller.for_model(None).replace(output="dict"), config.protocol)
        else:
            description = await parse_schema(config.schema)
        config.trainings = list(description.trainings.values())
        if config.declaration is None:
            config.bind_learned(description)
        else:
            config.bind(config.declaration, description)
        return config

    async def method(self, rpc: RemoteRPCDescriptor, caller: Caller) -> RemoteRPCDescriptor:
        """Return the server's description of a method.

        Raises:
            SchemaError: the server has no such method, or several.
        """
        if not isinstance(rpc.codec, UnboundCodec):
            return rpc
        config = await self.complete(caller)
        if rpc.module:
            named = [training for training in config.trainings if training.rpc_name == rpc.rpc_name]
        else:
            named = [
                method
                for key, methods in config.task_methods
                for method in methods
                if method.name == rpc.name and rpc.task in (key, method.task)
            ]
        same = [method for method in named if method.path == rpc.path] or named
        if len(same) != 1:
            count = "several methods" if same else "no method"
            source = f"the server at {caller.target}" if config.schema is None else name_of(config.schema)
            raise SchemaError(f"{source} has {count} {rpc.name} of {rpc.task}")
        return same[0]

    async def aclose(self) -> None:
        """Cancel a running read."""
        await self._single_flight.aclose()
