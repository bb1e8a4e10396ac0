"""Transports that a user gives, by what they do: httpx's, httpx2's, and objects of no library's class."""

from __future__ import annotations

import asyncio
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest

from remote_client import ConnectionInfo, RemoteClient, RemoteModelFinder, sync
from remote_client._transport.engine import open_connections
from remote_client.errors import ConfigurationError, DeadlineExceededError, TlsError, UnavailableError
from tests.support.http_wire import HttpWire, http_module
from tests.support.packages import main_only
from tests.support.runtime import free_port

from .test_tls import Authority

LIBRARIES = ["httpx", "httpx2"]
ANYIO = [int(part) for part in version("anyio").split(".")[:2]]


class Wrapped:
    """A transport of no library's class, around one that is."""

    def __init__(self, inner: Any) -> None:
        self.inner = inner
        self.requests = 0
        self.closed = 0

    async def handle_async_request(self, request: Any) -> Any:
        self.requests += 1
        return await self.inner.handle_async_request(request)

    async def aclose(self) -> None:
        self.closed += 1
        await self.inner.aclose()


class Body:
    """A body of no library's class."""

    def __init__(self, *parts: bytes) -> None:
        self.parts = parts

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for part in self.parts:
            yield part


class Headers(dict[str, str]):
    raw = property(lambda self: [(name.encode(), value.encode()) for name, value in self.items()])


class Response:
    """A response of no library's class."""

    def __init__(self, stream: Any) -> None:
        self.status_code = 200
        self.headers = Headers({"content-type": "application/json"})
        self.stream = stream
        self.closed = False

    async def aclose(self) -> None:
        self.closed = True


class Handmade:
    def __init__(self, stream: Any) -> None:
        self.response = Response(stream)
        self.request: Any = None

    async def handle_async_request(self, request: Any) -> Any:
        self.request = request
        return self.response

    async def aclose(self) -> None: ...


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> Any:
    if request.param == "httpx2" and ANYIO < [4, 10]:
        pytest.skip("httpx2 wants anyio 4.10")
    return main_only(request.param)


def _module(http_wire: HttpWire, transport: Any, **settings: Any) -> Any:
    info = http_wire.info(**settings)
    return http_module(info, open_connections(info, "http", transport))


async def test_a_librarys_own_transport(http_wire: HttpWire, library: Any) -> None:
    async with RemoteClient(http_wire.target, transport=library.AsyncHTTPTransport()) as client:
        model = await client.model("raw")
        for size in (1, 300_000):
            assert (await model.run_echo("x" * size)).text == "x" * size
        assert len([item async for item in model.run_echo_stream_out("a", count=3)]) == 3
        stream = model.run_echo_stream_out("a", count=3)
        await anext(stream)
        await stream.aclose()


async def test_a_blocking_clients_transport(http_wire: HttpWire, library: Any) -> None:
    def call() -> None:
        with sync.RemoteClient(http_wire.target, transport=library.AsyncHTTPTransport()) as client:
            assert client.model("raw").run_echo("a").text == "a"

    await asyncio.to_thread(call)


async def test_a_wrapper_of_no_librarys_class(http_wire: HttpWire, library: Any) -> None:
    wrapped = Wrapped(library.AsyncHTTPTransport())
    async with RemoteClient(http_wire.target, transport=wrapped) as client:
        assert (await (await client.model("raw")).run_echo("x" * 300_000)).text == "x" * 300_000
    assert (wrapped.requests, wrapped.closed) == (3, 1)


async def test_a_mock_of_either_library(http_wire: HttpWire, library: Any) -> None:
    seen: list[Any] = []

    async def handle(request: Any) -> Any:
        seen.append((type(request), await request.aread()))
        return library.Response(200, content=b"mocked")

    async with _module(http_wire, library.MockTransport(handle)) as module:
        assert await module.echo(b"sent") == b"mocked"
    assert seen == [(library.Request, b"sent")]


async def test_what_either_library_raises_has_a_type(http_wire: HttpWire, library: Any) -> None:
    async with _module(http_wire, library.AsyncHTTPTransport(), port=free_port()) as module:
        with pytest.raises(UnavailableError) as caught:
            await module.echo(b"x")
        assert caught.value.outcome_known
    for error, kind, known in [
        (library.ConnectTimeout("late"), DeadlineExceededError, True),
        (library.ReadTimeout("late"), DeadlineExceededError, False),
        (library.RemoteProtocolError("no HTTP"), UnavailableError, False),
        (library.InvalidURL("no URL"), UnavailableError, False),
    ]:

        async def fail(request: Any, error: Exception = error) -> Any:
            raise error

        async with _module(http_wire, library.MockTransport(fail)) as module:
            with pytest.raises(kind) as found:
                await module.echo(b"x")
            assert (type(found.value), found.value.outcome_known) == (kind, known)


