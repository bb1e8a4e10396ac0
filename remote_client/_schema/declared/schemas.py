"""The schemas of declared classes: files beside the class's Python file, or caikit's services."""

from __future__ import annotations

import os
import sys
from pathlib import PurePath
from types import ModuleType
from typing import Any
from weakref import WeakKeyDictionary

from ...errors import ConfigurationError
from ...settings import Protocol
from ..declaration import Declaration, SchemaPath
from ..schema_file import SchemaFile, file_of
from .caikit_modules import is_caikit_module
from .caikit_services import services_of, why_no_services

_files: WeakKeyDictionary[ModuleType, tuple[Any, dict[str, SchemaFile]]] = WeakKeyDictionary()
"""Python module -> its spec, which a reload replaces, and the schema files of its classes."""


def schema_for(declaration: Declaration, protocol: Protocol) -> SchemaFile | None:
    """Return the schema of a class's servers, or None if the class names none for this protocol.

    Files are read once. A missing file is ignored if its name is the other protocol's: HTTP has `*.json`. caikit's
    services are made once, which may take seconds: use a thread.

    Raises:
        ConfigurationError: the file cannot be read, or is no schema.
    """
    if is_caikit_module(declaration.module):
        return services_of(declaration.module) if protocol == "grpc" else None
    schema = None if declaration.schema is None else _schema_at(declaration.schema, protocol)
    return schema if schema is not None and schema.protocol == protocol else None


def why_no_schema(declaration: Declaration, protocol: Protocol) -> str:
    """Return why a class has no schema for a protocol; empty if it cannot name one."""
    module = declaration.module
    if is_caikit_module(module):
        return why_no_services(module) if protocol == "grpc" else ""
    if declaration.schema is None:
        return ""
    others = {"grpc": "HTTP", "http": "gRPC"}
    return f"{PurePath(declaration.schema.name).name}, the schema of {module.__name__}, is for {others[protocol]}"


def _schema_at(path: SchemaPath, protocol: Protocol) -> SchemaFile | None:
    option = f"{path.beside.__name__}: schema"
    is_of_other = (protocol == "http") != path.name.endswith(".json")
    module = sys.modules.get(path.beside.__module__)
    beside = getattr(module, "__file__", None)
    if module is None or (beside is None and not os.path.isabs(path.name)):  # a notebook has no file
        if is_of_other:
            return None
        raise ConfigurationError(
            f"{option}: {path.name} is relative to the file of the class, but {path.beside.__module__} has none: "
            "give an absolute path, or give the client the schema"
        )
    known = _files.get(module)
    if known is None or known[0] is not module.__spec__:
        known = _files[module] = module.__spec__, {}
    files = known[1]
    if path.name not in files:
        full = os.path.normpath(os.path.join(os.path.dirname(beside or ""), path.name))
        try:
            data = _read(full, getattr(module, "__loader__", None))
        except (OSError, ValueError) as error:
            if is_of_other and _is_missing(error):
                return None
            raise _unreadable(error, f"{option}: {full}") from None
        files[path.name] = file_of(data, full, option)
    return files[path.name]


def _read(full: str, loader: Any) -> bytes:
    if hasattr(loader, "get_data"):  # reads from zip files, too
        data: bytes = loader.get_data(full)
        return data
    with open(full, "rb") as file:
        return file.read()


def _is_missing(error: OSError | ValueError) -> bool:
    # The error of zipimport has only the file's name.
    return isinstance(error, FileNotFoundError) or (isinstance(error, OSError) and not error.strerror)


def _unreadable(error: OSError | ValueError, where: str) -> ConfigurationError:
    if _is_missing(error):
        reason = getattr(error, "strerror", None) or "there is no such file"
        reason += "; it goes beside the Python file, and into a wheel as package data"
    else:
        reason = getattr(error, "strerror", None) or str(error)
    return ConfigurationError(f"{where} cannot be read: {reason}")
