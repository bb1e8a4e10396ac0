"""What is the blocking client's own: its streams, its inputs, its declared modules."""

from __future__ import annotations

import gc
import inspect
import itertools
import threading
import time
import weakref
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any

import pytest

import remote_client
from remote_client.declare import module, registry, taskmethod
from remote_client.errors import InputError, SchemaError
from remote_client.sync import (
    ConnectionInfo,
    RemoteClient,
    RemoteModelFinder,
    RemoteModelInitializer,
    RemoteModuleBase,
    RemoteModuleConfig,
    RemoteStream,
    TrainingJob,
)

from ..live.protocols import PROTOCOLS, Protocol, connection_of, target_of
from ..support.clock import Stopwatch
from ..support.runtime import SAMPLE_MODELS, Runtime

ADA = {"name": "Ada"}


@pytest.fixture
def facade(runtime: Runtime) -> Iterator[RemoteClient]:
    with RemoteClient(runtime.target) as client:
        yield client


def test_a_slow_input_holds_up_nobody(facade: RemoteClient) -> None:
    model = facade.model("foo")
    taken_in: set[str] = set()

    begun, others = threading.Event(), threading.Event()

    def slow() -> Iterator[dict[str, str]]:
        for _ in range(3):
            taken_in.add(threading.current_thread().name)
            begun.set()
            assert others.wait(20), "the other calls wait for this one"
            yield ADA

    with ThreadPoolExecutor() as pool:
        call = pool.submit(model.run_sample_stream_in, slow())
        assert begun.wait(20)
        for _ in range(10):
            model.run_sample(ADA)
        others.set()
        call.result()
    assert taken_in == {"remote-client input"}


def test_an_interactive_dialogue(facade: RemoteClient) -> None:
    answers: list[str] = []
    came = threading.Event()

    def questions() -> Iterator[dict[str, str]]:
        yield {"name": "0"}
        for index in range(1, 5):
            assert came.wait(5)
            came.clear()
            yield {"name": f"{index} after {answers[-1]}"}

    for answer in facade.model("foo").run_sample_bidi_stream(sample_inputs=questions()):
        answers.append(answer.greeting)
        came.set()
    assert answers[1] == "Hello 1 after Hello 0"
    assert len(answers) == 5


class OwnError(Exception):
    pass


@pytest.mark.parametrize("method", ["run_sample_stream_in", "run_sample_bidi_stream"])
@pytest.mark.parametrize("error", [OwnError("mine"), StopAsyncIteration(), KeyboardInterrupt("a user's")])
def test_an_error_of_the_users_iterable(facade: RemoteClient, method: str, error: BaseException) -> None:
    def fails() -> Iterator[dict[str, str]]:
        yield ADA
        raise error

    kind = OwnError if isinstance(error, OwnError) else RuntimeError
    with pytest.raises(kind):
        list(getattr(facade.model("foo"), method)(fails()))
    assert facade.healthy()  # the loop is everybody's


def test_an_item_that_does_not_fit(facade: RemoteClient) -> None:
    with pytest.raises(InputError, match=r"sample_inputs\[1\]"):
        facade.model("foo").run_sample_stream_in(iter([ADA, {"nam": "x"}]))


def filled(held: SimpleQueue[Any], least: int) -> None:
    """Wait until that many answers are held."""
    watch = Stopwatch()
    while held.qsize() < least and watch.seconds < 5:
        time.sleep(0.01)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_back_pressure_and_order(runtime: Runtime, protocol: Protocol) -> None:
    with RemoteClient(target_of(runtime, protocol)) as client:
        stream = client.model("foo").run_sample_stream_out(ADA, count=2000)
        greetings = [next(stream).greeting]
        assert stream._pump is not None
        held = stream._pump.items
        filled(held, 15)  # or 16, when the first answer was taken early
        while held.qsize() > 8:  # where it goes on
            greetings.append(next(stream).greeting)
        filled(held, 16)
        time.sleep(0.2)
        assert held.qsize() == 16
        greetings += [each.greeting for each in stream]
        assert greetings == [f"Hello Ada {index}" for index in range(2000)]
        with pytest.raises(StopIteration):
            next(stream)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_item_is_there_as_soon_as_it_comes(runtime: Runtime, protocol: Protocol) -> None:
    with RemoteClient(target_of(runtime, protocol)) as client:
        model = client.model("slow")
        begun = time.monotonic()
        times = [time.monotonic() - begun for _ in model.run_slow_stream_out(0.3, count=3)]
    assert all(later - earlier > 0.15 for earlier, later in itertools.pairwise(times))


def test_a_stream_is_garbage_when_it_is_dropped(facade: RemoteClient) -> None:
    stream = facade.model("foo").run_sample_stream_out(ADA, count=10_000)
    next(stream)
    dropped = weakref.ref(stream)
    del stream
    gc.collect()
    assert dropped() is None


# -- declared modules -------------------------------------------------------------------------------------------------


