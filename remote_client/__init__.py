"""An asyncio client for caikit runtimes that needs no caikit. See `RemoteClient`."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import errors
    from ._calls.response import Response
    from ._calls.stream import RemoteStream
    from ._client.client import RemoteClient
    from ._client.deployment import Links
    from ._client.finder import RemoteModelFinder
    from ._client.health import HealthState, HealthStatus
    from ._client.health_watch import HealthWatch
    from ._client.initializer import RemoteModelInitializer
    from ._client.job_status import JobInfo, JobStatus, Progress
    from ._client.jobs import PredictionJob, TrainingJob
    from ._client.module import RemoteModuleBase, construct_remote_module_class
    from ._client.module_config import RemoteModuleConfig
    from ._schema.differences import Difference
    from ._schema.openapi.file_response import FileResponse
    from ._schema.rpc import JobMethods, RemoteRPCDescriptor, ServiceDescription, TaskDescription
    from ._schema.runtime_info import ModelInfo, RuntimeInfo
    from ._schema.schema_file import Schema
    from ._transport.engines.httpx_library import AsyncTransport
    from .errors import RemoteCallError, RemoteClientError
    from .settings import CallOptions, ConnectionInfo, ConnectionTlsInfo, FinderConfig

from ._version import __version__

__all__ = [
    "AsyncTransport",
    "CallOptions",
    "ConnectionInfo",
    "ConnectionTlsInfo",
    "Difference",
    "FileResponse",
    "FinderConfig",
    "HealthState",
    "HealthStatus",
    "HealthWatch",
    "JobInfo",
    "JobMethods",
    "JobStatus",
    "Links",
    "ModelInfo",
    "PredictionJob",
    "Progress",
    "RemoteCallError",
    "RemoteClient",
    "RemoteClientError",
    "RemoteModelFinder",
    "RemoteModelInitializer",
    "RemoteModuleBase",
    "RemoteModuleConfig",
    "RemoteRPCDescriptor",
    "RemoteStream",
    "Response",
    "RuntimeInfo",
    "Schema",
    "ServiceDescription",
    "TaskDescription",
    "TrainingJob",
    "__version__",
    "construct_remote_module_class",
    "errors",
]

# Imported on first access: importing the package loads neither grpc nor pydantic.
_NAMES = {
    "_calls.response": ("Response",),
    "_calls.stream": ("RemoteStream",),
    "_client.client": ("RemoteClient",),
    "_client.deployment": ("Links",),
    "_client.finder": ("RemoteModelFinder",),
    "_client.health": ("HealthState", "HealthStatus"),
    "_client.health_watch": ("HealthWatch",),
    "_client.initializer": ("RemoteModelInitializer",),
    "_client.job_status": ("JobInfo", "JobStatus", "Progress"),
    "_client.jobs": ("PredictionJob", "TrainingJob"),
    "_client.module": ("RemoteModuleBase", "construct_remote_module_class"),
    "_client.module_config": ("RemoteModuleConfig",),
    "_schema.differences": ("Difference",),
    "_schema.openapi.file_response": ("FileResponse",),
    "_schema.rpc": ("JobMethods", "RemoteRPCDescriptor", "ServiceDescription", "TaskDescription"),
    "_schema.runtime_info": ("ModelInfo", "RuntimeInfo"),
    "_schema.schema_file": ("Schema",),
    "_transport.engines.httpx_library": ("AsyncTransport",),
    "errors": ("RemoteCallError", "RemoteClientError"),
    "settings": ("CallOptions", "ConnectionInfo", "ConnectionTlsInfo", "FinderConfig"),
}
_MODULES = {name: module for module, names in _NAMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name == "errors":
        return import_module(".errors", __name__)
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_MODULES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
