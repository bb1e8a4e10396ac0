"""`.proto` files -> a `FileDescriptorSet`, compiled by the protoc of grpcio-tools in a process of its own."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from ..errors import ConfigurationError, clean_lines

_SECONDS = 60.0
"""A hundred files take less than one: what takes longer is no regular file."""


def compile_protos(path: Path) -> bytes:
    """Return the descriptors of a `.proto` file, or of all in a folder and those below it, with all they import.

    Imports are looked up in the folder, and among protobuf's own files.

    Raises:
        ConfigurationError: the files are not there, protoc does not take them, or grpcio-tools is missing.
    """
    if not path.exists():
        raise ConfigurationError(f"{path}: there is no such file or folder")
    folder, files = (path, sorted(path.rglob("*.proto"))) if path.is_dir() else (path.parent, [path])
    if not files:
        raise ConfigurationError(f"{path}: there are no .proto files in this folder")
    if importlib.util.find_spec("grpc_tools") is None:
        raise ConfigurationError(f"{path}: to have .proto files read, pip install 'remote-client[proto]'")
    # protoc names the files as they are seen from the folder. `./`: a name may begin with a hyphen.
    return _run_protoc(path, folder, [f"./{each.relative_to(folder)}" for each in files])


def _run_protoc(path: Path, folder: Path, files: list[str]) -> bytes:
    # -P: Python imports nothing from the folder. The module itself adds the folder of protobuf's own files.
    protoc = [sys.executable, "-P", "-m", "grpc_tools.protoc", "--proto_path=.", "--include_imports"]
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
            told = clean_lines(ended.stderr.decode(errors="replace"))
            raise ConfigurationError(f"{path}: protoc does not take it:\n{told or f'exit code {ended.returncode}'}")
        return written.read_bytes()
