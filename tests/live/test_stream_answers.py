"""Streams as lists and as text, over both protocols, asyncio and blocking, in every form of output."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from remote_client import RemoteClient, sync
from remote_client.errors import InputError, InvalidArgumentError

from ..support.runtime import Runtime
from .greeter import Greeter
from .protocols import PROTOCOLS, Protocol, target_of

WORLD = {"name": "World"}
GREETED = ["Hello World 0", "Hello World 1", "Hello World 2"]
OUTPUTS = [("grpc", "pydantic"), ("grpc", "dict"), ("grpc", "proto"), ("grpc", "numpy"), ("http", "dict")]


async def test_collect_gives_a_list(client: RemoteClient) -> None:
    model: Any = await client.model("foo")
    answers = await model.run_sample_stream_out(WORLD, count=3).collect()
    assert [answer.greeting for answer in answers] == GREETED
    assert await model.run_sample_stream_out(WORLD, count=0).collect() == []


async def test_collect_gives_what_is_left(client: RemoteClient) -> None:
    model: Any = await client.model("foo")
    async with model.run_sample_stream_out(WORLD, count=3) as stream:
        assert (await anext(stream)).greeting == GREETED[0]
        assert [answer.greeting for answer in await stream.collect()] == GREETED[1:]
        assert await stream.collect() == []


async def test_text_joins_the_only_text_field(client: RemoteClient) -> None:
    model: Any = await client.model("foo")
    assert await model.run_sample_stream_out(WORLD, count=3).text() == "".join(GREETED)
    assert await model.run_sample_stream_out(WORLD, count=3).text("greeting") == "".join(GREETED)
    assert [text async for text in model.run_sample_stream_out(WORLD, count=3).texts()] == GREETED


@pytest.mark.parametrize(("protocol", "output"), OUTPUTS)
async def test_text_of_every_output(client: RemoteClient, output: Any) -> None:
    model: Any = (await client.model("foo")).with_options(output=output)
    assert await model.run_sample_stream_out(WORLD, count=3).text() == "".join(GREETED)
    zoo: Any = (await client.model("zoo")).with_options(output=output)
    stream = zoo.run_zoo_stream_out({"text": "a", "optional_text": "b"})
    assert await stream.text("optional_text") == "bb"


async def test_text_of_a_declared_class(client: RemoteClient) -> None:
    model = await client.model("foo", Greeter)
    stream: Any = model.greet_often({"name": "World"})  # type: ignore[arg-type]
    assert (await stream.text()).startswith("Hello World 0Hello World 1")


async def test_several_text_fields_need_a_name(client: RemoteClient) -> None:
    zoo: Any = await client.model("zoo")
    stream = zoo.run_zoo_stream_out({"text": "a"})
    with pytest.raises(InputError, match=r"^Zoo has several text fields: name one of text, optional_text, as in"):
        await stream.text()
    with pytest.raises(InputError, match=r"^Zoo has no text field 'texts'; it has text, optional_text$"):
        stream.texts("texts")
    with pytest.raises(InputError, match=r"^Bundle has no text field 'data'; it has name$"):
        (await client.model("bundles")).run_bundles_stream_out("a").texts("data")
    assert "not started" in repr(stream)  # nothing was sent, so that it can be read with another name
    assert await stream.text("text") == "aa"


async def test_empty_texts_are_left_out(client: RemoteClient) -> None:
    zoo: Any = await client.model("zoo")
    texts = zoo.run_zoo_stream_out({"text": "a"}, count=2).texts("optional_text")
    assert [text async for text in texts] == []  # unset: empty over gRPC, None over HTTP


async def test_errors_come_after_the_answers_before_them(client: RemoteClient) -> None:
    model: Any = await client.model("foo")
    seen = []
    texts = model.run_sample_stream_out(WORLD, count=3, err_after=2).texts()
    with pytest.raises(InvalidArgumentError, match="asked to fail after 2"):
        async for text in texts:
            seen.append(text)
    assert seen == GREETED[:2]
    for read in ("collect", "text"):
        with pytest.raises(InvalidArgumentError, match="asked to fail after 2"):
            await getattr(model.run_sample_stream_out(WORLD, count=3, err_after=2), read)()


async def test_a_closed_reader_has_closed_the_stream(client: RemoteClient) -> None:
    model: Any = await client.model("foo")
    stream = model.run_sample_stream_out(WORLD, count=100)
    async with stream.texts() as texts:
        assert await anext(texts) == GREETED[0]
    assert "over" in repr(stream)
    assert [text async for text in texts] == []


async def test_a_method_of_another_process_learns_its_type_with_the_first_item(client: RemoteClient) -> None:
    """Pickled with the names of its types only, as in a process that has not asked the server yet."""
    model: Any = pickle.loads(pickle.dumps(await client.model("zoo")))
    stream = model.run_zoo_stream_out({"text": "a"})
    with pytest.raises(InputError, match=r"^Zoo has several text fields"):
        await stream.text()
    assert await model.run_zoo_stream_out({"text": "a"}).text("text") == "aa"
    await model.aclose()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_blocking_streams_read_alike(runtime: Runtime, protocol: Protocol) -> None:
    with sync.RemoteClient(target_of(runtime, protocol)) as client:
        model: Any = client.model("foo")
        assert [answer.greeting for answer in model.run_sample_stream_out(WORLD, count=3).collect()] == GREETED
        assert model.run_sample_stream_out(WORLD, count=3).text() == "".join(GREETED)
        assert list(model.run_sample_stream_out(WORLD, count=3).texts("greeting")) == GREETED
        failing = model.run_sample_stream_out(WORLD, count=3, err_after=2).texts()
        assert [next(failing), next(failing)] == GREETED[:2]
        with pytest.raises(InvalidArgumentError, match="asked to fail after 2"):
            next(failing)
        with model.run_sample_stream_out(WORLD, count=100) as stream:
            with stream.texts() as texts:
                assert next(texts) == GREETED[0]
            assert list(texts) == stream.collect() == []
        zoo: Any = client.model("zoo").with_options(output="dict")
        with pytest.raises(InputError, match=r"^Zoo has several text fields"):
            zoo.run_zoo_stream_out({"text": "a"}).text()
        assert zoo.run_zoo_stream_out({"text": "a"}).text("text") == "aa"
