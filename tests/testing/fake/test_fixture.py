"""The fixture `fake_runtime`, in plain tests and in async ones, here and in a project of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from remote_client import RemoteClient, sync
from remote_client.errors import ClosedError
from remote_client.testing import FakeRuntime

from .greeters import Greeter

Start = Callable[..., FakeRuntime]


def test_a_plain_test(fake_runtime: Start) -> None:
    runtime = fake_runtime({"foo": Greeter()})
    with sync.RemoteClient(runtime.grpc) as client:
        assert client.model("foo").run_sample({"name": "World"}).greeting == "Hello World"


async def test_an_async_test(fake_runtime: Start) -> None:
    runtime = fake_runtime({"foo": Greeter()})
    async with RemoteClient(runtime.http) as client:
        assert (await (await client.model("foo")).run_sample({"name": "World"})).greeting == "Hello World"


def test_two_runtimes_in_a_test(fake_runtime: Start) -> None:
    first, second = fake_runtime({"foo": Greeter()}), fake_runtime({"bar": Greeter()})
    with sync.RemoteClient([first.grpc, second.grpc]) as client:
        assert {info.name for info in client.models()} == {"foo", "bar"}


PROJECT = """
from remote_client.testing import FakeRuntime
from tests.testing.fake.greeters import Greeter

kept = []

def test_starts(fake_runtime):
    kept.append(fake_runtime({"foo": Greeter()}))
    assert kept[0].grpc

def test_it_is_stopped():
    import pytest
    from remote_client.errors import ClosedError
    with pytest.raises(ClosedError):
        kept[0].grpc
"""
LIGHT = """
import sys

def test_nothing_was_loaded():
    assert "pytest_remote_client" in sys.modules
    assert not {name for name in sys.modules if name.partition(".")[0] in ("remote_client", "grpc")}
"""


@pytest.mark.parametrize(("code", "passed"), [(PROJECT, 2), (LIGHT, 1)], ids=["stopped", "light"])
def test_a_project_of_its_own(tmp_path: Path, code: str, passed: int) -> None:
    (tmp_path / "test_own.py").write_text(code)
    (tmp_path / "pytest.ini").write_text(
        f"[pytest]\npythonpath = {Path.cwd()}\nasyncio_default_fixture_loop_scope = function\n"
    )
    command = [sys.executable, "-W", "error", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:ddtrace"]
    ran = subprocess.run([*command, str(tmp_path)], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert f"{passed} passed" in ran.stdout, ran.stdout + ran.stderr


def test_a_stopped_runtime_has_no_targets() -> None:
    with FakeRuntime({"foo": Greeter()}) as runtime:
        pass
    with pytest.raises(ClosedError, match="enter them"):
        runtime.http
