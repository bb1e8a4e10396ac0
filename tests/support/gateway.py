"""A gateway in front of an HTTP server: routes below its prefix lead there without it, and others nowhere."""

from __future__ import annotations

from .edge import Fault, HttpEdge
from .http_server import Request


class Gateway(HttpEdge):
    """Passes requests on whose path begins with `prefix`, and takes that off; an async context manager.

    Attributes:
        received: what came in, as it came.
    """

    def __init__(self, port: int, prefix: str) -> None:
        super().__init__(port)
        self.prefix = prefix
        self.received: list[Request] = []

    @property
    def target(self) -> str:
        return f"{super().target}{self.prefix}"

    def came(self, request: Request) -> Fault:
        self.received.append(request)
        return super().came(request) if request.target.startswith(f"{self.prefix}/") else "end"

    def route(self, target: str) -> str:
        return target.removeprefix(self.prefix)
