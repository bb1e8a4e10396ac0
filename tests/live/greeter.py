"""A declared module of the sample library's task."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass

from pydantic import BaseModel

from remote_client import RemoteModuleBase
from remote_client.declare import module, taskmethod


class Greeting(BaseModel):
    greeting: str


@dataclass
class Who:
    name: str


@module(name="SampleModule", task="SampleTask")
class Greeter(RemoteModuleBase):
    """Greets."""

    @taskmethod()
    async def greet(self, sample_input: Who) -> Greeting:
        raise NotImplementedError

    @taskmethod()
    def greet_often(self, sample_input: Who) -> AsyncIterator[Greeting]:
        raise NotImplementedError
