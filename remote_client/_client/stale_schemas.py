"""What errors of calls tell of the interface that a method was made for: it may be another than the server's. Pure."""

from __future__ import annotations

import re

from .._transport.http_errors import NO_ROUTE
from ..errors import InvalidArgumentError, InvalidResponseError, NotFoundError, RemoteCallError, UnimplementedError

_ANEW = "if the runtime was deployed anew, its interface is another: get the model anew"
_GATEWAY = "a gateway may not let the method through"
_ARGUMENTS = re.compile(r"missing \d+ required|unexpected keyword argument")
"""Python's words where a model's method is called with other arguments than it has. Other words of INVALID_ARGUMENT are
the model's own about a value."""
_VALIDATION = 422
"""FastAPI's status for a request that does not have the fields of its types."""


def redeployed(error: RemoteCallError) -> str:
    """Return what to do where an error suggests that the server has another interface than it told; else nothing."""
    if isinstance(error, UnimplementedError):
        return f"{_ANEW}; or {_GATEWAY}"
    return _ANEW if _is_foreign(error) else ""


def outdated(error: RemoteCallError, schema: str) -> str:
    """Return what to do where an error suggests that the server has another interface than a schema on file; else
    nothing.

    Args:
        error: the error.
        schema: the schema's name.
    """
    if not (isinstance(error, UnimplementedError) or _is_foreign(error) or _is_misfit(error)):
        return ""
    # Names of schemas that are no files have blanks.
    command = "client.check_schema(model.config.schema)" if " " in schema else f"remote-client schema --check {schema}"
    told = f"the method is that of {schema}: `{command}` compares it with the server"
    return f"{told}; or {_GATEWAY}" if isinstance(error, UnimplementedError) else told


def _is_foreign(error: RemoteCallError) -> bool:
    """Whether an answer does not have the method's type. With an HTTP status it is no answer of a runtime at all."""
    return isinstance(error, InvalidResponseError) and error.http_status is None


def _is_misfit(error: RemoteCallError) -> bool:
    """Whether the server knows no such route, or a method of other arguments."""
    if isinstance(error, NotFoundError):
        return error.details == NO_ROUTE
    if isinstance(error, InvalidArgumentError):
        return error.http_status == _VALIDATION or _ARGUMENTS.search(error.details) is not None
    return False
