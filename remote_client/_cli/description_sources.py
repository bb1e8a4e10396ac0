"""The sources of the service description that a command works on: a server, or a schema file."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .usage import UsageError

if TYPE_CHECKING:
    from .._schema.rpc import ServiceDescription
    from .._schema.schema_file import SchemaFile
    from ..settings import Protocol
    from .options import Options


@dataclass(frozen=True)
class ServerSource:
    """The server of the options."""

    options: Options

    @property
    def protocol(self) -> Protocol:
        """The protocol of the server."""
        return self.options.protocol

    async def description(self) -> ServiceDescription:
        """Ask the server for its description.

        Raises:
            ConfigurationError: an option is invalid.
            SchemaUnavailableError: the server refuses to describe itself; the message says where else to ask.
            RemoteCallError: the call failed.
        """
        from .._client.schema_errors import without_schema_advice

        async with replace(self.options, schema=None).client() as client:
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


async def source_of(options: Options) -> ServerSource | FileSource:
    """Return the file of `--schema`, or else the server, which a variable's schema does not replace.

    Raises:
        UsageError: the options name both.
        ConfigurationError: the file is no schema.
    """
    if options.schema is None or "schema" not in options.given:
        return ServerSource(options)
    if options.is_explicit:
        raise UsageError("--schema asks no server: omit the target and the options for reaching it")
    return await FileSource.read(options.schema, None, "--schema")


@contextmanager
def as_usage_error(option: str) -> Iterator[None]:
    """Raise a SchemaError from inside as a UsageError of the option that names the schema file."""
    from ..errors import SchemaError

    try:
        yield
    except SchemaError as error:
        raise UsageError(f"{option}: {error}") from None
