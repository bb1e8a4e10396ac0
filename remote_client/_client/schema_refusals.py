"""The errors of servers that do not describe themselves, by the errors of the calls that asked them. Pure: no I/O."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

from .._schema.budget import LateDescriptionError
from .._schema.declaration import Declaration
from .._schema.declared.no_schema import why_none
from .._text.cleaning import clean
from .._transport.http_errors import RUNTIMES_OWN
from ..errors import (
    DeadlineExceededError,
    InvalidArgumentError,
    InvalidResponseError,
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
from ..settings import Protocol

_WAYS = (
    "To call it all the same, give the client a schema: a file that `remote-client schema` wrote "
    "(`RemoteClient(..., schema=FILE)`), a class that `remote-client stubs` wrote, or caikit's own class where "
    "`runtime.library` is its library (docs/schemas.md)"
)
_DIRECTLY = "Ask where the runtime can be reached directly: in its pod, or through a port-forward (docs/schemas.md)"
_QUOTED = 1000
"""Characters of the server's error that are repeated: room is left for the ways."""
_UNCONNECTED = "failed to connect"
"""How an error begins of a connection that was not made, which a forward proxy may have refused with a status."""
_REFUSALS = (400, 401, 403, 404, 405, 406, 410, 451, 501)
"""HTTP statuses of gateways that do not let a call through."""


class AbsentDescriptionError(SchemaError, UnavailableError):
    """The connection was lost while the server described itself, or a proxy answered that it is away."""


class ResetDescriptionError(SchemaUnavailableError, AbsentDescriptionError):
    """The stream was reset, by a policy or by a proxy whose server is away: gRPC does not tell which."""


class UnauthenticatedDescriptionError(SchemaUnavailableError, UnauthenticatedError):
    """The server wants other credentials."""


class DeniedDescriptionError(SchemaUnavailableError, PermissionDeniedError):
    """The server does not allow these credentials to ask."""


class BusyDescriptionError(SchemaUnavailableError, ResourceExhaustedError):
    """The server, or a gateway before it, was asked too much."""


_KINDS: dict[type[RemoteCallError], type[SchemaUnavailableError]] = {
    UnavailableError: ResetDescriptionError,
    UnauthenticatedError: UnauthenticatedDescriptionError,
    PermissionDeniedError: DeniedDescriptionError,
    ResourceExhaustedError: BusyDescriptionError,
}
"""No refusal is a NotFoundError or an InvalidArgumentError: it says nothing about a model or its inputs."""


def raise_refusal(error: RemoteCallError, path: str, told: str) -> NoReturn:
    """Raise the error of a server that does not describe itself, or the given error if nobody could be asked.

    Args:
        error: the error of the call that asked.
        path: the call's path.
        told: who does not do what, as in `host:1 does not describe itself`.
    """
    if not _is_answer(error, path):
        raise error
    raise _refusal(error, f"{told}: {clean(str(error), _QUOTED)}") from error


def is_refusal(error: Exception) -> bool:
    """Whether a server, or a gateway before it, was asked about itself and does not tell: it may take other calls."""
    if isinstance(error, (SchemaUnavailableError, UnsupportedError)):
        return True
    if isinstance(error, RemoteCallError) and error.http_status is not None:
        return error.http_status in _REFUSALS
    return isinstance(error, (InvalidArgumentError, PermissionDeniedError, UnauthenticatedError, UnimplementedError))


@contextmanager
def asking_only() -> Iterator[None]:
    """Refusals say where to ask instead: what is done inside is for the description alone, which no schema replaces."""
    try:
        yield
    except SchemaUnavailableError as refusal:
        raise _advised(refusal, _DIRECTLY) from refusal.error


@contextmanager
def with_class(declaration: Declaration | None, protocol: Protocol) -> Iterator[None]:
    """Refusals say why the schema that a given class has, or could have, is of no use."""
    try:
        yield
    except SchemaUnavailableError as refusal:
        why = "" if declaration is None else why_none(declaration, protocol)
        if not why:
            raise
        raise _advised(refusal, f"{why}. {_WAYS}") from refusal.error


def _advised(refusal: SchemaUnavailableError, advice: str) -> SchemaUnavailableError:
    """Return a refusal with other words in place of the ways."""
    told = copy.copy(refusal)  # others may wait for the same one
    told.args = (clean(f"{str(refusal).removesuffix(_WAYS)}{advice}"),)
    if isinstance(told, RemoteCallError):
        told.details = told.args[0]
    return told


def in_short(error: Exception) -> str:
    """What a server answered that refuses to tell, for a line of a log."""
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
    return _like(error, kind(f"{message}. {_WAYS}", error))


def _is_answer(error: RemoteCallError, path: str) -> bool:
    """Whether it is the server that does not tell; else it was not reached, or the target is another one."""
    is_ours = error.method == path.removeprefix("/")  # credentials are asked for on the way
    if not is_ours or error.shed or isinstance(error, TlsError) or error.details.startswith(_UNCONNECTED):
        return False
    if error.http_status is not None:
        return not 300 <= error.http_status < 400
    is_status = error.status in RUNTIMES_OWN and not isinstance(error, InvalidResponseError)
    return error.reset or is_status or not error.outcome_known


def _like(error: RemoteCallError, made: SchemaError) -> SchemaError:
    """Return a refusal with what its server's error tells, where it is the error of a call, too."""
    if isinstance(made, RemoteCallError):
        vars(made).update({**vars(error), "details": made.details})
    return made
