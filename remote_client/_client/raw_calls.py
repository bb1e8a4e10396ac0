"""Calls of methods and routes by their paths, as users make them; `raw_requests` sends them."""

from __future__ import annotations

from collections.abc import Mapping
from types import EllipsisType
from typing import TYPE_CHECKING, Any, overload

if TYPE_CHECKING:
    from .._settings.durations import Duration
    from ..settings import MetadataSource
    from .finder_group import FinderGroup


class RawCalls:
    """The calls of a client by their paths."""

    _finder: FinderGroup

    @overload
    async def call(
        self,
        path: str,
        message: bytes | bytearray | memoryview = b"",
        *,
        model: str | None = ...,
        target: str | None = ...,
        timeout: Duration | EllipsisType | None = ...,
        metadata: MetadataSource | None = ...,
        idempotent: bool = ...,
    ) -> bytes: ...
    @overload
    async def call(
        self,
        path: str,
        message: Mapping[str, Any],
        *,
        model: str | None = ...,
        target: str | None = ...,
        timeout: Duration | EllipsisType | None = ...,
        metadata: MetadataSource | None = ...,
        idempotent: bool = ...,
    ) -> dict[str, Any]: ...
    @overload
    async def call(
        self,
        path: str,
        message: object,
        *,
        model: str | None = ...,
        target: str | None = ...,
        timeout: Duration | EllipsisType | None = ...,
        metadata: MetadataSource | None = ...,
        idempotent: bool = ...,
    ) -> Any: ...
    async def call(
        self,
        path: str,
        message: object = b"",
        *,
        model: str | None = None,
        target: str | None = None,
        timeout: Duration | EllipsisType | None = ...,
        metadata: MetadataSource | None = None,
        idempotent: bool = False,
    ) -> Any:
        """Call a unary gRPC method by its path, as for what this client does not know. See docs/raw-calls.md.

        Attempts, hooks, metadata and errors are those of all calls.

        Args:
            path: `/package.Service/Method`.
            message: the request: bytes; a message of generated code, such as `health_pb2.HealthCheckRequest()`; or a
                dict with the request's fields, for a method that the server describes.
            model: sent as metadata (`mm-model-id`), as calls of a model do.
            target: the server, one of the client's targets. Default the first.
            timeout: seconds (or a `timedelta`) for the call; None or `math.inf` for no limit. Default the client's.
            metadata: sent in addition; overrides equal keys.
            idempotent: whether the request may be sent again, by the client's `retries`. Default it is sent once.

        Returns:
            The answer in the request's form: bytes for bytes, a message for a message, a dict for a dict.

        Raises:
            UnsupportedError: the client speaks HTTP, or the method has streams.
            InputError: an argument is wrong, or the message's or dict's method is not known. Nothing was sent.
            OutcomeUnknownError: sent once, it was lost on the way, and the server may have executed it.
            RemoteCallError: the call failed.
        """
        from .raw_requests import Options, call  # here, as few programs make such calls

        return await call(self._finder, path, message, model, Options(target, timeout, metadata, idempotent))

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        params: Mapping[str, Any] | None = None,
        headers: MetadataSource | None = None,
        target: str | None = None,
        timeout: Duration | EllipsisType | None = ...,
        idempotent: bool | None = None,
    ) -> Any:
        """Send an HTTP request, as for what this client does not know. See docs/raw-calls.md.

        Attempts, hooks, metadata and errors are those of all calls. Redirects are errors.

        Args:
            method: `GET`, `HEAD`, `OPTIONS`, `POST`, `PUT`, `PATCH` or `DELETE`.
            path: the path below the target's, such as `/api/v1/task/sample`.
            json: the request's body; pydantic models and other libraries' types are taken as in calls. None sends none.
            params: the query's arguments; lists repeat a name, None leaves it out. Errors and hooks do not show them.
            headers: sent in addition to the client's metadata; override equal names.
            target: the server, one of the client's targets. Default the first.
            timeout: seconds (or a `timedelta`) for the request; None or `math.inf` for no limit. Default the client's.
            idempotent: whether the request may be sent again, by the client's `retries`. Default that of `GET`, `HEAD`
                and `OPTIONS`; others are sent once.

        Returns:
            The values of a JSON answer, the bytes of any other one, and None for an empty one.

        Raises:
            UnsupportedError: the client speaks gRPC.
            InputError: an argument is wrong. Nothing was sent.
            OutcomeUnknownError: sent once, it was lost on the way, and the server may have executed it.
            RemoteCallError: the server answered with another status than 2xx, or the request failed.
        """
        from .raw_requests import Options, is_safe, request

        options = Options(target, timeout, headers, is_safe(method) if idempotent is None else idempotent)
        return await request(self._finder, method, path, json, params, options)
