"""Functions and metadata of the user's: what can never work is refused where it is set."""

from __future__ import annotations

import functools
import types
from collections import UserDict
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from remote_client import RemoteClient, sync
from remote_client._transport.metadata import resolve_metadata
from remote_client.errors import ConfigurationError, InputError
from remote_client.settings import CallOptions, ConnectionInfo
from tests.support.wire import raw_module


class Hook:
    def __call__(self, event: Any) -> None: ...

    def method(self, event: Any) -> None: ...

    async def later(self, event: Any) -> None: ...

    @staticmethod
    def static(event: Any) -> None: ...


class AsyncHook:
    async def __call__(self, event: Any) -> None: ...


async def coroutine_function(event: Any) -> None: ...


async def async_generator(event: Any) -> AsyncIterator[None]:
    yield


def generator(event: Any) -> Iterator[None]:
    yield


CLIENTS = pytest.mark.parametrize("client", [RemoteClient, sync.RemoteClient], ids=["asyncio", "blocking"])


@CLIENTS
@pytest.mark.parametrize(
    ("hooks", "told"),
    [
        (print, r"give a list of functions, as in hooks=\[print\]"),
        (Hook(), r"give a list of functions"),
        (5, "give a list of functions"),
        ("print", "'p' cannot be called"),
        ([5], "5 cannot be called"),
        ([None], "None cannot be called"),
        ([coroutine_function], "coroutine_function is a coroutine function, which a hook cannot be"),
        ([functools.partial(coroutine_function)], "is a coroutine function"),
        ([Hook().later], "is a coroutine function"),
        ([AsyncHook()], "is a coroutine function"),
        ([async_generator], "is an async generator function"),
        ([generator], "is a generator function"),
        ([lambda: None], "cannot be called with one event"),
        ([lambda one, two: None], "cannot be called with one event"),
        ([lambda *, event: None], "cannot be called with one event"),
        ([print, lambda: None], "cannot be called with one event"),
    ],
)
def test_hooks_that_would_never_run(client: Any, hooks: Any, told: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^hooks: .*{told}"):
        client("h:1", hooks=hooks)
    if isinstance(hooks, list):
        with pytest.raises(ConfigurationError, match=f"^hooks: .*{told}"):
            CallOptions(hooks=tuple(hooks))


@CLIENTS
def test_hooks_that_run(client: Any) -> None:
    hook = Hook()
    good = [
        print,
        hook,
        hook.method,
        Hook.static,
        list,
        [].append,
        functools.partial(hook.method),
        lambda event, a=1: a,
    ]
    client("h:1", hooks=good)
    client("h:1", hooks=iter(good))
    client("h:1", hooks=())


async def pairs() -> Any:
    return [("a", "b")]


WRONG_SOURCES: list[Any] = [
    [("a", "b")],
    (("a", "b"),),
    "authorization: x",
    b"x",
    5,
    True,
    {1: "a"},
    {b"a": "b"},
    {None: "a"},
    object(),
    lambda call: {},
    pairs(),
]


@CLIENTS
@pytest.mark.parametrize("source", WRONG_SOURCES)
@pytest.mark.filterwarnings("ignore:coroutine 'pairs' was never awaited")
def test_metadata_that_cannot_be_sent_is_refused_where_it_is_set(client: Any, source: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^metadata: "):
        client("h:1", metadata=source)
    with pytest.raises(ConfigurationError, match=r"^metadata: "):
        client.from_config(
            {"finders": {"a": {"type": "REMOTE", "config": {"connection": {"hostname": "h"}}}}}, metadata=source
        )
    with pytest.raises(ConfigurationError, match=r"^metadata: "):
        CallOptions(metadata=(source,))
    module = raw_module(ConnectionInfo(hostname="h", port=1))
    with pytest.raises(ConfigurationError, match=r"^metadata: "):
        (module if client is RemoteClient else sync._modules.wrapped(module)).with_options(metadata=source)


def test_sources_stand_in_a_tuple() -> None:
    for wrong in ({"a": "b"}, [{"a": "b"}], dict):
        with pytest.raises(ConfigurationError, match=r"^metadata: expected a tuple of sources, as in \(source,\)"):
            CallOptions(metadata=wrong)  # type: ignore[arg-type]


def test_no_value_is_shown() -> None:
    for source in ([("authorization", "s3cr3t")], "s3cr3t", {1: "s3cr3t"}):
        with pytest.raises(ConfigurationError) as caught:
            CallOptions(metadata=(source,))  # type: ignore[arg-type]
        assert "s3cr3t" not in str(caught.value)


@CLIENTS
def test_metadata_that_can_be_sent(client: Any) -> None:
    good = [{}, {"a": "b"}, UserDict(a="b"), types.MappingProxyType({"a": "b"}), dict, lambda a=1: {}, pairs]
    for source in good:
        client("h:1", metadata=source)
        CallOptions(metadata=(source,))


@pytest.mark.parametrize(
    "given",
    [None, [("a", "s3cr3t")], "s3cr3t", 5, {1: "s3cr3t"}, {None: "s3cr3t"}, {b"a": "s3cr3t"}, iter(())],
)
async def test_what_a_function_returns_is_refused_where_it_is_called(given: Any) -> None:
    async def asynchronous() -> Any:
        return given

    def synchronous() -> Any:
        return given

    for source in (synchronous, asynchronous):
        with pytest.raises(InputError, match=r"^metadata: ") as caught:
            await resolve_metadata((source,))
        assert "s3cr3t" not in str(caught.value)
