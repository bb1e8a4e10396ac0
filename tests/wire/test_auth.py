"""Credentials that live in files, the environment and OAuth servers: what is sent, when, and what is never shown."""

from __future__ import annotations

import asyncio
import base64
import copy
import logging
import os
import pickle
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from remote_client import CallOptions, RemoteClient, RemoteModelFinder, RemoteModelInitializer, errors, sync
from remote_client.auth import BearerToken, Credentials, Fetch, OAuthClientCredentials
from remote_client.errors import (
    ConfigurationError,
    InvalidResponseError,
    RemoteCallError,
    TlsError,
    UnauthenticatedError,
    UnavailableError,
)
from remote_client.hooks import AttemptFailed, CallEnded, CallStarted
from remote_client.settings import RetryPolicy
from tests.support.http_wire import HttpWire, http_module
from tests.support.runtime import free_port
from tests.support.wire import WireServer, raw_module

from .test_tls import Authority

OLD, NEW, SECRET = "t0ken-that-was", "t0ken-that-is", "s3cret/of the:client".replace(" ", "+")
KINDS = ["grpc by asyncio", "grpc by grpcio", "http"]


class Server:
    """A server that takes the new token alone, and how to call it."""

    def __init__(self, request: pytest.FixtureRequest) -> None:
        protocol, _, engine = request.param.partition(" by ")
        self.grpc = protocol == "grpc"
        self.wire: WireServer | HttpWire = request.getfixturevalue("wire" if self.grpc else "http_wire")
        self.target = self.wire.target
        self.settings = {"engine": engine} if engine else {}
        self.echo = "Echo" if self.grpc else "POST /echo"
        self.take(NEW)

    def take(self, *tokens: str) -> None:
        self.wire.command("faults", faults={"only": [f"Bearer {token}" for token in tokens]})

    def module(self, source: Any, **options: Any) -> Any:
        make: Any = raw_module if self.grpc else http_module
        return make(self.wire.info(**self.settings), options=CallOptions(timeout=10, metadata=(source,), **options))

    def client(self, source: Any, client: Any = RemoteClient, **more: Any) -> Any:
        return client(self.target, metadata=source, retries=0, **self.settings, **more)

    @property
    def refused(self) -> int:
        return sum(self.wire.command("stats")["refused"].values())

    def calls(self, name: str) -> int:
        stats = self.wire.command("stats")
        counted: int = stats["started"].get(name, 0)
        return counted


@pytest.fixture(params=KINDS)
def server(request: pytest.FixtureRequest) -> Server:
    return Server(request)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(NEW + "\n")
    return path


async def _all_kinds(module: Any, grpc: bool) -> None:
    assert await module.echo(b"x") == b"x"
    assert len([each async for each in module.count(n=2)]) == 2
    if grpc:
        assert await module.sum([b"1", b"2"]) == b"3"
        assert [each async for each in module.chat([b"a"])] == [b"a"]


# -- BearerToken ------------------------------------------------------------------------------------------------------


async def test_a_token_in_a_file(server: Server, file: Path) -> None:
    async with server.module(BearerToken(file=file)) as module:
        await _all_kinds(module, server.grpc)
    async with server.module({}) as module:
        await _all_kinds(module.with_options(metadata=BearerToken(file=str(file))), server.grpc)
        with pytest.raises(UnauthenticatedError):
            await module.echo(b"x")


