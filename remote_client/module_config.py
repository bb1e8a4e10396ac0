"""RemoteModuleConfig: all that is needed to call one model."""

from __future__ import annotations

from dataclasses import dataclass, field

from ._schema.declared import bind
from ._schema.rpc import RemoteRPCDescriptor, ServiceDescription
from .declare import declaration_of
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
        declared: the declared class of the module; None where there is none.
        tasks_known: whether `task_methods` are the module's own, and not all that the runtime has.
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
    declared: type | None = None
    tasks_known: bool = False

    def declare(self, declared: type, description: ServiceDescription) -> None:
        """Take methods, names and types from a declared class.

        Raises:
            SchemaError: it disagrees with what the server offers; all differences are told.
            ConfigurationError: the class is not declared.
        """
        declaration = declaration_of(declared)
        self.task_methods, training = bind(declaration, description, self.protocol, self.module_id)
        self.train_method = training or self.train_method
        self.declared = declared
        self.tasks_known = True
        self.module_name = self.module_name or declaration.name
