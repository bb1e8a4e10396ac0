"""The four kinds of call, their inputs, their ends. Streamed inputs are gRPC's alone."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import anyio
import pytest

from remote_client import RemoteClient
from remote_client.errors import DeadlineExceededError, InputError
from tests.support.clock import Stopwatch

from .protocols import Protocol, named

NAMES = [{"name": "Ada"}, {"name": "Alan"}, {"name": "Grace"}]
GREETED = ["Hello Ada", "Hello Alan", "Hello Grace"]


def generator() -> Iterator[dict[str, str]]:
    yield from NAMES


async def async_generator() -> AsyncIterator[dict[str, str]]:
    for name in NAMES:
        await asyncio.sleep(0)
        yield name


SOURCES: dict[str, Callable[[], Any]] = {
    "list": lambda: NAMES,
    "tuple": lambda: tuple(NAMES),
    "iterator": lambda: iter(NAMES),
    "generator": generator,
    "async generator": async_generator,
}


async def test_unary(client: RemoteClient, protocol: Protocol) -> None:
    model = await client.model("foo")
    assert (await model.run_sample(**{named(protocol, "sample_input"): {"name": "World"}})).greeting == "Hello World"
    assert (await model.run_sample({"name": "again"})).greeting == "Hello again"


async def test_stream_out(client: RemoteClient, protocol: Protocol) -> None:
    model = await client.model("foo")
    stream = model.run_sample_stream_out(**{named(protocol, "sample_input"): {"name": "World"}}, count=3)
    assert [item.greeting async for item in stream] == ["Hello World 0", "Hello World 1", "Hello World 2"]
    assert [item async for item in stream] == []  # read once: nothing is sent again
    assert "over" in repr(stream)


@pytest.mark.parametrize("source", SOURCES)
async def test_stream_in(grpc_client: RemoteClient, source: str) -> None:
    model = await grpc_client.model("foo")
    answer = await model.run_sample_stream_in(sample_inputs=SOURCES[source](), greeting="Hi ")
    assert answer.greeting == "Hi Ada,Alan,Grace"


@pytest.mark.parametrize("source", SOURCES)
async def test_bidi(grpc_client: RemoteClient, source: str) -> None:
    model = await grpc_client.model("foo")
    async with model.run_sample_bidi_stream(sample_inputs=SOURCES[source]()) as stream:
        assert [item.greeting async for item in stream] == GREETED


async def test_bidi_answers_before_the_next_input(grpc_client: RemoteClient) -> None:
    model = await grpc_client.model("foo")
    answers: asyncio.Queue[str] = asyncio.Queue()

    async def ask_after_answer() -> AsyncIterator[dict[str, str]]:
        name = "first"
        for _ in range(4):
            yield {"name": name}
            name = await answers.get()

    heard = []
    async for item in model.run_sample_bidi_stream(ask_after_answer()):
        heard.append(item.greeting)
        answers.put_nowait(item.greeting)
    assert heard == ["Hello first", "Hello Hello first", "Hello " * 3 + "first", "Hello " * 4 + "first"]


async def test_several_models_and_modules(client: RemoteClient) -> None:
    for name in ("foo", "bar"):
        assert (await (await client.model(name)).run_sample({"name": "x"})).greeting == "Hello x"
    primitive = await client.model("primitive")
    assert (await primitive.run_sample({"name": "x"}, prefix="Dear")).greeting == "Dear: x"


async def test_tasks_named_like_prefixes(client: RemoteClient, protocol: Protocol) -> None:
    model = await client.model("prefix")
    text = named(protocol, "text")
    assert (await model.run_streaming(**{text: "a"})).greeting == "streaming a"
    assert (await model.run_bidi_streaming(**{text: "b"})).greeting == "bidi b"


async def test_a_stream_of_a_task_named_like_a_prefix(grpc_client: RemoteClient) -> None:
    model = await grpc_client.model("prefix")
    answers = [item.greeting async for item in model.run_bidi_streaming_bidi_stream(texts=["c", "d"])]
    assert answers == ["bidi c", "bidi d"]


@pytest.mark.parametrize("lazy", [False, True])
async def test_two_streams_in_step(grpc_client: RemoteClient, lazy: bool) -> None:
    geo = await grpc_client.model("geo", task="GeoSpatialTask")
    lats, lons = [1.0, 2.0, 3.0], [4.0, 5.0, 6.0]
    places = [
        (place.lat, place.lon, place.label)
        async for place in geo.run_bidi_stream(lats=iter(lats) if lazy else lats, lons=lons, label="there")
    ]
    assert places == [(1.0, 4.0, "there"), (2.0, 5.0, "there"), (3.0, 6.0, "there")]


async def test_streams_of_unequal_length(grpc_client: RemoteClient) -> None:
    geo = await grpc_client.model("geo", task="GeoSpatialTask")
    with pytest.raises(InputError, match="lats has 2 items, lons has 1 items"):
        geo.run_bidi_stream(lats=[1.0, 2.0], lons=[3.0])  # lists are looked at before anything is sent
    with pytest.raises(InputError, match="lons ended after 1 items, lats did not"):
        async for _ in geo.run_bidi_stream(lats=iter([1.0, 2.0]), lons=iter([3.0])):
            pass


async def test_an_item_that_does_not_fit(grpc_client: RemoteClient) -> None:
    model = await grpc_client.model("foo")
    with pytest.raises(InputError, match=r"sample_inputs\[1\]\.name: expected str, not int"):
        model.run_sample_stream_in([{"name": "x"}, {"name": 5}])
    with pytest.raises(InputError, match=r"sample_inputs\[1\]\.name: expected str, not int"):
        await model.run_sample_stream_in(iter([{"name": "x"}, {"name": 5}]))
    with pytest.raises(InputError, match="needs a stream"):
        model.run_sample_stream_in({"name": "x"})


class OwnError(Exception):
    """What the user's own code raises."""


