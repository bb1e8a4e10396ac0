"""What a fake runtime serves: the RPCs of declared modules, and which module has which method of its own for them."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from .._schema.budget import Budget
from .._schema.declaration import Declaration, DeclaredMethod, declaration_with_bodies
from .._schema.declared.codec import DeclaredCodec
from .._schema.declared.matching import match
from .._schema.declared.schemas import schema_for
from .._schema.protobuf.descriptor_pools import Pool
from .._schema.protobuf.services import describe_set
from .._schema.protobuf.types import Types
from .._schema.rpc import RemoteRPCDescriptor, ServiceDescription
from ..errors import ConfigurationError
from ._services import required_parameters, services_of
from ._values import Arguments

_JOB_METHODS = ("GetPredictionJobStatus", "CancelPredictionJob", "GetPredictionJobResult")


@dataclass(frozen=True)
class OwnMethod:
    """A module's method for an RPC: the declared method, and what makes its arguments."""

    declared: DeclaredMethod
    arguments: Arguments


@dataclass(frozen=True, eq=False)
class ServedMethod:
    """An RPC of the runtime's library, or a method of jobs.

    Attributes:
        rpc: the method as a client sees it.
        request: the request's message.
        answer: the answer's message; of a stream, one answer's.
        own: declared class -> its method.
    """

    rpc: RemoteRPCDescriptor
    request: Descriptor
    answer: Descriptor
    own: dict[type, OwnMethod] = field(default_factory=dict)

    @cached_property
    def required(self) -> list[str]:
        """The required parameters of a task: those that no module has a default for."""
        return required_parameters(own.declared for own in self.own.values())

    @property
    def answers_file(self) -> bool:
        """Whether HTTP answers with a file: as in caikit, the class of such an answer has a method `to_file`."""
        return any(hasattr(own.declared.result, "to_file") for own in self.own.values())


class Library:
    """The RPCs of declared modules.

    Attributes:
        files: the file descriptors, by name.
        pool: the descriptors.
        types: the pydantic models of the messages.
        tasks: path -> a task's method.
        starts: path -> the start of a task's prediction job.
        trainings: path -> a module's training.
        management: path -> one of the runtime's own methods, or one that takes the id of a job: its name, without the
            task, and the method.
        description: the whole, as a client sees it.

    Raises:
        ConfigurationError: a class is no declared module, or gRPC has no such types.
        SchemaError: a class and its schema file disagree.
    """

    def __init__(self, modules: Iterable[type], name: str) -> None:
        declarations = [declaration_with_bodies(module) for module in modules]
        self.files = _files_of(declarations, name)
        data = FileDescriptorSet(file=self.files.values()).SerializeToString()
        self.description: ServiceDescription = describe_set(data)
        budget = Budget(math.inf)
        self.pool = Pool(self.files, budget)
        self.pool.add(self.files)
        self.types = Types(budget)
        rpcs = [rpc for task in self.description.tasks.values() for rpc in task.methods]
        self.tasks = {rpc.path: self._served(rpc) for rpc in rpcs if rpc.job is None}
        self.starts = {rpc.path: self._served(rpc) for rpc in rpcs if rpc.job is not None}
        self.trainings = {rpc.path: self._served(rpc) for rpc in self.description.trainings.values()}
        self.management = {rpc.path: (name, rpc) for name, rpc in self.description.management.items()}
        for start in self.starts.values():
            job = start.rpc.job
            assert job is not None
            assert job.result is not None
            for name, rpc in zip(_JOB_METHODS, (job.status, job.cancel, job.result), strict=True):
                self.management[rpc.path] = name, rpc
        for declaration in declarations:
            self._bind(declaration)

    @property
    def services(self) -> list[str]:
        """The full names of all services."""
        files = self.files.values()
        return [f"{file.package}.{service.name}" for file in files for service in file.service]

    def message(self, full_name: str) -> Descriptor:
        """Return a message's descriptor."""
        return self.pool.message(full_name)

    def unary_of(self, start: RemoteRPCDescriptor) -> ServedMethod:
        """Return the task's method that a prediction job runs."""
        return next(
            method
            for method in self.tasks.values()
            if method.rpc.task == start.task and not (method.rpc.input_streaming or method.rpc.output_streaming)
        )

    def _served(self, rpc: RemoteRPCDescriptor) -> ServedMethod:
        return ServedMethod(rpc, self.message(rpc.request_dm_name), self.message(rpc.response_dm_name))

    def _bind(self, declaration: Declaration) -> None:
        """Note which methods of a module answer which RPCs."""
        tasks, training = match(declaration, self.description, "grpc")
        declared = {method.name: method for method in declaration.methods}
        for rpc in (rpc for _, rpcs in tasks for rpc in rpcs):
            if rpc.path in self.tasks and rpc.name in declared and isinstance(rpc.codec, DeclaredCodec):
                served = self.tasks[rpc.path]
                method = declared[rpc.name]
                served.own[declaration.module] = OwnMethod(method, Arguments(method, served.rpc))
        if training is not None and declaration.train is not None:
            served = self.trainings[training.path]
            served.own[declaration.module] = OwnMethod(declaration.train, Arguments(declaration.train, served.rpc))


def _files_of(declarations: Iterable[Declaration], name: str) -> dict[str, FileDescriptorProto]:
    """Return the files of the modules' schema files, or those made for modules without."""
    schemas = {declaration.module.__name__: schema_for(declaration, "grpc") for declaration in declarations}
    named = [module for module, schema in schemas.items() if schema is not None]
    if not named:
        return services_of(declarations, name)
    found: dict[str, FileDescriptorProto] = {}
    for module, schema in schemas.items():
        if schema is None:
            raise ConfigurationError(
                f"{named[0]} has a schema file and {module} has none: a runtime has one library, so serve them apart"
            )
        for file in FileDescriptorSet.FromString(schema.data).file:
            if found.setdefault(file.name, file) != file:
                raise ConfigurationError(
                    f"{module}: {schema.name} and the schema of {named[0]} define {file.name} differently"
                )
    return found
