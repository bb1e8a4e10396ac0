"""caikit's own module classes as declarations, for users who have caikit. caikit is never imported from here."""

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
    """The caikit module of an id, if caikit was imported and knows it."""
    registries = sys.modules.get("caikit.core.registries")
    return None if registries is None else registries.module_registry().get(id)


def is_caikit_module(candidate: Any) -> bool:
    """Whether this is the class of a caikit module."""
    return isinstance(candidate, type) and hasattr(candidate, "MODULE_ID") and hasattr(candidate, "TRAIN_SIGNATURE")


@cache
def declaration_of_caikit(module: Any) -> Declaration:
    """What the class of a caikit module says, with a pydantic model for each of its data objects. Made once.

    Raises:
        ConfigurationError: a type of it cannot be used.
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
    for each, annotation in signature.parameters.items():
        item = _streamed(annotation)
        kind = types.of(annotation if item is None else item)
        if item is not None:
            if task:
                streams[each] = kind
            kind = _ITERABLE[kind] | _ASYNC_ITERABLE[kind]
        default = signature.default_parameters.get(each, inspect.Parameter.empty)
        parameters.append(
            inspect.Parameter(each, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=kind)
        )
    answers = _streamed(signature.return_type)
    data_object = signature.return_type if answers is None else answers
    result = types.of(data_object) if task else Any
    returned = result if answers is None else _ASYNC_ITERATOR[result]
    # Python wants parameters with a default last; who calls by position gives what caikit's own method takes.
    parameters.sort(key=lambda each: each.default is not inspect.Parameter.empty)
    told = inspect.Signature(parameters, return_annotation=returned)
    return DeclaredMethod(name, task, told, streams, result, answers is not None, data_object if task else None)


def _streamed(kind: Any) -> Any:
    """The type of the items of caikit's `DataStream`; None for anything else."""
    origin = get_origin(kind)
    return get_args(kind)[0] if getattr(origin, "__name__", "") == "DataStream" else None
