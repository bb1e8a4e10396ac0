"""The server that the commands ask, as the options name it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .._schema.rpc import ServiceDescription
    from ..client import RemoteClient
    from ..settings import Protocol

TARGET, VARIABLE = "localhost:8085", "REMOTE_CLIENT_TARGET"
"""The server where no option names one; the environment's variable that does."""


@dataclass(frozen=True)
class Server:
    """A server.

    Attributes:
        target: its target, as `RemoteClient` takes it.
        proxy: the proxy before it, as `RemoteClient` takes it.
    """

    target: str
    proxy: str | None = None

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
        from ..client import RemoteClient

        return RemoteClient(self.target, proxy=self.proxy)

    async def description(self) -> ServiceDescription:
        """Return what it offers.

        Raises:
            ConfigurationError: see `client`.
            SchemaUnavailableError: it refuses to tell; the message names where else to ask.
            RemoteCallError: it could not be asked.
        """
        from ..refusals import asking_only

        async with self.client() as client:
            with asking_only():
                return await client.describe()
