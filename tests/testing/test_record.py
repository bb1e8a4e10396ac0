"""`record`: calls pass to the server as they are, and are in the cassette without secrets."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from remote_client import ConnectionInfo, RemoteClient, sync
from remote_client.errors import (
    ConfigurationError,
    NotFoundError,
    RemoteCallError,
    UnauthenticatedError,
    UnavailableError,
    UnsupportedError,
)
from remote_client.testing import record, replay
from remote_client.testing._cassettes.format import RecordedCall, read_cassette

from ..live.protocols import PROTOCOLS, Protocol, nobody, target_of
from ..support.http_wire import HttpWire, models
from ..support.runtime import Runtime, free_port
from ..support.wire import WireServer


@pytest.fixture(params=PROTOCOLS)
def protocol(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "calls.jsonl"


@pytest.fixture(scope="module")
def http_server() -> Iterator[HttpWire]:
    with HttpWire() as server:
        yield server


@pytest.fixture
def server(request: pytest.FixtureRequest, protocol: Protocol) -> Any:
    """A server that counts the calls that are cancelled."""
    found: Any = request.getfixturevalue("wire" if protocol == "grpc" else "http_server")
    found.command("reset")
    return found


def calls_of(path: Path, end: str) -> list[RecordedCall]:
    """The recorded calls whose method ends so."""
    return [call for call in read_cassette(path)[1] if call.method.lower().endswith(end)]


def _plain(server: Any, target: str) -> Any:
    """The server's plain methods, called at another target."""
    return server.plain(hostname="localhost", port=int(target.rpartition(":")[2]))


# -- what passes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["asyncio", "blocking"])
async def test_a_call_is_in_the_file_when_its_client_has_the_answer(
    runtime: Runtime, protocol: Protocol, kind: str, path: Path
) -> None:
    def block() -> None:
        with record(target_of(runtime, protocol), path) as recorder:
            with sync.RemoteClient(getattr(recorder, protocol)) as client:
                model = client.model("foo")
                assert model.run_sample({"name": "World"}).greeting == "Hello World"
                assert len(calls_of(path, "/sampletaskpredict" if protocol == "grpc" else "/sample")) == 1

    if kind == "blocking":
        await asyncio.to_thread(block)
        return
    async with record(target_of(runtime, protocol), path) as recorder:
        async with RemoteClient(getattr(recorder, protocol)) as client:
            model = await client.model("foo")
            assert (await model.run_sample({"name": "World"})).greeting == "Hello World"
            (call,) = calls_of(path, "/sampletaskpredict" if protocol == "grpc" else "/sample")
    assert call.status == ("OK" if protocol == "grpc" else 200)
    assert call.model("mm-model-id") == "foo"
    line = next(line for line in path.read_text().splitlines() if call.method in line)
    (answer,) = json.loads(line)["answers"]
    assert answer["shown"]["greeting"] == "Hello World"


async def test_metadata_reaches_the_server_and_not_the_file(server: Any, protocol: Protocol, path: Path) -> None:
    """The server repeats the credentials that it refuses."""
    token = "abcd-secret-1234"
    if protocol == "grpc":
        await server.faults(only=["Bearer good"])
    metadata = {"authorization": f"Bearer {token}", "x-api-key": "key-5678-key", "x-team": "team-blue"}
    async with record(server.target, path) as recorder:
        async with RemoteClient(getattr(recorder, protocol), metadata=metadata, retries=0) as client:
            if protocol == "grpc":
                with pytest.raises(UnauthenticatedError, match=r"nobody knows \[redacted\]"):
                    await client.models()
            else:
                fault = {"status": 403, "body": f"not {token}, key-5678-key", "headers": {"set-cookie": "a=cookie-9"}}
                await server.faults({"GET /info/models": fault})
                with pytest.raises(RemoteCallError, match="not"):
                    await client.models()
    text = path.read_text()
    for call in read_cassette(path)[1]:
        text += "".join(answer.data.decode("latin-1") for answer in call.answers)
    for secret in (token, "key-5678-key", "team-blue", "cookie-9"):
        assert secret not in text
    assert "authorization" in text


