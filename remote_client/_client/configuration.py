"""Remote finders in caikit's configuration files, and their overrides in the environment."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import yaml

from .._text.cleaning import clean
from .._text.closest import closest
from ..errors import ConfigurationError
from ..settings import ConnectionInfo, ConnectionTlsInfo, FinderConfig

REMOTE = ("REMOTE", "REMOTE_CLIENT")
"""The types of finders for models on other servers: caikit's own, and `remote_client.caikit`'s."""

_KINDS = (FinderConfig, ConnectionInfo, ConnectionTlsInfo)
_SCALARS = (str, int, float, bool)
_YAML_ERRORS = (yaml.YAMLError, ValueError, LookupError, AttributeError, TypeError, RecursionError)
"""PyYAML's own error, and Python's for a 13th month, a wrong tag or deep nesting."""
_MAX_DEPTH = 4
"""The depth to which the values of a finder can be overridden. With aliases, a few lines of YAML nest without end."""


def remote_finders(
    config: str | os.PathLike[str] | Mapping[str, Any], environment: Mapping[str, str] | None = None
) -> dict[str, FinderConfig]:
    """Return the configurations of all remote finders by their names, in the order of the file.

    Args:
        config: a mapping or the path of a YAML file, with the section `model_management` or that section itself.
        environment: overrides; the default is the process's environment.

    Raises:
        ConfigurationError: a key is unknown, a value is wrong, or there is no remote finder.
        OSError: the file cannot be read.
    """
    section = _section(config if isinstance(config, Mapping) else _read(config))
    finders = section.get("finders")
    if not isinstance(finders, Mapping):
        raise ConfigurationError(f"model_management: finders is missing{_hint('finders', section)}")
    found: dict[str, FinderConfig] = {}
    for name, finder in finders.items():
        where = f"model_management.finders.{name}"
        if not isinstance(finder, Mapping) or "type" not in finder:
            raise ConfigurationError(f"{where}: must be a mapping with type and config")
        _refuse_unknown(where, finder, ("type", "config", "name", "import_class"))
        if finder["type"] not in REMOTE:
            continue  # for models that caikit runs in its own process
        given = finder.get("config") or {}
        if not isinstance(given, Mapping):
            raise ConfigurationError(f"{where}.config: must be a mapping")
        values = _overridden(
            _with_text_keys(given), f"{where}.config", os.environ if environment is None else environment
        )
        try:
            found[str(name)] = FinderConfig(**values)
        except ConfigurationError as error:
            raise ConfigurationError(f"{where}.config: {error}") from None
    if not found:
        types = ", ".join(sorted({str(finder["type"]) for finder in finders.values()})) or "none"
        raise ConfigurationError(
            f"model_management.finders: none is of the type {' or '.join(REMOTE)}; there are {types}"
        )
    return found


def _read(path: str | os.PathLike[str]) -> Mapping[str, Any]:
    try:
        config = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except _YAML_ERRORS as error:
        raise ConfigurationError(f"{os.fspath(path)}: is no YAML: {_problem(error)}") from None
    if not isinstance(config, Mapping):
        raise ConfigurationError(f"{os.fspath(path)}: must be a mapping")
    return config


def _problem(error: Exception) -> str:
    """Return the problem and its place without the lines around it: a configuration may hold secrets."""
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return clean(str(error), 200)
    return f"{clean(str(getattr(error, 'problem', '')), 200)} (line {mark.line + 1}, column {mark.column + 1})"


def _section(config: Mapping[str, Any]) -> Mapping[str, Any]:
    section = config.get("model_management", config)
    if not isinstance(section, Mapping):
        raise ConfigurationError("model_management: must be a mapping")
    if section is config and "finders" not in config:
        raise ConfigurationError(f"model_management is missing{_hint('model_management', config)}")
    return section


def _hint(wanted: str, given: Mapping[str, Any]) -> str:
    close = closest(wanted, map(str, given))
    return f"; is {close!r} a misspelling?" if close else ""


def _refuse_unknown(where: str, given: Mapping[str, Any], known: tuple[str, ...]) -> None:
    for key in given:
        if key not in known:
            close = closest(str(key), known)
            hint = f", did you mean {close!r}?" if close else ""
            raise ConfigurationError(f"{where}: unknown key {str(key)!r}{hint}")


def _overridden(values: dict[str, Any], where: str, environment: Mapping[str, str]) -> dict[str, Any]:
    """Override values by variables of the environment, which are named as the path in capitals, with underscores."""
    for path in _paths(values):
        name = re.sub(r"[^A-Z0-9_]", "_", "_".join([*where.split("."), *path]).upper())
        if name in environment:
            try:
                value = _with_text_keys(yaml.safe_load(environment[name]), len(path))
            except _YAML_ERRORS:
                value = environment[name]
            _set(values, path, value)
    return values


def _with_text_keys(value: Any, depth: int = 0) -> Any:
    """Return a value of YAML with text for all keys, which YAML also has of other types."""
    if depth < _MAX_DEPTH:
        if isinstance(value, Mapping):
            return {str(key): _with_text_keys(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list):
            return [_with_text_keys(item, depth + 1) for item in value]
    return value


def _paths(values: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Yield the paths of all values that may be overridden: those of a finder's fields, and those given."""
    finder, connection, tls = ([field.name for field in fields(kind)] for kind in _KINDS)
    yield from ((name,) for name in finder if name not in ("connection", "remote_connections"))
    yield from (("connection", name) for name in connection if name != "tls")
    yield from (("connection", "tls", name) for name in tls)
    yield from _given(values, ())


def _given(values: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    for key, value in list(values.items()):
        if isinstance(value, Mapping):
            if len(path) + 1 < _MAX_DEPTH:
                yield from _given(value, (*path, str(key)))
        elif value is None or isinstance(value, _SCALARS):
            yield (*path, str(key))


def _set(values: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for step in path[:-1]:
        inner = values.get(step)
        values[step] = dict(inner) if isinstance(inner, Mapping) else {}
        values = values[step]
    values[path[-1]] = value
