"""`.proto` files -> a `FileDescriptorSet`, compiled by the protoc of grpcio-tools in a process of its own."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

from ..._text.cleaning import clean_lines
from ...errors import ConfigurationError

_SECONDS = 60.0
"""A hundred files take less than one second. What takes longer is not a regular file."""
_ENTRIES = 10_000
"""The most files and folders below a folder of `.proto` files. One with more is /usr, or a whole project."""


def compile_protos(path: Path) -> bytes:
    """Return the descriptors of a `.proto` file, or of all below a folder, with the files they import.

    Imports are looked up in the folder, and among protobuf's own files. A folder is compiled again only if the size or
    the modification time of a file changes.

    Raises:
        ConfigurationError: there are no files, protoc refuses them, or grpcio-tools is missing.
    """
    files = sorted(_files_below(path)) if path.is_dir() else [path]
    if not files:
        raise ConfigurationError(f"{path}: there are no .proto files in this folder")
    if importlib.util.find_spec("grpc_tools") is None:
        raise ConfigurationError(f"{path}: to have .proto files read, pip install 'remote-client[proto]'")
    if not path.is_dir():  # not cached, as the files that it imports may change
        return _run_protoc(path, path.parent, [path.name])
    return _compile_folder(path.absolute(), tuple((str(file.relative_to(path)), *_state(file)) for file in files))


def _files_below(folder: Path) -> Iterator[Path]:
    entries = 0
    for root, folders, files in os.walk(folder):
        entries += len(folders) + len(files)
        if entries > _ENTRIES:
            raise ConfigurationError(
                f"{folder}: there are more than {_ENTRIES} files and folders in it; name a folder of .proto files"
            )
        yield from (Path(root, name) for name in files if name.endswith(".proto"))


def _state(file: Path) -> tuple[int, int]:
    try:
        found = file.stat()
    except OSError:  # protoc reports it
        return -1, -1
    return found.st_size, found.st_mtime_ns


@lru_cache(maxsize=16)
def _compile_folder(folder: Path, files: tuple[tuple[str, int, int], ...]) -> bytes:
    return _run_protoc(folder, folder, [name for name, *_ in files])


def _run_protoc(path: Path, folder: Path, names: list[str]) -> bytes:
    """Run protoc in a folder, on files named relative to it."""
    # -P: Python imports nothing from the folder. grpc_tools.protoc itself adds the folder of protobuf's own files.
    protoc = [sys.executable, "-P", "-m", "grpc_tools.protoc", "--proto_path=.", "--include_imports"]
    files = [f"./{name}" for name in names]  # a name may begin with a hyphen
    with TemporaryDirectory() as temporary:
        written = Path(temporary, "set.binpb")
        command = [*protoc, f"--descriptor_set_out={written}", *files]
        try:
            ended = subprocess.run(  # noqa: S603  # no shell reads the names
                command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=_SECONDS, check=False
            )
        except subprocess.TimeoutExpired:
            raise ConfigurationError(f"{path}: protoc did not end within {_SECONDS:g} s") from None
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"{path}: protoc cannot be started: {error}") from None
        if ended.returncode:
            output = clean_lines(ended.stderr.decode(errors="replace"))
            raise ConfigurationError(f"{path}: protoc does not take it:\n{output or f'exit code {ended.returncode}'}")
        return written.read_bytes()
