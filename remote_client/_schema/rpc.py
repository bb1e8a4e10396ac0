"""What a server offers, whatever protocol it was learned over: tasks, their methods, their types."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Protocol

from pydantic import BaseModel

from .._objects.copying import Immutable
from ..errors import SchemaError
from ..settings import Output
from .names import short_method_name

OUTPUT_PATH = "_output_path"
"""The argument by which a training's codec is given the place where the trained model is to be kept."""


class Codec(Protocol):
    """How one method's arguments become bytes, and its answers objects."""

    @property
    def signature(self) -> inspect.Signature:
        """The parameters, and the type of the answer."""
        ...

    @property
    def wire_names(self) -> Mapping[str, str]:
        """What the server calls the parameters that have another name here."""
        ...

    def encode(self, model: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        """The request of a method without streamed input. Raises InputError.

        `model` is the model's name, which HTTP has in the request; of a training it is the name of the model to make.
        """
        ...

    def incomplete(self, model: str) -> bytes | None:
        """A request that lacks a required input, so that no model can run on it; None where nothing is required."""
        ...

    def split(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
        """The encoded constants and the iterables of a method with streamed input. Raises InputError."""
        ...

    def frame(self, constants: bytes, items: dict[str, Any], index: int) -> bytes:
        """The message number `index` of a streamed input. Raises InputError."""
        ...

    def decode(self, data: bytes, output: Output) -> Any:
        """An answer. Raises InvalidResponseError."""
        ...


@dataclass(frozen=True, eq=False)
class JobMethods(Immutable):
    """What can be asked about a job by its id. A prediction's has a result, a training's has none.

    Attributes:
        key: the name of the id, `prediction_id` or `training_id`.
        models: of a training: lists the models, and so tells when the trained one is there.
    """

    key: str
    status: RemoteRPCDescriptor
    cancel: RemoteRPCDescriptor
    result: RemoteRPCDescriptor | None = None
    models: RemoteRPCDescriptor | None = None


@dataclass(frozen=True, eq=False)
class RemoteRPCDescriptor(Immutable):
    """One method of a remote module.

    Attributes:
        signature: its parameters and result, as `inspect.signature` shows them.
        request_dm_name: the request's type, by its full name on the server.
        response_dm_name: the type of the answer, or of each answer.
        rpc_name: the method's name on the server, such as `SampleTaskPredict`.
        input_streaming: whether the request is a stream.
        output_streaming: whether the answer is a stream.
        task: the task class, such as `SampleTask`.
        name: the method's name on a module, such as `run_sample`.
        path: what the transport calls: `/package.Service/Method`, or an HTTP verb and its route.
        job: of a method that starts a prediction job or a training: what can be asked about it. Such a method is sent
            once, whatever happens.
        module: of a training: the class of the module that is trained.
    """

    signature: inspect.Signature
    request_dm_name: str
    response_dm_name: str
    rpc_name: str
    input_streaming: bool = False
    output_streaming: bool = False
    task: str = ""
    name: str = ""
    path: str = ""
    job: JobMethods | None = None
    module: str = ""
    codec: Codec = field(repr=False, kw_only=True)

    @property
    def full_name(self) -> str:
        """The method's full RPC name, `package.Service/Method`, or its route."""
        start, is_http, route = self.path.partition(" ")
        return route if is_http else start.removeprefix("/")

    @property
    def short_name(self) -> str:
        """The method's name on a module of one task, such as `run`."""
        if self.job is not None:
            return "start_job"
        return short_method_name(self.input_streaming, self.output_streaming)

    def __reduce__(self) -> Any:
        methods = vars(self).get("_methods")
        if methods is not None and methods.source is not None:
            return type(methods).at, (methods, self.path)
        from .unbound import unpickled  # which is made of descriptors

        told = {each.name: getattr(self, each.name) for each in fields(self) if each.name not in ("signature", "codec")}
        return unpickled, (told, _spelled(self.signature))

    def __str__(self) -> str:
        # Types by their last name: what a reader wants, and what `ServiceDescription.type` takes.
        return self.name + _by_last_names(str(self.signature))


def _by_last_names(told: str) -> str:
    return re.sub(r"\b(?:[^\W\d]\w*+\.)+(\w+)", r"\1", told)


class Spelled(str):
    """A type in words, as a signature shows it."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _spelled(signature: inspect.Signature) -> inspect.Signature:
    """A signature with types in words."""

    def words(kind: Any) -> Any:
        return kind if kind is inspect.Parameter.empty else Spelled(_by_last_names(inspect.formatannotation(kind)))

    parameters = [each.replace(annotation=words(each.annotation)) for each in signature.parameters.values()]
    return inspect.Signature(parameters, return_annotation=words(signature.return_annotation))


def training_job(management: Mapping[str, RemoteRPCDescriptor]) -> JobMethods | None:
    """What can be asked about a training, of the runtime's own methods; None where it has no trainings."""
    status, cancel = management.get("GetTrainingStatus"), management.get("CancelTraining")
    if status is None or cancel is None:
        return None
    return JobMethods("training_id", status, cancel, models=management.get("GetModelsInfo"))


@dataclass(frozen=True, eq=False)
class TaskDescription(Immutable):
    """A task: its class's name and its methods."""

    name: str
    methods: tuple[RemoteRPCDescriptor, ...]

    def __str__(self) -> str:
        return "\n".join([self.name, *(f"    {method}" for method in self.methods)])


@dataclass(frozen=True, eq=False)
class ServiceDescription(Immutable):
    """Everything a server offers. `print()` shows it.

    Attributes:
        tasks: task name -> its methods. A task that several services have, or that has several routes, is here for
            each, under the full RPC name or the route of its first method, which `client.model(name, task=...)` takes.
        trainings: the trainings of all modules, by their name over gRPC, such as `SampleTaskSampleModuleTrain`; by
            their full RPC names or routes where several have one name.
        training_job: what can be asked about a training; None where the server has no trainings.
        types: full name of a type on the server -> pydantic model or enum. See also `type()`. Of a schema on file types
            are made when a method that has them is first looked at; looking here makes all.
        management: the runtime's own methods that this client uses, by their name over gRPC.
        notes: what the server's description lacks.
        source: what the server told, by which the description is made anew in another process.
    """

    tasks: Mapping[str, TaskDescription]
    types: Mapping[str, type[Any]]
    management: Mapping[str, RemoteRPCDescriptor] = field(repr=False)
    notes: tuple[str, ...] = ()
    trainings: Mapping[str, RemoteRPCDescriptor] = field(default_factory=dict)
    training_job: JobMethods | None = None
    source: tuple[Any, ...] | None = field(default=None, repr=False)

    def type(self, name: str) -> type[BaseModel]:
        """The pydantic model of a type, by its full name or, where that is unique, its last part.

        Raises:
            SchemaError: there is none of that name, or several.
        """
        found = [each for full, each in self.types.items() if full == name or full.endswith(f".{name}")]
        if len(found) != 1:
            raise SchemaError(f"{len(found) or 'no'} types are called {name!r}; describe() lists all")
        return found[0]

    def __str__(self) -> str:
        trainings = [f"{name}\n    {each}" for name, each in self.trainings.items()]
        return "\n".join([*map(str, self.tasks.values()), *trainings, *(f"Note: {note}" for note in self.notes)])
