"""Every exception this package raises, and the gRPC status or HTTP status each call error stands for.

All of them are `RemoteClientError`s. A call that failed on the way or on the server is a `RemoteCallError`, with one
class per gRPC status (https://grpc.github.io/grpc/core/md_doc_statuscodes.html); everything else is raised before
anything was sent.
"""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Self

from ._text.cleaning import clean, clean_lines, type_name
from ._text.redaction import causes
from ._text.tables import table

if TYPE_CHECKING:
    import grpc

_CAUSES, _NO_CONTEXT = "__causes__", "__suppress_context__"


def _remake(kind: type[BaseException], args: tuple[Any, ...]) -> BaseException:
    """An unpickled exception, without calling `__init__`: that may have other arguments."""
    error = kind.__new__(kind, *args)
    error.args = args
    return error


def _causes_of(error: BaseException) -> Iterator[BaseException]:
    """What caused an error, what caused that, and so on, each once."""
    seen = [error]
    for cause in causes(error.__cause__):
        if any(cause is each for each in seen):
            return
        seen.append(cause)
        yield cause


def _parts(cause: BaseException) -> Any:
    """A cause as it is pickled: one of ours in parts, so that it does not bring its own causes a second time.

    One that cannot be unpickled would break the pool of processes that the error travels in: it is told in words.
    """
    parts = (type(cause), cause.args, dict(vars(cause))) if isinstance(cause, RemoteClientError) else cause
    try:
        pickle.loads(pickle.dumps(parts))  # noqa: S301 - what was dumped in this moment
    except Exception:
        return RemoteClientError, (clean(f"{type_name(cause)}: {cause}"),), {}
    return parts


def _whole(parts: Any) -> BaseException:
    if isinstance(parts, BaseException):
        return parts
    kind, args, attributes = parts
    error = _remake(kind, args)
    vars(error).update(attributes)
    return error


class RemoteClientError(Exception):
    """The base of all exceptions of this package. They can be pickled, with what caused them."""

    def __reduce__(self) -> Any:
        state = {**vars(self), _CAUSES: tuple(map(_parts, _causes_of(self))), _NO_CONTEXT: self.__suppress_context__}
        return _remake, (type(self), self.args), state

    def __copy__(self) -> Self:
        made: Any = _remake(type(self), self.args)
        vars(made).update(vars(self))
        made.__cause__, made.__suppress_context__ = self.__cause__, self.__suppress_context__
        return made  # type: ignore[no-any-return]

    def __setstate__(self, state: Any) -> None:
        state = dict(state)
        error: BaseException = self
        for cause in state.pop(_CAUSES, ()):
            error.__cause__ = _whole(cause)
            error = error.__cause__
        super().__setstate__(state)

    def _repr_html_(self) -> str:
        return table(type(self).__name__, [("message", str(self))])


class ConfigurationError(RemoteClientError, ValueError):
    """A setting, target or certificate is wrong. Raised at construction; nothing was dialled."""


class InputError(RemoteClientError, TypeError, ValueError):
    """An argument does not fit the method's signature. The message names the field's path.

    Nothing was sent, except for an item of an iterator or async iterable: it is read while the call runs, and an
    item that does not fit cancels the call.
    """


class UnsupportedError(RemoteClientError):
    """The protocol or the runtime at hand cannot do this; the message says which can."""


class PicklingError(RemoteClientError, pickle.PicklingError, TypeError):
    """An object cannot go to another process, as it holds credentials or is in use here. The message names the way."""


class ClosedError(RemoteClientError, RuntimeError):
    """The client, finder or module was closed, or a stream ended before it was complete."""


STREAM_CLOSED = "the stream was closed"
"""What a ClosedError tells who was reading a stream when it was closed."""


def lost(error: BaseException) -> str:
    """Return what a ClosedError says of reads after the one that an error, a timeout, a cancel or Ctrl-C ended."""
    if isinstance(error, ClosedError):
        return str(error)
    if isinstance(error, Exception):
        return f"the stream ended with a {type(error).__name__}, which an earlier read raised: what was left is lost"
    return "a read of this stream was broken off, and its call with it: what was left is lost"


class WrongLoopError(RemoteClientError, RuntimeError):
    """A client was used in another event loop than its first, or in one that has ended: make one client per loop."""


