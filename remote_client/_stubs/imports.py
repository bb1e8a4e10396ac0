"""The names that a written file uses and does not define: builtins and imports."""

from __future__ import annotations

from collections.abc import Container

_PACKAGE = "remote_client"
_SOURCES = {
    # where a name comes from
    "builtins": ("NotImplementedError", "bool", "bytes", "dict", "float", "int", "list", "str"),
    "collections.abc": ("AsyncIterable", "Iterable", "Mapping"),
    "datetime": ("date", "datetime", "time", "timedelta"),
    "enum": ("IntEnum",),
    "pathlib": ("PurePath",),
    "typing": ("Any", "Union"),
    "pydantic": ("BaseModel", "ConfigDict", "Field"),
    _PACKAGE: ("FileResponse", "RemoteModuleBase", "RemoteStream", "TrainingJob"),
    "remote_client.declare": ("module", "taskmethod"),
}
_STANDARD = ("builtins", "collections.abc", "datetime", "enum", "pathlib", "typing")
NAMES = frozenset(name for names in _SOURCES.values() for name in names)
"""All names that a file may use and not define."""
_IN_MODELS = frozenset({*_SOURCES["builtins"], *_SOURCES["datetime"], *_SOURCES["typing"], "Field"})
"""Those of them that the body of a model's class may use, where fields hide them."""


class Imports:
    """Says how a file calls what it does not define, and notes what it uses.

    What a field or a class of the file hides has an underscore in front, which no identifier for a server's name has:
    a model with a field `date` says `_date`, and the file imports it so.

    Args:
        package: `remote_client`, or `remote_client.sync`.
        classes: the names of the file's classes.
        fields: the names of all fields of the file's models.
    """

    def __init__(self, package: str, classes: Container[str], fields: Container[str]) -> None:
        self._package = package
        self._hidden = {name for name in NAMES if name in classes or (name in _IN_MODELS and name in fields)}
        self._used: set[str] = set()

    def name(self, name: str) -> str:
        """Return how the file calls one of `NAMES`."""
        self._used.add(name)
        return f"_{name}" if name in self._hidden else name

    def text(self) -> str:
        """Return the import statements for the names that were asked for."""
        standard: list[str] = []
        others: list[str] = []
        for source, names in _SOURCES.items():
            found = self._package if source == _PACKAGE else source
            (standard if source in _STANDARD else others).extend(self._lines(source, found, names))
        return "\n\n".join("\n".join(each) for each in (standard, sorted(others)) if each) + "\n"

    def _lines(self, source: str, found: str, names: tuple[str, ...]) -> list[str]:
        used = sorted(self._used.intersection(names), key=str.lower)
        plain = [each for each in used if each not in self._hidden]
        lines = [f"from {found} import {', '.join(plain)}"] if plain and source != "builtins" else []
        return lines + [f"from {found} import {each} as _{each}" for each in used if each in self._hidden]
