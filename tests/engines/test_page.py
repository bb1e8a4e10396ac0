"""docs/many-rows.md: its examples of Ray, Dask and Spark. The others run in tests/live."""

from __future__ import annotations

import re
from typing import Any

import pytest

from ..support import readme
from ..support.runtime import Runtime

LIBRARIES = {"Ray": "ray.data", "Dask": "dask.dataframe", "Spark": "pyspark"}


async def test_the_pages_examples(runtime: Runtime, capfd: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {}
    section = (readme.DOCS / "many-rows.md").read_text().partition("\n## Ray, Dask and Spark\n")[2]
    found = re.findall(r"^### (\w+)$.*?^```python\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert [name for name, _ in found] == [*LIBRARIES]
    for name, code in found:
        pytest.importorskip(LIBRARIES[name])
        await readme.run(code, runtime, names)
        printed = capfd.readouterr().out
        assert "one" in printed
        assert "two" in printed
    names["spark"].stop()
