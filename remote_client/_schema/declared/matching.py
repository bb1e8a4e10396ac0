"""Matches declared modules with a server's methods: the declaration's names and types over the server's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from ..._text.cleaning import listed
from ..._text.closest import closest
from ...errors import SchemaError
from ...settings import Protocol
from ..ambiguous_names import matching_tasks, task_choices
from ..codec import AmbiguousCodec
from ..declaration import Declaration, DeclaredMethod
from ..rpc import RemoteRPCDescriptor, ServiceDescription, TaskDescription
from ..unbound_methods import unbound_method, unsupported_method
from .codec import DeclaredAnswerCodec, DeclaredCodec
from .mismatches import SERVER, mismatches
from .types import UnusableTypeError


def match(
    declaration: Declaration,
    description: ServiceDescription,
    protocol: Protocol,
    module_id: str = "",
    source: str = SERVER,
) -> tuple[list[tuple[str, list[RemoteRPCDescriptor]]], RemoteRPCDescriptor | None]:
    """Return the methods by task, and the training, of a declared module at a server.

    Over HTTP, calls of methods with streamed inputs raise an UnsupportedError.

    Args:
        declaration: the declaration of a class.
        description: the server's description.
        protocol: the server's protocol.
        module_id: the id of the model's module, if it is known.
        source: the origin of the description: `SERVER`, or the name of a schema file.

    Raises:
        SchemaError: declaration and server disagree. The message lists all differences.
    """
    matcher = _Matcher(declaration, description, protocol, SERVER if source == SERVER else "the schema")
    if declaration.id and module_id and declaration.id != module_id:
        matcher.problems.append(f"the model's module is {module_id}, not {declaration.id}")
    try:
        methods, training = matcher.methods(), matcher.training()
    except RecursionError:
        raise SchemaError(f"{declaration.module.__name__}: the types are nested too deeply") from None
    if matcher.problems:
        raise SchemaError(f"{declaration.module.__name__} disagrees with {source}: {'; '.join(matcher.problems)}")
    return list(methods.items()), training


@dataclass
class _Matcher:
    """Finds the server's methods of one declared module, and collects problems, which name the server as `server`."""

    declaration: Declaration
    description: ServiceDescription
    protocol: Protocol
    server: str
    problems: list[str] = field(default_factory=list)

    def methods(self) -> dict[str, list[RemoteRPCDescriptor]]:
        """Return the declared methods by task, then the server's other methods of these tasks."""
        methods: dict[str, list[RemoteRPCDescriptor]] = {}
        unknown: dict[str, list[str]] = {}
        for method in self.declaration.methods:
            if method.input_streaming and self.protocol == "http":
                methods.setdefault(method.task, []).append(unsupported_method(method))
            elif not (keys := self._keys(method.task)):
                unknown.setdefault(method.task, []).append(method.name)
            elif (rpc := self._method(method, keys)) is not None:
                methods.setdefault(method.task, []).append(rpc)
        for task, names in unknown.items():
            self.problems.append(f"{', '.join(names)}: {self.server} has {self._no_such_task(task)}")
        for task, rpcs in methods.items():
            rpcs.extend(self._others(task, rpcs))
        return methods

    def training(self) -> RemoteRPCDescriptor | None:
        """Return the declared training; None if several have its name: `train` then takes an RPC name or a route."""
        train = self.declaration.train
        if train is None:
            return None
        found = self._trainings()
        if not found:
            modules = ", ".join(rpc.module for rpc in self.description.trainings.values()) or "none"
            module = self.declaration.module.__name__
            self.problems.append(f"train: {self.server} has no training of {module}; it has {modules}")
        if len(found) != 1:
            return None
        training = _declared(train, found[0])
        self.problems += [f"train: {mismatch}" for mismatch in mismatches(train, found[0], self.server)]
        return training

    def _keys(self, task: str) -> list[str]:
        """Return the keys of the server's tasks that the name of a declared task means."""
        tasks = self.description.tasks
        return [task] if task in tasks else matching_tasks(((key, tasks[key].methods) for key in tasks), task)

    def _method(self, method: DeclaredMethod, keys: Sequence[str]) -> RemoteRPCDescriptor | None:
        if len(keys) > 1:
            return _ambiguous(method, keys)
        rpc = _same_streams(method, self.description.tasks[keys[0]])
        if rpc is None:
            self.problems.append(f"{method.name}: {self.server} has {_no_such_method(method)}")
            return None
        found = [*mismatches(method, rpc, self.server)]
        self.problems += [f"{method.name}: {mismatch}" for mismatch in found]
        if found:
            return None
        try:
            return _declared(method, rpc)
        except UnusableTypeError as error:
            self.problems.append(f"{method.name}: {error}")
            return None

    def _others(self, task: str, declared: Sequence[RemoteRPCDescriptor]) -> list[RemoteRPCDescriptor]:
        """Return the starts of jobs, and the methods whose names the class does not declare.

        Code that does not know the declaration calls methods by the names that all modules have.
        """
        keys = self._keys(task)
        served = self.description.tasks[keys[0]].methods if len(keys) == 1 else ()
        starts = [self._start(rpc, task) for rpc in served if rpc.job is not None]
        names = {method.name for method in self.declaration.methods} | {rpc.name for rpc in (*declared, *starts)}
        return [*starts, *(rpc for rpc in served if rpc.name not in names)]

    def _start(self, rpc: RemoteRPCDescriptor, task: str) -> RemoteRPCDescriptor:
        """Return the start of a prediction job with the types of the declared unary method."""
        methods = [method for method in self.declaration.methods if method.task == task]
        unary = [method for method in methods if not (method.input_streaming or method.output_streaming)]
        if not unary or rpc.job is None or rpc.job.result is None:
            return rpc
        result = replace(rpc.job.result, codec=DeclaredAnswerCodec(unary[0], rpc.job.result))
        codec = DeclaredCodec(unary[0], rpc)
        return replace(rpc, codec=codec, signature=codec.signature, job=replace(rpc.job, result=result))

    def _trainings(self) -> list[RemoteRPCDescriptor]:
        declaration, trainings = self.declaration, self.description.trainings
        if declaration.name in trainings:
            return [trainings[declaration.name]]
        for name in (declaration.module.__name__, declaration.name):
            found = [rpc for rpc in trainings.values() if rpc.module == name]
            if len(found) > 1:
                found = [rpc for rpc in found if rpc.task in declaration.tasks] or found
            if found:
                return found
        return []

    def _no_such_task(self, task: str) -> str:
        tasks = self.description.tasks
        close = closest(task, tasks)
        hint = f" (did you mean {close}?)" if close else f"; it has {listed(tasks, len(tasks)) or 'none'}"
        return f"no task {task}{hint}"


