"""The library of the benchmarks as caikit's: the same messages, and a module whose methods are called remotely."""

# No `from __future__ import annotations`: caikit reads the types of the fields.

from collections.abc import Iterable

from caikit.core import DataObjectBase, ModuleBase, TaskBase, dataobject, module, task
from caikit.core.data_model import DataStream

PACKAGE = "caikit_data_model.bench"


@dataobject(package=PACKAGE)
class Text(DataObjectBase):
    """A request's data."""

    text: str


@dataobject(package=PACKAGE)
class Greeting(DataObjectBase):
    """A tiny answer."""

    greeting: str


@dataobject(package=PACKAGE)
class Token(DataObjectBase):
    """A part of a rich answer."""

    word: str
    entity: str
    start: int
    end: int
    score: float


@dataobject(package=PACKAGE)
class Tokens(DataObjectBase):
    """A rich answer."""

    results: list[Token]
    token_count: int


@task(unary_parameters={"sample_input": Text}, unary_output_type=Greeting, streaming_output_type=Iterable[Greeting])
class TinyTask(TaskBase):
    """Answers with a tiny message."""


@task(unary_parameters={"sample_input": Text}, unary_output_type=Tokens, streaming_output_type=Iterable[Tokens])
class RichTask(TaskBase):
    """Answers with a rich one."""


@module(id="be9c0000-0405-0607-0809-0a0b02dd0e0f", name="TinyModule", version="0.1.0", task=TinyTask)
class TinyModule(ModuleBase):
    """Never runs here: the server of the benchmarks answers."""

    @TinyTask.taskmethod()
    def run(self, sample_input: Text) -> Greeting:
        """One tiny answer."""
        raise NotImplementedError

    @TinyTask.taskmethod(output_streaming=True)
    def run_stream_out(self, sample_input: Text) -> DataStream[Greeting]:
        """Tiny answers."""
        raise NotImplementedError

    @classmethod
    def train(cls, training_data: DataStream[Text], steps: int = 1) -> "TinyModule":
        """Learns from rows of text."""
        raise NotImplementedError


@module(id="be9c0000-0405-0607-0809-0a0b02dd0e10", name="RichModule", version="0.1.0", task=RichTask)
class RichModule(ModuleBase):
    """Never runs here either."""

    @RichTask.taskmethod()
    def run(self, sample_input: Text) -> Tokens:
        """One rich answer."""
        raise NotImplementedError

    @RichTask.taskmethod(output_streaming=True)
    def run_stream_out(self, sample_input: Text) -> DataStream[Tokens]:
        """Rich answers."""
        raise NotImplementedError
