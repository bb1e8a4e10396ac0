"""Descriptions of servers, of either protocol: tasks, their methods, their types."""

import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from .._objects.copying import Immutable
from .._objects.exports import exported_from
from .._text.cleaning import clean
from .._text.closest import closest
from .._text.tables import ShownAsTable, html_table, table, text_table
from ..errors import SchemaError
from ..settings import Protocol
from .caikit_names import short_method_name
from .codec import Codec, UnpickledCodec

if TYPE_CHECKING:
    from pydantic import BaseModel

# Annotations must not be strings here: `get_type_hints` would look up the names in `remote_client`.


@exported_from("remote_client")
@dataclass(frozen=True, eq=False)
class JobMethods(Immutable):
    """The methods that take the id of a job. The job of a prediction has a result, a training has none.

    Attributes:
        key: the name of the id, `prediction_id` or `training_id`.
        models: of a training: lists the models, and so shows when the trained one is there.
    """

    key: str
    status: "RemoteRPCDescriptor"
    cancel: "RemoteRPCDescriptor"
    result: "RemoteRPCDescriptor | None" = None
    models: "RemoteRPCDescriptor | None" = None


@exported_from("remote_client")
@dataclass(frozen=True, eq=False)
class RemoteRPCDescriptor(Immutable):
    """One method of a remote module.

    Attributes:
        signature: its parameters and result, as `inspect.signature` shows them.
        request_dm_name: the full name of the request's type on the server.
        response_dm_name: the full name of the answer's type; of a stream, of one answer's.
        rpc_name: the method's name on the server, such as `SampleTaskPredict`.
        input_streaming: whether the request is a stream.
        output_streaming: whether the answer is a stream.
        task: the task class, such as `SampleTask`.
        name: the method's name on a module, such as `run_sample`.
        path: the path of a call: `/package.Service/Method`, or an HTTP verb and its route.
        job: of a method that starts a prediction job or a training: the methods that take the job's id. Such a method
            is never retried.
        module: of a training: the class of the module to train.
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
    job: JobMethods | None = field(default=None, repr=False)
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
        values = {name: getattr(self, name) for name in _PICKLED}
        return _unpickled, (values, _with_type_names(self.signature))

    def __str__(self) -> str:
        return self.name + _short_type_names(str(self.signature))


_PICKLED = [field.name for field in fields(RemoteRPCDescriptor) if field.name not in ("signature", "codec")]


def _unpickled(values: dict[str, Any], signature: inspect.Signature) -> RemoteRPCDescriptor:
    """Return a method that was pickled without its types. Its codec comes from the server, at the first call."""
    return RemoteRPCDescriptor(signature=signature, codec=UnpickledCodec(values["name"], signature), **values)


def _short_type_names(text: str) -> str:
    """Return a text without the packages of types. `ServiceDescription.type` takes such names."""
    return re.sub(r"\b(?:[^\W\d]\w*+\.)+(\w+)", r"\1", text)


class TypeName(str):
    """The name of a type in the signature of an unpickled method."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _with_type_names(signature: inspect.Signature) -> inspect.Signature:
    """Return a signature with the names of types, for another process that does not have the types."""

    def named(kind: Any) -> Any:
        return kind if kind is inspect.Parameter.empty else TypeName(_short_type_names(inspect.formatannotation(kind)))

    parameters = [
        parameter.replace(annotation=named(parameter.annotation)) for parameter in signature.parameters.values()
    ]
    return inspect.Signature(parameters, return_annotation=named(signature.return_annotation))


def training_job(management: Mapping[str, RemoteRPCDescriptor]) -> JobMethods | None:
    """Return the runtime's methods that take the id of a training; None if it has no trainings."""
    status, cancel = management.get("GetTrainingStatus"), management.get("CancelTraining")
    if status is None or cancel is None:
        return None
    return JobMethods("training_id", status, cancel, models=management.get("GetModelsInfo"))


@exported_from("remote_client")
@dataclass(frozen=True, eq=False, repr=False)
class TaskDescription(ShownAsTable, Immutable):
    """A task: the name of its class, and its methods. `print()` shows their signatures."""

    name: str
    methods: tuple[RemoteRPCDescriptor, ...]

    def __str__(self) -> str:
        return "\n".join([self.name, *(f"    {method}" for method in self.methods)])

    def __repr__(self) -> str:
        return f"<TaskDescription {self.name}: {', '.join(method.name for method in self.methods)}>"

    _repr_pretty_ = ShownAsTable._repr_pretty_  # IPython would find `__repr__` first, as it looks class by class

    def _repr_html_(self) -> str:
        return table(self.name, map(call_and_answer, self.methods))


