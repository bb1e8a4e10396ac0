"""A notebook: the example from top to bottom, and threads in a kernel, against a real runtime."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import nbformat
import pytest
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

from ..support.runtime import Runtime

EXAMPLE = Path(__file__).parent.parent / "notebook" / "example.ipynb"


@pytest.fixture
def kernel(runtime: Runtime, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncKernelManager:
    """This environment's kernel, whatever kernels and profiles the user has."""
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    monkeypatch.setenv("REMOTE_CLIENT_TARGET", runtime.target)
    return AsyncKernelManager(kernel_spec_manager=KernelSpecManager(kernel_dirs=[]))


async def executed(kernel: AsyncKernelManager, notebook: Any) -> list[tuple[str, str, str]]:
    """Each cell's source, what it printed and what it shows. An error in a cell raises."""
    await NotebookClient(notebook, km=kernel, timeout=30).async_execute(cleanup_kc=True, cwd=str(EXAMPLE.parent))
    cells = []
    for cell in notebook.cells:
        outputs = cell.get("outputs", [])
        assert not [each for each in outputs if each.get("name") == "stderr"]  # warnings, for one
        text = "".join(each.text for each in outputs if each.output_type == "stream")
        html = "".join(each.data.get("text/html", "") for each in outputs if each.output_type == "execute_result")
        cells.append((cell.source, text, html))
    return cells


async def test_the_example(kernel: AsyncKernelManager) -> None:
    notebook = nbformat.read(EXAMPLE, as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)
    cells = await executed(kernel, notebook)

    def cell(start: str) -> tuple[str, str]:
        ((text, html),) = [(text, html) for source, text, html in cells if source.startswith(start)]
        return text, html

    assert cell("import asyncio")[0] == "a loop is running: True\n"
    assert "'foo'" in cell("models =")[0]
    assert "ModelInfo" in cell("models =")[1]
    assert "RuntimeInfo" in cell("client.runtime_info()")[1]
    assert "run_sample(sample_input: SampleInputType" in cell("description =")[0]
    shown = cell("model = ")[1]
    assert "&#x27;foo&#x27; at localhost:" in shown
    assert ">run_sample(sample_input: SampleInputType, throw: bool | None = None" in shown
    assert ">stream of SampleOutputType<" in shown
    assert ">Hello &lt;b&gt;World&lt;/b&gt;<" in cell("model.run_sample(")[1]
    zoo = cell("Zoo = ")[1]
    assert "(2500 characters)" in zoo
    assert ">0, 1, 2, 3, 4, 5, 6, 7, 8, 9, … (100 items)<" in zoo
    assert ">Berlin<" in zoo
    text, html = cell("for answer in")
    assert text == "Hello World 0\nHello World 1\nHello World 2\n"
    assert ">Hi Ada,Alan<" in html
    assert re.search(r"InternalError.*>INTERNAL<.*>barf!<", cell("try:")[1])
    assert ">PredictionJob<" in cell("job =")[1]
    text, html = cell("info =")
    assert re.fullmatch(r"<PredictionJob '.+'>: RUNNING\n<PredictionJob '.+'>: COMPLETED\nslept 0.5\n", text)
    assert ">COMPLETED<" in html
    assert ">foo-" in cell("training =")[1]
    text, html = cell("trained =")
    assert text.endswith(": COMPLETED\n")
    assert ">Hello World<" in html
    assert not any(re.search("<b>|<script", html) for _, _, html in cells)


THREADS = """
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from remote_client.sync import RemoteClient

client = RemoteClient(os.environ["REMOTE_CLIENT_TARGET"])
model = client.model("foo", task="SampleTask")
meet = threading.Barrier(2)

def work(name):
    meet.wait(5)
    greetings = {model.run({"name": name}).greeting for _ in range(50)}
    return greetings, [each.greeting for each in model.run_stream_out({"name": name}, count=50)]

with ThreadPoolExecutor(2) as threads:
    for greetings, stream in threads.map(work, ("Ada", "Alan")):
        print(greetings, len(stream), stream[-1])
"""


async def test_threads_in_a_kernel(kernel: AsyncKernelManager) -> None:
    cells = [nbformat.v4.new_code_cell(source) for source in (THREADS, "client.close()")]
    (_, text, _), _ = await executed(kernel, nbformat.v4.new_notebook(cells=cells))
    assert text == "{'Hello Ada'} 50 Hello Ada 49\n{'Hello Alan'} 50 Hello Alan 49\n"
