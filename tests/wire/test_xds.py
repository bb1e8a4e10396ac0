"""xDS targets on the grpcio engine: a control plane on the loopback tells a client in another process where to call."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from remote_client import ConnectionInfo
from remote_client._transport.engine import open_connections
from remote_client.errors import ConfigurationError
from tests.support.runtime import free_port
from tests.support.script import python
from tests.support.wire import ServerProcess, WireServer, raw_module

HELLO = "Hello Ada"
ALL_KINDS = {"unary": HELLO, "stream_out": [HELLO] * 3, "stream_in": HELLO, "bidi": [HELLO] * 2}
BOTH = ("GRPC_XDS_BOOTSTRAP", "GRPC_XDS_BOOTSTRAP_CONFIG")
Mesh = Callable[..., "ControlPlane"]
Connect = Callable[..., "Client"]


class ControlPlane(ServerProcess):
    module = "tests.support.xds_server"

    def _ask_identity(self) -> None:
        return None

    @property
    def bootstrap(self) -> str:
        server = {"server_uri": f"127.0.0.1:{self.port}", "channel_creds": [{"type": "insecure"}]}
        told = {"xds_servers": [{**server, "server_features": ["xds_v3"]}], "node": {"id": "tests"}}
        if file := self._wish.get("authorities"):
            watched = {"ca_certificate_file": file, "refresh_interval": "60s"}
            told["certificate_providers"] = {file: {"plugin_name": "file_watcher", "config": watched}}
        return json.dumps(told)


class Client(ServerProcess):
    module = "tests.support.xds_client"

    def _ask_identity(self) -> None:
        return None


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither an engine nor a control plane is chosen."""
    for name in ("REMOTE_CLIENT_ENGINE", *BOTH):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def mesh(monkeypatch: pytest.MonkeyPatch) -> Iterator[Mesh]:
    """Starts the control plane of some servers; clients that are started then ask it."""
    started: list[ControlPlane] = []

    def start(*servers: WireServer, **wish: Any) -> ControlPlane:
        plane = ControlPlane(endpoints=[each.port for each in servers], **wish).__enter__()
        started.append(plane)
        monkeypatch.setenv("GRPC_XDS_BOOTSTRAP_CONFIG", plane.bootstrap)
        return plane

    yield start
    for each in started:
        each.__exit__()


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Starts clients."""
    started: list[Client] = []

    def start(**wish: Any) -> Client:
        started.append(Client(**wish).__enter__())
        return started[-1]

    yield start
    for each in started:
        each.__exit__()


def started(server: WireServer) -> int:
    """How many calls reached the server, those that look at its models and methods left out."""
    counts = server.command("stats")["started"]
    return sum(count for name, count in counts.items() if name.endswith("Predict"))


def until(done: Callable[[], bool], step: Callable[[], Any]) -> None:
    """Step until it is done: when a change arrives is gRPC's to say."""
    for _ in range(500):
        if done():
            return
        step()
    raise AssertionError("it never was done")


FINDERS = {
    "model_management": {"finders": {"r": {"type": "REMOTE", "config": {"connection": {"hostname": "xds:///svc"}}}}}
}


@pytest.mark.parametrize(
    "wish", [{"target": "xds:///svc"}, {"target": "xds:///a/b:8085"}, {"config": FINDERS}], ids=str
)
def test_calls_of_all_kinds_are_spread_over_the_servers_told(
    wish: dict[str, Any], mesh: Mesh, connect: Connect, start_wire: Callable[..., WireServer]
) -> None:
    servers = start_wire(), start_wire()
    plane = mesh(*servers)
    client = connect(**wish)

    until(lambda: all(map(started, servers)), lambda: client.command("call"))
    for each in servers:
        each.command("reset")
    answers = [client.command("call") for _ in range(4)]

    assert answers == [ALL_KINDS] * 4
    assert [started(each) for each in servers] == [8, 8]
    assert plane.command("look") == {"refused": []}


def test_a_moved_endpoint_is_followed(mesh: Mesh, connect: Connect, start_wire: Callable[..., WireServer]) -> None:
    old, new = start_wire(), start_wire()
    plane = mesh(old)
    client = connect(target="xds:///svc")
    assert client.command("call") == ALL_KINDS

    plane.command("move", endpoints=[new.port])
    until(lambda: started(new) >= 4, lambda: client.command("call"))
    old.command("reset")

    assert client.command("call") == ALL_KINDS
    assert (started(old), started(new) >= 8) == (0, True)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """The key and certificate of the service `svc`, and its authority's certificate."""
    authority = trustme.CA()
    issued = authority.issue_cert("svc")
    pems = {"ca": authority.cert_pem, "key": issued.private_key_pem, "cert": issued.cert_chain_pems[0]}
    for name, pem in pems.items():
        pem.write_to_path(tmp_path / name)
    return {name: str(tmp_path / name) for name in pems}


