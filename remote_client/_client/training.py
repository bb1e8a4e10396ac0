"""The choice of a module's training, and the request that starts it."""

from __future__ import annotations

import inspect
import re
import secrets
from collections.abc import AsyncIterable, Iterator, Mapping
from pathlib import PurePath
from typing import Any

from .._concurrency.iterators import END, source_of
from .._schema.codec import OUTPUT_PATH
from .._schema.rpc import RemoteRPCDescriptor
from ..errors import InputError
from .deployment import check_name
from .module_config import RemoteModuleConfig


def choose_training(
    config: RemoteModuleConfig, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[RemoteRPCDescriptor, str, bytes]:
    """Return the training, the new model's name, and the request.

    The training is that of the module class in the arguments; else the one that is known to be the module's; else the
    only one that takes the arguments.

    Raises:
        InputError: no training takes the arguments, or several do.
    """
    candidates = _candidates(config, kwargs)
    fitting: list[tuple[RemoteRPCDescriptor, str, bytes]] = []
    refusals: list[str] = []
    for training in candidates:
        arguments, name = _request_arguments(training, kwargs, config.model_path)
        try:
            fitting.append((training, name, training.codec.encode(name, args, arguments)))
        except InputError as error:
            if len(candidates) == 1:
                raise
            refusals.append(f"{training.module}: {error}")
    if len(fitting) != 1:
        reasons = [f"{training.module}: {training}" for training, _, _ in fitting] or refusals
        count = "not one" if not fitting else "more than one"
        raise InputError(
            f"train(): no server tells which training belongs to the module {config.module_name!r}, and "
            f"{count} takes these arguments: name the module's class with module=. {'; '.join(reasons)}"
        )
    return fitting[0]


def is_named(arguments: Mapping[str, Any]) -> bool:
    """Return whether the arguments of a training name the new model."""
    return any(arguments.get(name) is not None for name in ("model_name", "_model_name"))


def _candidates(config: RemoteModuleConfig, kwargs: dict[str, Any]) -> list[RemoteRPCDescriptor]:
    trainings = config.trainings
    given = "_module" if any("module" in training.signature.parameters for training in trainings) else "module"
    module = kwargs.pop(given, None)
    if module is not None:
        name = module.__name__ if isinstance(module, type) else module
        found = [rpc for rpc in trainings if name in (rpc.module, rpc.rpc_name, rpc.full_name)]
        if len(found) != 1:
            known = ", ".join(rpc.full_name for rpc in found) or ", ".join(rpc.module for rpc in trainings)
            raise InputError(f"{given}: {len(found) or 'no'} trainings are of a module {name!r}; there are {known}")
        return found
    return [config.train_method] if config.train_method is not None else trainings


def _request_arguments(training: RemoteRPCDescriptor, kwargs: dict[str, Any], model: str) -> tuple[dict[str, Any], str]:
    """Return the arguments of the request, and the name of the new model.

    `model_name` and `output_path` belong to every training. caikit's client calls them `_model_name` and
    `_output_path`, which are needed for a training with parameters of the plain names.
    """
    arguments = dict(kwargs)
    own = training.signature.parameters
    common: dict[str, Any] = {}
    for name in ("model_name", "output_path"):
        common[name] = arguments.pop(f"_{name}", None)
        if common[name] is None and name not in own:
            common[name] = arguments.pop(name, None)
    path = common["output_path"]
    if path is not None:
        arguments[OUTPUT_PATH] = {"path": str(path)} if isinstance(path, (str, PurePath)) else path
    name = common["model_name"]
    if name is None:
        # Chosen here and not by the server, so that a start without an answer can be looked for.
        name = f"{re.sub(r'[^A-Za-z0-9_.-]+', '-', model)}-{secrets.token_hex(8)}"
    check_name(name)
    return arguments, name


async def materialized(value: Any) -> Any:
    """Return the items of an iterator as a list, as more than one training may try to encode them."""
    if not isinstance(value, (AsyncIterable, Iterator)):
        return value
    source, items = source_of(value), []
    try:
        while (item := await source.advance()) is not END:
            items.append(item)
    finally:
        await source.aclose()
    return items


def train_signature(config: RemoteModuleConfig) -> inspect.Signature:
    """Return the signature of a module's `train`: that of its training, if it is known."""
    chosen = config.train_method
    own = list(chosen.signature.parameters.values()) if chosen else []
    if chosen is None:
        own = [inspect.Parameter("parameters", inspect.Parameter.VAR_KEYWORD, annotation=Any)]
    names = [parameter.name for parameter in own]
    common = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in (("model_name", str | None), ("output_path", Any), ("module", str | None))
        if name not in names
    ]
    keywords = [parameter for parameter in own if parameter.kind is inspect.Parameter.VAR_KEYWORD]
    plain = [parameter for parameter in own if parameter not in keywords]
    return inspect.Signature([*plain, *common, *keywords])


def train_doc(config: RemoteModuleConfig) -> str:
    """Return the docstring of a module's `train`."""
    candidates = "\n".join(f"    module={training.module!r}: {training}" for training in config.trainings)
    return f"""Starts a training. It is sent once: `OutcomeUnknownError` means that it may have begun.

Args:
    model_name: the new model's name; by default this model's with a random suffix.
    output_path: where the runtime keeps the model, an S3 path; by default the runtime's own folder.
    module: the class of the module to train. By default the training named after this model's module, if no other
        module of the server has that name; else the only training that takes the arguments.

Training data is an iterable or async iterable of rows; a file, a list of files or a directory (`pathlib` paths on the
server); or S3 files, as a mapping.

The server's trainings:
{candidates}
"""
