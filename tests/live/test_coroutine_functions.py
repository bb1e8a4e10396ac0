"""Methods of one answer are coroutine functions to frameworks; streams are plain functions."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator
from functools import partial
from typing import Any
from unittest.mock import create_autospec

import pytest
import pytest_asyncio
from starlette.background import BackgroundTask
from tenacity import AsyncRetrying, retry, stop_after_attempt

from remote_client import RemoteClient, RemoteModelInitializer, RemoteModuleConfig
from remote_client.errors import InputError, InternalError
from remote_client.settings import ConnectionInfo
from remote_client.sync import RemoteClient as BlockingClient
from tests.live.greeter import Greeter

from ..support.runtime import Runtime
from .protocols import Protocol, connection_of, target_of

INPUT = {"name": "World"}


@pytest_asyncio.fixture(params=["learned", "task", "options", "declared", "loaded"])
async def methods(
    request: pytest.FixtureRequest, client: RemoteClient, runtime: Runtime, protocol: Protocol
) -> AsyncIterator[tuple[Any, Any]]:
    """A method of one answer and one of many, of each kind of module."""
    if request.param in ("learned", "options"):
        model: Any = await client.model("foo")
        model = model.with_options(timeout=30) if request.param == "options" else model
        yield model.run_sample, model.run_sample_stream_out
    elif request.param == "task":
        model = await client.model("foo", task="SampleTask")
        yield model.run, model.run_stream_out
    elif request.param == "declared":
        declared = await client.model("foo", Greeter)
        yield declared.greet, declared.greet_often
    else:
        connection = ConnectionInfo(**connection_of(runtime, protocol))
        config = RemoteModuleConfig.load_from_module(Greeter, connection, protocol, "mm-model-id", "foo")
        loaded: Any = RemoteModelInitializer().init(config)
        async with loaded:
            yield loaded.greet, loaded.greet_often


def kinds(method: Any) -> list[bool]:
    """What Python says a callable is."""
    # asyncio's own is deprecated from 3.14 on, and asked by many until then.
    ask = [inspect.iscoroutinefunction, asyncio.coroutines.iscoroutinefunction, inspect.isasyncgenfunction]
    return [each(method) for each in ask]


async def test_methods_of_one_answer_are_coroutine_functions(methods: tuple[Any, Any]) -> None:
    unary, _ = methods
    for each in (unary, partial(unary), getattr(type(unary.__self__), unary.__name__)):
        assert kinds(each) == [True, True, False]
    assert inspect.isfunction(unary.__func__)
    assert (await unary(INPUT)).greeting == "Hello World"


async def test_streams_are_functions_that_return_async_iterators(methods: tuple[Any, Any]) -> None:
    _, stream = methods
    assert kinds(stream) == [False, False, False]
    answers = stream(INPUT)
    assert isinstance(answers, AsyncIterator)
    await answers.aclose()


async def test_arguments_are_still_checked_when_the_method_is_called(methods: tuple[Any, Any]) -> None:
    unary, _ = methods
    with pytest.raises(InputError):
        unary()


async def test_jobs_and_trainings_are_started_by_coroutine_functions(client: RemoteClient) -> None:
    model: Any = await client.model("foo")
    assert kinds(model.start_sample_job) == [True, True, False]
    assert kinds(model.train) == [True, True, False]


async def test_starlette_runs_a_method_in_the_background(client: RemoteClient) -> None:
    failing: Any = await client.model("failing")
    options = failing.with_options(retries=0)
    for task in (BackgroundTask(failing.run_failing, "value"), BackgroundTask(partial(options.run_failing, "value"))):
        with pytest.raises(InternalError):  # which only the server tells
            await task()


async def test_tenacity_tries_a_method_again(client: RemoteClient) -> None:
    model: Any = await client.model("failing")
    tries: list[int] = []
    again = retry(stop=stop_after_attempt(3), reraise=True, before=lambda state: tries.append(state.attempt_number))(
        model.run_failing
    )
    with pytest.raises(InternalError):
        await again("value")
    assert tries == [1, 2, 3]
    tries.clear()
    retrying = AsyncRetrying(stop=stop_after_attempt(2), reraise=True, before=lambda state: tries.append(1))
    with pytest.raises(InternalError):
        await retrying(model.run_failing, "value")
    assert len(tries) == 2


async def test_mocks_of_a_model_are_awaited(methods: tuple[Any, Any]) -> None:
    unary, stream = methods
    mock = create_autospec(unary.__self__, instance=True)
    getattr(mock, unary.__name__).return_value = "mocked"
    assert await getattr(mock, unary.__name__)(INPUT) == "mocked"
    getattr(mock, stream.__name__).return_value = iter(["mocked"])
    assert list(getattr(mock, stream.__name__)(INPUT)) == ["mocked"]


async def test_mocks_of_a_method_are_awaited(methods: tuple[Any, Any]) -> None:
    unary, _ = methods
    mock = create_autospec(unary, return_value="mocked")
    assert await mock(INPUT) == "mocked"
    with pytest.raises(TypeError):
        await mock(1, 2, 3, 4, 5, 6)


def test_blocking_methods_are_plain_functions(runtime: Runtime, protocol: Protocol) -> None:
    with BlockingClient(target_of(runtime, protocol)) as client:
        model: Any = client.model("foo")
        for each in (model.run_sample, model.run_sample_stream_out, model.start_sample_job, model.train, client.models):
            assert kinds(each) == [False, False, False]
