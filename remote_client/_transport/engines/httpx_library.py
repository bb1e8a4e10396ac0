"""The library of a user's transport: httpx, or one with httpx's names, such as httpx2.

It is imported only for a transport: httpx 1.0 has other names, and must not break a client that does not use it.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from importlib import import_module
from types import ModuleType
from typing import Any
from typing import Protocol as Interface

from ..._objects.exports import exported_from
from ...errors import ConfigurationError

_KNOWN = ("httpx", "httpx2")
_NAMES = (
    "AsyncBaseTransport",
    "AsyncByteStream",
    "ConnectError",
    "ConnectTimeout",
    "HTTPError",
    "InvalidURL",
    "Request",
    "TimeoutException",
    "URL",
)


@exported_from("remote_client")
class AsyncTransport(Interface):
    """The interface of transports for asyncio in httpx and httpx2."""

    async def handle_async_request(self, request: Any) -> Any:
        """Send a request, and return the response with its headers and a stream of its body."""

    async def aclose(self) -> None:
        """Close all connections."""


def check_transport(transport: Any) -> None:
    """Raise a ConfigurationError if the object does not have the interface `AsyncTransport`."""
    name = f"{type(transport).__module__}.{type(transport).__qualname__}"
    if isinstance(transport, type):
        raise ConfigurationError(f"transport: {transport.__name__} is a class; give an object of it")
    if all(callable(getattr(transport, method, None)) for method in ("handle_async_request", "aclose")):
        return
    if callable(getattr(transport, "handle_request", None)):
        raise ConfigurationError(f"transport: {name} blocks; give one for asyncio, such as httpx.AsyncHTTPTransport()")
    raise ConfigurationError(
        f"transport: {name} is no transport for asyncio: it needs the coroutine methods handle_async_request and "
        "aclose, as httpx.AsyncHTTPTransport() has them"
    )


SLICE = 256 * 1024
"""Bytes of a body that are sent at once: all of a large one would block the loop."""


class _Slices:
    """A large body, piece by piece."""

    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._body), SLICE):
            yield self._body[start : start + SLICE]


class Library:
    """The exceptions and requests of a library.

    Attributes:
        failures: the exceptions of failed calls; UnicodeError stands for an invalid host name.
        timeouts: the exception of the transport's own timeouts.
        unsent: the exceptions of calls that were not sent.
    """

    def __init__(self, module: Any) -> None:
        self.failures: tuple[type[Exception], ...] = (module.HTTPError, module.InvalidURL, OSError, UnicodeError)
        self.timeouts: type[Exception] = module.TimeoutException
        self.unsent: tuple[type[Exception], ...] = (module.ConnectError, module.ConnectTimeout, UnicodeError)
        self._module = module
        self._slices = type("Slices", (_Slices, module.AsyncByteStream), {})

    def request(self, verb: str, url: str, headers: dict[str, str], body: bytes) -> Any:
        """Return a request of the library."""
        content: Any = body
        if len(body) > SLICE:
            headers["content-length"] = str(len(body))
            content = self._slices(body)
        return self._module.Request(verb, self._module.URL(url), headers=headers, content=content)


def library_of(transport: Any) -> Library:
    """Return the library of a transport's class, or of the transport it wraps, else the one that is installed.

    Raises:
        ConfigurationError: none is installed.
    """
    for owner in (transport, *getattr(transport, "__dict__", {}).values()):
        if hasattr(owner, "handle_async_request"):
            for kind in type(owner).__mro__:
                module = sys.modules.get(kind.__module__.partition(".")[0])
                if _is_usable(module):
                    return Library(module)
    for name in sorted(_KNOWN, key=lambda name: name not in sys.modules):
        try:
            module = import_module(name)
        except ImportError:
            continue
        if _is_usable(module):
            return Library(module)
    raise ConfigurationError(
        "transport: its requests are httpx's or httpx2's, and neither can be used: pip install httpx"
    )


def _is_usable(module: ModuleType | None) -> bool:
    return module is not None and all(hasattr(module, name) for name in _NAMES)
