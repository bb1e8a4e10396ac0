"""A fake runtime for people's own tests: what it records, how it fails, what it gives bodies and takes from them."""

from __future__ import annotations

import asyncio
import builtins
import threading
import time
from typing import Any

import pytest

from remote_client import RemoteClient, sync
from remote_client.declare import module, registry, taskmethod
from remote_client.errors import (
    AbortedError,
    ClosedError,
    ConfigurationError,
    DeadlineExceededError,
    FailedPreconditionError,
    InputError,
    InternalError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    RemoteCallError,
    ResourceExhaustedError,
    UnauthenticatedError,
    UnavailableError,
    UnimplementedError,
)
from remote_client.testing import FakeRuntime

from .greeters import BlockingGreeter, Failing, Greeter, Greeting, Held, Mood, Text, Who

PROTOCOLS = ("grpc", "http")


# -- what it records --------------------------------------------------------------------------------------------------


async def test_a_call_is_recorded(runtime: FakeRuntime, protocol: str, model: Any) -> None:
    await model.with_options(metadata={"X-Own": "1"}).run_sample({"name": "World"}, times=2)
    (call,) = runtime.calls
    assert (call.model, call.method, call.protocol) == ("foo", "run", protocol)
    assert call.arguments == {"sample_input": {"name": "World"}, "times": 2}
    assert call.metadata["x-own"] == "1"


async def test_the_items_of_a_stream_are_recorded(runtime: FakeRuntime) -> None:
    async with RemoteClient(runtime.grpc) as client:
        model = await client.model("foo")
        await model.run_sample_stream_in([{"name": "a"}, {"name": "b"}])
    assert runtime.calls[-1].method == "run_stream_in"
    assert runtime.calls[-1].arguments == {"sample_inputs": [{"name": "a"}, {"name": "b"}]}


async def test_a_training_is_recorded(runtime: FakeRuntime, model: Any) -> None:
    training = await model.train([{"name": "a"}], hello="Hey", model_name="new")
    await training.wait()
    call = runtime.calls[-1]
    assert (call.model, call.method, call.arguments["hello"]) == ("new", "train", "Hey")
    assert (await (await training.model()).run_sample({"name": "World"})).greeting == "Heya World"


async def test_looking_at_the_runtime_is_no_call(runtime: FakeRuntime, protocol: str) -> None:
    async with RemoteClient(getattr(runtime, protocol)) as client:
        await client.models()
        await client.describe()
        await client.healthy()
    assert runtime.calls == []


# -- how it fails -----------------------------------------------------------------------------------------------------


async def test_the_next_calls_fail(runtime: FakeRuntime, model: Any) -> None:
    runtime.fail(UnavailableError("down"), times=2)
    assert (await model.run_sample({"name": "World"})).greeting == "Hello World"  # retries
    assert len(runtime.calls) == 3
    runtime.fail(UnavailableError("down again"))
    with pytest.raises(UnavailableError, match="down again"):
        await model.with_options(retries=0).run_sample({"name": "World"})
    assert (await model.run_sample({"name": "World"})).greeting == "Hello World"


async def test_a_stream_fails(runtime: FakeRuntime, model: Any) -> None:
    runtime.fail(ResourceExhaustedError("full"))
    with pytest.raises(ResourceExhaustedError, match="full"):
        await anext(model.with_options(retries=0).run_sample_stream_out({"name": "World"}))


async def test_errors_of_several_kinds_come_in_order(runtime: FakeRuntime, model: Any) -> None:
    runtime.fail(NotFoundError("first"))
    runtime.fail(PermissionDeniedError("second"))
    for kind in (NotFoundError, PermissionDeniedError):
        with pytest.raises(kind):
            await model.run_sample({"name": "World"})


async def test_a_delay(runtime: FakeRuntime, model: Any) -> None:
    runtime.delay(5)
    with pytest.raises(DeadlineExceededError):
        await model.with_options(timeout=0.2, retries=0).run_sample({"name": "World"})
    runtime.delay(0)
    assert (await model.run_sample({"name": "World"})).greeting == "Hello World"


