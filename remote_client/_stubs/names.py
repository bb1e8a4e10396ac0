"""The names of a written file's classes, and of the members of its enums."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Any

from .._schema.identifiers import Identifiers
from .._schema.rpc import ServiceDescription
from .annotations import is_model
from .imports import NAMES

_METHODS = ("run", "run_stream_out", "run_stream_in", "run_bidi_stream", "train")
"""In a class that has them an annotation of one of these names would be the method."""
_NO_MEMBERS = {"mro", "name", "value", "is_integer"}
"""More that enums use themselves, in some version of Python."""


class Names:
    """Names the classes of one file.

    The classes of tasks and trained modules come first: what is imported gets out of their way (see `Imports`), and so
    do the classes of types, which also avoid the names of fields.

    Args:
        description: what the server offers.
        kinds: all models and enums of the file.

    Attributes:
        tasks: the class of each task.
        modules: what a declaration calls the module of each training: the training's key if a module has several.
        trainings: the class of each training.
        types: the class of each model and enum.
        fields: the names of all fields.
    """

    def __init__(self, description: ServiceDescription, kinds: Iterable[type]) -> None:
        kinds = list(kinds)
        models: list[Any] = [kind for kind in kinds if is_model(kind)]
        self.fields = {name for kind in models for name in kind.model_fields}
        classes = Identifiers({"annotations", *_METHODS}, fallback="Task")
        self.tasks = _named(classes, {key: _label(key) for key in description.tasks})
        self.modules = _modules(description)
        trained = {
            key: _label(key).removesuffix("Train") if key == name else name for key, name in self.modules.items()
        }
        self.trainings = _named(classes, trained)
        taken = {"annotations", *_METHODS, *NAMES, *self.fields, *self.classes}
        types = Identifiers(taken, fallback="Message")
        kinds.sort(key=lambda kind: kind.__name__ != _capital(kind.__name__))  # names that can stay do so
        self.types = {kind: types.of(_capital(kind.__name__)) for kind in kinds}

    @property
    def classes(self) -> set[str]:
        """The classes of tasks and trained modules."""
        return {*self.tasks.values(), *self.trainings.values()}


def members(kind: Any) -> Mapping[str, str]:
    """Return a name for each member of an enum that a class may assign to."""
    names = Identifiers(reserved=lambda name: name in _NO_MEMBERS or hasattr(IntEnum, name), fallback="member")
    return names.of_all(kind.__members__)


def _named(classes: Identifiers, labels: Mapping[str, str]) -> dict[str, str]:
    """A class for each key, called as its label if that is possible."""
    named = classes.of_all(labels.values())
    return {key: named.pop(label, "") or classes.of(label) for key, label in labels.items()}


def _label(key: str) -> str:
    """What a task or a training is called: by its method and service if several have the name (see `ambiguous_names`)."""
    return key if key.startswith("/") else key.rpartition(".")[2]


def _modules(description: ServiceDescription) -> dict[str, str]:
    count = Counter(each.module for each in description.trainings.values())
    return {key: each.module if count[each.module] == 1 else key for key, each in sorted(description.trainings.items())}


def _capital(name: str) -> str:
    name = name.lstrip("_")
    return name[:1].upper() + name[1:]
