"""The exceptions of this package.

All derive from `RemoteClientError`. A call that fails on the way or on the server raises a `RemoteCallError`: a class
for every gRPC status (https://grpc.github.io/grpc/core/md_doc_statuscodes.html). Other errors are raised before
anything is sent.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeVar

from ._text.cleaning import clean, clean_lines, type_name
from ._text.redaction import causes
from ._text.tables import table

if TYPE_CHECKING:
    import grpc

__all__ = [
    "AbortedError",
    "AlreadyExistsError",
    "CallCancelledError",
    "ClosedError",
    "ConfigurationError",
    "DataLossError",
    "DeadlineExceededError",
    "FailedPreconditionError",
    "ForkedError",
    "InputError",
    "InternalError",
    "InvalidArgumentError",
    "InvalidResponseError",
    "JobCancelledError",
    "JobError",
    "JobFailedError",
    "MiddlewareError",
    "ModelNotFoundError",
    "NotFoundError",
    "OutOfRangeError",
    "OutcomeUnknownError",
    "PermissionDeniedError",
    "PicklingError",
    "RemoteCallError",
    "RemoteClientError",
    "ResourceExhaustedError",
    "ResponseTooLargeError",
    "SchemaError",
    "SchemaUnavailableError",
    "StreamTruncatedError",
    "TlsError",
    "UnauthenticatedError",
    "UnavailableError",
    "UnimplementedError",
    "UnknownError",
    "UnsupportedError",
    "WrongLoopError",
]

_CAUSES, _NO_CONTEXT = "__causes__", "__suppress_context__"
"""Keys of pickled states."""


class RemoteClientError(Exception):
    """The base of all exceptions of this package. Pickles keep its attributes and its causes."""

    def __reduce__(self) -> Any:
        causes = tuple(map(_pickled_cause, _causes_of(self)))
        state = {**vars(self), _CAUSES: causes, _NO_CONTEXT: self.__suppress_context__}
        return _new_error, (type(self), self.args), state

    def __copy__(self) -> Self:
        copy = _new_error(type(self), self.args)
        vars(copy).update(vars(self))
        copy.__cause__, copy.__suppress_context__ = self.__cause__, self.__suppress_context__
        return copy

    def __setstate__(self, state: Any) -> None:
        state = dict(state)
        error: BaseException = self
        for cause in state.pop(_CAUSES, ()):
            error.__cause__ = _unpickled_cause(cause)
            error = error.__cause__
        super().__setstate__(state)

    def _repr_html_(self) -> str:
        return table(type(self).__name__, [("message", str(self))])


class ConfigurationError(RemoteClientError, ValueError):
    """A setting, target or certificate is wrong. Raised at construction, before any connection is opened."""


class InputError(RemoteClientError, TypeError, ValueError):
    """An argument does not fit the method's signature. The message names the field's path.

    Nothing was sent. Only items of streamed inputs are checked during the call: one that does not fit cancels it.
    """


class MiddlewareError(RemoteClientError, TypeError):
    """Middleware broke its contract: it returned another answer than that of `proceed`, or called it twice.

    Also raised in place of a CancelledError or StopAsyncIteration of the middleware's own, which would end the caller's
    task or loop as if nothing had failed.
    """


class UnsupportedError(RemoteClientError):
    """The protocol or the runtime does not support this. The message names the one that does."""


class PicklingError(RemoteClientError, pickle.PicklingError, TypeError):
    """An object cannot be pickled, as it holds credentials or is in use. The message says what to pickle instead."""


class ClosedError(RemoteClientError, RuntimeError):
    """The client, finder or module is closed, or a stream ended before it was complete."""


class WrongLoopError(RemoteClientError, RuntimeError):
    """A client was used in a second event loop, or its loop has ended. Create one client per loop."""


class ForkedError(RemoteClientError, RuntimeError):
    """The client was in use when the process forked. Create a new one in the child.

    With `engine="grpcio"` no client works in the child of a process that used gRPC: start workers with `spawn`.
    """


class JobError(RemoteClientError):
    """A job ended without a result.

    Attributes:
        id: the job's id.
        reasons: the server's reasons. A traceback keeps its line breaks, also in `str()`; log the `repr()` to have one
            line.
    """

    def __init__(self, kind: str, id: str, reasons: tuple[str, ...] = ()) -> None:
        self.id = id
        self.reasons: tuple[str, ...] = tuple(map(clean_lines, reasons))
        separator = "\n" if any("\n" in reason for reason in self.reasons) else "; "
        details = f": {separator.join(self.reasons)}" if self.reasons else ""
        super().__init__(f"{kind} {clean(id)!r} {self._ended}{details}")

    _ended: ClassVar[str] = "ended"

    def _repr_html_(self) -> str:
        return table(
            type(self).__name__, [("id", self.id), ("ended", self._ended), ("reasons", "\n".join(self.reasons))]
        )


class JobFailedError(JobError):
    """A job failed. `reasons` has the server's reasons."""

    _ended = "failed"


