"""caikit's module classes, in the environment that has caikit: this one has not."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from ..support.edge import Edge, GrpcEdge
from ..support.front import Front, GrpcFront, HttpFront
from ..support.runtime import Runtime
from .protocols import Protocol

SCRIPTS = Path(__file__).parent.parent / "runtime"
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(SCRIPTS.parent.parent)}
CALLED: dict[Protocol, str] = {"grpc": "SampleTaskPredict", "http": "POST /api/v1/task/sample"}
ROUTES = [
    "POST /api/v1/task/sample",
    "POST /api/v1/task/server-streaming-sample",
    "POST /api/v1/SampleTaskSampleModuleTrain",
    "GET /management/trainings",
]
OTHER_LIBRARY = {"runtime": {"library": "other_lib"}}
OTHER_PACKAGE = {"runtime": {"service_generation": {"package": "elsewhere"}}}
NO_FILE = {"runtime": {"service_generation": {"backwards_compatibility": {"enabled": True}}}}


class LibraryFront(GrpcFront):
    """Lets through all calls of a library's services, and those about trainings."""

    def lets(self, name: str, headers: Mapping[str, str]) -> bool:
        return name.startswith(("/caikit.runtime.SampleLib.", "/caikit.runtime.training."))


def front_of(runtime: Runtime, protocol: Protocol) -> Front:
    return GrpcFront(runtime.port) if protocol == "grpc" else HttpFront(runtime.http_port, [CALLED[protocol]])


def library_front_of(runtime: Runtime, protocol: Protocol) -> Front:
    return LibraryFront(runtime.port) if protocol == "grpc" else HttpFront(runtime.http_port, ROUTES)