class ForkedError(RemoteClientError, RuntimeError):
    """The client was in use when the process forked: make a new one in the child.

    With `engine="grpcio"` no client works in a child of a process that used gRPC: start workers with `spawn`.
    """


class JobError(RemoteClientError):
    """A job ended without a result.

    Attributes:
        id: the job's id.
        reasons: what the server says about it, with its lines: a traceback has several, here and in `str()`. Log the
            `repr()` where a line of the log must be one event.
    """

    def __init__(self, kind: str, id: str, reasons: tuple[str, ...] = ()) -> None:
        self.id = id
        self.reasons = tuple(map(clean_lines, reasons))
        between = "\n" if any("\n" in each for each in self.reasons) else "; "
        told = f": {between.join(self.reasons)}" if self.reasons else ""
        super().__init__(f"{kind} {clean(id)!r} {self._ended}{told}")

    _ended: ClassVar[str] = "ended"


class JobFailedError(JobError):
    """A job failed; `reasons` tell why."""

    _ended = "failed"


class JobCancelledError(JobError):
    """A job was cancelled."""

    _ended = "was cancelled"


class SchemaError(RemoteClientError):
    """The server's description of its services cannot be used, or exceeds a limit."""

    def __init__(self, message: str) -> None:
        super().__init__(clean(message))  # it quotes the server

    def __str__(self) -> str:
        return str(self.args[0])  # of those that are a call's errors, too


class SchemaUnavailableError(SchemaError):
    """The server, or a gateway before it, refuses to describe itself. Calls may pass: docs/schemas.md lists the ways.

    If the client lacks credentials, the error is also an `UnauthenticatedError` or a `PermissionDeniedError`; after too
    many requests, a `ResourceExhaustedError`; after a reset stream (RST_STREAM) that may pass, an `UnavailableError`.

    Attributes:
        error: the server's own error; also the `__cause__`.
    """

    error: RemoteCallError

    def __init__(self, message: str, error: RemoteCallError | None = None) -> None:
        super().__init__(message)
        if error is not None:
            self.error = self.__cause__ = error

    @property
    def code(self) -> grpc.StatusCode:
        """The status of the server's error as gRPC's enum, whatever the protocol."""
        return self.error.code

    def __setstate__(self, state: Any) -> None:
        super().__setstate__(state)
        if "error" in vars(self):
            self.__cause__ = self.error  # one object, as before


class RemoteCallError(RemoteClientError):
    """A call failed. `str()` tells the status, the server's words, and where it happened.

    Attributes:
        code: the `grpc.StatusCode`.
        details: the server's words, control characters removed and length capped.
        method: full name of the remote method, `package.Service/Method`.
        target: the server, `host:port` or `unix:path`.
        model: the model's name, or None where the call named none.
        http_status: the HTTP status; None over gRPC, unless it was a proxy that answered, without gRPC.
        error_id: caikit's id of the error, for its logs; None where the server sent none.
        additional_info: what the server added to the error; None where it sent nothing.
        outcome_known: whether it is certain that the call did nothing: the server refused it, or it was never sent.
        pushback: seconds after which the server wants to be asked again; below 0 never, None where it did not say.
        shed: whether an overloaded server dropped the call (a bare CANCELLED that nobody here asked for).
        reset: whether the server, or a proxy before it, reset the call's stream (RST_STREAM).
        previous: the errors of the attempts before this one, in order.
    """

    status: ClassVar[str] = "UNKNOWN"
    outcome_known: bool = False
    pushback: float | None = None
    shed: bool = False
    reset: bool = False
    previous: tuple[RemoteCallError, ...] = ()

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
        self.details = clean(details)
        super().__init__(self.details)
        self.method = method
        self.target = target
        self.model = model
        self.http_status = http_status
        self.error_id = error_id
        self.additional_info = additional_info

    @property
    def code(self) -> grpc.StatusCode:
        """The status as gRPC's enum, whatever the protocol of the call."""
        import grpc  # here, because importing this package must not load grpc

        return grpc.StatusCode[self.status]

    def __str__(self) -> str:
        where = [self._http_words, self.method and f"in {self.method}", self.target and f"at {self.target}"]
        where.append(self.model and f"for model {clean(self.model)!r}")
        where.append(f"in attempt {len(self.previous) + 1}" if self.previous else None)
        told = " ".join(part for part in where if part)
        return f"{self.status}: {self.details or 'the server gave no details'}" + (f" ({told})" if told else "")

    @property
    def _http_words(self) -> str | None:
        words = f"HTTP status {self.http_status}"
        return None if self.http_status is None or words in self.details else words


