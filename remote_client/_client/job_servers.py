"""The servers that may have a job, and whether they have the model that a training makes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from .._calls.caller import Caller
from .._calls.inputs import request_messages
from .._calls.stream import RemoteStream
from .._concurrency.threads import run_in_thread
from .._schema.ambiguous_names import matching_tasks
from .._schema.arguments import required_parameters
from .._schema.rpc import JobMethods, RemoteRPCDescriptor
from .._text.closest import closest
from ..errors import InputError, InternalError, InvalidArgumentError, NotFoundError
from ..settings import Output

if TYPE_CHECKING:
    from .finder_group import FinderGroup
    from .servers import Server

_Probe = tuple[RemoteRPCDescriptor, bytes]
"""A method, and a request that lacks an input."""


class JobServer(NamedTuple):
    """A server that may have a job, with the methods to ask it.

    Attributes:
        caller: calls the server.
        methods: the methods of jobs of one kind.
        model_methods: the methods of its models, with which it can be probed for a model.
        task: the task of the model that a training makes; "" if it is not known.
    """

    caller: Caller
    methods: JobMethods
    model_methods: Sequence[RemoteRPCDescriptor] = ()
    task: str = ""


FindJobServer = Callable[[], Awaitable[JobServer]]
"""Asks one server whether it may have a job; raises if the server has no jobs of the kind."""
FindJobServers = Callable[[], Mapping[str, FindJobServer]]
"""Returns the servers that may have a job, by their targets."""


@dataclass(eq=False, repr=False)
class PredictionJobServers:
    """The servers that may have a prediction job of a task; a `FindJobServers`."""

    finders: FinderGroup
    task: str
    output: Output = "pydantic"

    def __call__(self) -> dict[str, FindJobServer]:
        return {server.connection.target: partial(self._find, server) for server in self.finders.known}

    async def _find(self, server: Server) -> JobServer:
        tasks = (await self.finders.describe(server)).tasks
        keys = matching_tasks(((key, task.methods) for key, task in tasks.items()), self.task)
        jobs = {key: method.job for key in keys for method in tasks[key].methods if method.job is not None}
        if len(jobs) == 1:
            (job,) = jobs.values()
            return JobServer(server.caller.replace(output=self.output), job)
        if jobs:
            raise InputError(f"task: a server has several tasks {self.task!r}; give one of {', '.join(jobs)}")
        close = closest(self.task, [key for key, task in tasks.items() if any(each.job for each in task.methods)])
        hint = f"; did you mean {close}?" if close else ""
        raise InputError(f"task: no server has prediction jobs of a task {self.task!r}{hint}")


@dataclass(eq=False, repr=False)
class TrainingJobServers:
    """The servers that may have a training; a `FindJobServers`."""

    finders: FinderGroup

    def __call__(self) -> dict[str, FindJobServer]:
        return {server.connection.target: partial(self._find, server) for server in self.finders.known}

    async def _find(self, server: Server) -> JobServer:
        description = await self.finders.describe(server)
        if description.training_job is None:
            raise NotFoundError("no server has trainings")
        tasks = ((task.name, task.methods) for task in description.tasks.values())
        return JobServer(server.caller, description.training_job, probe_methods(tasks))


def probe_methods(tasks: Iterable[tuple[str, Iterable[RemoteRPCDescriptor]]]) -> list[RemoteRPCDescriptor]:
    """Return the methods with which a server can be probed for a model."""
    # Over HTTP a declared method of streamed inputs has no path.
    return [rpc for _, methods in tasks for rpc in methods if rpc.job is None and rpc.path]


def can_probe(server: JobServer, name: str) -> bool:
    """Return whether `missing_model_error` can ask the server."""
    return server.methods.models is not None or _probe(server.model_methods, server.task, name) is not None


async def load_model(caller: Caller, methods: Sequence[RemoteRPCDescriptor], name: str) -> None:
    """Have a server load a model that it lists, by a call that lacks an input; see `missing_model_error`."""
    probe = await run_in_thread(_probe, methods, "", name)  # makes the types of many methods
    if probe is not None:
        with suppress(NotFoundError):
            await _is_loaded(caller.for_model(name), *probe)


async def missing_model_error(server: JobServer, name: str) -> NotFoundError | None:
    """Return the server's NotFoundError for a model, or None if it has the model.

    The probe is a call that lacks an input, so that nothing runs: the runtime loads the model before it checks inputs.
    Its list of models would be late, as it looks for new models now and then. The list decides only where no call is
    certain not to run the model.
    """
    probe = await run_in_thread(_probe, server.model_methods, server.task, name)  # makes the types of many methods
    try:
        if probe is not None and await _is_loaded(server.caller.for_model(name), *probe):
            return None
        if server.methods.models is not None:
            models = server.methods.models
            await server.caller.unary(models, models.codec.encode("", (), {"model_ids": [name]}))
    except NotFoundError as error:
        return error
    return None


def _probe(methods: Sequence[RemoteRPCDescriptor], task: str, name: str) -> _Probe | None:
    """Return a request that the server refuses after it has loaded a model and before the model runs.

    If the model lacks the request's task, the runtime calls the method of the model's own task with the same streaming,
    with those of the request's fields that it has parameters for. So a request of any task serves if it can lack an
    input, and if every method of the model's task with the same streaming misses one then. A streamed input without
    items runs nothing.
    """
    own = [rpc for rpc in methods if rpc.task == task or not task]
    for rpc in sorted([*own, *methods], key=_streaming):
        if rpc.input_streaming:
            return rpc, b""
        request = rpc.codec.incomplete(name)
        others = [other for other in own if _streaming(other) == _streaming(rpc) and other is not rpc]
        if request is not None and all(_misses_input(other, rpc, name) for other in others):
            return rpc, request
    return None


def _streaming(rpc: RemoteRPCDescriptor) -> tuple[bool, bool]:
    """Return which of answer and request are streams. Streamed answers sort last: a model that answers has run."""
    return rpc.output_streaming, rpc.input_streaming


def _misses_input(rpc: RemoteRPCDescriptor, other: RemoteRPCDescriptor, name: str) -> bool:
    """Return whether a method misses an input when it is called with the incomplete request of another."""
    missing = required_parameters(rpc.signature) - other.signature.parameters.keys()
    return rpc.codec.incomplete(name) is not None or bool(missing)


async def _is_loaded(caller: Caller, rpc: RemoteRPCDescriptor, request: bytes) -> bool:
    body: bytes | AsyncIterator[bytes] = request_messages(rpc, request, {}) if rpc.input_streaming else request
    try:
        if rpc.output_streaming:
            stream: RemoteStream[Any] = RemoteStream(caller, rpc, body)
            async with aclosing(stream):
                await anext(stream, None)
        else:
            await caller.send(rpc.path, body)
    except InvalidArgumentError:
        return True
    except InternalError:  # the model has no such method, or got no item, or cannot be loaded
        return False
    return True
