"""docs/streams.md: its examples, and the events that it shows."""

from __future__ import annotations

import re
from typing import Any

import httpx
import pytest

from ..support import readme
from ..support.runtime import Runtime

PAGE = readme.DOCS / "streams.md"


async def test_the_pages_examples(runtime: Runtime, capfd: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    for _, code in readme.examples(PAGE):
        await readme.run(code, runtime, names)
    assert capfd.readouterr().out == (
        "Hello World 0\nHello World 1\nHello World 2\n"
        "3 Hello World 2\n"
        "Hello World 0Hello World 1Hello World 2\n"
        "Hello World 0|Hello World 1|Hello World 2|"
    )
    async with httpx.AsyncClient(transport=httpx.ASGITransport(names["app"]), base_url="http://app") as browser:
        response = await browser.get("/greetings", params={"name": "World"})
    (shown,) = re.findall(r"^```text\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert response.text == f"{shown}\n"
    await names["client"].aclose()
