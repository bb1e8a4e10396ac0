"""A canary: a token that is sent with every call, and that servers repeat wherever they can, is told by nothing."""

from __future__ import annotations

import json
import logging
import pickle
import traceback
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from remote_client import ConnectionInfo, RemoteClient
from remote_client.errors import ConfigurationError, InputError, RemoteCallError, RemoteClientError
from remote_client.settings import CallOptions, RetryPolicy
from tests.support.http_wire import CLOSE, RESET, HttpWire, chunk, event, event_head, http_module, send
from tests.support.wire import WireServer, raw_module

TOKEN = "canary-5f1d8a7c3b9e4602"
METADATA = {"authorization": f"Bearer {TOKEN}", "x-api-key": TOKEN, "password-bin": TOKEN.encode()}
ECHO = f"who are you, Bearer {TOKEN}? and {TOKEN}"
CODES = [
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "UNAVAILABLE",
    "UNAUTHENTICATED",
    "RESOURCE_EXHAUSTED",
]


def texts(error: BaseException) -> Iterator[str]:
    """Everything that is shown of an error."""
    yield from (str(error), repr(error), repr(vars(error)), repr(error.args))
    yield from traceback.format_exception(error)
    yield repr(pickle.dumps(error))
    if isinstance(error, RemoteClientError):
        yield error._repr_html_()
    for other in (error.__cause__, error.__context__, *getattr(error, "previous", ())):
        if other is not None:
            yield from texts(other)


def variables(error: BaseException) -> Iterator[str]:
    """The variables of our frames, which some tools show."""
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    yield from (f"{frame}: {frame.locals}" for frame in told.stack if "remote_client/" in frame.filename)


