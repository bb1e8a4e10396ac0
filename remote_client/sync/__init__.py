"""The blocking client: every name of `remote_client`, for scripts, threads and notebooks.

    from remote_client.sync import RemoteClient

    with RemoteClient("localhost:8085") as client:
        model = client.model("foo")
        print(model.run_sample(sample_input={"name": "World"}))

Objects may be used from any thread. The calls of a process run in one thread of its own, which has an event loop. Works
where a loop is running already, as in a notebook.
"""

from .. import (
    CallOptions,
    ConnectionInfo,
    ConnectionTlsInfo,
    Difference,
    FileResponse,
    FinderConfig,
    JobInfo,
    JobStatus,
    ModelInfo,
    RemoteCallError,
    RemoteClientError,
    RemoteModuleConfig,
    RemoteRPCDescriptor,
    RuntimeInfo,
    ServiceDescription,
    TaskDescription,
    __version__,
    errors,
)
from ._streams import RemoteStream
from ._twins import (
    PredictionJob,
    RemoteClient,
    RemoteModelFinder,
    RemoteModelInitializer,
    RemoteModuleBase,
    TrainingJob,
    construct_remote_module_class,
)

__all__ = [
    "CallOptions",
    "ConnectionInfo",
    "ConnectionTlsInfo",
    "Difference",
    "FileResponse",
    "FinderConfig",
    "JobInfo",
    "JobStatus",
    "ModelInfo",
    "PredictionJob",
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
    "ServiceDescription",
    "TaskDescription",
    "TrainingJob",
    "__version__",
    "construct_remote_module_class",
    "errors",
]