def test_faults_that_make_no_sense(runtime: FakeRuntime) -> None:
    bad: Any
    for bad in (ValueError("no status"), UnavailableError, "down"):
        with pytest.raises(InputError, match="expected a RemoteCallError"):
            runtime.fail(bad)
    for bad in (0, -1, 1.5, True):
        with pytest.raises(InputError, match="times: expected a number of calls"):
            runtime.fail(UnavailableError("down"), times=bad)
    for bad in (-1, float("nan"), "1", None):
        with pytest.raises(InputError, match="seconds: expected a number"):
            runtime.delay(bad)


# -- what bodies raise ------------------------------------------------------------------------------------------------

RAISED: list[tuple[Exception, type[RemoteCallError], type[RemoteCallError], str]] = [
    # what a body raises, what that is over gRPC and over HTTP, and the details
    (ValueError("wrong value"), InvalidArgumentError, InvalidArgumentError, "wrong value"),
    (TypeError("wrong type"), InvalidArgumentError, InvalidArgumentError, "wrong type"),
    (KeyError("name"), InternalError, InternalError, "'name'"),
    (NotImplementedError(), InternalError, InternalError, "no body"),
    (NotFoundError("no such row"), NotFoundError, NotFoundError, "no such row"),
    (UnauthenticatedError("who?"), UnauthenticatedError, UnauthenticatedError, "who"),
    (UnavailableError("busy"), UnavailableError, UnavailableError, "busy"),
    (UnimplementedError("not yet"), UnimplementedError, UnimplementedError, "not yet"),
    (FailedPreconditionError("not now"), FailedPreconditionError, InvalidArgumentError, "not now"),
    (AbortedError("conflict"), AbortedError, RemoteCallError, "conflict"),
]


@pytest.mark.parametrize(
    ("error", "over_grpc", "over_http", "details"), RAISED, ids=[type(row[0]).__name__ for row in RAISED]
)
async def test_what_a_body_raises(
    protocol: str, error: Exception, over_grpc: type[Exception], over_http: type[Exception], details: str
) -> None:
    expected = over_grpc if protocol == "grpc" else over_http
    with FakeRuntime({"bad": Failing(error)}) as runtime:
        async with RemoteClient(getattr(runtime, protocol), retries=0) as client:
            model = await client.model("bad")
            with pytest.raises(expected, match=details):
                await model.run_failing("x")
            got = []
            with pytest.raises(expected, match=details):
                async for item in model.run_failing_stream_out("x"):
                    got.append(item.text)
            assert got == ["x"]
            job = await model.start_failing_job("x")
            with pytest.raises(Exception, match=details):
                await job.wait()


async def test_an_error_over_http_keeps_its_id() -> None:
    error = InvalidArgumentError("wrong", error_id="abc", http_status=418, additional_info=[{"more": 1}])
    with FakeRuntime({"bad": Failing(error)}) as runtime:
        async with RemoteClient(runtime.http) as client:
            with pytest.raises(RemoteCallError) as caught:
                await (await client.model("bad")).run_failing("x")
    assert (caught.value.http_status, caught.value.error_id) == (418, "abc")
    assert caught.value.additional_info == [{"more": 1}]


async def test_an_answer_that_does_not_fit(protocol: str) -> None:
    @module("odd-id", "Odd", "1", task="OddTask")
    class Odd:
        @taskmethod()
        async def run(self, text: str) -> Text:
            wrong: Any = {"text": 5}
            return wrong

    with FakeRuntime({"odd": Odd}) as runtime:
        async with RemoteClient(getattr(runtime, protocol)) as client:
            with pytest.raises(InternalError, match=r"the answer of the body is no .*Text"):
                await (await client.model("odd")).run_odd("x")


# -- what it takes ----------------------------------------------------------------------------------------------------


