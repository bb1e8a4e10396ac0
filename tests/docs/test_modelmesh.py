"""docs/modelmesh.md: its examples, on a runtime behind what lets as little through as ModelMesh."""

from __future__ import annotations

import shlex
import socket
import subprocess
import sys
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from ..support.front import GrpcFront
from ..support.gateway import Gateway
from ..support.readme import DOCS
from ..support.runtime import Runtime
from ..support.wire import WireServer
from .following import follow

PAGE = DOCS / "modelmesh.md"


async def test_the_examples(
    runtime: Runtime,
    wire: WireServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REMOTE_CLIENT_ENGINE", raising=False)  # grpcio looks names up itself
    look_up, asked = socket.getaddrinfo, set()

    def resolve(host: Any, *more: Any, **options: Any) -> Any:
        asked.add(host)
        return look_up("localhost" if host == "foo.models.example" else host, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)

    def command(line: str) -> str:
        name, *arguments = shlex.split(line.replace("localhost:8085", runtime.target))
        assert name == "remote-client"
        done = subprocess.run([sys.executable, "-m", "remote_client", *arguments], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    async with AsyncExitStack() as stack:
        mesh = await stack.enter_async_context(GrpcFront(runtime.port))
        gateway = await stack.enter_async_context(Gateway(runtime.http_port, "/models/foo"))
        here = {
            "modelmesh.example:8033": mesh.target,
            "hostname: modelmesh.example, port: 8033": f"hostname: 127.0.0.1, port: {mesh.port}",
            "hostname: gateway.example, port: 8085": f"hostname: 127.0.0.1, port: {wire.port}",
            "{}.models.example:8085": f"{{}}.models.example:{runtime.port}",
            "http://gateway.example:8080": f"http://127.0.0.1:{gateway.port}",
        }
        await follow(PAGE, runtime, capfd, here, shell=command)
    assert mesh.passed == {"SampleTaskPredict": 2}
    assert "ServerReflectionInfo" in mesh.refused
    assert {each["x-model"] for each in (await wire.stats())["metadata"] if "x-model" in each} == {"foo"}
    assert "foo.models.example" in asked
    assert gateway.received
