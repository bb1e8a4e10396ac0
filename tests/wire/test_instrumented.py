"""Every kind of call, on either protocol and from loop and thread, in processes with a tracing agent or an odd loop."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys

import pytest

from tests.support.http_wire import HttpWire
from tests.support.instrumented import AGENTS, LOOPS
from tests.support.packages import needs
from tests.support.wire import ROOT, WireServer

WARNINGS = ["-W", "always::ResourceWarning", "-W", "always::RuntimeWarning", "-W", "ignore::DeprecationWarning"]


@pytest.mark.sampled(2)
@pytest.mark.parametrize("engine", ["asyncio", "grpcio"])
@pytest.mark.parametrize("agent", AGENTS)
async def test_calls_under_an_agent(wire: WireServer, http_wire: HttpWire, agent: str, engine: str) -> None:
    needs({"OpenTelemetry": "opentelemetry"}.get(agent, agent.replace("-", "_")))
    await calls_in_a_process(wire, http_wire, agent, engine)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("loop", LOOPS)
async def test_calls_on_a_loop(wire: WireServer, http_wire: HttpWire, loop: str) -> None:
    if loop in ("uvloop", "nest_asyncio2"):
        needs(loop)
    told = await calls_in_a_process(wire, http_wire, loop, "asyncio")
    # asyncio's debug mode tells of steps that take long, as they do on a busy machine.
    assert [line for line in told.splitlines() if not line.startswith("Executing <")] == []


async def calls_in_a_process(wire: WireServer, http_wire: HttpWire, agent: str, engine: str) -> str:
    """Run `instrumented`, and look at the servers after each part; what it says on its standard error."""
    command = [
        sys.executable,
        *WARNINGS,
        "-m",
        "tests.support.instrumented",
        agent,
        str(wire.port),
        str(http_wire.port),
    ]
    environment = {**os.environ, "REMOTE_CLIENT_ENGINE": engine}
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, env=environment, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    parts = 0
    try:
        async with asyncio.timeout(50):  # who waits longer waits for ever
            while await asyncio.to_thread(process.stdout.readline) == "over\n":
                for server in (wire, http_wire):
                    left = await server.until(lambda seen: not any(seen["running"].values()), 3.0)
                    assert not any(left["running"].values())
                parts += 1
                process.stdin.write("on\n")
                process.stdin.flush()
    finally:
        if parts < 8:
            process.kill()
        _, told = await asyncio.to_thread(process.communicate)
    assert (process.returncode, parts) == (0, 8), told[-3000:]
    return told
