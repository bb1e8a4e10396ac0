"""docs/many-rows.md and docs/reference/engines.md: examples of Ray, Dask and Spark. The others run in tests/live."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import ray
from pyspark.sql import SparkSession

from ..support import readme
from ..support.runtime import Runtime


@pytest.fixture(autouse=True)
def ended() -> Iterator[None]:
    """End what the page starts, which the other tests start in their own way."""
    yield
    ray.shutdown()
    if session := SparkSession.getActiveSession():
        session.stop()


async def test_the_pages_examples(runtime: Runtime, capfd: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    section = (readme.DOCS / "many-rows.md").read_text().partition("\n## Ray, Dask and Spark\n")[2]
    found = re.findall(r"^### (\w+)$.*?^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert [name for name, _ in found] == ["Ray", "Dask", "Spark"]
    for _, code in found:
        await readme.run(code, runtime, names)
        printed = capfd.readouterr().out
        assert "one" in printed
        assert "two" in printed


async def test_the_examples_of_the_reference(runtime: Runtime, capfd: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    found = list(readme.blocks(readme.DOCS / "reference/engines.md"))
    assert [block.language for block in found] == ["python", "text"] * 2
    for example, output in zip(found[::2], found[1::2], strict=True):
        await readme.run(example.text, runtime, names)
        assert capfd.readouterr().out.endswith(output.text)  # the engines' own output comes before
