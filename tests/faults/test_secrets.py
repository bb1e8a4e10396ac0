"""No error leads to the metadata or the body of its request: each kind of error, over each protocol and engine."""

from __future__ import annotations

import asyncio
import base64
import inspect
import json
import socket
import struct
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto

from remote_client import (
    CallOptions,
    ConnectionInfo,
    RemoteClient,
    RemoteModuleBase,
    RemoteModuleConfig,
    construct_remote_module_class,
    sync,
)
from remote_client._transport.engine import open_connections
from remote_client.auth import OAuthClientCredentials
from remote_client.declare import module, taskmethod
from remote_client.errors import InputError, InvalidResponseError, RemoteClientError, UnavailableError
from remote_client.middleware import Answer, OutgoingCall, Proceed
from remote_client.settings import ConnectionTlsInfo, Protocol, RetryPolicy
from remote_client.sync._loop_thread import loop_thread
from remote_client.sync._modules import wrapped
from tests.support.forward_proxy import ForwardProxy
from tests.support.http_wire import CLOSE, RESET, HttpWire, chunk, event, event_head, http_module, send
from tests.support.reachable import texts
from tests.support.runtime import free_port
from tests.support.wire import WireServer, raw_module
from tests.support.wire_library import INFO_SERVICE

BODY = "7391640258"
"""A number, as one method of the server adds its inputs up."""
BLOB, WORD = b"\x00bin\xfe\xffblob", b"binword7"
METADATA: dict[str, str | bytes] = {
    "x-jwt": "jw7Q",
    "x-pwd": "p9-z!",
    "authorization": "Bearer tk5Xa2",
    "x-api": "0451923",
    "x-basic": f"Basic {base64.b64encode(b'me:pa5s').decode()}",
    "x-quoted": "a&b/c \"d'",
    "x-long": "canary-5f1d8a7c3b9e4602",
    "blob-bin": BLOB,
    "word-bin": WORD,
}
SECRETS = [
    *("jw7Q", "p9-z!", "tk5Xa2", "0451923", "pa5s", "a&b/c \"d'", "canary-5f1d8a7c3b9e4602", "binword7"),
    base64.b64encode(b"me:pa5s").decode(),
    *(base64.b64encode(each).decode().rstrip("=") for each in (BLOB, WORD)),
    BLOB.decode("utf-8", "replace"),
]
ECHO = " and ".join(SECRETS)
ASCII_ECHO = " and ".join(each for each in SECRETS if each.isascii())
KINDS = ["grpc asyncio", "grpc grpcio", "http asyncio", "http httpx"]
CALLERS = ["asyncio", "blocking"]


def silent(error: BaseException, *more: str) -> None:
    """Fail where anything secret can be reached from an error, or anything of the request's body, or more."""
    found = [
        f"{where}: {secret}"
        for where, text in texts(error)
        for secret in [BODY, *SECRETS, *more]
        if (secret in text if isinstance(text, str) else secret.encode() in text)
    ]
    assert not found, "\n".join(found)


@dataclass
class Client:
    """How a server is called: over which protocol, by which engine, blocking or not."""

    kind: str
    blocking: bool

    @property
    def is_grpc(self) -> bool:
        return self.kind.startswith("grpc")

    @asynccontextmanager
    async def module(self, info: ConnectionInfo, **options: Any) -> AsyncIterator[Any]:
        policy = RetryPolicy(retries=1, initial_backoff=0)
        ends: list[Callable[[], Any]] = []
        given = CallOptions(**{"timeout": 5, "metadata": (METADATA,), "retry": policy, **options})
        if self.is_grpc:
            module = raw_module(info.replace(engine=self.kind.split()[1]), options=given)
        elif self.kind == "http asyncio":
            module = http_module(info, options=given)
        else:
            transport = httpx.AsyncHTTPTransport(verify=False)
            ends = [transport.aclose]
            module = http_module(info, open_connections(info, "http", transport), options=given)
        ends = [module._caller.connections.aclose, *ends]
        try:
            yield wrapped(module) if self.blocking else module
        finally:
            for end in ends:
                await (asyncio.to_thread(loop_thread().call, end()) if self.blocking else end())

    async def fails(self, call: Callable[[], Any]) -> BaseException:
        """The error of a call, of one answer or a stream of them."""
        if self.blocking:
            return await asyncio.to_thread(_fails_here, call)
        try:
            await _result(call())
        except Exception as error:
            return error
        pytest.fail("it did not fail")


