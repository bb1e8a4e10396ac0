"""docs/tracing.md: its examples, and what the page says of them."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from remote_client import RemoteClient
from remote_client.opentelemetry import _attributes as attributes
from remote_client.opentelemetry import _metrics as metrics

from ..support import readme
from ..support.runtime import Runtime

PAGE = readme.DOCS / "tracing.md"


@pytest.fixture
def logger() -> Iterator[logging.Logger]:
    found = logging.getLogger("remote_client")
    before = found.level
    yield found
    found.setLevel(before)


async def test_the_pages_examples(
    runtime: Runtime, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, logger: logging.Logger
) -> None:
    names: dict[str, Any] = {"RemoteClient": RemoteClient}
    clients: list[Any] = []
    for _, code in readme.examples(PAGE):
        await readme.run(code, runtime, names, apart=True)
        if "FastAPI()" in code:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(names["app"]), base_url="http://app") as web:
                assert (await web.get("/greet", params={"name": "World"})).json() == "Hello World"
        if "client" in names and names["client"] not in clients:
            clients.append(names["client"])
    assert logger.level == logging.DEBUG
    assert (await names["model"].run_sample({"name": "World"})).greeting == "Hello World"
    for each in clients:
        await each.aclose()
    printed = capfd.readouterr().out
    assert '"name": "caikit.runtime.SampleLib.SampleLibService/SampleTaskPredict"' in printed
    assert '"caikit.task": "SampleTask"' in printed
    assert "started caikit.runtime.SampleLib.SampleLibService/SampleTaskPredict grpc\n" in printed
    assert "ended caikit.runtime.SampleLib.SampleLibService/SampleTaskPredict OK 1 foo\n" in printed
    assert "order-4711\n" in printed
    assert any(" model=foo " in each.message for each in caplog.records)


def test_the_page_names_every_attribute_and_metric() -> None:
    page = PAGE.read_text()
    sources = [attributes, metrics]
    names = {
        name
        for module in sources
        for name in re.findall(r'"((?:caikit|rpc|http|server|error|url)\.[a-z_.]+)"', source_of(module))
    }
    assert len(names) > 12
    assert {name for name in names if f"`{name}`" not in page} == set()


def source_of(module: Any) -> str:
    with open(module.__file__) as file:
        return file.read()
