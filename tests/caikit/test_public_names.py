"""The public names of `remote_client.caikit`: listed, documented, pickled by their public name."""

from __future__ import annotations

import importlib
import inspect
import pickle
import pydoc
from typing import Any

import caikit.runtime.client
import pytest

import remote_client.caikit

from ..support.inside_caikit import NAMES as INSIDE_CAIKIT

NAMES = sorted(INSIDE_CAIKIT)
# caikit's clients have no trainer.
CAIKITS = sorted(INSIDE_CAIKIT - {"RemoteModelTrainer"})


def value_of(name: str) -> Any:
    return getattr(remote_client.caikit, name)


def caikits(name: str) -> Any:
    """Return what caikit's client has of this name."""
    for module in ("remote_model_finder", "remote_model_initializer", "remote_module_base", "remote_config"):
        found = importlib.import_module(f"caikit.runtime.client.{module}")
        if hasattr(found, name):
            return getattr(found, name)
    raise AssertionError(f"caikit.runtime.client has no {name}")


def parameters(function: Any) -> list[tuple[str, Any]]:
    """Return the parameters that callers name, with their defaults: those of caikit's have no name for the rest."""
    kinds = (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
    found = inspect.signature(function).parameters.values()
    return [(each.name, each.default) for each in found if each.kind not in kinds]


def test_names_are_listed() -> None:
    assert set(remote_client.caikit.__all__) == INSIDE_CAIKIT


def test_caikits_names_are_here() -> None:
    assert {name for name in dir(caikit.runtime.client) if name[0].isupper()} <= INSIDE_CAIKIT


@pytest.mark.parametrize("name", NAMES)
def test_objects_name_their_public_module(name: str) -> None:
    thing = value_of(name)
    assert thing.__module__ == "remote_client.caikit"
    assert thing.__doc__
    assert name in pydoc.render_doc(thing)


@pytest.mark.parametrize("name", NAMES)
def test_objects_are_pickled_by_their_public_name(name: str) -> None:
    data = pickle.dumps(value_of(name))
    assert b"._" not in data
    assert pickle.loads(data) is value_of(name)


@pytest.mark.parametrize(("ours", "theirs"), [(value_of(name), caikits(name)) for name in CAIKITS], ids=CAIKITS)
def test_parameters_are_those_of_caikits_client(ours: Any, theirs: Any) -> None:
    if not isinstance(theirs, type):
        assert parameters(ours) == [*parameters(theirs)[:1], ("model_class", remote_client.caikit.RemoteModuleBase)]
        return
    assert issubclass(ours, theirs.__bases__)
    for name in ["__init__", *(name for name in vars(theirs) if not name.startswith("_"))]:
        if callable(getattr(theirs, name)):
            assert parameters(getattr(ours, name)) == parameters(getattr(theirs, name)), name
