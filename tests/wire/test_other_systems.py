"""What other systems lack: calls without forks, file locks, Unix sockets, eventfds, and a loop that watches files.

No test runs on Windows or macOS. This one takes away what Python has not got there.
"""

from __future__ import annotations

import subprocess
import sys

from ..support.packages import needs

SCRIPT = """
import asyncio, functools, os, socket, sys, tempfile
from collections.abc import Iterator
from pathlib import Path

for name in ("register_at_fork", "fork", "eventfd"):
    delattr(os, name)
socket.socketpair = functools.partial(socket.socketpair, socket.AF_UNIX)  # asyncio's own
del socket.AF_UNIX
sys.modules["fcntl"] = None

from pydantic import BaseModel
from remote_client import RemoteClient, sync
from remote_client.bulk import map_rows
from remote_client.declare import module, taskmethod
from remote_client.errors import UnavailableError
from remote_client.testing import FakeRuntime

class Loop(asyncio.SelectorEventLoop):
    def add_reader(self, *args):
        raise NotImplementedError  # as the loop of Windows does

class Answer(BaseModel):
    text: str

@module("id", "Module", "1.0.0", task="TextTask")
class Module:
    @taskmethod()
    def run(self, text: str) -> Answer:
        return Answer(text=text)

    @taskmethod()
    def run_stream_out(self, text: str) -> Iterator[Answer]:
        yield from (Answer(text=letter) for letter in text)

async def call(target):
    async with RemoteClient(target) as client:
        model = await client.model("model")
        print((await model.run_text("unary")).text, await model.run_text_stream_out("abc").text())
        checkpoint = Path(tempfile.mkdtemp(), "rows")
        print([done.value.text async for done in map_rows(model.run_text, ["x", "y"], checkpoint=checkpoint)])

with FakeRuntime({"model": Module()}) as runtime:
    for target in (runtime.grpc, runtime.http):
        with asyncio.Runner(loop_factory=Loop) as runner:
            runner.run(call(target))
        with sync.RemoteClient(target) as client:
            print(client.model("model").run_text("blocking").text)
try:
    with sync.RemoteClient("unix:/nowhere", retries=0) as client:
        client.runtime_info()
except UnavailableError as error:
    print(error.details)
"""


def test_calls_without_what_other_systems_lack() -> None:
    needs("starlette")
    done = subprocess.run([sys.executable, "-W", "error", "-c", SCRIPT], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    one = ["unary abc", "['x', 'y']", "blocking"]
    assert done.stdout.splitlines() == [*one, *one, "failed to connect: this system has no unix sockets"]
