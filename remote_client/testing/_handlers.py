"""Handlers of gRPC that know no fake runtime: of each kind of method, and of the services of health and reflection."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2
from grpc_reflection.v1alpha import reflection, reflection_pb2

MAKERS: dict[tuple[bool, bool], Callable[..., Any]] = {
    (False, False): grpc.unary_unary_rpc_method_handler,
    (False, True): grpc.unary_stream_rpc_method_handler,
    (True, False): grpc.stream_unary_rpc_method_handler,
    (True, True): grpc.stream_stream_rpc_method_handler,
}
"""Whether the request and the answer are streams -> what makes a handler of a coroutine function."""
_HEALTH: Any = health  # whose stubs know no `aio`
_REFLECTION: Any = reflection


def reflection_servicer(services: Sequence[str], pool: Any) -> Any:
    """Return grpcio-reflection's servicer of some services and itself."""
    return _REFLECTION.aio.ReflectionServicer([*services, reflection.SERVICE_NAME], pool=pool)


def health_handler() -> grpc.GenericRpcHandler[Any, Any]:
    """Return the handler of `grpc.health.v1.Health`, which says that it serves."""
    servicer = _HEALTH.aio.HealthServicer()
    read, write = health_pb2.HealthCheckRequest.FromString, health_pb2.HealthCheckResponse.SerializeToString
    methods = {
        "Check": grpc.unary_unary_rpc_method_handler(servicer.Check, read, write),
        "Watch": grpc.unary_stream_rpc_method_handler(servicer.Watch, read, write),
    }
    return grpc.method_handlers_generic_handler(health.SERVICE_NAME, methods)


def reflection_handler(services: Sequence[str], pool: Any) -> grpc.GenericRpcHandler[Any, Any]:
    """Return the handler of reflection, which is v1alpha as the real runtime's."""
    servicer = reflection_servicer(services, pool)
    method = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        reflection_pb2.ServerReflectionRequest.FromString,
        reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    return grpc.method_handlers_generic_handler(reflection.SERVICE_NAME, {"ServerReflectionInfo": method})
