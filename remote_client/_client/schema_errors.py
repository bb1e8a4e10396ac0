"""The errors that come from refused or stale schemas, made of the errors of calls. Pure."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NoReturn

from .._schema.budget import LateDescriptionError
from .._text.cleaning import clean
from .._transport.http_errors import NO_ROUTE, RUNTIMES_OWN
from ..errors import (
    DeadlineExceededError,
    InvalidArgumentError,
    InvalidResponseError,
    NotFoundError,
    PermissionDeniedError,
    RemoteCallError,
    ResourceExhaustedError,
    ResponseTooLargeError,
    SchemaError,
    SchemaUnavailableError,
    TlsError,
    UnauthenticatedError,
    UnavailableError,
    UnimplementedError,
    UnsupportedError,
)

if TYPE_CHECKING:
    from .._schema.declaration import Declaration
    from ..settings import Protocol

_GIVE_A_SCHEMA = (
    "To call it all the same, give the client a schema: a file that `remote-client schema` wrote "
    "(`RemoteClient(..., schema=FILE)`), a class that `remote-client stubs` wrote, or caikit's own class where "
    "`runtime.library` is its library (docs/schemas.md)"
)
_ASK_ELSEWHERE = (
    "Ask where the runtime can be reached directly: in its pod, or through a port-forward (docs/schemas.md)"
)
_QUOTED = 1000
"""Characters of the server's error that are repeated, so that the advice after it is not cut off."""
_UNCONNECTED = "failed to connect"
"""The first words of the error of a connection that was not made; a forward proxy may have refused it with a status."""
_REFUSALS = (400, 401, 403, 404, 405, 406, 410, 451, 501)
"""The HTTP statuses of gateways that refuse a call."""
_GET_ANEW = "if the runtime was redeployed, its interface may have changed: get the model again"
_GATEWAY = "a gateway may not let the method through"
_ARGUMENTS = re.compile(r"missing \d+ required|unexpected keyword argument")
"""Python's words for a model's method that was called with arguments it does not have. INVALID_ARGUMENT in other words
is the model's own opinion of a value."""
_VALIDATION = 422
"""FastAPI's status for a request that lacks fields of its type."""


class AbsentDescriptionError(SchemaError, UnavailableError):
    """The connection was lost while the server described itself, or a proxy answered that the server is down."""


class ResetDescriptionError(SchemaUnavailableError, AbsentDescriptionError):
    """The stream was reset: by a policy, or by a proxy whose server is down. gRPC cannot tell these apart."""


class UnauthenticatedDescriptionError(SchemaUnavailableError, UnauthenticatedError):
    """The server does not accept the credentials."""


class DeniedDescriptionError(SchemaUnavailableError, PermissionDeniedError):
    """The server does not allow the user to ask for the description."""


class BusyDescriptionError(SchemaUnavailableError, ResourceExhaustedError):
    """The server, or a gateway before it, got too many requests."""


_KINDS: dict[type[RemoteCallError], type[SchemaUnavailableError]] = {
    UnavailableError: ResetDescriptionError,
    UnauthenticatedError: UnauthenticatedDescriptionError,
    PermissionDeniedError: DeniedDescriptionError,
    ResourceExhaustedError: BusyDescriptionError,
}
"""A refusal is never a NotFoundError or an InvalidArgumentError, as it says nothing about a model or its inputs."""


def raise_refusal(error: RemoteCallError, path: str, message: str) -> NoReturn:
    """Raise the error of a server that does not describe itself, or the given error if the server was not reached.

    Args:
        error: the error of the call that asked.
        path: the call's path.
        message: the first words of the message, as in `host:1 does not describe itself`.
    """
    if not _is_answer(error, path):
        raise error
    raise _refusal(error, f"{message}: {clean(str(error), _QUOTED)}") from error


def is_refusal(error: Exception) -> bool:
    """Return whether a server or its gateway refused a question about itself; other calls may work."""
    if isinstance(error, (SchemaUnavailableError, UnsupportedError)):
        return True
    if isinstance(error, RemoteCallError) and error.http_status is not None:
        return error.http_status in _REFUSALS
    return isinstance(error, (InvalidArgumentError, PermissionDeniedError, UnauthenticatedError, UnimplementedError))


