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
        "foo SampleModule True",
        "run_sample(sample_input: SampleInputType, throw: bool | None = None, prefix: str | None = None)",
        "name='World'",
        "Hello World 2\n",
        "greeting='Hi Ada,Alan'",
        "Hello Grace\n",
        "label='capital' lat=48.9 lon=2.4",
        "FileResponse(filename='all.zip', content_type='application/zip', 5 bytes)",
        "COMPLETED greeting='Hello World'",
        "COMPLETED\n",
        "mine\n",
        "Greeting(greeting='Hello World 1')",
        "run_sample(): sample_input.name: expected str, not int",
        "no server lists the model 'fo'; did you mean 'foo'?",
        "StatusCode.INTERNAL barf! caikit.runtime.SampleLib.SampleLibService/SampleTaskPredict",
        "DeadlineExceededError\n",
        "{'greeting': 'Hello World'}",
        "200 calls, <RemoteClient of localhost:",
    ):
        assert expected in printed