class JobCancelledError(JobError):
    """A job was cancelled."""

    _ended = "was cancelled"


class SchemaError(RemoteClientError):
    """A description of services, the server's or a file, cannot be used or exceeds a limit."""

    def __init__(self, message: str) -> None:
        super().__init__(clean(message))  # quotes the server

    def __str__(self) -> str:
        return str(self.args[0])  # also of subclasses that are call errors, which have no `details`


class SchemaUnavailableError(SchemaError):
    """The server or its gateway refuses to describe its services. Calls may work with a schema: docs/schemas.md.

    The error is also an `UnauthenticatedError` or a `PermissionDeniedError` if the client lacks credentials, a
    `ResourceExhaustedError` after too many requests, and an `UnavailableError` after a reset stream (RST_STREAM).

    Attributes:
        error: the server's error; also the `__cause__`.
        reason: the message without the advice at its end.
    """

    error: RemoteCallError
    __cause__: BaseException | None

    def __init__(self, reason: str, error: RemoteCallError | None = None, advice: str = "") -> None:
        super().__init__(f"{reason}. {advice}" if advice else reason)
        self.reason = reason
        if error is not None:
            self.error = self.__cause__ = error

    @property
    def code(self) -> grpc.StatusCode:
        """The gRPC status of the server's error, on both protocols."""
        return self.error.code

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        if "error" in vars(self):
            self.__cause__ = self.error  # one object, as before pickling


class RemoteCallError(RemoteClientError):
    """A call failed. `str()` has the status, the server's details, the method, the target and the attempt.

    Attributes:
        code: the `grpc.StatusCode`.
        details: the server's message, without control characters and cut to 4096 characters.
        method: the full name of the method, `package.Service/Method`; over HTTP the verb and the route.
        target: the server, `host:port` or `unix:path`.
        model: the model's name; None if the call named none.
        http_status: the HTTP status; over gRPC None, unless a proxy answered without gRPC.
        error_id: caikit's id of the error, for its logs; None if the server sent none.
        additional_info: caikit's additional information; None if the server sent none.
        outcome_known: whether the runtime answered the call, or never got it; if False, it may have been executed.
        pushback: the server's delay before a retry, in seconds; negative if it forbids one, None if it sent none.
        shed: whether an overloaded server dropped the call (a CANCELLED without details that the client did not cause).
        reset: whether the server, or a proxy before it, reset the stream of the call (RST_STREAM).
        previous: the errors of the earlier attempts, in order.
        metadata: the answer's initial metadata, or its headers, without secrets of the call; empty without an answer.
        trailing_metadata: the answer's trailing metadata, which HTTP does not have.
        request_id: the call's id, which all attempts sent as `x-request-id`; None if nothing was to be sent.
        attempts: the number of attempts; 0 if nothing was to be sent.
        seconds: the duration of the call, with all attempts and pauses; None if nothing was to be sent.
    """

    status: ClassVar[str] = "UNKNOWN"
    outcome_known: bool = False
    pushback: float | None = None
    shed: bool = False
    reset: bool = False
    previous: tuple[RemoteCallError, ...] = ()
    metadata: Mapping[str, str | bytes] = MappingProxyType({})
    trailing_metadata: Mapping[str, str | bytes] = MappingProxyType({})
    request_id: str | None = None
    attempts: int = 0
    seconds: float | None = None

    def __init__(
        self,
        details: str,
        *,
        method: str | None = None,
        target: str | None = None,
        model: str | None = None,
        http_status: int | None = None,
        error_id: str | None = None,
        additional_info: Any = None,
    ) -> None:
        self.details: str = clean(details)
        super().__init__(self.details)
        self.method: str | None = method
        self.target: str | None = target
        self.model: str | None = model
        self.http_status: int | None = http_status
        self.error_id: str | None = error_id
        self.additional_info: Any = additional_info

    @property
    def code(self) -> grpc.StatusCode:
        """The gRPC status, on both protocols."""
        import grpc  # here, so that importing this package does not load it

        return grpc.StatusCode[self.status]

    def __str__(self) -> str:
        where = [self._http_words, self.method and f"in {self.method}", self.target and f"at {self.target}"]
        where.append(self.model and f"for model {clean(self.model)!r}")
        where.append(f"in attempt {len(self.previous) + 1}" if self.previous else None)
        place = " ".join(part for part in where if part)
        return f"{self.status}: {self.details or 'the server gave no details'}" + (f" ({place})" if place else "")

    def _repr_html_(self) -> str:
        rows = [("status", self.status), ("details", self.details or str(self)), *self._circumstances()]
        return table(type(self).__name__, rows)

    def _circumstances(self) -> Iterator[tuple[str, Any]]:
        """Yield what is known about the call."""
        for name in ("method", "model", "target", "http_status", "error_id", "request_id", "additional_info"):
            if (value := getattr(self, name)) is not None:
                yield name, value
        if self.attempts:
            yield "attempts", self.attempts
        if self.seconds is not None:
            yield "seconds", round(self.seconds, 3)

    @property
    def _http_words(self) -> str | None:
        words = f"HTTP status {self.http_status}"
        return None if self.http_status is None or words in self.details else words