class Ear:
    """Listens to hooks and logs."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def __call__(self, event: Any) -> None:
        self.heard.append(repr(event))

    @property
    def options(self) -> CallOptions:
        policy = RetryPolicy(retries=1, initial_backoff=0)
        return CallOptions(timeout=5, metadata=(METADATA,), retry=policy, hooks=(self,))


@pytest.fixture
def ear(caplog: pytest.LogCaptureFixture) -> Iterator[Ear]:
    caplog.set_level(logging.DEBUG)
    made = Ear()
    yield made
    assert made.heard
    assert TOKEN not in "".join(made.heard)
    assert TOKEN not in caplog.text


async def silent_about_it(call: Awaitable[Any]) -> RemoteClientError:
    with pytest.raises(RemoteClientError) as caught:
        await call
    hits = [text for text in texts(caught.value) if TOKEN in text]
    assert not hits
    return caught.value


async def items(stream: Any) -> list[Any]:
    return [each async for each in stream]


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("trailing", [{}, {"told": ECHO}])
async def test_grpc(wire: WireServer, ear: Ear, code: str, trailing: dict[str, str]) -> None:
    async with raw_module(wire.info(), options=ear.options) as module:
        error = await silent_about_it(module.fail(code=code, details=ECHO, trailing=trailing))
        assert "who are you, [redacted]? and [redacted]" in str(error)
        error = await silent_about_it(items(module.count(n=2, fail=code, details=ECHO)))
        assert "[redacted]" in str(error)
        await silent_about_it(module.with_options(timeout=0.01).sleep(seconds=1))


BODIES = {
    "caikit": {"details": ECHO, "code": 400, "id": TOKEN, "additional_info": {"headers": [TOKEN, {TOKEN: ECHO}]}},
    "fastapi": {"detail": [{"loc": ["header", TOKEN], "msg": ECHO, "input": TOKEN}]},
    "text": ECHO,
    "long": "x" * 4090 + TOKEN,
}


@pytest.mark.parametrize("status", [302, 400, 401, 422, 429, 500, 503])
@pytest.mark.parametrize("body", BODIES)
async def test_http(http_wire: HttpWire, ear: Ear, body: str, status: int) -> None:
    headers = {"location": f"/{TOKEN}", "www-authenticate": ECHO, "retry-after": TOKEN}
    async with http_module(http_wire.info(), options=ear.options) as module:
        await silent_about_it(module.fail(status=status, body=BODIES[body], headers=headers))


SCRIPTS: dict[str, list[Any]] = {
    "no HTTP": [send(ECHO), CLOSE],
    "a bad header": [send(f"HTTP/1.1 200 OK\r\n{ECHO}\r\n\r\n"), CLOSE],
    "a bad length": [send(f"HTTP/1.1 200 OK\r\ncontent-length: {TOKEN}\r\n\r\n"), CLOSE],
    "a bad encoding": [send(f"HTTP/1.1 200 OK\r\ncontent-encoding: {TOKEN}\r\ncontent-length: 1\r\n\r\nx"), CLOSE],
    "a bad type": [send(f"HTTP/1.1 200 OK\r\ncontent-type: {TOKEN}\r\ncontent-length: 1\r\n\r\nx"), CLOSE],
    "a bad chunk": [send(event_head() + TOKEN.encode() + b"\r\n"), CLOSE],
    "an error": [send(event_head() + chunk(event(json.dumps({"details": ECHO, "code": 500}), "error"))), CLOSE],
    "a cut": [send(event_head() + chunk(event('"a"')) + chunk(ECHO.encode())), RESET],
}


@pytest.mark.parametrize("script", SCRIPTS)
async def test_http_streams(http_wire: HttpWire, ear: Ear, script: str) -> None:
    async with http_module(http_wire.info(), options=ear.options) as module:
        await silent_about_it(items(module.script_stream(steps=SCRIPTS[script])))
        if script not in ("a bad type", "an error", "a cut"):
            await silent_about_it(module.script(steps=SCRIPTS[script]))


@pytest.mark.parametrize("document", ["{", json.dumps({"openapi": ECHO}), json.dumps(ECHO)])
async def test_a_description_that_cannot_be_used(http_wire: HttpWire, document: str) -> None:
    for told in (ECHO, {"models": [{"name": "a", "size": ECHO}], "runtime_version": {ECHO: ECHO}}):
        answer = {"body": json.dumps(told)}
        routes = {"GET /info/models": answer, "GET /info/version": answer}
        await http_wire.faults({"GET /openapi.json": {"body": document}, **routes})
        async with RemoteClient(http_wire.target, metadata=METADATA) as client:
            await silent_about_it(client.describe())
            await silent_about_it(client.models())
            await silent_about_it(client.runtime_info())


async def test_variables_of_frames(wire: WireServer, http_wire: HttpWire) -> None:
    options = CallOptions(timeout=0.05, metadata=(METADATA,))
    async with (
        raw_module(wire.info(), options=options) as module,
        http_module(http_wire.info(), options=options) as over_http,
    ):
        for call in (
            module.fail(code="INTERNAL"),
            module.sleep(seconds=1),
            items(module.count(n=1, fail="INTERNAL")),
            items(module.silent()),
            module.sum([b"fail"]),
            items(module.chat([b"fail"])),
            over_http.fail(status=500),
            over_http.sleep(seconds=1),
            items(over_http.silent()),
            over_http.script(steps=[RESET]),
            items(over_http.script_stream(steps=[RESET])),
        ):
            with pytest.raises(RemoteCallError) as caught:
                await call
            assert not [text for text in variables(caught.value) if TOKEN in text]


@pytest.mark.parametrize("value", [TOKEN + "\n", TOKEN + "ü", TOKEN.encode()])
@pytest.mark.parametrize("dynamic", [False, True])
async def test_metadata_that_cannot_be_sent(wire: WireServer, value: Any, dynamic: bool) -> None:
    given: Any = (lambda: {"authorization": value}) if dynamic else {"authorization": value}
    async with RemoteClient(wire.target, metadata=given) as client:
        error = await silent_about_it(client.models())
        assert isinstance(error, InputError)
        assert not [text for text in variables(error) if TOKEN in text]


TARGETS = [
    f"http://user:{TOKEN}@host:80",
    f"http://host:80#{TOKEN}",
    f"http://host:80/?token={TOKEN}",
    f"grpc://host:80/{TOKEN}",
    f"http://host:80/../{TOKEN}",
    f"https://u:{TOKEN}@host/team",
    f"http://host:1\\@{TOKEN}",
    f"grpcs://u:{TOKEN}@",
    f"grpc://host:{TOKEN}",
    f"{TOKEN}://host",
    f"host:80 {TOKEN}",
    f"user:{TOKEN}@host:80",
]


@pytest.mark.parametrize("target", TARGETS)
def test_targets(target: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        RemoteClient(target)
    assert not [text for text in texts(caught.value) if TOKEN in text]
    list(variables(caught.value))  # a client that was never made has a repr too


async def test_what_is_shown_of_a_client(wire: WireServer) -> None:
    info = ConnectionInfo(hostname=wire.host, port=wire.port, options={"grpc.secret": TOKEN})
    async with RemoteClient(info, metadata=METADATA, hooks=[print]) as client:
        model = (await client.model("foo")).with_options(metadata=METADATA)
        call: Callable[..., Any] = model.run_sample
        for each in (client, model, call, model.run_sample_stream_out({"name": "a"}), info, model._caller.options):
            assert TOKEN not in repr(each)
        with pytest.raises(RemoteCallError) as caught:
            await client.model("nobody")
        assert not [text for text in texts(caught.value) if TOKEN in text]
