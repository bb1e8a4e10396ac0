"""Notebooks in a real kernel, against a real runtime."""

from __future__ import annotations

import asyncio
import base64
import re
from typing import Any

import nbformat
import pytest

from ..support.notebooks import NOTEBOOKS, executed, kernels, served, shown
from ..support.runtime import Runtime

QUEUED = re.compile(r"<TrainingJob [^\n]+: QUEUED\n")
"""A training is in this state when the first question comes early."""


def read(path: Any) -> Any:
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    return notebook


@pytest.fixture
def cells(runtime: Runtime) -> Any:
    """Runs cells in a kernel, and returns what each prints and shows."""

    async def run(*sources: str, **settings: Any) -> list[str]:
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
        with kernels(runtime.target):
            await executed(notebook, **settings)
        return [shown(cell) for cell in notebook.cells]

    return run


async def test_the_notebooks_show_what_they_have_stored(subtests: pytest.Subtests) -> None:
    stored, fresh = [read(path) for path in NOTEBOOKS], [read(path) for path in NOTEBOOKS]
    with served() as target, kernels(target):
        await asyncio.gather(*map(executed, fresh))
    for path, before, after in zip(NOTEBOOKS, stored, fresh, strict=True):
        with subtests.test(path.stem):
            assert [QUEUED.sub("", shown(cell)) for cell in after.cells] == [shown(cell) for cell in before.cells]
            assert [cell.get("execution_count") for cell in before.cells] == [
                cell.get("execution_count") for cell in after.cells
            ]
            assert not [
                each for cell in after.cells for each in cell.get("outputs", []) if each.get("name") == "stderr"
            ]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_stored_notebook_names_no_machine(path: Any) -> None:
    text = path.read_text()
    assert not re.search(r"/(home|root|tmp|usr|work|Users)/", text)
    assert set(re.findall(r"localhost:(\d+)", text)) == {"8085"}


def test_what_the_notebooks_show() -> None:
    """The outputs that they are about, as they are stored."""
    notebooks = {path.stem: read(path).cells for path in NOTEBOOKS}

    def of(name: str, start: str) -> str:
        (found,) = [shown(cell) for cell in notebooks[name] if cell.source.startswith(start)]
        return found

    assert sorted(notebooks) == ["embeddings", "first-steps", "streaming-text", "training"]
    assert "<table><tr><th" in of("first-steps", "client.models(")
    assert ">InternalError<" in of("first-steps", "try:\n    model.run(")
    assert "one, and told it a word at a time." in of("streaming-text", "sentences =")
    assert of("embeddings", "import numpy") == "3,000 of 3,000 rows, 5,000/s, 0 in flight, 96 failed, 0:00 left"
    assert ": COMPLETED\n<table>" in of("training", "training.wait(")
    (plot,) = [cell for cell in notebooks["embeddings"] if "plt.show()" in cell.source]
    picture = base64.b64decode(plot.outputs[0].data["image/png"])
    assert picture.startswith(b"\x89PNG")
    assert 10_000 < len(picture) < 150_000


FIRST = """
from remote_client import sync
client = sync.RemoteClient.from_env()
model = client.model("foo", task="SampleTask")
model
"""
LARGE = """
Zoo = client.describe().type("Zoo")
zoo = Zoo(text="long " * 500, place={"label": "Berlin", "lat": 52.5}, ints=range(100), counts={"lions": 2}, blob=b"0")
client.model("zoo").run_zoo(zoo)
"""
JOB = """
job = client.model("slow").start_slow_job(0.5)
info = job.wait(progress=True)
print(job.result().greeting)
info
"""
THREADS = """
import threading
from concurrent.futures import ThreadPoolExecutor

meet = threading.Barrier(2)

def work(name):
    meet.wait(5)
    greetings = {model.run({"name": name}).greeting for _ in range(50)}
    return greetings, [each.greeting for each in model.run_stream_out({"name": name}, count=50)]

with ThreadPoolExecutor(2) as threads:
    for greetings, stream in threads.map(work, ("Ada", "Alan")):
        print(greetings, len(stream), stream[-1])
"""


