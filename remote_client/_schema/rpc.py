"""What a server offers, whatever protocol it was learned over: tasks, their methods, their types."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from pydantic import BaseModel

from ..errors import SchemaError
from ..settings import Output
from .names import short_method_name


class Codec(Protocol):
    """How one method's arguments become bytes, and its answers objects."""

    def encode(self, model: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        """The request of a method without streamed input, for a model that HTTP names in it. Raises InputError."""
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
class RemoteRPCDescriptor:
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
    codec: Codec = field(repr=False, kw_only=True)

    @property
    def short_name(self) -> str:
        """The method's name on a module of one task, such as `run`."""
        return short_method_name(self.input_streaming, self.output_streaming)

    def __str__(self) -> str:
        # Types by their last name: what a reader wants, and what `ServiceDescription.type` takes.
        return self.name + re.sub(r"(?:\w+\.)+(\w+)", r"\1", str(self.signature))


@dataclass(frozen=True, eq=False)
class TaskDescription:
    """A task: its class's name and its methods."""

    name: str
    methods: tuple[RemoteRPCDescriptor, ...]

    def __str__(self) -> str:
        return "\n".join([self.name, *(f"    {method}" for method in self.methods)])


@dataclass(frozen=True, eq=False)
class ServiceDescription:
    """Everything a server offers. `print()` shows it.

    Attributes:
        tasks: task name -> its methods.
        types: full name of a type on the server -> pydantic model or enum. See also `type()`.
        management: the runtime's own methods that this client uses, by their name over gRPC.
        notes: what the server's description lacks.
    """

    tasks: Mapping[str, TaskDescription]
    types: Mapping[str, type[Any]]
    management: Mapping[str, RemoteRPCDescriptor] = field(repr=False)
    notes: tuple[str, ...] = ()

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
        return "\n".join([*map(str, self.tasks.values()), *(f"Note: {note}" for note in self.notes)])