@pytest.mark.parametrize("asynchronous", [False, True])
@pytest.mark.parametrize("method", ["run_sample_stream_in", "run_sample_bidi_stream"])
async def test_an_error_of_the_users_iterable(grpc_client: RemoteClient, method: str, asynchronous: bool) -> None:
    own = OwnError("mine")

    def fails() -> Iterator[dict[str, str]]:
        yield NAMES[0]
        raise own

    async def fails_too() -> AsyncIterator[dict[str, str]]:
        yield NAMES[0]
        raise own

    call = getattr(await grpc_client.model("foo"), method)(fails_too() if asynchronous else fails())
    with pytest.raises(OwnError) as caught:
        if method.endswith("bidi_stream"):
            async for _ in call:
                pass
        else:
            await call
    assert caught.value is own


async def never() -> AsyncIterator[dict[str, str]]:
    """Gives one item and then waits."""
    yield NAMES[0]
    await asyncio.sleep(3600)


async def iterate(stream: Any) -> None:
    async for _ in stream:
        pass


async def endless_calls(client: RemoteClient, **options: Any) -> dict[str, Callable[[], Any]]:
    """A call of each kind that does not end by itself."""
    slow, foo = [(await client.model(name)).with_options(**options) for name in ("slow", "foo")]
    return {
        "unary": lambda: slow.run_slow(30.0),
        "stream out": lambda: iterate(slow.run_slow_stream_out(30.0)),
        "stream in": lambda: foo.run_sample_stream_in(never()),
        "bidi": lambda: iterate(foo.run_sample_bidi_stream(never())),
    }


KINDS = {"grpc": ["unary", "stream out", "stream in", "bidi"], "http": ["unary", "stream out"]}
each_kind = pytest.mark.parametrize(
    ("protocol", "kind"), [(protocol, kind) for protocol in KINDS for kind in KINDS[protocol]], indirect=["protocol"]
)


