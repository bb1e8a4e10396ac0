"""Methods that cannot be called as they are: no server was asked yet, or the name does not tell which is meant."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import Any, NoReturn

from ..declare import Declaration, DeclaredMethod
from ..errors import InputError, clean
from ..settings import Protocol
from . import names
from .openapi.codec import QueryCodec
from .rpc import JobMethods, RemoteRPCDescriptor


def unbound(declaration: Declaration, protocol: Protocol) -> list[tuple[str, list[RemoteRPCDescriptor]]]:
    """The declared methods of a server that was not asked yet: the numbers of their fields are known to it alone.

    With them is the start of a prediction job, which servers have for each task that answers at once. Methods with
    streamed inputs, which HTTP has not, raise an UnsupportedError over HTTP.
    """
    tasks: dict[str, list[RemoteRPCDescriptor]] = {}
    unary: dict[str, DeclaredMethod] = {}
    for method in declaration.methods:
        has_it = protocol == "grpc" or not method.input_streaming
        tasks.setdefault(method.task, []).append(unbound_method(method) if has_it else unsupported(method))
        is_named = "/" not in method.task  # and not by one of its methods, which does not tell the job's name
        if is_named and not (method.input_streaming or method.output_streaming):
            unary.setdefault(method.task, method)
    for task, method in unary.items():
        tasks[task].append(_unbound_start(method, names.needs_its_whole_name(task, tasks)))
    return list(tasks.items())


def _unbound_start(method: DeclaredMethod, whole: bool) -> RemoteRPCDescriptor:
    asked = unbound_method(method)
    name = names.job_method_name(method.task, whole=whole)
    codec = UnboundCodec(name, method.signature)
    return replace(asked, name=name, codec=codec, job=JobMethods("prediction_id", asked, asked, asked))


def unbound_method(method: DeclaredMethod, module: str = "") -> RemoteRPCDescriptor:
    """As `unbound`, of one method, or of the training of a module."""
    return RemoteRPCDescriptor(
        method.signature,
        "",
        "",
        method.name,
        method.input_streaming,
        method.output_streaming,
        method.task,
        method.name,
        module=module,
        codec=UnboundCodec(method.name, method.signature),
    )


def unsupported(method: DeclaredMethod) -> RemoteRPCDescriptor:
    """A declared method with streamed inputs, over HTTP. Its calls raise an UnsupportedError."""
    codec = QueryCodec(method.name, ())
    return RemoteRPCDescriptor(
        method.signature, "", "", method.name, True, method.output_streaming, method.task, method.name, codec=codec
    )


class UnboundCodec(QueryCodec):
    """Stands for a codec until the server's own is known. Checks the arguments' names."""

    def __init__(self, name: str, signature: inspect.Signature) -> None:
        super().__init__(name, ())
        self.signature = signature

    def check(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Raise an InputError for arguments that the signature does not have."""
        try:
            self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise InputError(f"{self._name}(): {error}") from None


class SharedName(UnboundCodec):
    """Stands for the codecs of methods that share a name, and refuses calls.

    Attributes:
        told: how each of the methods is called.
    """

    def __init__(self, name: str, signature: inspect.Signature, told: str) -> None:
        super().__init__(name, signature)
        self.told = clean(told)

    def check(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        raise InputError(self.told)


_ANYTHING = inspect.Signature(
    [
        inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL),
        inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD),
    ],
    return_annotation=NoReturn,
)


def shared_name(name: str, told: str) -> RemoteRPCDescriptor:
    """Return a method that stands for those that share its name, and refuses calls."""
    return RemoteRPCDescriptor(_ANYTHING, "", "", name, name=name, codec=SharedName(name, _ANYTHING, told))


class _LateCodec(UnboundCodec):
    """Of an unpickled method, whose types are not known before the server is asked: then arguments are checked."""

    def check(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        return


def unpickled(told: dict[str, Any], signature: inspect.Signature) -> RemoteRPCDescriptor:
    """A method that comes from another process. The server is asked anew how it is called."""
    return RemoteRPCDescriptor(signature=signature, codec=_LateCodec(told["name"], signature), **told)