def test_models_that_are_none() -> None:
    bad: Any
    for bad in ({}, [Greeter], None):
        with pytest.raises(ConfigurationError, match="models: expected the modules by their models' names"):
            FakeRuntime(bad)
    with pytest.raises(ConfigurationError, match=r"put @module\(id, name, version\) above it"):
        FakeRuntime({"foo": Text})
    with pytest.raises(ConfigurationError, match="Needy cannot be made without arguments, so give an instance"):
        FakeRuntime({"foo": Needy})


@module("needy-id", "Needy", "1", task="SampleTask")
class Needy(Greeter):
    def __init__(self, hello: str) -> None:
        self.hello = hello


async def test_instances_keep_what_they_hold(protocol: str) -> None:
    with FakeRuntime({"hi": Needy("Hi"), "hey": Needy("Hey"), "foo": Greeter}) as runtime:
        async with RemoteClient(getattr(runtime, protocol)) as client:
            told = [
                (await (await client.model(name)).run_sample({"name": "x"})).greeting for name in ("hi", "hey", "foo")
            ]
    assert told == ["Hi x", "Hey x", "Hello x"]


async def test_a_client_does_not_make_declared_classes_with_their_own_arguments(protocol: str) -> None:
    registry["needy-id"] = Needy
    with FakeRuntime({"hi": Needy("Hi")}) as runtime:
        async with RemoteClient(getattr(runtime, protocol)) as client:
            model = await client.model("hi")
            assert isinstance(model, Needy)
            assert (await model.run(Who("x"))).greeting == "Hi x"
        with sync.RemoteClient(getattr(runtime, protocol)) as blocking:
            assert blocking.model("hi").run(Who("x")).greeting == "Hi x"


async def test_a_body_in_a_derived_class_needs_no_mark(protocol: str) -> None:
    class Base(Greeter):
        async def run(self, sample_input: Who, times: int = 1) -> Greeting:
            return Greeting(greeting=f"Bye {sample_input.name}" * times)

    class Derived(Base):
        def run_stream_out(self, sample_input, count=2):  # type: ignore[no-untyped-def]
            return (Greeting(greeting=f"{sample_input.name} {number}") for number in range(count))

    with FakeRuntime({"foo": Derived()}) as runtime:
        async with RemoteClient(getattr(runtime, protocol)) as client:
            model = await client.model("foo")
            assert (await model.run_sample({"name": "Ada"}, times=2)).greeting == "Bye AdaBye Ada"
            answers = await model.run_sample_stream_out({"name": "Ada"}, count=2).collect()
            assert [answer.greeting for answer in answers] == ["Ada 0", "Ada 1"]


def test_a_declared_class_without_a_server() -> None:
    assert repr(Greeter()) == "<Greeter of no server>"
    assert repr(BlockingGreeter()) == "<BlockingGreeter of no server>"
    undefined: Any = Greeter(), BlockingGreeter()
    for greeter in undefined:
        with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
            greeter.nothing
    for base in (Greeter.__mro__[1], sync.RemoteModuleBase):
        with pytest.raises(InputError, match="RemoteModuleBase: missing required argument: model_config"):
            base()


def test_a_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == "uvicorn":
            raise ModuleNotFoundError("no uvicorn", name="uvicorn")
        return real(name, *args, **kwargs)

    monkeypatch.setattr("importlib.import_module", lambda name: without(name))
    with pytest.raises(ConfigurationError, match=r"needs uvicorn: pip install 'remote-client\[testing\]'"):
        FakeRuntime({"foo": Greeter()}).start()


# -- clients of all kinds ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ["asyncio", "grpcio"])
def test_the_blocking_client(engine: Any) -> None:
    registry["blocking-id"] = BlockingGreeter
    with FakeRuntime({"foo": BlockingGreeter()}) as runtime, sync.RemoteClient(runtime.grpc, engine=engine) as client:
        model: Any = client.model("foo", BlockingGreeter)
        assert model.run(Who("x")).greeting == "Hello x"
        assert [item.greeting for item in model.run_stream_out(Who("x"))] == ["Hello x 0", "Hello x 1"]
        assert model.run_stream_in([Who("a"), Who("b")]).greeting == "a,b"
        assert [item.greeting for item in model.run_bidi_stream(iter([Who("a"), Who("b")]))] == ["Hello a", "Hello b"]
    with FakeRuntime({"foo": BlockingGreeter}) as runtime, sync.RemoteClient(runtime.http) as client:
        assert client.model("foo", BlockingGreeter).run(Who("x"), 2).greeting == "Hello xHello x"


