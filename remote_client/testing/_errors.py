"""The statuses of what bodies raise, over gRPC and HTTP, as a caikit runtime answers."""

from __future__ import annotations

import json
import uuid
from typing import Any

from ..errors import RemoteCallError

HTTP_STATUSES = {
    "CANCELLED": 499,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    # caikit has 501. A gateway's 503 lets clients tell it from UNIMPLEMENTED, and retry.
    "UNAVAILABLE": 503,
    "UNAUTHENTICATED": 401,
}
"""The name of a gRPC status -> HTTP's; 500 for the others."""


def status_of(error: BaseException) -> tuple[str, str]:
    """Return the name of the gRPC status and the details of an error that a body raised."""
    if isinstance(error, RemoteCallError):
        return error.status, error.details
    if isinstance(error, NotImplementedError) and not str(error):
        return "INTERNAL", "the declared method has no body: give the class that the fake runtime serves one"
    return "INVALID_ARGUMENT" if isinstance(error, (TypeError, ValueError)) else "INTERNAL", str(error)


def http_status_of(error: BaseException) -> int:
    """Return the HTTP status of an error that a body raised."""
    given = error.http_status if isinstance(error, RemoteCallError) else None
    return given or HTTP_STATUSES.get(status_of(error)[0], 500)


def error_body(error: BaseException) -> bytes:
    """Return caikit's JSON of an error."""
    content: dict[str, Any] = {"details": status_of(error)[1], "code": http_status_of(error), "id": uuid.uuid4().hex}
    if isinstance(error, RemoteCallError):
        content["id"] = error.error_id or content["id"]
        if error.additional_info is not None:
            content["additional_info"] = error.additional_info
    return json.dumps(content).encode()
