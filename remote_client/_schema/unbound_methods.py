"""Methods that cannot be called as they are: of a server that was not asked yet, or with an ambiguous name."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import NoReturn

from ..settings import Protocol
from . import caikit_names
from .codec import AmbiguousCodec, BaseCodec, Codec, UnboundCodec
from .declaration import Declaration, DeclaredMethod
from .rpc import JobMethods, RemoteRPCDescriptor


def unbound_methods(declaration: Declaration, protocol: Protocol) -> list[tuple[str, list[RemoteRPCDescriptor]]]:
    """Return the declared methods by task, for calls before the server is asked: only it knows the fields' numbers.

    Tasks with a unary method can start prediction jobs too. Over HTTP, calls of methods with streamed inputs raise an
    UnsupportedError.
    """
    tasks: dict[str, list[RemoteRPCDescriptor]] = {}
    unary: dict[str, DeclaredMethod] = {}
    for method in declaration.methods:
        is_supported = protocol == "grpc" or not method.input_streaming
        made = unbound_method(method) if is_supported else unsupported_method(method)
        tasks.setdefault(method.task, []).append(made)
        is_class = "/" not in method.task  # the name of an RPC or a route would not give the job's name
        if is_class and not (method.input_streaming or method.output_streaming):
            unary.setdefault(method.task, method)
    for task, method in unary.items():
        tasks[task].append(_unbound_start(method, keep_suffix=caikit_names.keeps_task_suffix(task, tasks)))
    return list(tasks.items())


def _unbound_start(method: DeclaredMethod, *, keep_suffix: bool) -> RemoteRPCDescriptor:
    unbound = unbound_method(method)
    name = caikit_names.job_method_name(method.task, keep_suffix=keep_suffix)
    codec = UnboundCodec(name, method.signature)
    return replace(unbound, name=name, codec=codec, job=JobMethods("prediction_id", unbound, unbound, unbound))


def unbound_method(method: DeclaredMethod, module: str = "") -> RemoteRPCDescriptor:
    """Return a declared method, or the training of a module, for calls before the server is asked."""
    return _declared(method, UnboundCodec(method.name, method.signature), module)


def unsupported_method(method: DeclaredMethod) -> RemoteRPCDescriptor:
    """Return a declared method with streamed inputs for use over HTTP. Its calls raise an UnsupportedError."""
    return _declared(method, BaseCodec(method.name, method.signature))


def _declared(method: DeclaredMethod, codec: Codec, module: str = "") -> RemoteRPCDescriptor:
    flags = method.input_streaming, method.output_streaming
    return RemoteRPCDescriptor(
        method.signature, "", "", method.name, *flags, method.task, method.name, module=module, codec=codec
    )


_ANYTHING = inspect.signature(lambda *args, **kwargs: None).replace(return_annotation=NoReturn)


def ambiguous_method(name: str, explanation: str) -> RemoteRPCDescriptor:
    """Return a method that stands for those that share its name. Its calls raise an InputError with the explanation."""
    codec = AmbiguousCodec(name, _ANYTHING, explanation)
    return RemoteRPCDescriptor(_ANYTHING, "", "", name, name=name, codec=codec)