async def test_a_reader_that_leaves_is_gone_for_the_server(server: Any, protocol: Protocol, path: Path) -> None:
    method = "Count" if protocol == "grpc" else "POST /count"
    async with record(server.target, path) as recorder:
        async with _plain(server, getattr(recorder, protocol)) as module:
            async with module.count(n=3, hang=True) as stream:
                for _ in range(2):
                    await anext(stream)
        seen = await server.until(lambda stats: bool(stats["cancelled"].get(method)), 5)
        assert seen["cancelled"][method] == 1
        await server.until_running(0)  # the recorder may still ask for the schema
    (call,) = calls_of(path, "/count")
    assert not call.is_whole
    assert len(call.answers) >= 2


async def test_a_call_that_is_cancelled_without_an_answer_is_not_recorded(
    server: Any, protocol: Protocol, path: Path
) -> None:
    async with record(server.target, path) as recorder:
        async with _plain(server, getattr(recorder, protocol)) as module:
            await module.echo(b"here")
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await module.sleep(seconds=60)
        method = "Sleep" if protocol == "grpc" else "POST /sleep"
        seen = await server.until(lambda stats: bool(stats["cancelled"].get(method)), 5)
        assert seen["cancelled"][method] == 1
    assert len(calls_of(path, "/echo")) == 1
    assert not calls_of(path, "/sleep")


async def test_leaving_the_recorder_ends_what_runs(server: Any, protocol: Protocol, path: Path) -> None:
    async with record(server.target, path) as recorder:
        module = await _plain(server, getattr(recorder, protocol)).__aenter__()
        stream = module.count(n=2, hang=True)
        for _ in range(2):
            await anext(stream)
    with pytest.raises(RemoteCallError):
        await anext(stream)
    await module.aclose()
    await server.until(lambda stats: not stats["running"])
    assert [call.is_whole for call in calls_of(path, "/count")] == [False]


async def test_large_messages_pass(server: Any, protocol: Protocol, path: Path) -> None:
    async with record(server.target, path) as recorder:
        async with _plain(server, getattr(recorder, protocol)) as module:
            assert await module.echo(bytes(5_000_000)) == bytes(5_000_000)
    (call,) = calls_of(path, "/echo")
    assert call.requests == (bytes(5_000_000),)


async def test_a_chat_is_recorded_in_its_order(wire: WireServer, path: Path) -> None:
    async def asks(answers: asyncio.Queue[bytes]) -> Any:
        for item in (b"one", b"two"):
            yield item
            assert await answers.get() == item

    async def chat(target: str) -> list[bytes]:
        answers: asyncio.Queue[bytes] = asyncio.Queue()
        found = []
        async with _plain(wire, target) as module:
            async for answer in module.chat(asks(answers)):
                found.append(answer)
                answers.put_nowait(answer)
        return found

    async with record(wire.target, path) as recorder:
        assert await chat(recorder.grpc) == [b"one", b"two"]
    async with replay(path) as replayed:
        assert await chat(replayed.grpc) == [b"one", b"two"]
    (call,) = calls_of(path, "/chat")
    assert [answer.after for answer in call.answers] == [1, 2]


async def test_errors_pass_with_their_trailers(wire: WireServer, path: Path) -> None:
    async def fail(target: str) -> RemoteCallError:
        async with _plain(wire, target) as module:
            with pytest.raises(NotFoundError, match="gone") as caught:
                await module.fail(
                    code="NOT_FOUND", details="gone ☃", trailing={"x-why": "so", "grpc-retry-pushback-ms": "-1"}
                )
            return caught.value

    async with record(wire.target, path) as recorder:
        first = await fail(recorder.grpc)
    async with replay(path) as replayed:
        second = await fail(replayed.grpc)
    assert (first.details, first.pushback) == (second.details, second.pushback)
    assert first.pushback is not None
    (call,) = calls_of(path, "/fail")
    assert ("x-why", "so") in call.trailers


# -- the server's side ------------------------------------------------------------------------------------------------


