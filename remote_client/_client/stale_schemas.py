"""Errors of calls that suggest that the server's interface is not the one a method was made for. Pure."""

from __future__ import annotations

import re

from .._transport.http_errors import NO_ROUTE
from ..errors import InvalidArgumentError, InvalidResponseError, NotFoundError, RemoteCallError, UnimplementedError

_GET_ANEW = "if the runtime was redeployed, its interface may have changed: get the model again"
_GATEWAY = "a gateway may not let the method through"
_ARGUMENTS = re.compile(r"missing \d+ required|unexpected keyword argument")
"""Python's words for a model's method that was called with arguments it does not have. INVALID_ARGUMENT in other words
is the model's own opinion of a value."""
_VALIDATION = 422
"""FastAPI's status for a request that lacks fields of its type."""


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