async def test_a_token_in_a_variable(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    async with server.module(BearerToken(env="TEST_TOKEN")) as module:
        with pytest.raises(ConfigurationError, match="the environment variable TEST_TOKEN: it is empty, or not set"):
            await module.echo(b"x")
        monkeypatch.setenv("TEST_TOKEN", NEW)
        await _all_kinds(module, server.grpc)
        monkeypatch.setenv("TEST_TOKEN", OLD)
        with pytest.raises(UnauthenticatedError):
            await module.echo(b"x")


async def test_every_part_of_the_client_sends_it(server: Server, file: Path) -> None:
    token = BearerToken(file=file)
    async with server.client(token) as client:
        assert await client.models()
        assert await client.healthy()
        assert (await client.runtime_info()).runtime_version
    options = CallOptions(metadata=({"x-a": "1"}, token, lambda: {"x-b": "2"}))
    config = {"connection": server.wire.info(**server.settings), "protocol": "grpc" if server.grpc else "http"}
    finder = RemoteModelFinder(config, options=options)
    (name, *_) = await finder.discover()
    found = await finder.find_model(name)
    module: Any = RemoteModelInitializer().init(found)  # type: ignore[arg-type]
    task, argument = ("sample", {"name": "a"}) if server.grpc else ("echo", "a")
    with pytest.raises(UnauthenticatedError):
        await getattr(module.with_options(retries=0), f"run_{task}")(argument)
    assert await getattr(module.with_options(metadata=token), f"run_{task}")(argument)
    await module.aclose()
    await finder.aclose()
    assert server.refused == 1

    def blocking() -> None:
        with server.client(token, sync.RemoteClient) as client:
            assert client.models()
            model = client.model(name)
            assert getattr(model, f"run_{task}")(argument)
            assert list(getattr(model.with_options(metadata=token), f"run_{task}_stream_out")(argument))

    await asyncio.to_thread(blocking)
    assert server.refused == 1


async def test_another_header(http_wire: HttpWire, wire: WireServer, file: Path) -> None:
    async with http_module(
        http_wire.info(), options=CallOptions(metadata=(BearerToken(file=file, header="x-token"),))
    ) as module:
        await module.echo(b"x")
    headers = dict((await http_wire.stats())["last"]["headers"])
    assert (headers["x-token"], headers.get("authorization")) == (f"Bearer {NEW}", None)


async def test_a_file_that_is_written_anew(server: Server, file: Path) -> None:
    file.write_text(OLD)
    server.take(OLD)
    async with server.module(BearerToken(file=file)) as module:
        await module.echo(b"x")
        file.write_text(NEW)
        server.take(NEW)
        await _all_kinds(module, server.grpc)
    assert server.refused == 0


async def test_a_link_that_is_swapped(server: Server, tmp_path: Path) -> None:
    """As Kubernetes rotates the tokens of service accounts: token -> ..data/token, ..data -> a folder for each version.

    Both files are of one size and one time.
    """
    for name, token in (("1", OLD), ("2", NEW.ljust(len(OLD), "x")[: len(OLD)])):
        (tmp_path / name).mkdir()
        (tmp_path / name / "token").write_text(token)
        os.utime(tmp_path / name / "token", (1, 1))
    second = (tmp_path / "2" / "token").read_text()
    (tmp_path / "..data").symlink_to("1")
    (tmp_path / "token").symlink_to(Path("..data", "token"))
    server.take(OLD)
    async with server.module(BearerToken(file=tmp_path / "token")) as module:
        await module.echo(b"x")
        (tmp_path / "new").symlink_to("2")
        (tmp_path / "new").rename(tmp_path / "..data")
        server.take(second)
        await module.echo(b"x")
    assert server.refused == 0


async def test_a_file_is_opened_only_when_it_changed(
    server: Server, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[object] = []
    real = open

    def counting(path: Any, *args: Any, **more: Any) -> Any:
        opened.append(path)
        return real(path, *args, **more)

    monkeypatch.setattr("builtins.open", counting)
    async with server.module(BearerToken(file=file)) as module:
        for _ in range(5):
            await module.echo(b"x")
        assert opened.count(str(file)) == 1
        file.write_text(NEW + "\n\n")
        await module.echo(b"x")
    assert opened.count(str(file)) == 2


async def test_a_file_that_is_just_being_written_or_gone(server: Server, file: Path) -> None:
    async with server.module(BearerToken(file=file)) as module:
        await module.echo(b"x")
        file.write_text("")
        await module.echo(b"x")
        file.unlink()
        await module.echo(b"x")
        server.take(OLD)
        with pytest.raises(ConfigurationError, match=r"token cannot be read: No such file") as caught:
            await module.echo(b"x")
        assert isinstance(caught.value.__context__, UnauthenticatedError)
        file.write_text(OLD)
        await module.echo(b"x")


@pytest.mark.parametrize("content", ["", " \n", "two words", "ü", "a\x00b", "x" * 70_000], ids=range(6))
async def test_a_file_without_a_token(server: Server, file: Path, content: str) -> None:
    file.write_text(content)
    async with server.module(BearerToken(file=file)) as module:
        with pytest.raises(ConfigurationError, match=f"BearerToken: file: {file}: it ") as caught:
            await module.echo(b"x")
    assert "two words" not in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({}, "give either file=, a path, or env=, the name of a variable"),
        ({"file": "a", "env": "A"}, "give either file="),
        ({"file": ""}, "file: must be a path"),
        ({"file": b"a"}, "file: must be a path"),
        ({"file": 5}, "file: must be a path"),
        ({"env": ""}, "env: must be the name of an environment variable"),
        ({"env": "eyJhbGciOi.s3cret.x"}, "env: must be the name"),
        ({"env": 5}, "env: must be the name"),
        ({"env": "A", "header": "X-Token"}, "header: 'X-Token' is no metadata key of lower-case letters"),
        ({"env": "A", "header": "x-bin"}, "header: 'x-bin' is no"),
        ({"env": "A", "header": "grpc-x"}, "header: 'grpc-x' is no"),
        ({"env": "A", "header": None}, "header: None is no"),
    ],
    ids=str,
)
def test_settings_that_cannot_be_used(settings: Any, told: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^BearerToken: .*{told}") as caught:
        BearerToken(**settings)
    assert "s3cret" not in str(caught.value)


# -- refused credentials ----------------------------------------------------------------------------------------------


class Rotating(Credentials):
    """Gives its tokens one after another: the next one when the server refused the last."""

    def __init__(self, *tokens: str) -> None:
        self.tokens = list(tokens)
        self.told: list[Any] = []

    async def __call__(self, fetch: Fetch) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.tokens[0]}"}

    def refused(self, metadata: Any) -> None:
        self.told.append(metadata["authorization"])
        if len(self.tokens) > 1:
            del self.tokens[0]


