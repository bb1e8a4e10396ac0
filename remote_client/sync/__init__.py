"""The blocking client: every name of `remote_client`, for scripts, threads and notebooks.

    from remote_client.sync import RemoteClient

    with RemoteClient("localhost:8085") as client:
        model = client.model("foo")
        print(model.run_sample(sample_input={"name": "World"}))

Any thread may use the objects, also where an event loop is running, as in a notebook. One thread per process runs the
event loop of all calls.
"""

from typing import TYPE_CHECKING, Any

from ._modules import RemoteModuleBase, construct_remote_module_class
from ._streams import RemoteStream
from ._twins import HealthWatch, PredictionJob, RemoteClient, RemoteModelFinder, RemoteModelInitializer, TrainingJob

if TYPE_CHECKING:
    from .. import (
        AsyncTransport,
        CallOptions,
        ConnectionInfo,
        ConnectionTlsInfo,
        Difference,
        FileResponse,
        FinderConfig,
        HealthState,
        HealthStatus,
        JobInfo,
        JobMethods,
        JobStatus,
        Links,
        ModelInfo,
        Progress,
        RemoteCallError,
        RemoteClientError,
        RemoteModuleConfig,
        RemoteRPCDescriptor,
        Response,
        RuntimeInfo,
        Schema,
        ServiceDescription,
        TaskDescription,
        __version__,
        errors,
    )

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


# Imported on first access: importing the package does not load pydantic.
def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import remote_client

    return getattr(remote_client, name)


def __dir__() -> list[str]:
    return sorted(__all__)