@pytest.mark.parametrize("engine", ["asyncio", "grpcio"])
async def test_each_engine_of_grpc(runtime: FakeRuntime, engine: Any) -> None:
    async with RemoteClient(runtime.grpc, engine=engine) as client:
        model = await client.model("foo", Greeter)
        assert (await model.run(Who("x", Mood.LOUD))).greeting == "HELLO X"
        assert [item.greeting async for item in model.run_bidi_stream([Who("a")])] == ["Hello a"]  # type: ignore[arg-type]
        statuses = client.watch_health()
        assert (await anext(statuses)).is_serving
        await statuses.aclose()


async def test_many_calls_at_once(model: Any) -> None:
    answers = await asyncio.gather(*(model.run_sample({"name": str(number)}) for number in range(200)))
    assert [each.greeting for each in answers] == [f"Hello {number}" for number in range(200)]


# -- leaving and stopping ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("protocol", "method"),
    [("grpc", "run_held"), ("http", "run_held"), ("grpc", "run_held_stream_out"), ("http", "run_held_stream_out")],
)
async def test_a_client_that_leaves_cancels_the_body(protocol: str, method: str) -> None:
    held = Held()
    with FakeRuntime({"held": held}) as runtime:
        async with RemoteClient(getattr(runtime, protocol)) as client:
            call = getattr(await client.model("held"), method)("x")
            if method == "run_held":
                task = asyncio.ensure_future(call)
                assert await asyncio.to_thread(held.begun.wait, 5)
                task.cancel()
            else:
                async with call:
                    await anext(call)
                    assert await asyncio.to_thread(held.begun.wait, 5)
            assert await asyncio.to_thread(held.cancelled.wait, 5)


@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_stopping_ends_what_still_runs(protocol: str) -> None:
    held = Held()
    async with FakeRuntime({"held": held}) as runtime:
        client = RemoteClient(getattr(runtime, protocol), retries=0)
        call = asyncio.ensure_future((await client.model("held")).run_held("x"))
        assert await asyncio.to_thread(held.begun.wait, 5)
        began = time.monotonic()
    assert time.monotonic() - began < 2
    with pytest.raises(RemoteCallError):
        await call
    await client.aclose()
    assert held.cancelled.wait(2)


def test_a_stopped_runtime(protocol: str) -> None:
    runtime = FakeRuntime({"foo": Greeter()})
    with pytest.raises(ClosedError, match="enter them"):
        getattr(runtime, protocol)
    assert repr(runtime) == "<FakeRuntime which does not run>"
    with runtime:
        target = getattr(runtime, protocol)
        assert target in repr(runtime)
    runtime.stop()  # again
    with pytest.raises(ClosedError, match="were started before"):
        runtime.start()
    with sync.RemoteClient(target, retries=0) as client, pytest.raises(UnavailableError):
        client.models()
    assert not [thread for thread in threading.enumerate() if thread.name == "remote-client-testing"]


async def test_answers_are_not_delayed(model: Any) -> None:
    seconds = []
    for _ in range(11):
        began = time.monotonic()
        await model.run_sample({"name": "x"})
        seconds.append(time.monotonic() - began)
    assert sorted(seconds)[5] < 0.03  # Nagle's algorithm and a delayed acknowledgement would take 0.04


def test_starting_is_quick() -> None:
    with FakeRuntime({"foo": Greeter()}):
        pass
    began = time.process_time()
    with FakeRuntime({"foo": Greeter()}):
        assert time.process_time() - began < 0.5