async def test_a_refused_token_is_read_once_more(server: Server, file: Path) -> None:
    """Outside of `retries`: here are none. The file is swapped for one of the same look."""
    for kind in ("unary", "stream"):
        file.write_text(OLD)
        os.utime(file, (1, 1))
        found = os.stat(file)
        server.take(OLD)
        token = BearerToken(file=file)
        async with server.module(token) as module:
            await module.echo(b"x")
            with file.open("r+") as same:
                same.write(NEW.ljust(len(OLD), "x"))
            os.utime(file, (1, 1))
            now = os.stat(file)
            assert (found.st_ino, found.st_size, found.st_mtime_ns) == (now.st_ino, now.st_size, now.st_mtime_ns)
            server.take(NEW.ljust(len(OLD), "x"))
            before = server.refused
            if kind == "unary":
                await module.echo(b"x")
            else:
                assert len([each async for each in module.count(n=2)]) == 2
            assert server.refused - before == 1


async def test_one_attempt_more_and_no_other(server: Server) -> None:
    events: list[Any] = []
    tokens = Rotating("a" * 10, "b" * 10, NEW)
    async with server.module(tokens, hooks=(events.append,)) as module:
        with pytest.raises(UnauthenticatedError) as caught:
            await module.echo(b"x")
        assert len(caught.value.previous) == 1
        assert tokens.told == [f"Bearer {'a' * 10}"]
        assert [type(each) for each in events] == [CallStarted, AttemptFailed, AttemptFailed, CallEnded]
        assert [(each.attempt, each.wait) for each in events[1:3]] == [(1, 0.0), (2, None)]
        assert events[3].attempts == 2
        await module.echo(b"x")
        assert (events[-1].attempts, events[-1].error) == (2, None)
    assert server.refused == 3


async def test_no_attempt_more_with_the_same_token(server: Server) -> None:
    for source in (Rotating(OLD), {"authorization": f"Bearer {OLD}"}, lambda: {"authorization": f"Bearer {OLD}"}):
        before = server.refused
        async with server.module(source) as module:
            with pytest.raises(UnauthenticatedError) as caught:
                await module.with_options(metadata=lambda: {"x-id": os.urandom(8).hex()}).echo(b"x")
        assert server.refused - before == 1
        assert OLD not in str(caught.value)


async def test_the_attempt_is_outside_of_retries(server: Server) -> None:
    refusals = {"Echo": ["UNAVAILABLE", "UNAVAILABLE"]}
    # Over HTTP the refused request counts as one of the faulty ones.
    unavailable = {"refuse": refusals} if server.grpc else {"POST /echo": [{"status": 503}] * 3}
    await server.wire.faults(unavailable)
    policy = RetryPolicy(retries=2, initial_backoff=0)
    async with server.module(Rotating(OLD, NEW), retry=policy) as module:
        assert await module.echo(b"x") == b"x"
    assert server.calls(server.echo) == 4


