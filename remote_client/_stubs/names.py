"""The names of a written file's classes and of its enums' members."""

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
"""Names that classes must not have: in a class with such a method, an annotation would refer to the method."""
_ENUM_NAMES = {"mro", "name", "value", "is_integer"}
"""Names that enums reserve in some version of Python, beyond the attributes of `IntEnum` in this one."""


class Names:
    """The names of one file's classes.

    Tasks and trained modules get their names first: imports get an alias (see `Imports`), and types another name, if
    they would clash. Types also avoid the names of fields.

    Args:
        description: the server's description.
        kinds: all models and enums of the file.

    Attributes:
        tasks: key of a task -> its class.
        modules: key of a training -> the module's name in the declaration: the key itself if the module has several.
        trainings: key of a training -> its class.
        types: model or enum -> its class.
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
        # Names that stay as they are come first, so that no other type takes them.
        kinds.sort(key=lambda kind: kind.__name__ != _capital(kind.__name__))
        self.types = {kind: types.of(_capital(kind.__name__)) for kind in kinds}

    @property
    def classes(self) -> set[str]:
        """The names of the classes of tasks and trained modules."""
        return {*self.tasks.values(), *self.trainings.values()}


def members(kind: Any) -> Mapping[str, str]:
    """Return valid names for the members of an enum: the server's name -> the name in the file."""
    names = Identifiers(reserved=lambda name: name in _ENUM_NAMES or hasattr(IntEnum, name), fallback="member")
    return names.of_all(kind.__members__)


def _named(classes: Identifiers, labels: Mapping[str, str]) -> dict[str, str]:
    """Return a class name for each key: its label, if that is valid and free."""
    named = classes.of_all(labels.values())
    return {key: named.pop(label, "") or classes.of(label) for key, label in labels.items()}


def _label(key: str) -> str:
    """Return the name in a task's or training's key, which may be a full RPC name or a route."""
    return key if key.startswith("/") else key.rpartition(".")[2]


def _modules(description: ServiceDescription) -> dict[str, str]:
    count = Counter(rpc.module for rpc in description.trainings.values())
    return {key: rpc.module if count[rpc.module] == 1 else key for key, rpc in sorted(description.trainings.items())}


def _capital(name: str) -> str:
    name = name.lstrip("_")
    return name[:1].upper() + name[1:]