class CallCancelledError(RemoteCallError):
    """CANCELLED: the server cancelled the call. A cancelled task raises `asyncio.CancelledError` instead."""

    status = "CANCELLED"


class UnknownError(RemoteCallError):
    """UNKNOWN: the server does not say why, or answered with an HTTP status that no other class has."""


class InvalidArgumentError(RemoteCallError):
    """INVALID_ARGUMENT: an input is missing, or the model raised a ValueError or TypeError (in caikit)."""

    status = "INVALID_ARGUMENT"


class DeadlineExceededError(RemoteCallError, TimeoutError):
    """DEADLINE_EXCEEDED: the call took longer than its `timeout`. Also a `TimeoutError`."""

    status = "DEADLINE_EXCEEDED"


class NotFoundError(RemoteCallError):
    """NOT_FOUND: the runtime does not have the model (in caikit)."""

    status = "NOT_FOUND"


class ModelNotFoundError(NotFoundError):
    """No server lists the model."""


class AlreadyExistsError(RemoteCallError):
    """ALREADY_EXISTS: the runtime has a model of that name."""

    status = "ALREADY_EXISTS"


class PermissionDeniedError(RemoteCallError):
    """PERMISSION_DENIED: the credentials do not suffice."""

    status = "PERMISSION_DENIED"


class ResourceExhaustedError(RemoteCallError):
    """RESOURCE_EXHAUSTED: the runtime is overloaded, or a message is too large for it."""

    status = "RESOURCE_EXHAUSTED"


class ResponseTooLargeError(ResourceExhaustedError):
    """An answer exceeds the client's limit: 64 MiB after decompression, unless `max_response_size` is set."""


class FailedPreconditionError(RemoteCallError):
    """FAILED_PRECONDITION: the server is not in the state that the call needs."""

    status = "FAILED_PRECONDITION"


class AbortedError(RemoteCallError):
    """ABORTED: the server gave the call up, as in a conflict with another one."""

    status = "ABORTED"


class OutOfRangeError(RemoteCallError):
    """OUT_OF_RANGE: an input is outside of its range."""

    status = "OUT_OF_RANGE"


class UnimplementedError(RemoteCallError):
    """UNIMPLEMENTED: the runtime does not have the method."""

    status = "UNIMPLEMENTED"


class InternalError(RemoteCallError):
    """INTERNAL: the model raised another error, or the runtime cannot decode the request (in caikit)."""

    status = "INTERNAL"


class InvalidResponseError(InternalError):
    """An answer does not have its declared type. The message names the field's path."""


class UnavailableError(RemoteCallError):
    """UNAVAILABLE: the connection failed or was lost."""

    status = "UNAVAILABLE"


class TlsError(RemoteCallError):
    """The TLS handshake failed: wrong authority, host name or certificate. UNAVAILABLE in gRPC, but never retried."""

    status = "UNAVAILABLE"


class StreamTruncatedError(UnavailableError):
    """A lost connection or a proxy ended a stream early: answers may be missing."""


class OutcomeUnknownError(RemoteCallError):
    """The connection was lost during a call that is sent only once: the server may have executed it or not.

    Attributes:
        model_name: the model that the call trains, deploys or undeploys; None for a prediction job. If the server lists
            the model, a training or deployment was executed.
    """

    model_name: str | None = None


class DataLossError(RemoteCallError):
    """DATA_LOSS: data are lost or damaged."""

    status = "DATA_LOSS"


class UnauthenticatedError(RemoteCallError):
    """UNAUTHENTICATED: credentials are missing or wrong."""

    status = "UNAUTHENTICATED"


E = TypeVar("E", bound=BaseException)


def _new_error(kind: type[E], args: tuple[Any, ...]) -> E:
    """Return an exception without calling `__init__`, whose arguments may differ from `args`."""
    error = kind.__new__(kind, *args)
    error.args = args
    return error


def _causes_of(error: BaseException) -> Iterator[BaseException]:
    """Yield the cause of an error, the cause of that, and so on, until one repeats."""
    seen = {id(error)}
    for cause in causes(error.__cause__):
        if id(cause) in seen:
            return
        seen.add(id(cause))
        yield cause


def _pickled_cause(cause: BaseException) -> Any:
    """Return the parts of an error of ours without its own causes, which are pickled next; any other error as it is.

    An error that cannot be unpickled would break the process pool that returns it: its text replaces it.
    """
    parts = (type(cause), cause.args, dict(vars(cause))) if isinstance(cause, RemoteClientError) else cause
    try:
        pickle.loads(pickle.dumps(parts))  # noqa: S301 - pickled here
    except Exception:
        return RemoteClientError, (clean(f"{type_name(cause)}: {cause}"),), {}
    return parts


def _unpickled_cause(parts: Any) -> BaseException:
    if isinstance(parts, BaseException):
        return parts
    kind, args, attributes = parts
    error: BaseException = _new_error(kind, args)
    vars(error).update(attributes)
    return error
