"""An asyncio client for caikit runtimes that needs no caikit. See `RemoteClient`."""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import errors as errors
    from ._calls.stream import RemoteStream as RemoteStream
    from ._client.client import RemoteClient as RemoteClient
    from ._client.deployment import Links as Links
    from ._client.finder import RemoteModelFinder as RemoteModelFinder
    from ._client.initializer import RemoteModelInitializer as RemoteModelInitializer
    from ._client.job_status import JobInfo as JobInfo
    from ._client.job_status import JobStatus as JobStatus
    from ._client.job_status import Progress as Progress
    from ._client.jobs import PredictionJob as PredictionJob
    from ._client.jobs import TrainingJob as TrainingJob
    from ._client.module import RemoteModuleBase as RemoteModuleBase
    from ._client.module import construct_remote_module_class as construct_remote_module_class
    from ._client.module_config import RemoteModuleConfig as RemoteModuleConfig
    from ._schema.differences import Difference as Difference
    from ._schema.openapi.file_response import FileResponse as FileResponse
    from ._schema.rpc import JobMethods as JobMethods
    from ._schema.rpc import RemoteRPCDescriptor as RemoteRPCDescriptor
    from ._schema.rpc import ServiceDescription as ServiceDescription
    from ._schema.rpc import TaskDescription as TaskDescription
    from ._schema.runtime_info import ModelInfo as ModelInfo
    from ._schema.runtime_info import RuntimeInfo as RuntimeInfo
    from ._schema.schema_file import Schema as Schema
    from ._transport.engines.httpx_library import AsyncTransport as AsyncTransport
    from .errors import RemoteCallError as RemoteCallError
    from .errors import RemoteClientError as RemoteClientError
    from .settings import CallOptions as CallOptions
    from .settings import ConnectionInfo as ConnectionInfo
    from .settings import ConnectionTlsInfo as ConnectionTlsInfo
    from .settings import FinderConfig as FinderConfig

from ._version import __version__

__all__ = [
    "AsyncTransport",
    "CallOptions",
    "ConnectionInfo",
    "ConnectionTlsInfo",
    "Difference",
    "FileResponse",
    "FinderConfig",
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
_MODULES = {
    "AsyncTransport": "_transport.engines.httpx_library",
    "CallOptions": "settings",
    "ConnectionInfo": "settings",
    "ConnectionTlsInfo": "settings",
    "Difference": "_schema.differences",
    "FileResponse": "_schema.openapi.file_response",
    "FinderConfig": "settings",
    "JobInfo": "_client.job_status",
    "JobMethods": "_schema.rpc",
    "JobStatus": "_client.job_status",
    "Links": "_client.deployment",
    "ModelInfo": "_schema.runtime_info",
    "PredictionJob": "_client.jobs",
    "Progress": "_client.job_status",
    "RemoteCallError": "errors",
    "RemoteClient": "_client.client",
    "RemoteClientError": "errors",
    "RemoteModelFinder": "_client.finder",
    "RemoteModelInitializer": "_client.initializer",
    "RemoteModuleBase": "_client.module",
    "RemoteModuleConfig": "_client.module_config",
    "RemoteRPCDescriptor": "_schema.rpc",
    "RemoteStream": "_calls.stream",
    "RuntimeInfo": "_schema.runtime_info",
    "Schema": "_schema.schema_file",
    "ServiceDescription": "_schema.rpc",
    "TaskDescription": "_schema.rpc",
    "TrainingJob": "_client.jobs",
    "construct_remote_module_class": "_client.module",
}

# Modules that moved are imported from here, with a DeprecationWarning, until 1.0.
__path__.append(os.path.join(__path__[0], "_deprecated"))


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
