"""The builtins and imports that a written file uses."""

from __future__ import annotations

from collections.abc import Container

_PACKAGE = "remote_client"
_MODULES = {
    # module -> the names that come from it
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
NAMES = frozenset(name for names in _MODULES.values() for name in names)
"""All names that a file may use without defining them."""
_IN_MODELS = frozenset({*_MODULES["builtins"], *_MODULES["datetime"], *_MODULES["typing"], "Field"})
"""The names that the body of a model's class may use: a field of the same name hides them."""


class Imports:
    """The names that a file imports, and the aliases of those that its own names hide.

    An alias has a leading underscore, which no identifier of a server's name has: in a file with a field `date`, the
    type is imported as `_date`.

    Args:
        package: `remote_client` or `remote_client.sync`.
        classes: the names of the file's classes.
        fields: the names of all fields of the file's models.
    """

    def __init__(self, package: str, classes: Container[str], fields: Container[str]) -> None:
        self._package = package
        self._hidden = {name for name in NAMES if name in classes or (name in _IN_MODELS and name in fields)}
        self._used: set[str] = set()

    def name(self, name: str) -> str:
        """Return the file's name for one of `NAMES`, and import it."""
        self._used.add(name)
        return f"_{name}" if name in self._hidden else name

    def text(self) -> str:
        """Return the import statements of the names that `name` was called with."""
        standard: list[str] = []
        others: list[str] = []
        for module, names in _MODULES.items():
            target = self._package if module == _PACKAGE else module
            (standard if module in _STANDARD else others).extend(self._lines(module, target, names))
        return "\n\n".join("\n".join(block) for block in (standard, sorted(others)) if block) + "\n"

    def _lines(self, module: str, target: str, names: tuple[str, ...]) -> list[str]:
        used = sorted(self._used.intersection(names), key=str.lower)
        plain = [name for name in used if name not in self._hidden]
        lines = [f"from {target} import {', '.join(plain)}"] if plain and module != "builtins" else []
        return lines + [f"from {target} import {name} as _{name}" for name in used if name in self._hidden]