@each_kind
async def test_time_limits_from_outside(client: RemoteClient, kind: str) -> None:
    call = (await endless_calls(client))[kind]
    watch = Stopwatch()
    with anyio.move_on_after(0.2) as scope:
        await call()
    assert scope.cancelled_caught
    with pytest.raises(TimeoutError):
        with anyio.fail_after(0.2):
            await call()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await call()
    assert watch.seconds < 3


@each_kind
async def test_cancelling_a_task(client: RemoteClient, kind: str) -> None:
    task = asyncio.ensure_future((await endless_calls(client))[kind]())
    await asyncio.sleep(0.2)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert task.cancelled()


@each_kind
async def test_own_deadline(client: RemoteClient, kind: str) -> None:
    call = (await endless_calls(client, timeout=0.3))[kind]
    watch = Stopwatch()
    with pytest.raises(DeadlineExceededError) as caught:
        await call()
    assert isinstance(caught.value, TimeoutError)
    assert watch.wall > 0.2
    assert watch.seconds < 1.5


async def test_total_deadline_of_a_stream(client: RemoteClient) -> None:
    slow = (await client.model("slow")).with_options(total_timeout=0.7)
    got = []
    with pytest.raises(DeadlineExceededError):
        async for item in slow.run_slow_stream_out(0.2, count=100):
            got.append(item)
    assert 1 <= len(got) <= 4


async def test_leaving_early(client: RemoteClient) -> None:
    model = await client.model("foo")
    async for item in model.run_sample_stream_out({"name": "x"}, count=10_000):
        assert item.greeting == "Hello x 0"
        break
    stream = model.run_sample_stream_out({"name": "x"}, count=10_000)
    async with stream:
        await anext(stream)
    with pytest.raises(StopAsyncIteration):
        await anext(stream)


async def test_many_at_once(client: RemoteClient) -> None:
    model = await client.model("foo")
    answers = await asyncio.gather(*(model.run_sample({"name": str(number)}) for number in range(100)))
    assert [each.greeting for each in answers] == [f"Hello {number}" for number in range(100)]
    async with asyncio.TaskGroup() as group:  # a call is a coroutine, as create_task wants
        tasks = [group.create_task(model.run_sample({"name": "x"})) for _ in range(3)]
    assert {task.result().greeting for task in tasks} == {"Hello x"}


async def test_a_stream_has_one_reader(client: RemoteClient) -> None:
    slow = await client.model("slow")
    async with slow.run_slow_stream_out(0.3, count=1) as stream:
        first = asyncio.ensure_future(anext(stream))
        await asyncio.sleep(0.05)
        with pytest.raises(RuntimeError, match="already being read"):
            await anext(stream)
        assert (await first).greeting == "slept 0"


MISFITS: list[tuple[tuple[Any, ...], dict[str, Any], str, str]] = [
    # the arguments, and what is told of them over gRPC and over HTTP
    ((), {}, "missing required argument: sample_input", "missing required argument: inputs"),
    (({"name": "x"}, True, "p", 4), {}, "takes 3 arguments, not 4", "takes 3 arguments, not 4"),
    (({"name": "x"},), {"sample_input": {}}, "sample_input: given twice", "has no parameter 'sample_input'"),
    (({"name": "x"},), {"inputs": {}}, "inputs: SampleTaskRequest has no such field", "inputs: given twice"),
    (({"name": "x"},), {"thro": True}, "thro: SampleTaskRequest has no such field", "has no parameter 'thro'"),
    ((None,), {}, "missing required argument: sample_input", "missing required argument: inputs"),
    (({"name": "x"},), {"throw": 1}, "throw: expected bool, not int", "throw: expected bool, not int"),
]


async def test_an_argument_that_does_not_fit_is_told_at_once(
    client: RemoteClient, protocol: Protocol, subtests: pytest.Subtests
) -> None:
    model = await client.model("foo")
    for args, kwargs, over_grpc, over_http in MISFITS:
        with subtests.test(over_grpc):
            with pytest.raises(InputError, match=over_grpc if protocol == "grpc" else over_http) as caught:
                model.run_sample(*args, **kwargs)
            assert isinstance(caught.value, TypeError)