class CallCancelledError(RemoteCallError):
    """CANCELLED: the server gave the call up. A cancelled task raises `asyncio.CancelledError` instead."""

    status = "CANCELLED"


class UnknownError(RemoteCallError):
    """UNKNOWN."""


class InvalidArgumentError(RemoteCallError):
    """INVALID_ARGUMENT: caikit's answer to a missing input, and to a model's ValueError or TypeError."""

    status = "INVALID_ARGUMENT"


class DeadlineExceededError(RemoteCallError, TimeoutError):
    """DEADLINE_EXCEEDED: the call's `timeout` passed. It is a `TimeoutError` too."""

    status = "DEADLINE_EXCEEDED"


class NotFoundError(RemoteCallError):
    """NOT_FOUND: caikit's answer to an unknown model."""

    status = "NOT_FOUND"


class ModelNotFoundError(NotFoundError):
    """No server lists the model that was asked for."""


class AlreadyExistsError(RemoteCallError):
    """ALREADY_EXISTS."""

    status = "ALREADY_EXISTS"


class PermissionDeniedError(RemoteCallError):
    """PERMISSION_DENIED."""

    status = "PERMISSION_DENIED"


class ResourceExhaustedError(RemoteCallError):
    """RESOURCE_EXHAUSTED: the runtime is overloaded, or a message was too large for it."""

    status = "RESOURCE_EXHAUSTED"


class ResponseTooLargeError(ResourceExhaustedError):
    """An answer was larger than this client accepts (64 MiB, decompressed, unless configured)."""


class FailedPreconditionError(RemoteCallError):
    """FAILED_PRECONDITION."""

    status = "FAILED_PRECONDITION"


class AbortedError(RemoteCallError):
    """ABORTED."""

    status = "ABORTED"


class OutOfRangeError(RemoteCallError):
    """OUT_OF_RANGE."""

    status = "OUT_OF_RANGE"


class UnimplementedError(RemoteCallError):
    """UNIMPLEMENTED: the runtime does not know the method."""

    status = "UNIMPLEMENTED"


class InternalError(RemoteCallError):
    """INTERNAL: caikit's answer to any other error of a model, and to a request it cannot decode."""

    status = "INTERNAL"


class InvalidResponseError(InternalError):
    """The answer does not have the declared type; the message names the path."""


class UnavailableError(RemoteCallError):
    """UNAVAILABLE: no connection, or it was lost."""

    status = "UNAVAILABLE"


class TlsError(RemoteCallError):
    """The TLS handshake failed: wrong authority, host name or certificate. gRPC calls it UNAVAILABLE; it stays."""

    status = "UNAVAILABLE"


class StreamTruncatedError(UnavailableError):
    """A stream was cut, by a lost connection or a proxy that ended it: more answers may have been on their way."""


class OutcomeUnknownError(RemoteCallError):
    """A call that must be sent only once was lost on the way: the server may have done what it was asked, or not.

    Its `__cause__` is what went wrong. `model_name` is the model that is trained, deployed or undeployed, None for a
    prediction job: whether the server lists it tells what became of the call.
    """

    model_name: str | None = None


class DataLossError(RemoteCallError):
    """DATA_LOSS."""

    status = "DATA_LOSS"


class UnauthenticatedError(RemoteCallError):
    """UNAUTHENTICATED: credentials are missing or wrong."""

    status = "UNAUTHENTICATED"


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


def error_class(status: str) -> type[RemoteCallError]:
    """The exception class of a gRPC status, by the status's name; `UnknownError` for one gRPC does not define."""
    return _BY_STATUS.get(status, UnknownError)


_BY_HTTP_STATUS: dict[int, type[RemoteCallError]] = {
    # caikit 0.29 (`caikit.runtime.names.STATUS_CODE_TO_HTTP`) has several codes for a status: the most general counts.
    400: InvalidArgumentError,
    401: UnauthenticatedError,
    403: PermissionDeniedError,
    404: NotFoundError,
    405: UnimplementedError,
    408: DeadlineExceededError,
    409: AlreadyExistsError,
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
    """The exception class of an HTTP status; `UnknownError` for one that caikit does not send."""
    return _BY_HTTP_STATUS.get(status, UnknownError)