@exported_from("remote_client")
@dataclass(frozen=True, eq=False, repr=False)
class ServiceDescription(ShownAsTable, Immutable):
    """Everything a server offers. `print()` shows a table of the methods; an argument with a `?` is optional.

    Attributes:
        tasks: task name -> its methods. If several services or routes have a task, it is listed once for each, under
            the full RPC name or the route of its first method, which `client.model(name, task=...)` takes.
        trainings: the trainings of all modules, by their name over gRPC, such as `SampleTaskSampleModuleTrain`; by
            their full RPC names or routes if several have the same name.
        training_job: the methods that take the id of a training; None if the server has no trainings.
        types: full name of a type on the server -> pydantic model or enum. See also `type()`. The types of a schema on
            file are made when a method that uses them is first accessed; accessing this mapping makes all.
        management: the runtime's own methods that this client uses, by their name over gRPC.
        notes: gaps and ambiguities of the server's description.
        source: the function and the data that make the description, in another process too.
        protocol: what the server speaks.
    """

    tasks: Mapping[str, TaskDescription]
    types: Mapping[str, type[Any]]
    management: Mapping[str, RemoteRPCDescriptor] = field(repr=False)
    notes: tuple[str, ...] = ()
    trainings: Mapping[str, RemoteRPCDescriptor] = field(default_factory=dict)
    training_job: JobMethods | None = None
    source: tuple[Any, ...] | None = field(default=None, repr=False)
    protocol: Protocol | None = field(default=None, repr=False)

    def type(self, name: str) -> "type[BaseModel]":
        """Return the pydantic model of a type, by its full name or, if that is unique, its last part.

        Raises:
            SchemaError: no type has that name, or several do.
        """
        found = [kind for full, kind in self.types.items() if full == name or full.endswith(f".{name}")]
        if len(found) != 1:
            close = None if found else closest(name, (full.rpartition(".")[2] for full in self.types))
            hint = clean(f"did you mean {close}?") if close else "describe() lists all"
            raise SchemaError(f"{len(found) or 'no'} types are called {name!r}; {hint}")
        return found[0]

    def __str__(self) -> str:
        tables = [text_table(self._methods(), _METHODS, whole=2)]
        if self.trainings:
            tables.append(text_table(self._trainings(), _TRAININGS, whole=1))
        return "\n".join(["\n\n".join(tables), *(f"Note: {note}" for note in self.notes)])

    def __repr__(self) -> str:
        number = sum(len(task.methods) for task in self.tasks.values())
        return f"<ServiceDescription: {len(self.tasks)} tasks, {number} methods, {len(self.trainings)} trainings>"

    _repr_pretty_ = ShownAsTable._repr_pretty_  # as above

    def _repr_html_(self) -> str:
        trainings = html_table(self._trainings(), _TRAININGS) if self.trainings else ""
        notes = [table("", [("Note", note)]) for note in self.notes]
        return "".join([html_table(self._methods(), _METHODS), trainings, *notes])

    def _methods(self) -> Iterator[tuple[str, ...]]:
        for name, task in self.tasks.items():
            for method in task.methods:
                yield name, method.name, _argument_names(method), call_and_answer(method)[1]

    def _trainings(self) -> Iterator[tuple[str, ...]]:
        for name, training in self.trainings.items():
            yield name, _argument_names(training)


_METHODS = ("TASK", "METHOD", "ARGUMENTS", "ANSWER")
_TRAININGS = ("TRAINING", "ARGUMENTS")


def _argument_names(rpc: RemoteRPCDescriptor) -> str:
    parameters = rpc.signature.parameters.values()
    return ", ".join(f"{each.name}{'' if each.default is each.empty else '?'}" for each in parameters)


def call_and_answer(rpc: RemoteRPCDescriptor) -> tuple[str, str]:
    """Return a method's parameters and answer as text that holds for the blocking client too."""
    call, arrow, answer = str(rpc).rpartition(" -> ")
    if not arrow:
        call, answer = answer, ""
    if rpc.job is not None:
        return call, "PredictionJob"
    if rpc.output_streaming:
        return call, f"stream of {answer.partition('[')[2].removesuffix(']') or answer}"
    return call, answer