@dataclass
class Who:
    name: str


@dataclass
class Greeting:
    greeting: str


@module(SAMPLE_MODELS["foo"], "SampleModule", "0.1.0", task="SampleTask")
class SampleModule(RemoteModuleBase):
    @taskmethod()
    def greet(self, sample_input: Who, throw: bool = False) -> Greeting:
        raise NotImplementedError

    @taskmethod()
    def greet_often(self, sample_input: Who, count: int = 2) -> RemoteStream[Greeting]:
        raise NotImplementedError

    @taskmethod()
    def greet_all(self, sample_inputs: Iterable[Who], greeting: str = "Hi ") -> Greeting:
        raise NotImplementedError

    @taskmethod()
    def greet_each(self, sample_inputs: Iterable[Who]) -> Iterator[Greeting]:
        raise NotImplementedError

    def train(
        self, training_data: Iterable[Who], union_list: list[str] | list[int], batch_size: int = 64
    ) -> TrainingJob[SampleModule]:
        raise NotImplementedError


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_declared_module(runtime: Runtime, protocol: Protocol) -> None:
    with RemoteClient(target_of(runtime, protocol)) as client:
        model = client.model("foo", SampleModule)
        assert isinstance(model, SampleModule)
        assert model.greet(Who("World")) == Greeting("Hello World")
        assert [each.greeting for each in model.greet_often(Who("W"))] == ["Hello W 0", "Hello W 1"]
        assert isinstance(client.model("bar"), RemoteModuleBase)
        trained = model.train((Who(name) for name in "ab"), [1, 2], batch_size=0).model()
        assert isinstance(trained, SampleModule)
        assert trained.greet(Who("World")) == Greeting("Hello World")
        if protocol == "grpc":
            assert model.greet_all(Who(name) for name in "ab") == Greeting("Hi a,b")
            assert list(model.greet_each([Who("a")])) == [Greeting("Hello a")]


def test_the_registry_binds_by_itself(facade: RemoteClient) -> None:
    registry[SAMPLE_MODELS["foo"]] = SampleModule
    assert isinstance(facade.model("foo"), SampleModule)


async def test_a_blocking_declaration_gives_the_asyncio_client_its_names(runtime: Runtime) -> None:
    async with remote_client.RemoteClient(runtime.target) as client:
        model: Any = await client.model("foo", SampleModule)
        assert not isinstance(model, RemoteModuleBase)
        assert await model.greet(Who("World")) == Greeting("Hello World")


@module(task="SampleTask")
class ForAsyncio(remote_client.RemoteModuleBase):
    @taskmethod()
    async def greet(self, sample_input: Who) -> Greeting:
        raise NotImplementedError


def test_an_asyncio_declaration_gives_blocking_methods(facade: RemoteClient) -> None:
    model = facade.model("foo", ForAsyncio)
    assert isinstance(model, RemoteModuleBase)
    assert model.greet(Who("World")) == Greeting("Hello World")


def test_a_wrong_name_is_answered_with_the_declared_ones(facade: RemoteClient) -> None:
    model = facade.model("foo", ForAsyncio)
    with pytest.raises(AttributeError, match="its methods are greet"):
        _ = model.nothing
    with pytest.raises(AttributeError, match=r"did you mean greet\?"):
        _ = model.geet


@module(task="SampleTask")
class Wrong(RemoteModuleBase):
    @taskmethod()
    def run(self, sample_input: Who, thorw: bool = False) -> Greeting:
        raise NotImplementedError


def test_a_declaration_that_disagrees(facade: RemoteClient) -> None:
    with pytest.raises(SchemaError, match="thorw"):
        facade.model("foo", Wrong)


def test_help_on_a_stream_names_an_iterator(facade: RemoteClient) -> None:
    method = facade.model("foo").run_sample_stream_out
    for shown in (str(inspect.signature(method)), method.__doc__):
        assert "AsyncIterator" not in shown
        assert "Iterator[" in shown


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_parts(runtime: Runtime, protocol: Protocol) -> None:
    connection = connection_of(runtime, protocol)
    with RemoteModelFinder({"connection": connection, "protocol": protocol}) as finder:
        assert "foo" in finder.discover()
        assert finder.find_model("no-such-model") is None
        config = finder.find_model("foo")
        assert config is not None
        made = RemoteModelInitializer().init(config)
        assert made is not None
        with made:
            assert made.config is config
            assert made.run_sample(ADA).greeting == "Hello Ada"
            assert made.with_options(output="dict", metadata=dict).run_sample(ADA) == {"greeting": "Hello Ada"}
            assert "self" not in inspect.signature(made.run_sample).parameters
    loaded = RemoteModuleConfig.load_from_module(
        SampleModule, ConnectionInfo(**connection), protocol, "mm-model-id", "foo"
    )
    model: Any = RemoteModelInitializer().init(loaded)
    with model:
        assert isinstance(model, SampleModule)
        assert model.greet(Who("World")) == Greeting("Hello World")
