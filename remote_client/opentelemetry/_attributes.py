"""The names and attributes of spans and metrics, by the semantic conventions of OpenTelemetry.

They are strings here: the package with their constants follows no versioning that could be relied on.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from types import MappingProxyType

from ..errors import RemoteCallError
from ..hooks import AttemptFailed, CallEnded, CallStarted

Attributes = dict[str, str | int | float | bool]
SCOPE = "remote_client"
SCHEMA_URL = "https://opentelemetry.io/schemas/1.44.0"
"""The version of the conventions: RPC's are a release candidate in it, HTTP's are stable."""
METHOD, SYSTEM, STATUS = "rpc.method", "rpc.system.name", "rpc.response.status_code"
HTTP_STATUS = "http.response.status_code"
ERROR_TYPE = "error.type"
_SCHEMES = ("unix", "unix-abstract", "xds")
_LATEST = 1024
"""Methods of models whose attributes are kept: each call would build them anew."""


Key = tuple[str, str, str | None, str | None, str]
"""A call's method, target, model, task and protocol, on which its attributes depend."""


def key_of(call: CallStarted) -> Key:
    """Return what the attributes of a call depend on."""
    return call.method, call.target, call.model, call.task, call.protocol


def span_name(call: CallStarted) -> str:
    """Return `package.Service/Method`, or over HTTP the verb and the path of the route."""
    return _common(*key_of(call))[0]


def call_attributes(call: CallStarted) -> Mapping[str, str | int]:
    """Return the attributes of a call's span that are known at its start."""
    return _common(*key_of(call))[1]


def metric_attributes(call: CallStarted) -> Mapping[str, str | int]:
    """Return those of the call's metrics: over both protocols with the names of RPC, so that one query finds all."""
    return attributes_of(key_of(call))


def attributes_of(key: Key) -> Mapping[str, str | int]:
    """Return the attributes of the metrics of such calls."""
    return _common(*key)[2]


@lru_cache(_LATEST)
def _common(
    method: str, target: str, model: str | None, task: str | None, protocol: str
) -> tuple[str, Mapping[str, str | int], Mapping[str, str | int]]:
    """Return the name and the attributes of a span, and those of metrics."""
    name = method
    rpc: dict[str, str | int] = {SYSTEM: protocol, METHOD: method}
    rest: dict[str, str | int] = dict(server_attributes(target))
    if model is not None:
        rest["caikit.model"] = model
    if task is not None:
        rest["caikit.task"] = task
    if protocol == "grpc":
        return name, MappingProxyType(rpc | rest), MappingProxyType(rpc | rest)
    verb, _, route = method.partition(" ")
    route = _base_path(target) + route
    name = f"{verb} {route}"
    http: dict[str, str | int] = {"http.request.method": verb, "url.template": route}
    return name, MappingProxyType(http | rest), MappingProxyType({**rpc, METHOD: name} | http | rest)


@lru_cache(_LATEST)
def server_attributes(target: str) -> Mapping[str, str | int]:
    """Return the server's address, and the port if it has one; see `ConnectionInfo.target`."""
    scheme, _, rest = target.partition(":")
    if scheme in _SCHEMES:
        path = rest.removeprefix("//")
        return MappingProxyType({"server.address": path.lstrip("/") if scheme == "xds" else path})
    host, _, port = target.partition("/")[0].rpartition(":")
    return MappingProxyType({"server.address": host.strip("[]"), "server.port": int(port)})


def _base_path(target: str) -> str:
    return "" if target.partition(":")[0] in _SCHEMES else "".join(target.partition("/")[1:])


def outcome_attributes(event: CallEnded) -> Attributes:
    """Return a call's status, and the kind of its error."""
    found: Attributes = {}
    if event.call is None or event.call.protocol == "grpc":
        found[STATUS] = event.status
    elif event.http_status is not None:
        found[HTTP_STATUS] = event.http_status
    if event.error is not None:
        found[ERROR_TYPE] = _error_type(event.error, event.status, event.call, event.http_status)
    return found


def failure_attributes(event: AttemptFailed) -> Attributes:
    """Return the attributes of an attempt that failed."""
    error, http_status = event.error, None
    status = error.status if isinstance(error, RemoteCallError) else "UNKNOWN"
    found: Attributes = {"caikit.attempt": event.attempt, **server_attributes(event.target)}
    if event.call is None or event.call.protocol == "grpc":
        found[STATUS] = status
    elif isinstance(error, RemoteCallError) and (http_status := error.http_status) is not None:
        found[HTTP_STATUS] = http_status
    found[ERROR_TYPE] = _error_type(error, status, event.call, http_status)
    if event.wait is not None:
        found["caikit.wait"] = event.wait
    return found


def _error_type(error: BaseException, status: str, call: CallStarted | None, http_status: int | None) -> str:
    """Return the status of gRPC, the number of an HTTP error, or else the name of the exception's class."""
    if call is not None and call.protocol == "http":
        if http_status is not None and http_status >= 400:
            return str(http_status)
    elif status != "UNKNOWN" or isinstance(error, RemoteCallError):
        return status
    return f"{type(error).__module__}.{type(error).__qualname__}"
