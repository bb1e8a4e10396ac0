"""The parent's end of `forward_server`: starting a forward proxy, watching it, and what it is called."""

from __future__ import annotations

from typing import Any

from .wire import ServerProcess


class ForwardProxy(ServerProcess):
    """A running `forward_server`."""

    module = "tests.support.forward_server"

    def url(self, credentials: str = "", host: str = "") -> str:
        """The proxy as `proxy=` and the environment name it."""
        scheme = "https" if "tls" in self._wish else "http"
        return f"{scheme}://{credentials}{'@' if credentials else ''}{host or self.host}:{self.port}"

    def seen(self, what: str) -> list[Any]:
        """What it saw: `tunnels`, `requests` or `authorizations`."""
        found: list[Any] = self.command("stats")[what]
        return found

    def _ask_identity(self) -> bytes | None:
        return None
