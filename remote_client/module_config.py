"""RemoteModuleConfig: all that is needed to call one model."""

from __future__ import annotations

from dataclasses import dataclass, field

from ._schema.rpc import RemoteRPCDescriptor
from .settings import ConnectionInfo, Protocol


@dataclass
class RemoteModuleConfig:
    """Where a model is, and how its methods are called. Fields may be replaced before a module is made of it.

    Attributes:
        connection: the server.
        protocol: `grpc` or `http`.
        model_key: the metadata key that names the model.
        task_methods: for each task its class's name and its methods. A runtime does not tell which tasks a module has:
            unless they were named, these are all the runtime's tasks.
        model_path: the model's name on the server.
        module_id: the id of its module; empty where the server does not tell.
        module_name: the module's name; empty where the server does not tell.
        train_method: the training of the module, where it is known which.
        trainings: all trainings of the server; which one belongs to a module no server tells.
    """

    connection: ConnectionInfo
    protocol: Protocol
    model_key: str
    task_methods: list[tuple[str, list[RemoteRPCDescriptor]]] = field(repr=False)
    model_path: str
    module_id: str = ""
    module_name: str = ""
    train_method: RemoteRPCDescriptor | None = None
    trainings: list[RemoteRPCDescriptor] = field(default_factory=list, repr=False)
