"""The README's examples do what it says."""

import asyncio
from typing import Any

import pytest

from ..support import readme
from ..support.runtime import Runtime


async def test_examples_run_and_print(runtime: Runtime, capfd: pytest.CaptureFixture[str]) -> None:
    names: dict[str, Any] = {"asyncio": asyncio}
    for _, code in readme.examples():
        await readme.run(code, runtime, names)
    printed = capfd.readouterr().out
    for expected in (
        "Hello World\n",
        "foo                    SampleModule",
        "run_sample(sample_input: SampleInputType, throw: bool | None = None, prefix: str | None = None)",
        "Hello World 2\n",
        "Hello Alan\n",
    ):
        assert expected in printed