def test_the_clients_own_tls_counts_where_the_control_plane_names_none(
    mesh: Mesh, connect: Connect, start_wire: Callable[..., WireServer], files: dict[str, str]
) -> None:
    mesh(start_wire(tls=files))

    trusting = connect(target="xds:///svc", settings={"tls": {"ca_file": files["ca"]}})
    distrusting = connect(target="xds:///svc", settings={"tls": {}, "retries": 0})
    clear = connect(target="xds:///svc", settings={"retries": 0})

    assert trusting.command("call") == ALL_KINDS
    assert distrusting.command("call")["error"] == "TlsError"
    assert clear.command("call")["error"] == "UnavailableError"


def test_the_control_planes_tls_goes_before_the_clients(
    mesh: Mesh, connect: Connect, start_wire: Callable[..., WireServer], files: dict[str, str]
) -> None:
    mesh(start_wire(tls=files), authorities=files["ca"])
    client = connect(target="xds:///svc", settings={"tls": {}, "retries": 0})
    assert client.command("call") == ALL_KINDS


def test_the_control_planes_retry_policy_does_not_count(mesh: Mesh, connect: Connect, wire: WireServer) -> None:
    """It would send trainings and jobs twice, and multiply with the client's own retries."""
    mesh(wire)
    client = connect(target="xds:///svc", settings={"retries": 0})
    wire.command("faults", faults={"refuse": {"SampleTaskPredict": ["UNAVAILABLE"]}})
    assert client.command("call")["error"] == "UnavailableError"
    assert started(wire) == 1


def test_a_blocking_client(mesh: Mesh, wire: WireServer) -> None:
    mesh(wire)
    code = (
        "from remote_client.sync import RemoteClient\n"
        "with RemoteClient('xds:///svc') as client:\n"
        "    print(client.model('foo').run_sample({'name': 'Ada'}).greeting)"
    )
    assert python(code) == f"{HELLO}\n"


def test_each_call_may_have_a_connection_of_its_own(mesh: Mesh, connect: Connect, wire: WireServer) -> None:
    mesh(wire)
    client = connect(target="xds:///svc", settings={"max_session_age": 0})
    assert [client.command("call") for _ in range(3)] == [ALL_KINDS] * 3


async def test_a_missing_bootstrap_is_told_before_anything_is_sent() -> None:
    async with raw_module(ConnectionInfo(hostname="xds:///svc")) as module:
        with pytest.raises(ConfigurationError, match=r"xds:///svc.* set GRPC_XDS_BOOTSTRAP or GRPC_XDS_BOOTSTRAP_CONF"):
            await module.echo(b"")
        with pytest.raises(ConfigurationError, match="xds:///svc"):
            await anext(module.count(n=1))


def test_a_bootstrap_that_is_none(monkeypatch: pytest.MonkeyPatch, connect: Connect) -> None:
    monkeypatch.setenv("GRPC_XDS_BOOTSTRAP_CONFIG", "{")
    told = connect(target="xds:///svc", settings={"retries": 0}).command("call")
    assert told["error"] == "UnavailableError"
    assert "bootstrap" in told["told"]
    assert "xds:///svc" in told["told"]


def test_a_control_plane_that_is_away(monkeypatch: pytest.MonkeyPatch, connect: Connect) -> None:
    plane = ControlPlane(port=free_port())
    monkeypatch.setenv("GRPC_XDS_BOOTSTRAP_CONFIG", plane.bootstrap)
    told = connect(target="xds:///svc", settings={"retries": 0}).command("call")
    assert told["error"] == "UnavailableError"
    assert "xDS" in told["told"]
    assert "xds:///svc" in told["told"]


async def test_other_targets_need_no_bootstrap(wire: WireServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GRPC_XDS_BOOTSTRAP_CONFIG", "{")
    connections = open_connections(wire.info(engine="grpcio"), "grpc")
    module = raw_module(wire.info(), connections)
    assert await module.echo(b"x") == b"x"
    await connections.aclose()