async def told_by(check: str, edge: Edge, protocol: Protocol, kind: str, **configuration: Any) -> tuple[Any, str]:
    """What a check of `call_through_front.py` printed, and what it logged."""
    configured = json.dumps(configuration or {"runtime": {"library": "sample_lib"}})
    script = [str(SCRIPTS / "call_through_front.py"), kind, protocol, str(edge.port), check, configured]
    process = await asyncio.create_subprocess_exec(
        os.environ["RUNTIME_PYTHON"], *script, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    async with asyncio.timeout(50):
        out, logged = await process.communicate()
    assert process.returncode == 0, logged.decode()
    return json.loads(out), logged.decode()


@pytest.mark.parametrize("library", ["sample_lib", "other_lib"], ids=["caikit tells", "the server tells"])
def test_classes_and_data_objects(runtime: Runtime, library: str) -> None:
    told = subprocess.run(
        [
            os.environ["RUNTIME_PYTHON"],
            SCRIPTS / "call_with_caikit_classes.py",
            str(runtime.port),
            str(runtime.http_port),
            library,
        ],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert told.returncode == 0, told.stderr
    assert len(told.stdout.splitlines()) == 7, told.stdout


@pytest.mark.parametrize("ways", ["classes", "ids"])
async def test_a_call_is_all_that_is_sent(runtime: Runtime, protocol: Protocol, kind_of_client: str, ways: str) -> None:
    async with front_of(runtime, protocol) as front:
        called, _ = await told_by(ways, front, protocol, kind_of_client)
    assert called[CALLED[protocol]] > 0
    assert (front.passed, front.refused) == (called, {})


async def test_all_that_modules_can_do_asks_nothing_else(
    runtime: Runtime, protocol: Protocol, kind_of_client: str
) -> None:
    async with library_front_of(runtime, protocol) as front:
        await told_by("every_kind", front, protocol, kind_of_client)
    wanted = {"SampleTaskStartPredictionJob", "BidiStreamingSampleTaskPredict", "SampleTaskSampleModuleTrain"}
    assert front.passed.keys() >= (wanted if protocol == "grpc" else set(ROUTES))
    assert front.refused == {}


async def test_the_services_are_made_once(runtime: Runtime) -> None:
    async with front_of(runtime, "grpc") as front:
        made, _ = await told_by("together", front, "grpc", "asyncio")
    kinds = ("INFERENCE", "JOB_INFERENCE", "TRAINING", "TRAINING_MANAGEMENT", "MODEL_MANAGEMENT", "INFO")
    assert made == dict.fromkeys(kinds, 1)
    assert (front.passed, front.refused) == ({"SampleTaskPredict": 16}, {})


@pytest.mark.parametrize("ways", ["classes", "ids"])
@pytest.mark.parametrize(
    ("configuration", "logged"),
    [(OTHER_LIBRARY, ""), (NO_FILE, "caikit makes no services of sample_lib here")],
    ids=["another library", "a file that is not there"],
)
async def test_where_caikit_makes_no_services_the_server_is_asked(
    runtime: Runtime, configuration: dict[str, Any], logged: str, ways: str
) -> None:
    async with GrpcEdge(runtime.port) as edge:
        called, told = await told_by(ways, edge, "grpc", "asyncio", **configuration)
    assert edge.requests("SampleTaskPredict") == called["SampleTaskPredict"]
    assert edge.requests("ServerReflectionInfo") > 0
    assert logged in told
    assert told.count("caikit makes no services") <= 1


async def test_where_caikit_takes_long_the_server_is_asked(runtime: Runtime) -> None:
    """caikit's own finder waits for a silent server."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        connection = {"hostname": "127.0.0.1", "port": silent.getsockname()[1]}
        finders = {"silent": {"type": "REMOTE", "config": {"connection": connection}}}
        async with GrpcEdge(runtime.port) as edge:
            called, _ = await told_by("late", edge, "grpc", "asyncio", model_management={"finders": finders})
    assert edge.requests("SampleTaskPredict") == called["SampleTaskPredict"]
    assert edge.requests("ServerReflectionInfo") > 0


async def test_a_refusal_tells_what_caikit_lacks(runtime: Runtime) -> None:
    async with front_of(runtime, "grpc") as front:
        told, _ = await told_by("refused", front, "grpc", "asyncio", **OTHER_LIBRARY)
    for kind, error in told:
        assert kind == "SchemaUnavailableError"
        assert "runtime.library is other_lib here, and SampleModule belongs to sample_lib" in error
    assert len(told) == 2
    assert front.passed == {}


async def test_an_unknown_method_tells_that_caikit_told_it(runtime: Runtime) -> None:
    async with GrpcEdge(runtime.port) as edge:
        told, _ = await told_by("refused", edge, "grpc", "asyncio", **OTHER_PACKAGE)
    for kind, error in told:
        assert kind == "UnimplementedError"
        assert "elsewhere.SampleLibService/SampleTaskPredict" in error
        assert "caikit's configuration of this process (runtime.library: sample_lib)" in error
    assert len(told) == 2
    assert edge.seen == {"/elsewhere.SampleLibService/SampleTaskPredict": 2}


async def test_what_a_server_told_goes_before_what_caikit_tells(runtime: Runtime) -> None:
    async with GrpcEdge(runtime.port) as edge:
        greeting, _ = await told_by("told", edge, "grpc", "asyncio", **OTHER_PACKAGE)
    assert greeting == "Hello World"
    assert edge.requests("elsewhere.SampleLibService/SampleTaskPredict") == 0


@pytest.mark.parametrize(("configuration", "differ"), [({}, False), (OTHER_PACKAGE, True)], ids=["the same", "another"])
async def test_caikits_services_are_compared_with_the_servers(
    runtime: Runtime, kind_of_client: str, configuration: dict[str, Any], differ: bool
) -> None:
    async with GrpcEdge(runtime.port) as edge:
        told, _ = await told_by("compared", edge, "grpc", kind_of_client, **configuration)
    assert any("breaking: SampleTask: the task moved to " in each for each in told) == bool(told) == differ
