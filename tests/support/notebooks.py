"""The notebooks of `examples/notebooks/`, with the outputs that readers see; `make notebooks` records them anew.

They run in a kernel of this environment, with what `make serve` serves. What differs from run to run is stored as one
and the same: ids, times, ports and rates.
"""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any
from unittest import mock

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

from .runtime import free_port

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted(ROOT.joinpath("examples", "notebooks").glob("*.ipynb"))
QUIET = ["--log-level=ERROR"]
"""Kernels warn on standard error that they listen on TCP."""
_SAME = (
    (re.compile(r"localhost:\d+"), "localhost:8085"),
    (re.compile(r"\b(?!00110203-)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b"), "4c9e1e0d-6b0f-4d0e-9a51-2f7d3c8b6a10"),
    (re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?(\+00:00)?"), "2026-01-02 10:00:00+00:00"),
    (re.compile(r" [\d,]+/s, "), " 5,000/s, "),
    (re.compile(r"(>seconds</th><td[^>]*>)[\d.]+"), r"\g<1>0.003"),
)


def main() -> None:
    """Record the outputs of the notebooks that are named, or of all."""
    paths = [path for path in NOTEBOOKS if not sys.argv[1:] or path.stem in sys.argv[1:]]
    with served() as target, kernels(target):
        for path in paths:
            nbformat.write(asyncio.run(executed(nbformat.read(path, as_version=4))), path)


@contextmanager
def served() -> Iterator[str]:
    """Run `python -m tests.serve` on ports that are free, and give its target."""
    grpc_port, http_port = free_port(), free_port()
    command = [sys.executable, "-m", "tests.serve", f"--grpc-port={grpc_port}", f"--http-port={http_port}"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            said = process.stdout.readline(), process.stdout.readline()
            assert said[1].startswith(f"gRPC at localhost:{grpc_port}, HTTP at http://localhost:{http_port}."), said
            yield f"localhost:{grpc_port}"
        finally:
            process.terminate()
            said_last = process.stdout.read()
    assert (process.returncode, said_last) == (0, "\nStopped.\n")


@contextmanager
def kernels(target: str) -> Iterator[None]:
    """Let kernels use a runtime, and none of the user's settings."""
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, REMOTE_CLIENT_TARGET=target):
        for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
            os.environ[name] = str(Path(folder, name))
        yield


async def executed(notebook: Any, **settings: Any) -> Any:
    """Run a notebook in this environment's kernel, and return it as it is stored. An error in a cell raises.

    `settings` are those of nbclient's client.
    """
    kernel = AsyncKernelManager(kernel_spec_manager=KernelSpecManager(kernel_dirs=[]))
    settings = {"timeout": 30, "record_timing": False, "extra_arguments": QUIET} | settings
    with tempfile.TemporaryDirectory() as folder:
        await NotebookClient(notebook, km=kernel, **settings).async_execute(cleanup_kc=True, cwd=folder)
    notebook.metadata.language_info = {"name": "python"}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = list(_joined(cell.outputs))
        for output in cell.get("outputs", []):
            output.get("metadata", {}).clear()
            if output.output_type == "stream":
                output.text = _same(output.text)
            elif output.output_type in ("display_data", "execute_result"):
                output.data.update(
                    {kind: _same(text) for kind, text in output.data.items() if kind.startswith("text/")}
                )
    return notebook


def shown(cell: Any) -> str:
    """Return what a cell prints and shows, as text; a picture by its kind."""
    texts = []
    for output in cell.get("outputs", []):
        data = output.get("data", {})
        kinds = (data.get(f"text/{kind}") for kind in ("html", "markdown", "plain"))
        texts.append(output.get("text") or output.get("ename") or next(filter(None, kinds)))
        texts.extend(f"[{kind}]" for kind in data if kind.startswith("image/"))
    return "".join(texts)


def _joined(outputs: list[Any]) -> Iterator[Any]:
    """Give the outputs of a cell, with what it printed in pieces as one."""
    for name, group in groupby(outputs, lambda output: output.get("name")):
        pieces = list(group)
        if name is None:
            yield from pieces
        else:
            yield nbformat.v4.new_output("stream", name=name, text="".join(piece.text for piece in pieces))


def _same(text: str) -> str:
    for pattern, replacement in _SAME:
        text = pattern.sub(replacement, text)
    return text


if __name__ == "__main__":
    main()
