"""The other library (`tests/runtime/other_lib`) as a declared module with a body, for a fake runtime."""

from __future__ import annotations

from pydantic import BaseModel

from remote_client.declare import module, taskmethod

from .runtime import OTHER_MODELS


class SampleInputType(BaseModel):
    """Same name as the sample library's type, another shape."""

    number: int


class SampleOutputType(BaseModel):
    """Same name as the sample library's type, another shape."""

    doubled: int


@module(OTHER_MODELS["foo"], "OtherModule", "0.1.0", task="SampleTask")
class OtherModule:
    """Doubles."""

    @taskmethod()
    def run(self, sample_input: SampleInputType) -> SampleOutputType:
        return SampleOutputType(doubled=2 * sample_input.number)