async def test_a_transport_and_its_response_of_no_library(http_wire: HttpWire) -> None:
    transport = Handmade(Body(b"hand", b"made"))
    async with _module(http_wire, transport) as module:
        assert await module.echo(b"sent") == b"handmade"
    assert (transport.request.method, transport.request.url.path) == ("POST", "/echo")
    assert transport.response.closed


async def test_a_blocking_body(http_wire: HttpWire) -> None:
    transport = Handmade([b"hand", b"made"])
    async with _module(http_wire, transport) as module:
        with pytest.raises(ConfigurationError, match="transport: it answers with a blocking stream"):
            await module.echo(b"sent")
    assert transport.response.closed


class Halfway:
    async def handle_async_request(self, request: Any) -> Any: ...


def wrong_ones(library: Any) -> list[tuple[Any, str]]:
    return [
        (object(), "builtins.object is no transport for asyncio: it needs the coroutine methods handle_async_request"),
        ("http://proxy", "builtins.str is no transport"),
        (5, "builtins.int is no transport"),
        (Halfway(), "Halfway is no transport"),
        (library.HTTPTransport(), r"HTTPTransport blocks; give one for asyncio, such as httpx.AsyncHTTPTransport\(\)"),
        (library.AsyncHTTPTransport, "AsyncHTTPTransport is a class; give an object of it"),
        (library.AsyncClient(), "AsyncClient is no transport"),
        (time, "module is no transport"),
    ]


def test_a_wrong_one(library: Any) -> None:
    for wrong, told in wrong_ones(library):
        for make in (RemoteClient, sync.RemoteClient):
            with pytest.raises(ConfigurationError, match=f"^transport: .*{told}"):
                make("http://h:1", transport=wrong)
        with pytest.raises(ConfigurationError, match=f"^transport: .*{told}"):
            RemoteModelFinder({"connection": ConnectionInfo(hostname="h"), "protocol": "http"}, transport=wrong)


OTHER_NAMES = """
import asyncio, sys, types
sys.modules["httpx"] = types.ModuleType("httpx")  # as of httpx 1.0, which has other names
from remote_client import RemoteClient, errors
import remote_client._transport.engines.httpx

async def main(target):
    async with RemoteClient(target) as client:
        assert (await (await client.model("raw")).run_echo("own")).text == "own"
    {more}

asyncio.run(main(sys.argv[1]))
print("done")
"""
HTTPX2 = """
    import httpx2
    async with RemoteClient(target, transport=httpx2.AsyncHTTPTransport()) as client:
        assert (await (await client.model("raw")).run_echo("its")).text == "its"
"""
NEITHER = """
    sys.modules["httpx2"] = None
    class Transport:
        async def handle_async_request(self, request): ...
        async def aclose(self): ...
    async with RemoteClient(target, transport=Transport()) as client:
        try:
            await client.models()
        except errors.ConfigurationError as error:
            assert "pip install httpx" in str(error), error
        else:
            raise AssertionError("a request of no library")
"""


@pytest.mark.skipif(ANYIO < [4, 10], reason="httpx2 wants anyio 4.10")
@pytest.mark.parametrize("more", [HTTPX2, NEITHER], ids=["httpx2", "neither"])
def test_an_httpx_of_other_names(http_wire: HttpWire, more: str) -> None:
    if more is HTTPX2:
        main_only("httpx2")
    script = OTHER_NAMES.replace("{more}", more.strip())
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", script, http_wire.target], capture_output=True, text=True, timeout=30
    )
    assert done.stdout.strip() == "done", done.stderr


@pytest.mark.parametrize("library", LIBRARIES)
async def test_a_certificate_that_is_refused_is_an_error_of_tls(start_http: Any, tmp_path: Path, library: str) -> None:
    server = start_http(tls=Authority(tmp_path, "localhost").tls())
    transport = main_only(library).AsyncHTTPTransport()
    info = server.info(hostname="localhost", retries=2, tls={"enabled": True})
    async with RemoteClient(info, protocol="http", transport=transport) as client:
        with pytest.raises(TlsError, match="CERTIFICATE_VERIFY_FAILED") as caught:
            await client.request("GET", "/health")
    assert caught.value.attempts == 1