async def test_what_was_taken_of_a_streamed_input_is_gone(wire: WireServer) -> None:
    wire.command("faults", faults={"only": [f"Bearer {NEW}"]})
    tokens = Rotating(OLD, NEW)
    async with raw_module(wire.info(), options=CallOptions(metadata=(tokens,))) as module:
        with pytest.raises(UnauthenticatedError):
            await module.sum([b"1", b"2"])
        assert tokens.told == [f"Bearer {OLD}"]
        assert await module.sum([b"1", b"2"]) == b"3"


async def test_a_call_that_is_sent_once(server: Server) -> None:
    """The server refused before it did anything."""
    async with server.module(Rotating(OLD, NEW)) as module:
        path = "/test.Test/Echo" if server.grpc else "POST /echo"
        assert await module._caller.send(path, b"x", idempotent=False) == b"x"
    assert server.calls(server.echo) == 2


async def test_the_attempt_is_inside_of_the_deadline(server: Server) -> None:
    class Slow(Rotating):
        async def __call__(self, fetch: Fetch) -> dict[str, str]:
            if self.told:
                await asyncio.sleep(60)
            return await super().__call__(fetch)

    async with server.module(Slow(OLD, NEW)) as module:
        async with asyncio.timeout(10):
            with pytest.raises(UnauthenticatedError):
                await module.with_options(timeout=0.3).echo(b"x")


async def test_what_credentials_raise_is_the_users(server: Server) -> None:
    class Broken(Rotating):
        async def __call__(self, fetch: Fetch) -> dict[str, str]:
            if self.told:
                raise KeyError("vault")
            return await super().__call__(fetch)

    ended: list[Any] = []
    async with server.module(Broken(OLD, NEW), hooks=(ended.append,)) as module:
        with pytest.raises(KeyError):
            await module.echo(b"x")
    assert isinstance(ended[-1].error, KeyError)


def test_credentials_that_take_no_fetch() -> None:
    class Wrong(Credentials):
        async def __call__(self) -> dict[str, str]:  # type: ignore[override]
            return {}

    with pytest.raises(ConfigurationError, match=r"^metadata: .* must be callable with one argument"):
        RemoteClient("h:1", metadata=Wrong())


async def test_credentials_of_ones_own_in_the_blocking_client(server: Server) -> None:
    tokens = Rotating(OLD, NEW)

    def blocking() -> None:
        with server.client(tokens, sync.RemoteClient) as client:
            assert client.models()

    await asyncio.to_thread(blocking)
    assert tokens.told == [f"Bearer {OLD}"]
    assert server.refused == 1


# -- OAuth ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text(SECRET + "\n")
    return path


def given(token: str, **more: Any) -> dict[str, Any]:
    return {"body": {"access_token": token, "token_type": "Bearer", "expires_in": 3600} | more}


class Tokens:
    """An OAuth server, which gives out the new token."""

    def __init__(self, start_http: Callable[..., HttpWire], secret_file: Path) -> None:
        self.wire = start_http()
        self.secret_file = secret_file
        self.url = f"{self.wire.target}/token"
        self.give(given(NEW))

    def give(self, fault: Any) -> None:
        self.wire.command("faults", faults={"POST /token": fault})

    def credentials(self, **more: Any) -> OAuthClientCredentials:
        return OAuthClientCredentials(self.url, "a client", self.secret_file, **more)

    @property
    def asked(self) -> int:
        count: int = self.wire.command("stats")["started"].get("POST /token", 0)
        return count


@pytest.fixture
def tokens(start_http: Callable[..., HttpWire], secret_file: Path) -> Tokens:
    return Tokens(start_http, secret_file)


async def test_a_token_is_asked_for_once(server: Server, tokens: Tokens) -> None:
    source = tokens.credentials()
    async with server.module(source) as module:
        await asyncio.gather(*(module.echo(b"x") for _ in range(20)))
        await _all_kinds(module, server.grpc)
    async with server.client(source) as client:
        assert await client.models()
    assert (tokens.asked, server.refused) == (1, 0)
    last = (await tokens.wire.stats())["last"]
    headers = dict(last["headers"])
    pair = "a%20client:s3cret%2Fof%2Bthe%3Aclient"
    assert headers["authorization"] == f"Basic {base64.b64encode(pair.encode()).decode()}"
    assert headers["content-type"] == "application/x-www-form-urlencoded"
    assert last["body"] == "grant_type=client_credentials"


