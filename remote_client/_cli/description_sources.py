"""The sources of the service description that a command works on: a server, or a schema file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .usage import UsageError

if TYPE_CHECKING:
    from .._schema.rpc import ServiceDescription
    from .._schema.schema_file import SchemaFile
    from ..settings import Protocol

_DEFAULT_TARGET, _VARIABLE = "localhost:8085", "REMOTE_CLIENT_TARGET"


@dataclass(frozen=True)
class Server:
    """A server.

    Attributes:
        target: the target, as `RemoteClient` takes it.
        proxy: the proxy, as `RemoteClient` takes it.
        is_explicit: whether an option names the target or the proxy.
    """

    target: str
    proxy: str | None = None
    is_explicit: bool = field(default=True, compare=False)

    @classmethod
    def of(cls, target: str | None, proxy: str | None) -> Server:
        """Return the server of the options `--target` and `--proxy`, or else of the environment."""
        is_explicit = target is not None or proxy is not None
        return cls(os.environ.get(_VARIABLE) or _DEFAULT_TARGET if target is None else target, proxy, is_explicit)

    @property
    def protocol(self) -> Protocol:
        """The protocol of the target. Raises a ConfigurationError for an invalid target."""
        from .._settings.connection import parse_target

        return parse_target(self.target)[1]

    async def description(self) -> ServiceDescription:
        """Ask the server for its description.

        Raises:
            ConfigurationError: the target or the proxy is invalid.
            SchemaUnavailableError: the server refuses to describe itself; the message says where else to ask.
            RemoteCallError: the call failed.
        """
        from .._client.client import RemoteClient
        from .._client.schema_errors import without_schema_advice

        async with RemoteClient(self.target, proxy=self.proxy) as client:
            with without_schema_advice():
                return await client.describe()


@dataclass(frozen=True)
class FileSource:
    """A schema file. No server is asked.

    Attributes:
        schema: the schema.
        option: the option that names the file.
    """

    schema: SchemaFile
    option: str

    @classmethod
    async def read(cls, file: str, protocol: Protocol | None, option: str) -> FileSource:
        """Read a file. Its name is a string, because error messages repeat it and `Path` would change it.

        Raises:
            ConfigurationError: the file cannot be read, is no schema, or has the schema of another protocol.
        """
        from .._concurrency.threads import run_in_thread
        from .._schema.schema_file import SchemaFile, read_schema

        schema = await run_in_thread(read_schema, file, protocol, option)  # may run protoc
        assert isinstance(schema, SchemaFile)
        return cls(schema, option)

    @property
    def protocol(self) -> Protocol:
        """The protocol of the schema."""
        return self.schema.protocol

    async def description(self) -> ServiceDescription:
        """Parse the schema. Raises a UsageError for an invalid one."""
        from .._client.introspection import parse_schema

        with as_usage_error(self.option):
            return await parse_schema(self.schema)


async def source_of(server: Server, schema: str | None) -> Server | FileSource:
    """Return the file of `--schema`, or the server if there is none.

    Raises:
        UsageError: the options name both.
        ConfigurationError: the file is no schema.
    """
    if schema is None:
        return server
    if server.is_explicit:
        raise UsageError("--schema asks no server: omit the target and --proxy")
    return await FileSource.read(schema, None, "--schema")


@contextmanager
def as_usage_error(option: str) -> Iterator[None]:
    """Raise a SchemaError from inside as a UsageError of the option that names the schema file."""
    from ..errors import SchemaError

    try:
        yield
    except SchemaError as error:
        raise UsageError(f"{option}: {error}") from None
