"""Greets guests with a model of a caikit runtime, and without one while the runtime is away."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel

from remote_client import RemoteClient, RemoteModuleBase, RemoteStream
from remote_client.declare import module, taskmethod
from remote_client.errors import DeadlineExceededError, UnavailableError

MODEL = "foo"


class Guest(BaseModel):
    """Who is greeted."""

    name: str


class Greeting(BaseModel):
    """What a guest is told."""

    greeting: str


@module(task="SampleTask")
class Greeter(RemoteModuleBase):
    """The module of the model, as far as it is called here."""

    @taskmethod()
    async def run(self, sample_input: Guest) -> Greeting:
        """Greet a guest."""
        raise NotImplementedError

    @taskmethod()
    def run_stream_out(self, sample_input: Guest) -> RemoteStream[Greeting]:
        """Greet a guest again and again."""
        raise NotImplementedError


async def greet(client: RemoteClient, names: Iterable[str], patience: float = 5.0) -> list[str]:
    """Return a greeting for each guest: a plain one if the runtime is away, or takes more than these seconds."""
    model = (await client.model(MODEL, Greeter)).with_options(timeout=patience)
    greetings = []
    for name in names:
        try:
            greetings.append((await model.run(Guest(name=name))).greeting)
        except (UnavailableError, DeadlineExceededError):
            greetings.append(f"Welcome, {name}")
    return greetings


async def greet_until(client: RemoteClient, name: str, last: str) -> list[str]:
    """Return greetings of a guest, until one ends with a text."""
    model, greetings = await client.model(MODEL, Greeter), []
    async with model.run_stream_out(Guest(name=name)) as stream:
        async for item in stream:
            greetings.append(item.greeting)
            if item.greeting.endswith(last):
                break
    return greetings