async def test_a_kernel_shows_tables_and_has_threads(cells: Any) -> None:
    evil = "model.run({'name': '<b>World</b>'})"
    streamed = "model.run_stream_in(({'name': name} for name in ('Ada', 'Alan')), greeting='Hi ')"
    first, answer, large, stream, job, threads, versions = await cells(
        FIRST, evil, LARGE, streamed, JOB, THREADS, "client.runtime_info()"
    )
    assert "SampleModule &#x27;foo&#x27; at localhost:8085" in first
    assert ">Hello &lt;b&gt;World&lt;/b&gt;<" in answer
    assert "(2500 characters)" in large
    assert ">0, 1, 2, 3, 4, 5, 6, 7, 8, 9, … (100 items)<" in large
    assert ">Berlin<" in large
    assert ">Hi Ada,Alan<" in stream
    assert re.match(r"<PredictionJob '.+'>: RUNNING\n<PredictionJob '.+'>: COMPLETED\nslept 0.5\n<table>", job)
    assert threads == "{'Hello Ada'} 50 Hello Ada 49\n{'Hello Alan'} 50 Hello Alan 49\n"
    assert ">RuntimeInfo<" in versions


AWAITED = """
import remote_client
awaited = remote_client.RemoteClient.from_env()
awaited_slow = await awaited.model("slow")
"""


STOP = """
import os, signal, threading
threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
"""
"""Does in a moment what the stop button does. If it did so before the cell runs, the kernel might end."""


async def test_the_stop_button_interrupts_a_call(cells: Any) -> None:
    _, blocked, then, _, awaited, then_awaited = await cells(
        FIRST,
        STOP + "client.model('slow').run_slow(seconds=20.0)",
        "model.run({'name': 'Ada'}).greeting",
        AWAITED,
        STOP + "await awaited_slow.run_slow(seconds=20.0)",
        "(await awaited_slow.run_slow(seconds=0.0)).greeting",
        allow_errors=True,
    )
    assert (blocked, then) == ("KeyboardInterrupt", "'Hello Ada'")
    assert (awaited, then_awaited) == ("CancelledError", "'slept 0.0'")


DECLARED = """
%load_ext autoreload
%autoreload 2
import os, sys
from pathlib import Path

sys.path.insert(0, ".")
source = '''
from dataclasses import dataclass
from remote_client.declare import module, taskmethod
from remote_client.sync import RemoteModuleBase

@dataclass
class Person:
    name: str

@dataclass
class Greeting:
    greeting: str

@module("00110203-0405-0607-0809-0a0b02dd0e0f", task="SampleTask")
class Greeter(RemoteModuleBase):
    @taskmethod()
    def greet(self, sample_input: Person) -> Greeting: ...
'''
Path("greeter.py").write_text(source)
import greeter
client.model("foo", greeter.Greeter).greet(greeter.Person("Ada")).greeting
"""
CHANGED = """
Path("greeter.py").write_text(source.replace("def greet(", "def welcome("))
os.utime("greeter.py", (2e9, 2e9))
"""
SOCKETS = """
import gc
gc.collect()
sum(os.readlink(f"/proc/self/fd/{each}").startswith("socket:") for each in os.listdir("/proc/self/fd")[:-1])
"""


async def test_cells_that_run_again(cells: Any) -> None:
    greet = 'client.model("foo", greeter.Greeter).welcome(greeter.Person("Alan")).greeting'
    again = FIRST.removesuffix("model\n")  # IPython keeps what a cell shows
    _, first, _, changed, sockets, _, _, sockets_then = await cells(
        again, DECLARED, CHANGED, greet, SOCKETS, again, again, SOCKETS
    )
    assert (first, changed) == ("'Hello Ada'", "'Hello Alan'")
    assert int(sockets_then) <= int(sockets)
