"""The files of a model that is to be deployed: read from a folder, and their names checked."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from .errors import InputError


def check_name(name: str) -> None:
    """Refuse a model's name that would lead out of the runtime's folder of models.

    Raises:
        InputError: it would, or cannot be sent.
    """
    if not isinstance(name, str) or not name.isascii() or not name.isprintable() or not is_inside(name) or "/" in name:
        raise InputError(f"model: {name!r} cannot be the name of a model: printable ASCII, and no path")


def checked_files(files: Mapping[str, bytes]) -> list[dict[str, Any]]:
    """The files as they are sent.

    Raises:
        InputError: there is none, a name leads out of the model's folder, or a content is no bytes.
    """
    if not files:
        raise InputError("files: a model has at least one, its config.yml")
    for name, data in files.items():
        if not isinstance(name, str) or not name.isprintable() or not is_inside(name):
            raise InputError(f"files: {name!r} would not be a file in the model's folder")
        if not isinstance(data, (bytes, bytearray, memoryview)):
            raise InputError(f"files: {name!r}: expected bytes, not {type(data).__name__}")
    return [{"filename": name, "data": bytes(data)} for name, data in files.items()]


def is_inside(name: str) -> bool:
    """Whether a relative path stays in its folder, on any system."""
    path = PurePosixPath(name)
    return bool(path.parts) and not path.is_absolute() and ".." not in path.parts and not set(name) & {"\\", ":"}


def read_folder(folder: str | os.PathLike[str]) -> dict[str, bytes]:
    """All files of a folder by their relative names. Blocks: use a thread.

    Raises:
        InputError: it is no folder, or a link in it leads out of it.
    """
    root = Path(folder)
    if not root.is_dir():
        raise InputError(f"files: {os.fspath(folder)!r} is no folder")
    inside = root.resolve()
    files: dict[str, bytes] = {}
    for path in sorted(root.rglob("*")):
        if not path.resolve().is_relative_to(inside):
            raise InputError(f"files: {path.relative_to(root).as_posix()!r} is a link that leads out of the folder")
        if path.is_file():
            files[path.relative_to(root).as_posix()] = path.read_bytes()
    return files
