"""Declarations of caikit's own module classes. Never imports caikit: the user's process has."""

from __future__ import annotations

import inspect
import sys
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from functools import cache
from typing import TYPE_CHECKING, Any, get_args, get_origin

from ..declaration import Declaration, DeclaredMethod

if TYPE_CHECKING:
    from .caikit_types import CaikitTypes

_ITERABLE: Any = Iterable
_ASYNC_ITERABLE: Any = AsyncIterable
_ASYNC_ITERATOR: Any = AsyncIterator


def module_of_id(id: str) -> type | None:
    """Return the caikit module with an id, or None if caikit does not know it or was not imported."""
    registries = sys.modules.get("caikit.core.registries")
    return None if registries is None else registries.module_registry().get(id)


def is_caikit_module(candidate: Any) -> bool:
    """Return whether this is the class of a caikit module."""
    return isinstance(candidate, type) and hasattr(candidate, "MODULE_ID") and hasattr(candidate, "TRAIN_SIGNATURE")


@cache
def declaration_of_caikit(module: Any) -> Declaration:
    """Return the declaration of a caikit module's class, with pydantic models for its data objects.

    Raises:
        ConfigurationError: a type cannot be a pydantic model.
    """
    from .caikit_types import CaikitTypes

    types = CaikitTypes()
    methods = [
        _method(signature.method_name, task.__name__, signature, types)
        for task in module.tasks
        for _, _, signature in module.get_inference_signatures(task)
    ]
    train = module.TRAIN_SIGNATURE
    trains = train is not None and train.return_type is not None and train.parameters is not None
    return Declaration(
        module,
        module.MODULE_ID,
        module.MODULE_NAME,
        module.MODULE_VERSION,
        tuple(methods),
        _method("train", "", train, types) if trains else None,
    )


def _method(name: str, task: str, signature: Any, types: CaikitTypes) -> DeclaredMethod:
    parameters = []
    streams: dict[str, Any] = {}
    for parameter, annotation in signature.parameters.items():
        item = _stream_item(annotation)
        kind = types.of(annotation if item is None else item)
        if item is not None:
            if task:
                streams[parameter] = kind
            kind = _ITERABLE[kind] | _ASYNC_ITERABLE[kind]
        default = signature.default_parameters.get(parameter, inspect.Parameter.empty)
        parameters.append(
            inspect.Parameter(parameter, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=kind)
        )
    answers = _stream_item(signature.return_type)
    data_object = signature.return_type if answers is None else answers
    result = types.of(data_object) if task else Any
    returned = result if answers is None else _ASYNC_ITERATOR[result]
    # caikit allows parameters without a default after those with one; Python's signatures do not.
    parameters.sort(key=lambda parameter: parameter.default is not inspect.Parameter.empty)
    own = inspect.Signature(parameters, return_annotation=returned)
    return DeclaredMethod(name, task, own, streams, result, answers is not None, data_object if task else None)


def _stream_item(kind: Any) -> Any:
    """Return the type of the items of caikit's `DataStream`, or None for other types."""
    origin = get_origin(kind)
    return get_args(kind)[0] if getattr(origin, "__name__", "") == "DataStream" else None
