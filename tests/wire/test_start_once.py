"""What must be sent once is sent once, whatever happens to it; and who cannot know what became of it says so."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from remote_client import RemoteModuleBase
from remote_client._client.module import construct_remote_module_class
from remote_client._schema.rpc import JobMethods, RemoteRPCDescriptor
from remote_client.errors import (
    ClosedError,
    InternalError,
    NotFoundError,
    OutcomeUnknownError,
    RemoteCallError,
    ResourceExhaustedError,
    UnavailableError,
)
from tests.support.http_wire import CLOSE, RESET, HttpWire, Step, answer, http_module, send, sleep
from tests.support.proxy import Proxy
from tests.support.wire import WireServer, raw_module

PAGE = "<html><title>Log in</title></html>"


def told(status: int, headers: Any = None) -> list[Step]:
    """The runtime's own answer."""
    return answer({"details": "no", "code": status, "id": "0" * 32}, status=status, headers=headers)


TRIES = 200


def starting(module: RemoteModuleBase, name: str) -> Any:
    """A module with a job's start and a training of a fixed name; it has no method to ask for that name with."""
    config = module.config
    rpc = next(each for each in config.task_methods[0][1] if each.name == name)
    start = replace(rpc, job=JobMethods("id", rpc, rpc))
    training = replace(start, module="Module", name="train")
    changed = replace(config, task_methods=[("Raw", [start])], trainings=[training], train_method=training)
    return construct_remote_module_class(changed)(changed, connections=module._caller.connections)


async def start(module: Any, name: str, kind: str, **arguments: Any) -> Any:
    if kind == "job":
        return await getattr(module, name)(**arguments)
    return await module.train(model_name="the-model", **arguments)


@pytest.mark.sampled(1)
@pytest.mark.parametrize("kind", ["job", "training"])
async def test_a_start_that_grpc_loses_is_sent_once(wire: WireServer, kind: str) -> None:
    async with Proxy(wire.port) as proxy, raw_module(wire.info(port=proxy.port, retries=5)) as raw:
        module = starting(raw, "sleep")
        for _ in range(TRIES // 2):
            begun = asyncio.ensure_future(start(module, "sleep", kind, seconds=3600))
            await wire.until_running(1)
            proxy.cut()
            with pytest.raises(OutcomeUnknownError) as caught:
                await begun
            assert isinstance(caught.value.__cause__, UnavailableError)
            assert caught.value.model_name == (None if kind == "job" else "the-model")
            await wire.until_running(0)
            while True:
                try:
                    await raw.echo(b"")
                    break
                except UnavailableError:
                    await asyncio.sleep(0.01)
        assert (await wire.stats())["started"]["Sleep"] == TRIES // 2


@pytest.mark.parametrize("kind", ["job", "training"])
@pytest.mark.parametrize("end", [RESET, CLOSE])
async def test_a_start_that_http_loses_is_sent_once(http_wire: HttpWire, kind: str, end: Any) -> None:
    await http_wire.faults({"POST /big": {"steps": [end]}})
    async with http_module(http_wire.info(retries=5)) as raw:
        module = starting(raw, "big")
        for _ in range(TRIES // 2):
            await raw.echo(b"{}")  # so that the start meets a kept connection
            with pytest.raises(OutcomeUnknownError) as caught:
                await start(module, "big", kind, size=1)
            assert isinstance(caught.value.__cause__, UnavailableError)
    assert (await http_wire.stats())["started"]["POST /big"] == TRIES // 2


@pytest.mark.parametrize(
    ("steps", "known"),
    [
        (told(400), True),
        (told(404), True),
        (told(429), True),
        (told(500), True),
        (told(501), True),
        (told(504), False),
        (answer({"detail": [{"loc": ["body"], "msg": "no"}]}, status=422), True),
        (answer({"detail": "Not Found"}, status=404), True),
        (answer({"detail": "no"}, status=503), False),
        (answer({"details": "no", "code": 404, "id": "0"}, status=500), False),
        (answer({"message": "no"}, status=404), False),
        *((answer("no", status=status), False) for status in (400, 401, 403, 404, 405, 413, 429, 431, 500, 501)),
        *((answer("", status=status), False) for status in (302, 308, 407, 421, 499, 511, 520, 522, 524, 530)),
        (answer(PAGE, headers={"content-type": "text/html"}), False),
        (answer("no", status=502), False),
        (answer("no", status=503), False),
        (answer("no", status=504), False),
        (answer("<html>"), False),
        (answer("{}"), False),
        (answer("[]"), False),
        ([send("HTTP/1.1 200 OK\r\ncontent-length: 50\r\n\r\n{"), RESET], False),
        ([send("garbage\r\n\r\n")], False),
        ([sleep(3600)], False),
    ],
    ids=lambda each: str(each)[:40],
)
async def test_when_http_leaves_it_open(http_wire: HttpWire, steps: Any, known: bool) -> None:
    await http_wire.faults({"POST /big": {"steps": steps}})
    async with http_module(http_wire.info(timeout=0.3)) as raw:
        with pytest.raises(RemoteCallError) as caught:
            await start(starting(raw, "big"), "big", "training", size=1)
    assert isinstance(caught.value, OutcomeUnknownError) is not known


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("NOT_FOUND", NotFoundError),
        ("INTERNAL", InternalError),
        ("RESOURCE_EXHAUSTED", ResourceExhaustedError),
        ("UNAVAILABLE", OutcomeUnknownError),
        ("DEADLINE_EXCEEDED", OutcomeUnknownError),
        ("CANCELLED", OutcomeUnknownError),
        ("UNKNOWN", OutcomeUnknownError),
    ],
)
async def test_when_grpc_leaves_it_open(wire: WireServer, code: str, expected: type[Exception]) -> None:
    async with raw_module(wire.info()) as raw:
        with pytest.raises(expected):
            await start(starting(raw, "fail"), "fail", "training", code=code)


async def test_a_start_that_never_left_is_no_secret() -> None:
    async with Proxy(1) as proxy:
        port = proxy.port
    from remote_client.settings import ConnectionInfo

    info = ConnectionInfo(hostname="127.0.0.1", port=port, timeout=5)
    for raw in (raw_module(info), http_module(info)):
        with pytest.raises(UnavailableError):
            await start(starting(raw, "big"), "big", "training", size=1)
        await raw.aclose()


async def test_closing_in_the_middle_leaves_it_open(wire: WireServer, http_wire: HttpWire) -> None:
    for server, raw in ((wire, raw_module(wire.info())), (http_wire, http_module(http_wire.info()))):
        begun = asyncio.ensure_future(start(starting(raw, "sleep"), "sleep", "training", seconds=3600))
        await server.until_running(1)
        await raw.aclose()
        with pytest.raises(OutcomeUnknownError) as caught:
            await begun
        assert isinstance(caught.value.__cause__, ClosedError)


def test_a_start_is_told_by_its_descriptor() -> None:
    raw = raw_module(WireServer().info(port=1))
    rpc: RemoteRPCDescriptor = starting(raw, "sleep").config.task_methods[0][1][0]
    assert rpc.job is not None
    assert rpc.short_name == "start_job"
