"""The exception class of a gRPC status and of an HTTP status."""

from __future__ import annotations

from ..errors import (
    AbortedError,
    AlreadyExistsError,
    CallCancelledError,
    DataLossError,
    DeadlineExceededError,
    FailedPreconditionError,
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    OutOfRangeError,
    PermissionDeniedError,
    RemoteCallError,
    ResourceExhaustedError,
    UnauthenticatedError,
    UnavailableError,
    UnimplementedError,
    UnknownError,
)

_BY_STATUS: dict[str, type[RemoteCallError]] = {
    kind.status: kind
    for kind in (
        CallCancelledError,
        UnknownError,
        InvalidArgumentError,
        DeadlineExceededError,
        NotFoundError,
        AlreadyExistsError,
        PermissionDeniedError,
        ResourceExhaustedError,
        FailedPreconditionError,
        AbortedError,
        OutOfRangeError,
        UnimplementedError,
        InternalError,
        UnavailableError,
        DataLossError,
        UnauthenticatedError,
    )
}


CODES = ("OK", *_BY_STATUS)
"""The names of gRPC's statuses by number."""


def error_class(status: str) -> type[RemoteCallError]:
    """Return the exception class of a gRPC status by its name, or `UnknownError` for an undefined one."""
    return _BY_STATUS.get(status, UnknownError)


_BY_HTTP_STATUS: dict[int, type[RemoteCallError]] = {
    # If caikit 0.29 (`caikit.runtime.names.STATUS_CODE_TO_HTTP`) maps several codes to a status, the most general one.
    400: InvalidArgumentError,
    401: UnauthenticatedError,
    403: PermissionDeniedError,
    404: NotFoundError,
    405: UnimplementedError,
    408: DeadlineExceededError,
    409: AlreadyExistsError,
    412: FailedPreconditionError,  # not caikit's, but `remote_client.testing.replay`'s
    413: ResourceExhaustedError,
    415: InvalidArgumentError,
    422: InvalidArgumentError,
    429: ResourceExhaustedError,
    499: CallCancelledError,
    500: InternalError,
    501: UnimplementedError,
    502: UnavailableError,
    503: UnavailableError,
    504: DeadlineExceededError,
}


def http_error_class(status: int) -> type[RemoteCallError]:
    """Return the exception class of an HTTP status, or `UnknownError` for one that says no more."""
    return _BY_HTTP_STATUS.get(status, UnknownError)