async def _result(got: Any) -> None:
    """Wait for an answer, or for all answers of a stream."""
    if isinstance(got, AsyncIterator):
        async for _ in got:
            pass
    else:
        await got


def _fails_here(call: Callable[[], Any]) -> BaseException:
    try:
        got = call()
        if isinstance(got, Iterator):
            list(got)
    except Exception as error:
        return error
    pytest.fail("it did not fail")


@pytest.fixture(params=[f"{kind} {caller}" for kind in KINDS for caller in CALLERS])
def client(request: pytest.FixtureRequest) -> Client:
    kind, _, caller = request.param.rpartition(" ")
    return Client(kind, caller == "blocking")


@pytest.fixture
def info(client: Client, wire: WireServer, http_wire: HttpWire) -> ConnectionInfo:
    return wire.info() if client.is_grpc else http_wire.info()


@contextmanager
def saying(data: bytes, *, reset: bool = False) -> Iterator[ConnectionInfo]:
    """A server that reads a little, says this, and goes."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    connection, _ = server.accept()
                except OSError:
                    return
                with connection:
                    connection.recv(1 << 16)
                    connection.sendall(data)
                    if reset:
                        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield ConnectionInfo(hostname="127.0.0.1", port=server.getsockname()[1])
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()


# -- what a server says -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["INTERNAL", "UNAUTHENTICATED", "UNAVAILABLE"])
@pytest.mark.parametrize("client", [f"{kind} {caller}" for kind in KINDS[:2] for caller in CALLERS], indirect=True)
async def test_a_status(client: Client, info: ConnectionInfo, code: str) -> None:
    async with client.module(info) as module:
        trailing = {"told": ASCII_ECHO}
        error = await client.fails(lambda: module.fail(code=code, details=ECHO, trailing=trailing, note=BODY))
        assert "[redacted] and [redacted]" in str(error)
        silent(error)
        silent(await client.fails(lambda: module.count(n=2, fail=code, details=ECHO, note=BODY)))


BODIES: dict[str, Any] = {
    "caikit": {"details": ECHO, "code": 400, "id": "tk5Xa2", "additional_info": {"jw7Q": [451923, ECHO]}},
    "numbers": {"details": "no", "code": 400, "id": "x", "additional_info": {"a": 451923, "b": ["0451923"]}},
    "text": ECHO,
    "page": f"<html><title>{ECHO.replace('&', '&amp;')} &#106;w7Q</title></html>",
    "words": {"message": ECHO},
}
HTTP = [f"{kind} {caller}" for kind in KINDS[2:] for caller in CALLERS]


@pytest.mark.parametrize("status", [400, 401, 503])
@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("client", HTTP, indirect=True)
async def test_an_http_status(client: Client, info: ConnectionInfo, body: str, status: int) -> None:
    told = BODIES[body]
    async with client.module(info) as module:
        error = await client.fails(
            lambda: module.fail(status=status, body=told, headers={"www-authenticate": ASCII_ECHO}, note=BODY)
        )
        silent(error)


@pytest.mark.parametrize("client", HTTP, indirect=True)
async def test_a_redirect(client: Client, info: ConnectionInfo) -> None:
    async with client.module(info) as module:
        for place in ("/jw7Q/canary-5f1d8a7c3b9e4602", "https://tk5Xa2/a%26b%2Fc%20%22d%27", "/YmlueA/p9-z!"):
            silent(await client.fails(lambda: module.fail(status=302, body="", headers={"location": place}, note=BODY)))  # noqa: B023


SCRIPTS: dict[str, list[Any]] = {
    "a bad header": [send(f"HTTP/1.1 200 OK\r\n{ASCII_ECHO}\r\n\r\n"), CLOSE],
    "a long bad header": [send(f"HTTP/1.1 200 OK\r\n{'x' * 60} {ASCII_ECHO}\r\n\r\n"), CLOSE],
    "a bad length": [send(f"HTTP/1.1 200 OK\r\ncontent-length: {ASCII_ECHO}\r\n\r\n"), CLOSE],
    "a bad type": [send(f"HTTP/1.1 200 OK\r\ncontent-type: {ASCII_ECHO}\r\ncontent-length: 1\r\n\r\nx"), CLOSE],
    "a bad encoding": [send(f"HTTP/1.1 200 OK\r\ncontent-encoding: {ASCII_ECHO}\r\ncontent-length: 1\r\n\r\nx"), CLOSE],
    "a bad chunk": [send(event_head() + ASCII_ECHO.encode() + b"\r\n"), CLOSE],
    "an error event": [send(event_head() + chunk(event(json.dumps({"details": ECHO, "code": 500}), "error"))), CLOSE],
    "a cut": [send(event_head() + chunk(event('"a"')) + chunk(ECHO.encode())), RESET],
    "half an answer": [send(f"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n{ASCII_ECHO}"), RESET],
}


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("client", HTTP, indirect=True)
async def test_a_malformed_answer(client: Client, info: ConnectionInfo, script: str) -> None:
    steps = SCRIPTS[script]
    async with client.module(info) as module:
        silent(await client.fails(lambda: module.script_stream(steps=steps, note=BODY)))
        if script not in ("a bad type", "an error event", "a cut"):
            silent(await client.fails(lambda: module.script(steps=steps, note=BODY)))


def calls_of(module: Any, note: str = BODY) -> list[Callable[[], Any]]:
    """Calls of all kinds that the protocol has."""
    calls = [lambda: module.sleep(seconds=60, note=note), lambda: module.silent(note=note)]
    if hasattr(module, "chat"):
        calls += [lambda: module.sum([note.encode(), b"hang"]), lambda: module.chat([note.encode(), b"hang"])]
    return calls


@pytest.mark.parametrize("reset", [False, True], ids=["closed", "reset"])
@pytest.mark.parametrize("data", [b"", ECHO.encode(), f"HTTP/1.1 2x0 {ASCII_ECHO}\r\n\r\n".encode()], ids=range(3))
async def test_a_server_that_speaks_something_else(client: Client, data: bytes, reset: bool) -> None:
    with saying(data, reset=reset) as info:
        async with client.module(info) as module:
            for call in calls_of(module):
                silent(await client.fails(call))


async def test_a_refused_connection(client: Client) -> None:
    async with client.module(ConnectionInfo(hostname="127.0.0.1", port=free_port())) as module:
        for call in calls_of(module):
            silent(await client.fails(call))


async def test_a_failed_handshake(client: Client) -> None:
    with saying(ECHO.encode()) as info:
        async with client.module(info.replace(tls=ConnectionTlsInfo(enabled=True))) as module:
            for call in calls_of(module):
                silent(await client.fails(call))


async def test_a_deadline(client: Client, info: ConnectionInfo) -> None:
    async with client.module(info, timeout=0.05) as module:
        for call in calls_of(module):
            silent(await client.fails(call))


async def test_an_answer_that_is_too_large(client: Client, info: ConnectionInfo) -> None:
    limited = info.replace(options={"grpc.max_receive_message_length": 1000})
    async with client.module(limited) as module:
        silent(await client.fails(lambda: module.big(size=5000, note=BODY)))
        if client.is_grpc:
            silent(await client.fails(lambda: module.count(n=2, size=5000, note=BODY)))


async def test_a_cancelled_call(client: Client, info: ConnectionInfo) -> None:
    if client.blocking:
        pytest.skip("a thread cannot be cancelled")
    async with client.module(info) as module:
        for call in calls_of(module):
            with pytest.raises(TimeoutError) as caught:
                async with asyncio.timeout(0.05):
                    await _result(call())
            silent(caught.value)


# -- what middleware and hooks add ------------------------------------------------------------------------------------


async def adds_all(call: OutgoingCall, proceed: Proceed) -> Answer:
    call.metadata.update(METADATA)
    return await proceed(call)


async def adds_and_dislikes(call: OutgoingCall, proceed: Proceed) -> Answer:
    await adds_all(call, proceed)
    raise UnavailableError("I dislike it")


async def adds_what_cannot_be_sent(call: OutgoingCall, proceed: Proceed) -> Answer:
    call.metadata["x-bad"] = "canary-5f1d8a7c3b9e4602\n"
    return await adds_all(call, proceed)


async def returns_the_wrong_thing(call: OutgoingCall, proceed: Proceed) -> Any:
    await adds_all(call, proceed)
    return METADATA


class Adding:
    """A hook that adds everything."""

    def __call__(self, event: Any) -> None: ...

    def metadata(self, call: Any) -> dict[str, str | bytes]:
        return METADATA


ADDED: dict[str, dict[str, Any]] = {
    "middleware": {"middleware": (adds_all,)},
    "dislikes": {"middleware": (adds_and_dislikes,)},
    "unsendable": {"middleware": (adds_what_cannot_be_sent,)},
    "wrong": {"middleware": (returns_the_wrong_thing,)},
    "hooks": {"hooks": (Adding(),)},
}


@pytest.mark.sampled(12)
@pytest.mark.parametrize("added", ADDED)
async def test_what_is_added_on_the_way(
    client: Client, info: ConnectionInfo, wire: WireServer, http_wire: HttpWire, added: str
) -> None:
    await (wire if client.is_grpc else http_wire).faults(told=True)  # the answers' metadata repeats the call's
    async with client.module(info, metadata=(), **ADDED[added]) as module:
        if client.is_grpc:
            told = {"code": "UNAUTHENTICATED", "details": ECHO, "trailing": {"told": ASCII_ECHO}, "note": BODY}
            calls = [lambda: module.fail(**told), lambda: module.count(n=2, fail="INTERNAL", details=ECHO, note=BODY)]
        else:
            calls = [
                lambda: module.fail(status=401, body=ECHO, headers={"told": ASCII_ECHO}, note=BODY),
                lambda: module.script_stream(steps=SCRIPTS["an error event"], note=BODY),
                lambda: module.script_stream(steps=SCRIPTS["a cut"], note=BODY),
            ]
        for call in calls:
            silent(await client.fails(call))
        late = module.with_options(timeout=0.05)
        for call in calls_of(late):
            silent(await client.fails(call))
        for call in (lambda: spoiled(module).echo(BODY.encode()), lambda: spoiled(module).count(n=1, note=BODY)):
            error = await client.fails(call)
            assert "the answer does not fit" in str(error) or added in ("dislikes", "unsendable", "wrong")
            silent(error)


# -- what happens here ------------------------------------------------------------------------------------------------


class Undecodable:
    """Raises as a codec does for an answer of another type."""

    def __init__(self, codec: Any) -> None:
        self._codec = codec

    def __getattr__(self, name: str) -> Any:
        return getattr(self._codec, name)

    def decode(self, data: bytes, output: Any) -> Any:
        try:
            raise ValueError(data)
        except ValueError:
            raise InvalidResponseError(f"the answer does not fit: {ECHO}") from None


def spoiled(module: Any) -> Any:
    """A module whose answers cannot be decoded."""
    for _, rpcs in module.config.task_methods:
        for rpc in rpcs:
            object.__setattr__(rpc, "codec", Undecodable(rpc.codec))
    return module


@pytest.mark.parametrize("size", [0, 100_000], ids=["small", "large"])
async def test_an_answer_that_cannot_be_decoded(client: Client, info: ConnectionInfo, size: int) -> None:
    async with client.module(info) as module:
        spoiled(module)
        note = BODY + "x" * size
        if client.is_grpc:
            silent(await client.fails(lambda: module.echo(json.dumps({"note": note}).encode())))
            silent(await client.fails(lambda: module.count(n=1, size=size, note=BODY)))
        else:
            silent(await client.fails(lambda: module.echo(json.dumps({"note": note}).encode())))
            silent(await client.fails(lambda: module.count(count=1, n=1, note=BODY)))


class OddItemError(Exception):
    """The user's own."""


