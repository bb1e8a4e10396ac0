"""Servers that may have a job, and whether they have the model that a training made."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from .._calls.caller import Caller
from .._calls.inputs import request_messages
from .._calls.stream import RemoteStream
from .._schema.arguments import required_parameters
from .._schema.rpc import JobMethods, RemoteRPCDescriptor
from ..errors import InternalError, InvalidArgumentError, NotFoundError

_Probe = tuple[RemoteRPCDescriptor, bytes]
"""A method, and a request that lacks an input."""


@dataclass(frozen=True)
class JobServer:
    """A server that may have a job, and the methods to ask it with.

    Attributes:
        runs: the methods of its models that `lacks` may ask with.
        task: the task of the model that a training makes; "" where it is not known.
    """

    caller: Caller
    methods: JobMethods
    runs: Sequence[RemoteRPCDescriptor] = ()
    task: str = ""


FindJobServer = Callable[[], Awaitable[JobServer]]
"""Asks one server whether it may have a job; it raises where the server has no jobs of the kind."""
FindJobServers = Callable[[], Mapping[str, FindJobServer]]
"""Gives the servers that may have a job, by their targets."""


def probe_methods(tasks: Iterable[tuple[str, Iterable[RemoteRPCDescriptor]]]) -> list[RemoteRPCDescriptor]:
    """Return the methods that `lacks` may ask with."""
    # Over HTTP a declared method of streamed inputs has no path.
    return [rpc for _, methods in tasks for rpc in methods if rpc.job is None and rpc.path]


def can_probe(home: JobServer, name: str) -> bool:
    """Whether `lacks` can tell."""
    return home.methods.models is not None or _probe(home, name) is not None


async def lacks(home: JobServer, name: str) -> NotFoundError | None:
    """Return a server's NotFoundError for a model, or None if the server has it.

    Asked by a call that lacks an input, so that nothing runs: the runtime loads the model before it sees that. A list
    of models would tell only when the runtime next looks for new ones; it is asked where no call is sure not to run the
    model.
    """
    probe = _probe(home, name)
    try:
        if probe is not None and await _is_loaded(home.caller.for_model(name), *probe):
            return None
        if home.methods.models is not None:
            models = home.methods.models
            await home.caller.unary(models, models.codec.encode("", (), {"model_ids": [name]}))
    except NotFoundError as error:
        return error
    return None


def _probe(home: JobServer, name: str) -> _Probe | None:
    """A request that a server refuses after it loaded a model, before it runs.

    A runtime calls a model that does not have the task by the method of its own task that has the same form, if there
    is one, with what of the request that has parameters for. So any task's method will do where its request can lack an
    input, if the model's methods of that form miss one then. A streamed input that has no item runs nothing.
    """
    own = [each for each in home.runs if each.task == home.task or not home.task]
    for rpc in sorted([*own, *home.runs], key=_form):
        if rpc.input_streaming:
            return rpc, b""
        request = rpc.codec.incomplete(name)
        alike = [each for each in own if _form(each) == _form(rpc) and each is not rpc]
        if request is not None and all(_misses(each, rpc, name) for each in alike):
            return rpc, request
    return None


def _form(rpc: RemoteRPCDescriptor) -> tuple[bool, bool]:
    """Which of request and answer are streams. In order: a stream that answers may have run."""
    return rpc.output_streaming, rpc.input_streaming


def _misses(rpc: RemoteRPCDescriptor, other: RemoteRPCDescriptor, name: str) -> bool:
    """Whether a method lacks an input when it is called with an incomplete request of another one."""
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
    except (
        InternalError
    ):  # the answer where the model has no method of this form, or got no item; or it cannot be loaded
        return False
    return True
