"""A runtime that a forward proxy alone can reach: everything that a client does goes through it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest

from remote_client import ConnectionInfo, JobStatus, RemoteClient, RemoteModelFinder, RemoteModelInitializer
from remote_client import sync as blocking
from remote_client._cli.main import main
from remote_client.errors import UnavailableError

from ..support.forward_proxy import ForwardProxy
from ..support.runtime import Runtime
from .protocols import Protocol

pytestmark = pytest.mark.own_http("the client's own connections know forward proxies, httpx's transport is the user's")

INPUT = {"name": "World"}
HELLO = "Hello World"
HOSTS = {"grpc": "grpc.runtime.example", "http": "http.runtime.example"}


@pytest.fixture
def proxy(runtime: Runtime, monkeypatch: pytest.MonkeyPatch) -> Iterator[ForwardProxy]:
    for name in ("http_proxy", "https_proxy", "all_proxy", "grpc_proxy", "no_proxy", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    ports = {"grpc": runtime.port, "http": runtime.http_port}
    with ForwardProxy(names={HOSTS[each]: ["127.0.0.1", ports[each]] for each in HOSTS}) as running:
        yield running


def target(protocol: Protocol) -> str:
    return f"{protocol}://{HOSTS[protocol]}:80"


async def test_everything_goes_through_it(proxy: ForwardProxy, protocol: Protocol) -> None:
    async with RemoteClient(target(protocol), proxy=proxy.url()) as client:
        assert await client.healthy()
        assert "foo" in [each.name for each in await client.models()]
        model: Any = await client.model("foo")
        assert (await model.run_sample(INPUT)).greeting == HELLO
        assert len([each async for each in model.run_sample_stream_out(INPUT, count=3)]) == 3
        job = await model.start_sample_job(INPUT)
        assert (await job.wait(timeout=30)).state is JobStatus.COMPLETED
        assert (await job.result()).greeting == HELLO


def test_the_blocking_client(proxy: ForwardProxy, protocol: Protocol) -> None:
    with blocking.RemoteClient(target(protocol), proxy=proxy.url()) as client:
        model: Any = client.model("foo")
        assert model.run_sample(INPUT).greeting == HELLO
        assert len(list(model.run_sample_stream_out(INPUT, count=3))) == 3


async def test_finders_and_their_modules(proxy: ForwardProxy, protocol: Protocol) -> None:
    connection = {"hostname": "{}.runtime.example", "port": 80, "proxy": proxy.url()}
    with ForwardProxy(names={"foo.runtime.example": ["127.0.0.1", _port(proxy, protocol)]}) as own:
        connection["proxy"] = own.url()
        finder = RemoteModelFinder({"connection": connection, "protocol": protocol})
        config = await finder.find_model("foo")
        await finder.aclose()
        assert config is not None
        module: Any = RemoteModelInitializer().init(config)
        async with module:
            assert (await module.run_sample(INPUT)).greeting == HELLO


def _port(proxy: ForwardProxy, protocol: Protocol) -> int:
    port: int = proxy._wish["names"][HOSTS[protocol]][1]
    return port


async def test_configuration_files(proxy: ForwardProxy, protocol: Protocol, tmp_path: Path) -> None:
    file = tmp_path / "config.yml"
    connection = f"{{hostname: {HOSTS[protocol]}, port: 80, proxy: '{proxy.url()}'}}"
    file.write_text(
        "model_management:\n  finders:\n    remote:\n      type: REMOTE\n      config:\n"
        f"        protocol: {protocol}\n        connection: {connection}\n"
    )
    async with RemoteClient.from_config(file) as client:
        model: Any = await client.model("foo")
        assert (await model.run_sample(INPUT)).greeting == HELLO


def _greet(model: Any) -> str:
    greeting: str = model.run_sample(INPUT).greeting
    return greeting


def test_handles_take_the_environments_proxy_of_their_process(
    proxy: ForwardProxy, protocol: Protocol, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTPS_PROXY" if protocol == "grpc" else "http_proxy", proxy.url())
    with blocking.RemoteClient(target(protocol), proxy="env") as client:
        model: Any = client.model("foo")
        with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
            assert pool.submit(_greet, model).result() == HELLO


def test_stubs_are_written_through_it(
    proxy: ForwardProxy, protocol: Protocol, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["stubs", target(protocol), "--proxy", proxy.url()]) == 0
    assert "SampleTask" in capsys.readouterr().out
    assert main(["stubs", target(protocol), "--proxy", "socks5://x:1"]) == 2
    assert "socks5:// proxies are not supported" in capsys.readouterr().err


async def test_a_start_that_got_no_tunnel_is_known_to_be_none(proxy: ForwardProxy) -> None:
    async with RemoteClient(target("grpc"), proxy=proxy.url(), retries=0) as client:
        model: Any = await client.model("foo")
        await proxy.faults(answer="HTTP/1.1 503 Busy\r\n\r\n", cut=True)
        await proxy.until(lambda seen: seen["open"] == 0)
        with pytest.raises(UnavailableError) as caught:
            await model.start_sample_job(INPUT)
        assert type(caught.value) is UnavailableError
        assert caught.value.outcome_known


async def test_without_it_nothing_is_reached(proxy: ForwardProxy, protocol: Protocol) -> None:
    info = ConnectionInfo(hostname=HOSTS[protocol], port=80, retries=0)
    async with RemoteClient(info, protocol=protocol) as client:
        with pytest.raises(UnavailableError):
            await client.models()
