"""Where the commands learn what is offered: a server, as the options name it, or a schema on file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .ends import WrongUseError

if TYPE_CHECKING:
    from .._client.client import RemoteClient
    from .._schema.rpc import ServiceDescription
    from .._schema.schema_file import SchemaFile
    from ..settings import Protocol

_TARGET, _VARIABLE = "localhost:8085", "REMOTE_CLIENT_TARGET"
"""The server where nothing names one; the environment's variable that does."""


@dataclass(frozen=True)
class Server:
    """A server.

    Attributes:
        target: its target, as `RemoteClient` takes it.
        proxy: the proxy before it, as `RemoteClient` takes it.
        is_named: whether an option says anything about it.
    """

    target: str
    proxy: str | None = None
    is_named: bool = field(default=True, compare=False)

    @classmethod
    def of(cls, target: str | None, proxy: str | None) -> Server:
        """Return the server that the options name, or else the environment."""
        is_named = target is not None or proxy is not None
        return cls(os.environ.get(_VARIABLE) or _TARGET if target is None else target, proxy, is_named)

    @property
    def protocol(self) -> Protocol:
        """What it speaks.

        Raises:
            ConfigurationError: the target is none.
        """
        from ..settings import parse_target

        return parse_target(self.target)[1]

    def client(self) -> RemoteClient:
        """Return a client of it. The caller closes it.

        Raises:
            ConfigurationError: the target is none, or the proxy.
        """
        from .._client.client import RemoteClient

        return RemoteClient(self.target, proxy=self.proxy)

    async def description(self) -> ServiceDescription:
        """Ask it what it offers.

        Raises:
            ConfigurationError: see `client`.
            SchemaUnavailableError: it refuses to tell; the message names where else to ask.
            RemoteCallError: it could not be asked.
        """
        from .._client.schema_refusals import asking_only

        async with self.client() as client:
            with asking_only():
                return await client.describe()


@dataclass(frozen=True)
class OnFile:
    """What a schema on file tells of a server. Nobody is asked.

    Attributes:
        schema: the schema.
        option: the option that names the file.
    """

    schema: SchemaFile
    option: str

    @classmethod
    async def read(cls, file: str, protocol: Protocol | None, option: str) -> OnFile:
        """Read a file. Its name is no `Path`, so that errors repeat it as it was given.

        Raises:
            ConfigurationError: it cannot be read, is no schema, or is one of another protocol.
        """
        from .._concurrency.threads import aside
        from .._schema.schema_file import SchemaFile, read_schema

        schema = await aside(read_schema, file, protocol, option)  # protoc may have to compile it
        assert isinstance(schema, SchemaFile)
        return cls(schema, option)

    @property
    def protocol(self) -> Protocol:
        """What the server speaks."""
        return self.schema.protocol

    async def description(self) -> ServiceDescription:
        """Return what the file tells.

        Raises:
            WrongUseError: it cannot be used.
        """
        from .._client.introspection import description_of

        with usable(self.option):
            return await description_of(self.schema)


async def offered(server: Server, schema: str | None) -> Server | OnFile:
    """Return where a command learns what is offered: the file of `--schema`, or the server where there is none.

    Raises:
        WrongUseError: both are named.
        ConfigurationError: the file is no schema.
    """
    if schema is None:
        return server
    if server.is_named:
        raise WrongUseError("--schema asks no server: name none beside it, and no proxy")
    return await OnFile.read(schema, None, "--schema")


@contextmanager
def usable(option: str) -> Iterator[None]:
    """Take a schema that cannot be used for wrong use of the option that names its file."""
    from ..errors import SchemaError

    try:
        yield
    except SchemaError as error:
        raise WrongUseError(f"{option}: {error}") from None