@pytest.mark.parametrize("kind", [InputError, OddItemError])
@pytest.mark.parametrize("client", [f"{kind} {caller}" for kind in KINDS[:2] for caller in CALLERS], indirect=True)
async def test_an_input_that_raises(client: Client, info: ConnectionInfo, kind: type[Exception]) -> None:
    def items() -> Iterator[bytes]:
        yield BODY.encode()
        raise kind("no more")

    async with client.module(info) as module:
        for call in (lambda: module.sum(items()), lambda: module.chat(items())):
            error = await client.fails(call)
            assert isinstance(error, (kind, OddItemError))
            silent(error)


@pytest.mark.parametrize("value", ["p9-z!\n", b"p9-z!", "p9-z!ü"])
async def test_metadata_that_cannot_be_sent(client: Client, info: ConnectionInfo, value: Any) -> None:
    async with client.module(info, metadata=(METADATA, lambda: {"x-more": value})) as module:
        for call in calls_of(module):
            error = await client.fails(call)
            assert isinstance(error, InputError)
            silent(error)


async def test_a_metadata_function_that_raises(client: Client, info: ConnectionInfo) -> None:
    def source() -> dict[str, str]:
        raise OddItemError("no token")

    async with client.module(info, metadata=(METADATA, source)) as module:
        for call in calls_of(module):
            silent(await client.fails(call))