async def test_a_server_with_tls_is_recorded(protocol: Protocol, path: Path, tmp_path: Path) -> None:
    authority, key, cert = trustme.CA(), tmp_path / "key.pem", tmp_path / "cert.pem"
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    issued = authority.issue_cert("localhost", "127.0.0.1")
    issued.private_key_pem.write_to_path(str(key))
    issued.cert_chain_pems[0].write_to_path(str(cert))
    kind: Any = WireServer if protocol == "grpc" else HttpWire
    with kind(tls={"key": str(key), "cert": str(cert)}) as server:
        scheme = "grpcs" if protocol == "grpc" else "https"
        target = f"{scheme}://localhost:{server.port}"
        async with record(target, path, tls={"ca_file": str(tmp_path / "ca.pem")}) as recorder:
            async with RemoteClient(getattr(recorder, protocol)) as client:
                recorded = [model.name for model in await client.models()]
    async with replay(path) as replayed, RemoteClient(getattr(replayed, protocol)) as client:
        assert [model.name for model in await client.models()] == recorded


async def test_a_server_that_is_away_is_not_recorded(protocol: Protocol, path: Path) -> None:
    path.write_text("an old cassette")
    async with record(nobody(free_port(), protocol), path) as recorder:
        async with RemoteClient(getattr(recorder, protocol), retries=0) as client:
            with pytest.raises(UnavailableError):
                await client.models()
    assert path.read_text() == "an old cassette"


async def test_the_other_protocol_is_refused(protocol: Protocol, path: Path) -> None:
    async with record(nobody(1, protocol), path) as recorder:
        with pytest.raises(UnsupportedError, match=rf"localhost:1 speaks .*; use \.{protocol}"):
            getattr(recorder, "http" if protocol == "grpc" else "grpc")
    assert not path.exists()


def test_a_connection_and_its_protocol_are_a_target(path: Path) -> None:
    connection = ConnectionInfo(hostname="localhost", port=1)
    with record(connection, path, protocol="http") as recorder:
        assert recorder.http.startswith("http://localhost:")


@pytest.mark.parametrize(
    ("target", "told"),
    [("localhost:x", "target"), ("http://{}.example", "takes one server"), ("ftp://host", "unknown scheme")],
)
def test_a_wrong_target_is_told_at_once(target: str, told: str, path: Path) -> None:
    with pytest.raises(ConfigurationError, match=told):
        record(target, path)


def test_a_path_in_no_folder_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no folder"):
        record("localhost:1", tmp_path / "missing" / "calls.jsonl")


@pytest.mark.slow
async def test_a_recorder_that_crashes_leaves_whole_lines(runtime: Runtime, path: Path, tmp_path: Path) -> None:
    """A process that is killed in the middle of its calls."""
    script = f"""
import asyncio, itertools
from remote_client import RemoteClient
from remote_client.testing import record

async def main():
    with record({runtime.target!r}, {str(path)!r}) as recorder:
        async with RemoteClient(recorder.grpc) as client:
            model = await client.model("foo")
            for number in itertools.count():
                await model.run_sample({{"name": str(number)}})
                print(number, flush=True)

asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", script, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    last = 0
    with contextlib.suppress(ValueError):
        while last < 20:
            last = int(await process.stdout.readline())
    process.kill()
    await process.communicate()
    assert len(calls_of(path, "/sampletaskpredict")) > last
    async with replay(path) as replayed, RemoteClient(replayed.grpc) as client:
        answer = await (await client.model("foo")).run_sample({"name": str(last)})
    assert answer.greeting == f"Hello {last}"


async def test_a_gateways_path_is_kept(http_server: HttpWire, path: Path) -> None:
    http_server.command("reset")
    await http_server.faults({"GET /team/info/models": models("there"), "GET /info/models": models("elsewhere")})
    async with record(f"{http_server.target}/team", path) as recorder, RemoteClient(recorder.http) as client:
        assert [model.name for model in await client.models()] == ["there"]
    (call,) = calls_of(path, "/info/models")
    assert call.method == "GET /info/models"
