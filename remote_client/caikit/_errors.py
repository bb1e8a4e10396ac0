"""This client's errors as caikit's: an exception with a status that its servers pass on."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
from caikit.runtime.types.caikit_runtime_exception import CaikitRuntimeException

from ..errors import ClosedError, RemoteCallError, RemoteClientError, UnsupportedError


def runtime_exception(error: RemoteClientError) -> CaikitRuntimeException:
    """Return caikit's exception for an error of this client.

    Its message is the server's own, and `metadata`, which caikit logs, says where the call failed.
    """
    if isinstance(error, RemoteCallError):
        where: dict[str, Any] = {"method": error.method, "target": error.target, "remote_error_id": error.error_id}
        known = {name: value for name, value in where.items() if value is not None}
        return CaikitRuntimeException(error.code, error.details or str(error), known)
    if isinstance(error, ClosedError):
        return CaikitRuntimeException(grpc.StatusCode.CANCELLED, str(error))
    if isinstance(error, UnsupportedError):
        return CaikitRuntimeException(grpc.StatusCode.UNIMPLEMENTED, str(error))
    return CaikitRuntimeException(grpc.StatusCode.INTERNAL, str(error))


@contextmanager
def as_runtime_exceptions() -> Iterator[None]:
    """Raise caikit's exceptions instead of this client's, which become their causes.

    An `InputError` stays: it is a `TypeError` and a `ValueError`, which caikit's servers answer as INVALID_ARGUMENT.
    """
    try:
        yield
    except (TypeError, ValueError):  # a wrong argument or setting, as caikit's own
        raise
    except RemoteClientError as error:
        raise runtime_exception(error) from error
