"""Declared modules with bodies, for the tests of fake runtimes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from pydantic import BaseModel

from remote_client import RemoteModuleBase, sync
from remote_client.declare import module, taskmethod


class Mood(Enum):
    CALM = "calm"
    LOUD = "loud"


@dataclass
class Who:
    name: str
    mood: Mood = Mood.CALM


class Greeting(BaseModel):
    greeting: str
    count: int = 3


@module("greeter-id", "Greeter", "1.0.0", task="SampleTask")
class Greeter(RemoteModuleBase):
    """Every kind of method, plain and async, and a training."""

    hello = "Hello"

    @taskmethod()
    async def run(self, sample_input: Who, times: int = 1) -> Greeting:
        if sample_input.mood is Mood.LOUD:
            return Greeting(greeting=self._greet(sample_input).upper())
        return Greeting(greeting=self._greet(sample_input) * times)

    @taskmethod()
    def run_stream_out(self, sample_input: Who, count: int = 2) -> Iterator[Greeting]:
        for number in range(count):
            yield Greeting(greeting=f"{self._greet(sample_input)} {number}")

    @taskmethod()
    async def run_stream_in(self, sample_inputs: AsyncIterable[Who]) -> Greeting:
        return Greeting(greeting=",".join([each.name async for each in sample_inputs]))

    @taskmethod()
    async def run_bidi_stream(self, sample_inputs: AsyncIterable[Who]) -> AsyncIterator[Greeting]:
        async for each in sample_inputs:
            yield Greeting(greeting=self._greet(each))

    @classmethod
    async def train(cls, training_data: Iterable[Who], hello: str = "Hi") -> Greeter:
        trained = cls()
        trained.hello = "".join([hello, *(row.name for row in training_data)])
        return trained

    def _greet(self, who: Who) -> str:
        return f"{self.hello} {who.name}"


@module("blocking-id", "BlockingGreeter", "1.0.0", task="SampleTask")
class BlockingGreeter(sync.RemoteModuleBase):
    """As a class of the blocking client declares its streams."""

    @taskmethod()
    def run(self, sample_input: Who, times: int = 1) -> Greeting:
        return Greeting(greeting=f"Hello {sample_input.name}" * times)

    @taskmethod()
    def run_stream_out(self, sample_input: Who, count: int = 2) -> Iterator[Greeting]:
        for number in range(count):
            yield Greeting(greeting=f"Hello {sample_input.name} {number}")

    @taskmethod()
    def run_stream_in(self, sample_inputs: Iterable[Who]) -> Greeting:
        return Greeting(greeting=",".join(each.name for each in sample_inputs))

    @taskmethod()
    def run_bidi_stream(self, sample_inputs: Iterable[Who]) -> Iterator[Greeting]:
        for each in sample_inputs:
            yield Greeting(greeting=f"Hello {each.name}")


class Text(BaseModel):
    text: str


@module("held-id", "Held", "1.0.0", task="HeldTask")
class Held:
    """Begins, and does not end before it is cancelled."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.cancelled = threading.Event()

    @taskmethod()
    async def run(self, text: str) -> Text:
        await self._hold()
        return Text(text=text)

    @taskmethod()
    async def run_stream_out(self, text: str) -> AsyncIterator[Text]:
        yield Text(text=text)
        await self._hold()

    @taskmethod()
    async def run_bidi_stream(self, texts: AsyncIterable[str]) -> AsyncIterator[Text]:
        async for text in texts:
            yield Text(text=text)
        await self._hold()

    async def _hold(self) -> None:
        self.begun.set()
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            self.cancelled.set()
            raise


@module("failing-id", "Failing", "1.0.0", task="FailingTask")
class Failing:
    """Raises an error at once, and after an item of a stream."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    @taskmethod()
    def run(self, text: str) -> Text:
        raise self._error

    @taskmethod()
    def run_stream_out(self, text: str) -> Iterator[Text]:
        yield Text(text=text)
        raise self._error
