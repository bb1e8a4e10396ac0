"""The keyword arguments of `RemoteClient`, which its other ways to be made take as well."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from inspect import Parameter, signature
from os import PathLike
from types import EllipsisType
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

if TYPE_CHECKING:
    from grpc.aio import ClientInterceptor

    from .._schema.rpc import ServiceDescription
    from .._settings.connection import Compression
    from .._settings.durations import Duration
    from .._transport.engines.httpx_library import AsyncTransport
    from ..hooks import Hook
    from ..middleware import Middleware
    from ..settings import ConnectionTlsInfo, Engine, MetadataSource, Protocol

F = TypeVar("F", bound=Callable[..., Any])


class ClientSettings(TypedDict, total=False):
    """The keyword arguments of `RemoteClient`, which documents them."""

    protocol: Protocol | None
    retries: int | None
    timeout: Duration | EllipsisType | None
    max_session_age: Duration | None
    tls: ConnectionTlsInfo | Mapping[str, Any] | None
    metadata: MetadataSource | None
    hooks: Iterable[Hook]
    transport: AsyncTransport | None
    engine: Engine | None
    interceptors: Sequence[ClientInterceptor]
    max_pending: int | None
    proxy: str | None
    schema: str | PathLike[str] | bytes | ServiceDescription | None
    compression: Compression | None
    user_agent: str | None
    max_response_size: int | EllipsisType | None
    middleware: Iterable[Middleware]


OF_CLIENT = ("metadata", "hooks", "transport", "interceptors", "middleware")
"""The settings that are no part of a finder's configuration."""


def check_names(function: str, settings: Iterable[str]) -> None:
    """Raise the TypeError of a function for settings that there are not."""
    for name in settings:
        if name not in ClientSettings.__annotations__:
            raise TypeError(f"{function}() got an unexpected keyword argument {name!r}")


def takes_settings_of(made: Callable[..., Any]) -> Callable[[F], F]:
    """Have the signature of a function show the keyword arguments of another one in the place of `**settings`."""
    named = [each for each in signature(made).parameters.values() if each.kind is Parameter.KEYWORD_ONLY]

    def decorate(function: F) -> F:
        own = signature(function)
        kept = [each for each in own.parameters.values() if each.kind is not Parameter.VAR_KEYWORD]
        names = {each.name for each in kept}
        shown = [*kept, *(each for each in named if each.name not in names)]
        function.__signature__ = own.replace(parameters=shown)  # type: ignore[attr-defined]
        return function

    return decorate
