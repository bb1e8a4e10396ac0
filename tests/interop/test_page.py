"""The configurations of `docs/proxies.md`: the proxies started with them, in front of a real runtime."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import re
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from remote_client._client.client import RemoteClient
from remote_client.errors import UnavailableError
from remote_client.sync import RemoteClient as BlockingClient
from tests.support.runtime import Runtime

from .conftest import Authority
from .proxies import PROXIES, Proxy
from .test_runtime import Server, call_in_every_kind

PAGE = Path(__file__).parent.parent.parent / "docs" / "proxies.md"
LANGUAGES = {"nginx": "nginx", "haproxy": "haproxy", "envoy": "yaml", "nghttpx": "ini"}
"""Proxy -> the language of its configuration on the page."""
PREFIXES = {"nghttpx": ""}
"""Proxy -> the path before all routes, where it is not the usual one."""


def page(name: str) -> str:
    """The configuration of a proxy, as the page has it."""
    found = re.search(rf"^```{LANGUAGES[name]}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert found, f"the page has no configuration for {name}"
    return found[1]


def from_page(name: str, authority: Authority, change: Callable[[str], str]) -> type[Proxy]:
    """A proxy that runs the page's configuration, with this machine's ports and files."""
    kind: Any = PROXIES[name]

    class FromPage(kind):  # type: ignore[misc]
        listeners = ("page",)

        def configuration(self) -> str:
            text = change(page(name))
            both = self.folder / "tls.pem"
            both.write_text(Path(authority.cert).read_text() + Path(authority.key).read_text())
            here = {
                "/etc/tls/tls.crt": authority.cert,
                "/etc/tls/tls.key": authority.key,
                "/etc/tls/tls.pem": str(both),
                "443": str(self.ports["page"]),
                "8085": str(self.server.port),
                "8080": str(self.web.port),
                "address: runtime,": "address: 127.0.0.1,",
                "runtime:": "127.0.0.1:",
                "=runtime,": "=127.0.0.1,",
                "grpc.gateway.example/": "localhost/",
            }
            for there, replaced in here.items():
                text = text.replace(there, replaced)
            return _WRAPPED.get(name, "{text}").format(text=text, folder=self.folder, log=self.log)

    return FromPage


_KINDS = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
_WRAPPED = {
    "nginx": "daemon off; user root; pid {folder}/pid; error_log {log} warn; events {{ worker_connections 4096; }} "
    f"http {{{{ access_log off; {''.join(f'{each}_temp_path {{folder}}/{each};' for each in _KINDS)} {{text}} }}}}"
}
"""Proxy -> what stands around the page's configuration."""


def serves(proxy: Proxy, path: str) -> bool:
    """Whether the runtime answers through a proxy."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    connection = http.client.HTTPSConnection("127.0.0.1", proxy.ports["page"], timeout=5, context=context)
    with contextlib.closing(connection):
        connection.request("GET", f"{path}/health")
        return connection.getresponse().status == 200


@contextlib.contextmanager
def started(
    name: str, authority: Authority, runtime: Runtime, change: Callable[[str], str] = str
) -> Iterator[dict[str, str]]:
    """Protocol -> target of a proxy from the page."""
    prefix = PREFIXES.get(name, "/team/caikit")
    servers: Any = Server(runtime.port), Server(runtime.http_port)
    kind = from_page(name, authority, change)
    with kind(*servers, answers=lambda proxy: serves(proxy, prefix)) as proxy:
        port = proxy.ports["page"]
        yield {"grpc": f"grpcs://localhost:{port}", "http": f"https://127.0.0.1:{port}{prefix}"}


@pytest.fixture(scope="module", params=LANGUAGES)
def name(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture(scope="module")
def targets(name: str, authority: Authority, runtime: Runtime) -> Iterator[dict[str, str]]:
    with started(name, authority, runtime) as found:
        yield found


@pytest_asyncio.fixture
async def client(targets: dict[str, str], protocol: str, authority: Authority) -> AsyncIterator[RemoteClient]:
    async with RemoteClient(targets[protocol], tls={"ca_file": authority.ca}, retries=0, timeout=20) as made:
        yield made


async def test_every_kind_of_call(client: RemoteClient, protocol: str) -> None:
    assert await client.models()
    await call_in_every_kind(client, protocol)


def test_a_blocking_client(targets: dict[str, str], protocol: str, authority: Authority) -> None:
    with BlockingClient(targets[protocol], tls={"ca_file": authority.ca}, retries=0, timeout=20) as client:
        model = client.model("foo")
        assert model.run_sample({"name": "World"}).greeting == "Hello World"
        assert len(list(model.run_sample_stream_out({"name": "World"}, count=3))) == 3


async def test_a_job_and_a_training(client: RemoteClient) -> None:
    model = await client.model("foo")
    job = await model.start_sample_job({"name": "World"})
    await job.wait(timeout=20)
    assert (await job.result()).greeting == "Hello World"


async def test_a_large_request(client: RemoteClient) -> None:
    model = await client.model("foo")
    name = "x" * 3_500_000
    assert (await model.run_sample({"name": name})).greeting == f"Hello {name}"


async def test_items_come_as_they_are_sent(client: RemoteClient) -> None:
    """The stream takes longer than the test waits for its first items."""
    slow = await client.model("slow")
    async with asyncio.timeout(10), slow.run_slow_stream_out(0.2, count=1000) as stream:
        for _ in range(2):
            await anext(stream)


async def test_many_calls_at_once(client: RemoteClient) -> None:
    model = await client.model("foo")
    answers = await asyncio.gather(*(model.run_sample({"name": f"{number}"}) for number in range(500)))
    assert [each.greeting for each in answers] == [f"Hello {number}" for number in range(500)]


async def test_its_times_are_those_that_count(name: str, authority: Authority, runtime: Runtime, protocol: str) -> None:
    """With the page's hour made short a call does not come through, so with the hour it may take that long."""
    hours, short = r"\b(1h|3600s)\b", "0.9s" if name == "envoy" else "900ms"
    with started(name, authority, runtime, lambda text: re.sub(hours, short, text)) as targets:
        async with RemoteClient(targets[protocol], tls={"ca_file": authority.ca}, retries=0, timeout=20) as client:
            slow = await client.model("slow")
            with pytest.raises(UnavailableError) as caught:
                await slow.run_slow(3.0)
            assert "within 20" not in str(caught.value), "the client ended it"
            with pytest.raises(UnavailableError):
                async for _ in slow.run_slow_stream_out(3.0, count=2):
                    pass
