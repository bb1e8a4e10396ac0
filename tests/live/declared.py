"""Declared modules of the sample library, for tests of learned and declared ones."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable

import pytest
from pydantic import BaseModel

from remote_client import RemoteModuleBase, RemoteStream
from remote_client.declare import module, task, taskmethod

LEARNED_OR_DECLARED = pytest.mark.parametrize("declared", [False, True], ids=["learned", "declared"])


class Who(BaseModel):
    name: str


class Greeting(BaseModel):
    greeting: str


@task
class SlowTask:
    """Takes its time."""


@module(task=SlowTask)
class Slow(RemoteModuleBase):
    @taskmethod()
    def run_slow_stream_out(self, seconds: float, count: int = 3) -> RemoteStream[Greeting]:
        raise NotImplementedError


@task
class SampleTask:
    """Greets."""


@module(task=SampleTask)
class Sample(RemoteModuleBase):
    @taskmethod()
    async def run_sample_stream_in(
        self, sample_inputs: AsyncIterable[Who] | Iterable[Who], greeting: str = "Hi "
    ) -> Greeting:
        raise NotImplementedError

    @taskmethod()
    def run_sample_bidi_stream(self, sample_inputs: AsyncIterable[Who] | Iterable[Who]) -> RemoteStream[Greeting]:
        raise NotImplementedError
