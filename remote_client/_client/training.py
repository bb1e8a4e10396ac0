"""Which training a module's `train` means, and what is sent to start it."""

from __future__ import annotations

import inspect
import re
import secrets
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from .._schema.codec import OUTPUT_PATH
from .._schema.rpc import RemoteRPCDescriptor
from ..errors import InputError
from .model_files import check_name
from .module_config import RemoteModuleConfig


def choose(
    config: RemoteModuleConfig, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[RemoteRPCDescriptor, str, bytes]:
    """The training that is meant, the new model's name, and the request.

    A training is named by its module's class; else it is the one that is known to be the module's, or the only one that
    takes the arguments.

    Raises:
        InputError: none is, or several are.
    """
    chosen = _candidates(config, kwargs)
    fitting: list[tuple[RemoteRPCDescriptor, str, bytes]] = []
    refusals: list[str] = []
    for training in chosen:
        arguments, name = _around(training, kwargs, config.model_path)
        try:
            fitting.append((training, name, training.codec.encode(name, args, arguments)))
        except InputError as error:
            if len(chosen) == 1:
                raise
            refusals.append(f"{training.module}: {error}")
    if len(fitting) != 1:
        told = "; ".join(refusals) if not fitting else "; ".join(f"{each.module}: {each}" for each, _, _ in fitting)
        count = "not one" if not fitting else "more than one"
        raise InputError(
            f"train(): no server tells which training belongs to the module {config.module_name!r}, and "
            f"{count} takes these arguments: name the module's class with module=. {told}"
        )
    return fitting[0]


def is_named(arguments: Mapping[str, Any]) -> bool:
    """Whether the arguments of a training name the new model."""
    return any(arguments.get(each) is not None for each in ("model_name", "_model_name"))


def _candidates(config: RemoteModuleConfig, kwargs: dict[str, Any]) -> list[RemoteRPCDescriptor]:
    trainings = config.trainings
    given = "_module" if any("module" in each.signature.parameters for each in trainings) else "module"
    module = kwargs.pop(given, None)
    if module is not None:
        name = module.__name__ if isinstance(module, type) else module
        found = [each for each in trainings if name in (each.module, each.rpc_name, each.full_name)]
        if len(found) != 1:
            known = ", ".join(each.full_name for each in found) or ", ".join(each.module for each in trainings)
            raise InputError(f"{given}: {len(found) or 'no'} trainings are of a module {name!r}; there are {known}")
        return found
    return [config.train_method] if config.train_method is not None else trainings


def _around(training: RemoteRPCDescriptor, kwargs: dict[str, Any], model: str) -> tuple[dict[str, Any], str]:
    """A training's own arguments, and the name for the new model.

    caikit's client calls what is around the parameters `_model_name` and `_output_path`; these names decide where a
    training has parameters of the plain names itself.
    """
    arguments = dict(kwargs)
    own = training.signature.parameters
    around: dict[str, Any] = {}
    for name in ("model_name", "output_path"):
        around[name] = arguments.pop(f"_{name}", None)
        if around[name] is None and name not in own:
            around[name] = arguments.pop(name, None)
    path = around["output_path"]
    if path is not None:
        arguments[OUTPUT_PATH] = {"path": str(path)} if isinstance(path, (str, PurePath)) else path
    name = around["model_name"]
    if name is None:
        # Chosen here and not by the server: a start that is lost on the way can be looked for.
        name = f"{re.sub(r'[^A-Za-z0-9_.-]+', '-', model)}-{secrets.token_hex(8)}"
    check_name(name)
    return arguments, name


def signature_of(config: RemoteModuleConfig) -> inspect.Signature:
    """The signature of a module's `train`: of its training, where that is known."""
    chosen = config.train_method
    own = list(chosen.signature.parameters.values()) if chosen else []
    if chosen is None:
        own = [inspect.Parameter("parameters", inspect.Parameter.VAR_KEYWORD, annotation=Any)]
    names = [each.name for each in own]
    around = [
        inspect.Parameter(each, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for each, kind in (("model_name", str | None), ("output_path", Any), ("module", str | None))
        if each not in names
    ]
    open_end = [each for each in own if each.kind is inspect.Parameter.VAR_KEYWORD]
    plain = [each for each in own if each not in open_end]
    return inspect.Signature([*plain, *around, *open_end])


def doc_of(config: RemoteModuleConfig) -> str:
    """The docstring of a module's `train`."""
    candidates = "\n".join(f"    module={each.module!r}: {each}" for each in config.trainings)
    return f"""Starts a training, once: an `OutcomeUnknownError` tells where nobody knows whether it began.

Args:
    model_name: the new model's name; made of this one's and a random part without it.
    output_path: where the runtime keeps it, an S3 path; the runtime's own place without it.
    module: the class of the module to train. Without it: the training named after this model's module, if no other
        module of the server has that name; else the only training that takes the arguments.

Training data is an iterable or async iterable of rows; a file, a list of files or a directory (`pathlib` paths, where
the server finds them); or S3's files, as a mapping.

The server's trainings:
{candidates}
"""