async def test_what_may_be_asked_for(http_wire: HttpWire, tokens: Tokens) -> None:
    source = tokens.credentials(scope="a b", audience="https://api")
    async with http_module(http_wire.info(), options=CallOptions(metadata=(source,))) as module:
        await module.echo(b"x")
    body = (await tokens.wire.stats())["last"]["body"]
    assert body == "grant_type=client_credentials&scope=a+b&audience=https%3A%2F%2Fapi"


async def test_a_token_is_replaced_before_it_expires(
    server: Server, tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr("remote_client.auth.monotonic", lambda: now[0])
    source = tokens.credentials()
    async with server.module(source) as module:
        await module.echo(b"x")
        now[0] += 3539
        await module.echo(b"x")
        assert tokens.asked == 1
        now[0] += 2
        await module.echo(b"x")
        assert tokens.asked == 2


async def test_a_good_token_is_used_while_none_is_given(
    server: Server, tokens: Tokens, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1000.0]
    monkeypatch.setattr("remote_client.auth.monotonic", lambda: now[0])
    async with server.module(tokens.credentials()) as module:
        await module.echo(b"x")
        tokens.give({"status": 503})
        now[0] += 3550
        await module.echo(b"x")
        await module.echo(b"x")
        assert tokens.asked == 2, "it is not asked by every call"
        now[0] += 11
        await module.echo(b"x")
        assert tokens.asked == 3
        now[0] += 60
        with pytest.raises(UnavailableError, match="no token for 'a client'"):
            await module.echo(b"x")


@pytest.mark.parametrize("expires_in", [None, "3600", 3600.5])
async def test_how_long_it_is_good(server: Server, tokens: Tokens, expires_in: Any) -> None:
    fault = given(NEW, expires_in=expires_in)
    if expires_in is None:
        del fault["body"]["expires_in"]
    tokens.give(fault)
    async with server.module(tokens.credentials()) as module:
        await module.echo(b"x")
        await module.echo(b"x")
    assert tokens.asked == 1


async def test_a_refused_token_is_asked_for_anew(server: Server, tokens: Tokens) -> None:
    tokens.give([given(OLD), given(NEW)])
    async with server.module(tokens.credentials()) as module:
        await asyncio.gather(*(module.echo(b"x") for _ in range(10)))
    assert tokens.asked == 2, "once for all calls that were refused"


async def test_many_loops_and_threads(server: Server, tokens: Tokens) -> None:
    """Asyncio clients in several threads, and blocking ones: one request for all."""
    tokens.give({"delay": 0.3, **given(NEW)})
    source, ready = tokens.credentials(), threading.Barrier(6)

    async def asynchronous() -> None:
        async with server.module(source) as module:
            await asyncio.gather(*(module.echo(b"x") for _ in range(5)))

    def call(number: int) -> None:
        ready.wait()
        if number % 2:
            asyncio.run(asynchronous())
        else:
            with sync._modules.wrapped(server.module(source)) as module:
                assert module.echo(b"x") == b"x"

    def run() -> None:
        with ThreadPoolExecutor(6) as pool:
            list(pool.map(call, range(6)))

    await asyncio.to_thread(run)
    assert (tokens.asked, server.refused) == (1, 0)


async def test_a_loop_that_ends_takes_no_token_along(server: Server, tokens: Tokens) -> None:
    """Whoever asked first gives up: others wait for another request, or take it over."""
    tokens.give([{"delay": 60}, given(NEW)])
    source = tokens.credentials()
    asked = threading.Event()

    async def first() -> None:
        async with server.module(source) as module:
            call = asyncio.create_task(module.echo(b"x"))
            while not tokens.asked:
                await asyncio.sleep(0.01)
            asked.set()
            await asyncio.sleep(0.1)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call

    thread = threading.Thread(target=lambda: asyncio.run(first()))
    thread.start()
    await asyncio.to_thread(asked.wait)
    async with server.module(source) as module:
        assert await module.echo(b"x") == b"x"
    await asyncio.to_thread(thread.join)
    assert tokens.asked == 2


async def test_a_cancelled_call_does_not_end_the_others_request(server: Server, tokens: Tokens) -> None:
    tokens.give({"delay": 0.3, **given(NEW)})
    async with server.module(tokens.credentials()) as module:
        first = asyncio.create_task(module.echo(b"x"))
        await asyncio.sleep(0.05)
        others = [asyncio.create_task(module.echo(b"x")) for _ in range(3)]
        await asyncio.sleep(0.05)
        first.cancel()
        assert await asyncio.gather(*others) == [b"x"] * 3
    assert tokens.asked == 1


async def test_a_request_that_nobody_waits_for_ends(tokens: Tokens, http_wire: HttpWire) -> None:
    tokens.give({"delay": 60})
    async with http_module(
        http_wire.info(), options=CallOptions(timeout=0.2, metadata=(tokens.credentials(),))
    ) as module:
        with pytest.raises(errors.DeadlineExceededError):
            await module.echo(b"x")
    stats = await tokens.wire.until(lambda seen: bool(seen["cancelled"]))
    assert stats["cancelled"] == {"POST /token": 1}


@pytest.mark.parametrize(
    ("fault", "kind", "told"),
    [
        ({"status": 401, "body": {"error": "invalid_client"}}, UnauthenticatedError, "invalid_client"),
        (
            {"status": 400, "body": {"error": "invalid_scope", "error_description": "no such scope"}},
            UnauthenticatedError,
            "no such scope",
        ),
        ({"status": 401, "body": f"{SECRET} is wrong"}, UnauthenticatedError, r"\[redacted\] is wrong"),
        ({"status": 503, "body": "busy"}, UnavailableError, "busy"),
        ({"status": 302, "headers": {"location": "http://elsewhere"}}, RemoteCallError, "redirect"),
        ({"body": "no JSON"}, InvalidResponseError, "the answer has no bearer token"),
        ({"body": []}, InvalidResponseError, "no bearer token"),
        (given(""), InvalidResponseError, "no bearer token"),
        (given("t0ken\nx"), InvalidResponseError, "no bearer token"),
        (given("t0ken", token_type="mac"), InvalidResponseError, "no bearer token"),
        (given("t0ken", expires_in=0), InvalidResponseError, "no bearer token"),
        (given("t0ken", expires_in="soon"), InvalidResponseError, "no bearer token"),
        ({"body": {"access_token": "t0ken" * 1_000_000}}, errors.ResponseTooLargeError, ""),
    ],
    ids=range(13),
)
async def test_no_token(server: Server, tokens: Tokens, fault: Any, kind: Any, told: str) -> None:
    tokens.give(fault)
    async with server.module(tokens.credentials()) as module:
        with pytest.raises(kind, match=f"no token for 'a client': .*{told}") as caught:
            await module.echo(b"x")
        shown = "".join(traceback.format_exception(caught.value)) + repr(caught.value) + repr(vars(caught.value))
        for hidden in (SECRET, "s3cret%2F", "t0ken"):
            assert hidden not in shown
        assert caught.value.outcome_known
        assert caught.value.__cause__ is caught.value.__context__ is None
    assert server.calls(server.echo) == 0


async def test_an_oauth_server_that_is_not_there(server: Server, secret_file: Path) -> None:
    source = OAuthClientCredentials(f"http://localhost:{free_port()}/token", "a client", secret_file)
    async with server.module(source) as module:
        with pytest.raises(UnavailableError, match="no token for 'a client'"):
            await module.echo(b"x")


async def test_the_oauth_servers_certificate_is_verified(
    http_wire: HttpWire, start_http: Callable[..., HttpWire], secret_file: Path, tmp_path: Path
) -> None:
    authority = Authority(tmp_path, "localhost")
    server = start_http(tls=authority.tls(), faults={"POST /token": given(NEW)})
    url = f"https://localhost:{server.port}/token"
    async with http_module(
        http_wire.info(), options=CallOptions(metadata=(OAuthClientCredentials(url, "a", secret_file),))
    ) as module:
        with pytest.raises(TlsError, match="no token for 'a'"):
            await module.echo(b"x")
    trusting = OAuthClientCredentials(url, "a", secret_file, ca_file=authority.ca)
    async with http_module(http_wire.info(), options=CallOptions(metadata=(trusting,))) as module:
        await module.echo(b"x")


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"url": "idp/token"}, "url: must be https://host/path, without a user"),
        ({"url": "ftp://idp/token"}, "url: must be"),
        ({"url": "https://user:s3cret@idp/token"}, "url: must be"),
        ({"url": "https://idp:s3cret/token"}, "url: must be"),
        ({"url": "http://idp/token"}, "url: the secret needs https:// to another machine"),
        ({"url": None}, "url: must be"),
        ({"client_id": ""}, "client_id: must be text"),
        ({"client_id": 5}, "client_id: must be text"),
        ({"secret_file": None}, "secret_file: must be a path"),
        ({"scope": 5}, "scope: must be text"),
        ({"ca_file": 5}, "ca_file: must be a path"),
    ],
    ids=str,
)
def test_oauth_settings_that_cannot_be_used(changes: Any, told: str) -> None:
    settings = {"url": "https://idp/token", "client_id": "a", "secret_file": "f"} | changes
    with pytest.raises(ConfigurationError, match=f"^OAuthClientCredentials: {told}") as caught:
        OAuthClientCredentials(**settings)
    assert "s3cret" not in "".join(traceback.format_exception(caught.value))


