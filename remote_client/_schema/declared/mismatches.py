"""Compares a declared method with the server's: parameters, and types as they look on the wire."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import Any, get_args, get_origin

from ..declaration import DeclaredMethod, members_of
from ..rpc import RemoteRPCDescriptor
from ..training_data import DATA_STREAM
from .types import core, fields_of, is_union, item_of, shape, type_text

SERVER = "the server"
_TRAIN_OPTIONS = ("model_name", "output_path", "module", "_model_name", "_output_path", "_module")
"""The parameters of `train` that the client handles itself."""


def mismatches(method: DeclaredMethod, rpc: RemoteRPCDescriptor, server: str) -> Iterable[str]:
    """Yield the differences between a declared method and the server's.

    Args:
        method: the declared method.
        rpc: the server's method.
        server: the name of the server's side in the messages.
    """
    served = rpc.signature.parameters
    names = served_names(method, rpc)
    takes_any = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in served.values())
    seen = set[tuple[Any, Any]]()
    for name, parameter in method.signature.parameters.items():
        if rpc.module and name in _TRAIN_OPTIONS and name not in served:
            continue
        known = served.get(names.get(name, name))
        if known is None:
            if not takes_any:
                yield f"{server} knows no parameter {name}; it has {', '.join(served)}"
            continue
        own = method.streams.get(name, parameter.annotation)
        kind = stream_item(known.annotation) if name in method.streams else known.annotation
        yield from _type_mismatches(own, kind, name, seen, server)
    declared = {names.get(name, name) for name in method.signature.parameters}
    for name in _required(rpc.signature):
        if name not in declared:
            yield f"{server} requires {name}"
    if rpc.job is None:
        result = rpc.signature.return_annotation
        kind = stream_item(result) if rpc.output_streaming else result
        yield from _type_mismatches(method.result, kind, "the answer", seen, server)


def served_names(method: DeclaredMethod, rpc: RemoteRPCDescriptor) -> dict[str, str]:
    """Return the parameters that the server names differently: over HTTP a single required input is `inputs`."""
    served = rpc.signature.parameters
    if "inputs" not in served or "inputs" in method.signature.parameters:
        return {}
    own = [name for name in _required(method.signature) if name not in served]
    return {own[0]: "inputs"} if len(own) == 1 else {}


def _required(signature: inspect.Signature) -> list[str]:
    return [
        parameter.name
        for parameter in signature.parameters.values()
        if parameter.default is inspect.Parameter.empty and parameter.kind is not inspect.Parameter.VAR_KEYWORD
    ]


def stream_item(kind: Any) -> Any:
    """Return the type of a stream's items. Return any other type unchanged, as callers may stream its values."""
    for member in members_of(kind):
        if get_origin(member) in (AsyncIterable, AsyncIterator, Iterable):
            return get_args(member)[0]
    return kind


def _type_mismatches(own: Any, served: Any, where: str, seen: set[tuple[Any, Any]], server: str) -> Iterable[str]:
    """Yield the differences of two types on the wire. Pairs in `seen` were compared before."""
    waiting = [(own, served, where)]
    while waiting:
        own, served, where = waiting.pop()
        own, served = core(own), core(served)
        own_fields, served_fields = fields_of(own), fields_of(served)
        if Any in (own, served) or own is object or isinstance(own, (str, type(None))):
            continue
        if served_fields is not None and list(served_fields) == [DATA_STREAM]:
            continue  # a training's data has many forms
        if own_fields is None or served_fields is None:
            yield from _shape_mismatch(own, served, where, server)
            if shape(own) == shape(served) and shape(own) in ("list", "mapping"):
                waiting.append((item_of(own), item_of(served), f"{where}[]"))
        elif (own, served) not in seen:
            seen.add((own, served))
            names = ", ".join(served_fields)
            yield from (
                f"{where} has no field {name}; it has {names}" for name in own_fields if name not in served_fields
            )
            common = [name for name in reversed([*own_fields]) if name in served_fields]
            waiting += [(own_fields[name], served_fields[name], f"{where}.{name}") for name in common]


def _shape_mismatch(own: Any, served: Any, where: str, server: str) -> Iterable[str]:
    """Yield the difference of two types that are not both messages, whatever their items are."""
    shapes = shape(own), shape(served)
    if is_union(own) or is_union(served) or "any" in shapes:
        return  # the value decides which member is meant
    if shapes[0] != shapes[1] and not _is_enum(*shapes) and shapes != ("mapping", "message"):
        there = "on the server" if server == SERVER else f"in {server}"
        yield f"{where} is {type_text(served)} {there}, not {type_text(own)}"


def _is_enum(*shapes: str) -> bool:
    """Return whether one is an enum and the other may be its values: numbers, or names over HTTP."""
    return "enum" in shapes and {*shapes} <= {"enum", "number", "text"}