def _declared(method: DeclaredMethod, rpc: RemoteRPCDescriptor) -> RemoteRPCDescriptor:
    codec = DeclaredCodec(method, rpc)
    return replace(rpc, name=method.name, signature=method.signature, codec=codec)


def _ambiguous(method: DeclaredMethod, keys: Sequence[str]) -> RemoteRPCDescriptor:
    """Return a declared method of a task that several services have."""
    explanation = (
        f"{method.name}(): the server has several tasks {method.task}; choose one: {task_choices(keys)}; "
        f"or name one in the declaration, as in @taskmethod({keys[0]!r})"
    )
    return replace(unbound_method(method), codec=AmbiguousCodec(method.name, method.signature, explanation))


def _same_streams(method: DeclaredMethod, task: TaskDescription) -> RemoteRPCDescriptor | None:
    """Return the server's method with the same streams in and out."""
    streams = (method.input_streaming, method.output_streaming)
    for rpc in task.methods:
        if rpc.job is None and (rpc.input_streaming, rpc.output_streaming) == streams:
            return rpc
    return None


def _no_such_method(method: DeclaredMethod) -> str:
    words = {False: "one value", True: "a stream"}
    streams = f"takes {words[method.input_streaming]} and gives {words[method.output_streaming]}"
    return f"no method of {method.task} that {streams}"
