"""An asyncio client for caikit runtimes that needs no caikit. See `RemoteClient`."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from . import errors as errors
    from ._schema.differences import Difference as Difference
    from ._schema.info import ModelInfo as ModelInfo
    from ._schema.info import RuntimeInfo as RuntimeInfo
    from ._schema.json_codec import FileResponse as FileResponse
    from ._schema.rpc import RemoteRPCDescriptor as RemoteRPCDescriptor
    from ._schema.rpc import ServiceDescription as ServiceDescription
    from ._schema.rpc import TaskDescription as TaskDescription
    from .calls import RemoteStream as RemoteStream
    from .client import RemoteClient as RemoteClient
    from .errors import RemoteCallError as RemoteCallError
    from .errors import RemoteClientError as RemoteClientError
    from .finder import RemoteModelFinder as RemoteModelFinder
    from .initializer import RemoteModelInitializer as RemoteModelInitializer
    from .jobs import JobInfo as JobInfo
    from .jobs import JobStatus as JobStatus
    from .jobs import PredictionJob as PredictionJob
    from .jobs import TrainingJob as TrainingJob
    from .module import RemoteModuleBase as RemoteModuleBase
    from .module import construct_remote_module_class as construct_remote_module_class
    from .module_config import RemoteModuleConfig as RemoteModuleConfig
    from .settings import CallOptions as CallOptions
    from .settings import ConnectionInfo as ConnectionInfo
    from .settings import ConnectionTlsInfo as ConnectionTlsInfo
    from .settings import FinderConfig as FinderConfig

from ._version import __version__

# Loaded at first use: importing the package loads neither grpc nor pydantic.
_HOMES = {
    "CallOptions": "settings",
    "ConnectionInfo": "settings",
    "ConnectionTlsInfo": "settings",
    "Difference": "_schema.differences",
    "FileResponse": "_schema.json_codec",
    "FinderConfig": "settings",
    "JobInfo": "jobs",
    "JobStatus": "jobs",
    "ModelInfo": "_schema.info",
    "PredictionJob": "jobs",
    "RemoteCallError": "errors",
    "RemoteClient": "client",
    "RemoteClientError": "errors",
    "RemoteModelFinder": "finder",
    "RemoteModelInitializer": "initializer",
    "RemoteModuleBase": "module",
    "RemoteModuleConfig": "module_config",
    "RemoteRPCDescriptor": "_schema.rpc",
    "RemoteStream": "calls",
    "RuntimeInfo": "_schema.info",
    "ServiceDescription": "_schema.rpc",
    "TaskDescription": "_schema.rpc",
    "TrainingJob": "jobs",
    "construct_remote_module_class": "module",
}

__all__ = ["__version__", "errors", *_HOMES]  # noqa: PLE0604  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    if name == "errors":
        return import_module(".errors", __name__)
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
