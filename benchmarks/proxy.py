"""Envoy in front of the server, as Istio and KServe put it there."""

from __future__ import annotations

import http.client
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.support.runtime import free_port

from .backend import HOST, pin

START_TIME = 20
"""Seconds until it has to listen."""
KIND = "type.googleapis.com/envoy.extensions"
CONFIGURATION = """
admin:
  address: {{socket_address: {{address: 127.0.0.1, port_value: {admin}}}}}
static_resources:
  listeners:
  - name: grpc
    address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: http
        typed_config:
          "@type": {kind}.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: grpc
          codec_type: HTTP2
          always_set_request_id_in_response: true
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes: [{{match: {{prefix: /}}, route: {{cluster: server, timeout: 0s}}}}]
          http_filters:
          - name: router
            typed_config: {{"@type": {kind}.filters.http.router.v3.Router}}
  clusters:
  - name: server
    connect_timeout: 1s
    circuit_breakers: {{thresholds: [{{max_requests: 100000, max_pending_requests: 100000}}]}}
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": {kind}.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {{http2_protocol_options: {{}}}}
    load_assignment:
      cluster_name: server
      endpoints:
      - lb_endpoints:
        - endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {server}}}}}}}
"""


def program() -> str | None:
    """Where Envoy is, if it is installed."""
    beside = Path(sys.executable).with_name("envoy")
    return str(beside) if beside.exists() else shutil.which("envoy")


class Envoy:
    """A running Envoy in front of a server's port; a context manager that gives its address."""

    def __init__(self, server_port: int, core: int | None) -> None:
        self._server_port = server_port
        self._core = core

    def __enter__(self) -> str:
        found = program()
        assert found is not None
        self._folder = tempfile.TemporaryDirectory(prefix="remote-client-bench-")
        port, admin = free_port(), free_port()
        file, log = Path(self._folder.name, "envoy.yaml"), Path(self._folder.name, "log")
        file.write_text(CONFIGURATION.format(kind=KIND, port=port, admin=admin, server=self._server_port))
        command = [found, "-c", str(file), "--disable-hot-restart", "--concurrency", "1", "-l", "error"]
        with log.open("wb") as output:
            self._process = subprocess.Popen(command, stdout=output, stderr=output)
        pin(self._process.pid, self._core)
        try:
            self._await(admin, log)
        except BaseException:
            self.__exit__()
            raise
        return f"{HOST}:{port}"

    def _await(self, admin: int, log: Path) -> None:
        until = time.monotonic() + START_TIME
        while not _ready(admin):
            if self._process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"Envoy did not start: {log.read_text()[-2000:]}")
            time.sleep(0.05)

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait()
        self._folder.cleanup()


def _ready(admin: int) -> bool:
    connection = http.client.HTTPConnection(HOST, admin, timeout=1)
    try:
        connection.request("GET", "/ready")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()