# -- never shown ------------------------------------------------------------------------------------------------------


async def test_nothing_is_shown_logged_or_pickled(
    server: Server, tokens: Tokens, file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("TEST_TOKEN", NEW)
    server.take()
    sources = [BearerToken(file=file), BearerToken(env="TEST_TOKEN", header="authorization"), tokens.credentials()]
    for source in sources:
        async with server.client(source) as client:
            with pytest.raises(UnauthenticatedError) as caught:
                await client.models()
        shown = [repr(source), str(source), repr(client), "".join(traceback.format_exception(caught.value))]
        pickled = pickle.dumps(source)
        for each in [*shown, repr(vars(caught.value)), caplog.text, pickled.decode("latin-1")]:
            assert NEW not in each
            assert SECRET not in each
        for remade in (pickle.loads(pickled), copy.copy(source), copy.deepcopy(source)):
            assert remade == source
            assert hash(remade) == hash(source)
            assert repr(remade) == repr(source)
    assert [repr(source) for source in sources] == [
        f"BearerToken(file={str(file)!r}, header='authorization')",
        "BearerToken(env='TEST_TOKEN', header='authorization')",
        f"OAuthClientCredentials(url={tokens.url!r}, client_id='a client', secret_file={str(tokens.secret_file)!r})",
    ]
    assert sources[0] != sources[1] != BearerToken(env="OTHER")


def test_a_pickled_token_works_in_another_process(http_wire: HttpWire, file: Path) -> None:
    http_wire.command("faults", faults={"only": [f"Bearer {NEW}"]})
    script = (
        "import pickle, sys; from remote_client.sync import RemoteClient\n"
        "with RemoteClient(sys.argv[1], metadata=pickle.loads(bytes.fromhex(sys.argv[2]))) as client:\n"
        "    print(len(client.models()))"
    )
    data = pickle.dumps(BearerToken(file=file)).hex()
    done = subprocess.run([sys.executable, "-c", script, http_wire.target, data], capture_output=True, text=True)
    assert done.stdout == "1\n", done.stderr


def test_without_fork_problems(http_wire: HttpWire, tokens: Tokens) -> None:
    """A child of a process that is just asking asks itself."""
    script = """
import encodings.idna, os, sys, threading
# A child cannot go on with what a parent's thread is importing.
import remote_client._schema.openapi.document, remote_client._schema.runtime_info
import remote_client._transport.http.transport
from remote_client.auth import OAuthClientCredentials
from remote_client.sync import RemoteClient
url, target, secret = sys.argv[1:]
source = OAuthClientCredentials(url, "a client", secret)
def call():
    with RemoteClient(target, metadata=source) as client:
        return len(client.models())
thread = threading.Thread(target=call)
thread.start()
while source._flight._work is None:
    pass
child = os.fork()
if not child:
    os._exit(0 if call() == 1 else 1)
thread.join()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    tokens.give({"delay": 0.5, **given(NEW)})
    done = subprocess.run(
        [sys.executable, "-c", script, tokens.url, http_wire.target, str(tokens.secret_file)],
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 0, done.stderr
    assert tokens.asked == 2
