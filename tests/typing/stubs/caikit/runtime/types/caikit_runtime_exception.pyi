from typing import Any

import grpc

class CaikitRuntimeException(Exception):
    status_code: grpc.StatusCode
    message: str
    metadata: dict[Any, Any]
    id: str

    def __init__(self, status_code: grpc.StatusCode, message: str, metadata: dict[Any, Any] | None = None) -> None: ...