@contextmanager
def without_schema_advice() -> Iterator[None]:
    """Let refusals say where to ask instead, for callers who want the description itself and need no schema."""
    try:
        yield
    except SchemaUnavailableError as refusal:
        raise _with_advice(refusal, _ASK_ELSEWHERE) from refusal.error


@contextmanager
def with_class_advice(declaration: Declaration | None, protocol: Protocol) -> Iterator[None]:
    """Let refusals say why the schema that a class has, or could have, is of no use."""
    try:
        yield
    except SchemaUnavailableError as refusal:
        from .._schema.declared.schemas import why_no_schema  # here, as few programs declare classes

        why = "" if declaration is None else why_no_schema(declaration, protocol)
        if not why:
            raise
        raise _with_advice(refusal, f"{why}. {_GIVE_A_SCHEMA}") from refusal.error


def _with_advice(refusal: SchemaUnavailableError, advice: str) -> SchemaUnavailableError:
    advised = copy.copy(refusal)  # a copy, as other callers may get the same error
    advised.args = (clean(f"{refusal.reason}. {advice}"),)
    if isinstance(advised, RemoteCallError):
        advised.details = advised.args[0]
    return advised


def in_short(error: Exception) -> str:
    """Return a refusal as one line for a log."""
    answer = error.error if isinstance(error, SchemaUnavailableError) else error
    return answer.status if isinstance(answer, RemoteCallError) else clean(str(answer), _QUOTED)


def _refusal(error: RemoteCallError, message: str) -> SchemaError:
    if isinstance(error, DeadlineExceededError):
        return LateDescriptionError(message)
    if isinstance(error, (InvalidResponseError, ResponseTooLargeError)):
        return SchemaError(message)
    if isinstance(error, UnavailableError) and not error.reset:
        return _like(error, AbsentDescriptionError(message))
    kind = next((kind for cause, kind in _KINDS.items() if isinstance(error, cause)), SchemaUnavailableError)
    return _like(error, kind(message, error, _GIVE_A_SCHEMA))


def _is_answer(error: RemoteCallError, path: str) -> bool:
    """Return whether a server answered; else none was reached, or the target is wrong."""
    is_ours = error.method == path.removeprefix("/")  # it may be the error of a server that gives out credentials
    if not is_ours or error.shed or isinstance(error, TlsError) or error.details.startswith(_UNCONNECTED):
        return False
    if error.http_status is not None:
        return not 300 <= error.http_status < 400
    is_status = error.status in RUNTIMES_OWN and not isinstance(error, InvalidResponseError)
    return error.reset or is_status or not error.outcome_known


def _like(error: RemoteCallError, made: SchemaError) -> SchemaError:
    """Return a refusal with the attributes of its server's error, if it is the error of a call as well."""
    if isinstance(made, RemoteCallError):
        vars(made).update({**vars(error), "details": made.details})
    return made


def redeployment_hint(error: RemoteCallError) -> str:
    """Return what to do if the error suggests that the server was redeployed with another interface, else ""."""
    if isinstance(error, UnimplementedError):
        return f"{_GET_ANEW}; or {_GATEWAY}"
    return _GET_ANEW if _has_foreign_type(error) else ""


def outdated_schema_hint(error: RemoteCallError, schema: str) -> str:
    """Return what to do if the error suggests that a schema on file is not the server's, else "".

    Args:
        error: the error.
        schema: the schema's name.
    """
    if not (isinstance(error, UnimplementedError) or _has_foreign_type(error) or _is_unknown_method(error)):
        return ""
    # The name of a schema that is no file has a blank.
    command = "client.check_schema(model.config.schema)" if " " in schema else f"remote-client schema --check {schema}"
    hint = f"the method is that of {schema}: `{command}` compares it with the server"
    return f"{hint}; or {_GATEWAY}" if isinstance(error, UnimplementedError) else hint


def _has_foreign_type(error: RemoteCallError) -> bool:
    """Return whether the answer is not of the method's type. One with an HTTP status is not a runtime's at all."""
    return isinstance(error, InvalidResponseError) and error.http_status is None


def _is_unknown_method(error: RemoteCallError) -> bool:
    """Return whether the server has no such route, or a method with other arguments."""
    if isinstance(error, NotFoundError):
        return error.details == NO_ROUTE
    if isinstance(error, InvalidArgumentError):
        return error.http_status == _VALIDATION or _ARGUMENTS.search(error.details) is not None
    return False