# -- credentials ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        {"status": 401, "body": "s3c/ret and s3c%2Fret and YSUyMGNsaWVudDpzM2MlMkZyZXQ"},
        {"status": 503, "body": {"details": "s3c/ret", "code": 503, "id": "x"}},
        {"body": {"access_token": "t0ken\n"}},
        {"body": "{t0ken"},
        {"steps": [send("HTTP/1.1 2x0 s3c/ret\r\n\r\n"), CLOSE]},
        {"steps": [RESET]},
    ],
    ids=range(6),
)
async def test_a_token_that_is_not_given(
    client: Client, info: ConnectionInfo, http_wire: HttpWire, tmp_path: Any, fault: Any
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("s3c/ret")
    await http_wire.faults({"POST /token": fault})
    source = OAuthClientCredentials(f"{http_wire.target}/token", "a client", secret)
    async with client.module(info, metadata=(METADATA, source)) as module:
        for call in calls_of(module):
            error = await client.fails(call)
            assert isinstance(error, RemoteClientError)
            silent(error, "s3c/ret", "s3c%2Fret", "YSUyMGNsaWVudDpzM2MlMkZyZXQ", "t0ken")


@pytest.mark.parametrize("client", [f"{kind} {caller}" for kind in KINDS[:3] for caller in CALLERS], indirect=True)
@pytest.mark.parametrize("answer", ["HTTP/1.1 407 me:pw7 bWU6cHc3\r\n\r\n", "bWU6cHc3", "HTTP/1.1 500 no\r\n\r\n"])
async def test_a_proxy_that_refuses(client: Client, answer: str) -> None:
    with ForwardProxy() as proxy:
        await proxy.faults(answer=answer)
        info = ConnectionInfo(hostname="10.1.2.3", port=80, proxy=proxy.url("me:pw7"))
        async with client.module(info) as module:
            for call in calls_of(module):
                error = await client.fails(call)
                assert isinstance(error, RemoteClientError)
                silent(error, "bWU6cHc3", "me:pw7")


# -- arguments --------------------------------------------------------------------------------------------------------


@module(name="Echo", task="EchoTask")
class Echo(RemoteModuleBase):
    """Declared, so that nothing is asked before its first call."""

    @taskmethod()
    async def run(self, text: str) -> str:
        raise NotImplementedError


PROTOCOLS: list[Protocol] = ["grpc", "http"]


def declared(protocol: Protocol, info: ConnectionInfo, options: CallOptions | None = None) -> Any:
    config = RemoteModuleConfig.load_from_module(Echo, info, protocol, "mm-model-id", "foo")
    return construct_remote_module_class(config)(config, options=options)


@pytest.mark.parametrize("blocking", [False, True], ids=CALLERS)
@pytest.mark.parametrize("protocol", PROTOCOLS)
async def test_a_declared_modules_call(protocol: Protocol, blocking: bool) -> None:
    options = CallOptions(timeout=5, metadata=(METADATA,), retry=RetryPolicy(retries=0))
    made = declared(protocol, ConnectionInfo(hostname="127.0.0.1", port=free_port()), options)
    model = wrapped(made) if blocking else made
    for call in (lambda: model.run(BODY), lambda: model.run({BODY: 1}, 5), lambda: model.run(odd=BODY)):
        error = await Client("", blocking).fails(call)
        assert isinstance(error, RemoteClientError)
        silent(error)
    await (asyncio.to_thread(model.close) if blocking else model.aclose())


async def got(value: Any) -> Any:
    """What either client gives."""
    return await value if inspect.isawaitable(value) else value


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("kind", [RemoteClient, sync.RemoteClient], ids=CALLERS)
async def test_a_learned_modules_arguments(
    wire: WireServer, http_wire: HttpWire, protocol: Protocol, kind: Any
) -> None:
    client = kind(wire.target if protocol == "grpc" else http_wire.target, metadata=METADATA)
    model = await got(client.model("foo" if protocol == "grpc" else "raw"))
    calls: list[Callable[[], Any]] = [
        lambda: model.run_sample({"name": BODY, "odd": 1}),
        lambda: model.run_sample(tree={"label": BODY, "children": 5}),
        lambda: model.run_sample_stream_out({"name": 5, BODY[:-1]: 1, "label": BODY}),
        lambda: model.run_sample_stream_in([{"name": BODY}, {"name": 5}]),
        lambda: model.run_sample_stream_in(iter([{"name": BODY}, {"name": 5}])),
    ]
    if protocol == "http":
        calls = [lambda: model.run_echo(BODY, delay="x"), lambda: model.run_echo({"a": BODY}, odd=1)]
    for call in calls:
        error = await Client("", kind is sync.RemoteClient).fails(call)
        assert isinstance(error, InputError)
        silent(error)
    await got(client.aclose())


@pytest.mark.parametrize("kind", [RemoteClient, sync.RemoteClient], ids=CALLERS)
async def test_a_deployment(http_wire: HttpWire, kind: Any) -> None:
    document = json.loads((Path(__file__).parents[1] / "support/openapi/complete.json").read_text())
    fault = {"status": 500, "body": ECHO}
    await http_wire.faults({"GET /openapi.json": {"body": document}, "POST /management/models": fault})
    client = kind(http_wire.target, metadata=METADATA)
    files = {"config.yml": BODY.encode()}
    for call in (lambda: client.deploy_model("m", files), lambda: client.deploy_model("", files)):
        silent(await Client("", kind is sync.RemoteClient).fails(call))
    await got(client.aclose())


# -- what a server tells of itself ------------------------------------------------------------------------------------


def questions(client: Any) -> list[Callable[[], Any]]:
    """All that asks a server about itself."""
    return [client.describe, client.models, client.runtime_info, lambda: client.model("foo")]


ANSWERS: dict[str, Any] = {
    "no JSON": f"{{{ECHO}",
    "a text": json.dumps(ECHO),
    "odd keys": json.dumps({"openapi": ECHO, ECHO: 1, "paths": ECHO, "models": [{ECHO: ECHO}]}),
    "odd models": json.dumps(
        {"models": [{"name": "a", "size": ECHO, "module_metadata": {ECHO: {ECHO: 1}}}], "paths": {}}
    ),
    "a reference": json.dumps(
        {
            "paths": {
                "/info/models": {"get": {}},
                f"/v1/task/{SECRETS[-2]}": {"post": {"requestBody": {"content": {"application/json": 5}}}},
            },
            "components": {"schemas": {ECHO: {"$ref": f"#/components/schemas/{ECHO}"}}},
            "models": 5,
        }
    ),
}


@pytest.mark.parametrize("body", ANSWERS)
@pytest.mark.parametrize("kind", [RemoteClient, sync.RemoteClient], ids=CALLERS)
async def test_a_description_over_http(http_wire: HttpWire, kind: Any, body: str) -> None:
    routes = ("/openapi.json", "/info/models", "/info/version")
    await http_wire.faults({f"GET {route}": {"body": ANSWERS[body]} for route in routes})
    await _ask(kind(http_wire.target, metadata=METADATA))


def _files() -> list[dict[str, Any]]:
    broken = FileDescriptorProto(name="broken.proto", package="odd", dependency=[ASCII_ECHO])
    named = FileDescriptorProto(name="named.proto", package="odd")
    named.message_type.add(name=ASCII_ECHO)
    typed = FileDescriptorProto(name=f"{ASCII_ECHO}.proto", package="odd", syntax="proto3")
    typed.message_type.add(name="Odd").field.add(name="jw7Q", number=1, label=1, type=11, type_name=".odd.tk5Xa2")
    return [{each.name: each.SerializeToString().hex()} for each in (broken, named, typed)]


GRPC_FAULTS: list[dict[str, Any]] = [
    *({"services": ["odd.OddService"], "files": files} for files in _files()),
    {"services": [ASCII_ECHO, INFO_SERVICE], "files": {}},
    {"reflection_raw": ECHO.encode().hex()},
    {"models_raw": (b"\x0a\x08" + ECHO.encode()[:8] + b"\xff\xff").hex()},
]


@pytest.mark.parametrize("faults", GRPC_FAULTS, ids=range(len(GRPC_FAULTS)))
@pytest.mark.parametrize("engine", ["asyncio", "grpcio"])
@pytest.mark.parametrize("kind", [RemoteClient, sync.RemoteClient], ids=CALLERS)
async def test_a_description_over_grpc(wire: WireServer, kind: Any, engine: Any, faults: dict[str, Any]) -> None:
    await wire.faults(faults)
    await _ask(kind(wire.target, metadata=METADATA, engine=engine))


async def _ask(client: Any) -> None:
    """Ask all that can be asked: some of it must fail."""
    failed = 0
    for ask in questions(client):
        try:
            await got(await asyncio.to_thread(ask) if isinstance(client, sync.RemoteClient) else ask())
        except RemoteClientError as error:
            failed += 1
            silent(error)
    await got(client.aclose())
    assert failed
