"""A real caikit runtime in a process of its own, for the demo and the live tests.

It runs in the environment that `RUNTIME_PYTHON` names (`make` sets both up), on ephemeral ports. gRPC servers share
ports silently, so whoever answers must list a model that only this runtime has. When its HTTP port is
taken, the runtime ends.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import socket
import ssl
import subprocess
import tempfile
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import grpc

HERE = Path(__file__).parent.parent
_ID = "00110203-0405-0607-0809-0a0b02dd0e"
SAMPLE_MODELS = {
    "foo": f"{_ID}0f",
    "bar": f"{_ID}0f",
    "primitive": f"{_ID}10",
    "zoo": f"{_ID}11",
    "parameters": f"{_ID}12",
    "geo": f"{_ID}13",
    "prefix": f"{_ID}14",
    "slow": f"{_ID}15",
    "failing": f"{_ID}16",
    "file": f"{_ID}17",
    "bundle": f"{_ID}18",
    "pair": f"{_ID}19",
    "tagged": f"{_ID}1a",
    "text": f"{_ID}1b",
    "numbers": f"{_ID}1c",
    "rerank": f"{_ID}1d",
    "embedding": f"{_ID}1e",
    "bundles": f"{_ID}1f",
}
TEXT_MODELS = {"writer": f"{_ID}20", "embedder": f"{_ID}21"}
"""Models of `sample_lib.texts`."""
OTHER_MODELS = {"foo": "11110203-0405-0607-0809-0a0b02dd0e0f"}


class Runtime:
    """A running runtime; a context manager that starts and surely stops it.

    Args:
        library: `sample_lib` or `other_lib`.
        models: model name -> module id; by default all of the library's.
        ports: of gRPC and of HTTP, on which nobody else listens; by default two that are free.
        start_timeout: seconds to wait until it serves.
        ca_file: with TLS, the authority by which the runtime's own certificate is checked when it starts.
        client_files: with mutual TLS, the key and the certificate it is asked with when it starts.
        spec: more of `tests/runtime/serve.py`'s keys, such as `unix_socket`, `tls`, `grpc_options`,
            `http_config`, `model_management` and `also`.
    """

    def __init__(
        self,
        library: str = "sample_lib",
        models: Mapping[str, str] | None = None,
        *,
        ports: tuple[int, int] | None = None,
        start_timeout: float = 60,
        ca_file: str | None = None,
        client_files: tuple[str, str] | None = None,
        **spec: Any,
    ) -> None:
        self.library = library
        self.models = dict((SAMPLE_MODELS if library == "sample_lib" else OTHER_MODELS) if models is None else models)
        self.marker = next(iter(self.models)) if ports else f"identity-{uuid.uuid4().hex[:12]}"
        self._ports = ports
        self.port = 0
        self.http_port = 0
        self._spec = spec
        self._timeout = start_timeout
        self._ca_file = ca_file
        self._client_files = client_files
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = tempfile.TemporaryDirectory(prefix="remote-client-runtime-")
        self.log = Path(self._folder.name, "log")

    @property
    def target(self) -> str:
        """`localhost:port`."""
        return f"localhost:{self.port}"

    @property
    def http_target(self) -> str:
        """`http://localhost:port`, or `https://` with TLS."""
        return f"{'https' if self._ca_file else 'http'}://localhost:{self.http_port}"

    def __enter__(self) -> Self:
        for _ in range(3):
            self.port, self.http_port = self._ports or (free_port(), free_port())
            self._start()
            try:
                self._wait()
            except PortTakenError:
                self._stop()
                continue
            except BaseException:
                self.__exit__()
                raise
            return self
        self.__exit__()
        raise RuntimeError("found no port of its own for the runtime")

    def __exit__(self, *_: object) -> None:
        self._stop()
        self._folder.cleanup()

    def wait(self) -> int:
        """Wait until it ends by itself; return its exit code."""
        assert self._process is not None
        return self._process.wait()

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self._stop()

    def signal(self, number: int) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)

    def restart(self) -> None:
        """Start it again on its ports and its folder, after `kill`."""
        self._start()
        self._wait()

    def _start(self) -> None:
        python = os.environ.get("RUNTIME_PYTHON")
        if not python or not Path(python).exists():
            raise RuntimeError("RUNTIME_PYTHON must name the Python of the runtime's environment; `make test` sets it")
        known = self.models or (SAMPLE_MODELS if self.library == "sample_lib" else OTHER_MODELS)
        models = {**self.models, self.marker: next(iter(known.values()))}
        spec = {
            "library": self.library,
            "models": models,
            "grpc_port": self.port,
            "http_port": self.http_port,
            "workdir": self._folder.name,
            **self._spec,
        }
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [python, str(HERE / "runtime" / "serve.py"), json.dumps(spec)],
                stdin=subprocess.PIPE,  # when this end closes, however this process ends, the runtime ends
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, "PYTHONPATH": f"{HERE / 'runtime'}:{HERE.parent}", "PYTHONDONTWRITEBYTECODE": "1"},
                start_new_session=True,
            )

    def _wait(self) -> None:
        deadline = time.monotonic() + self._timeout
        while time.monotonic() < deadline:
            assert self._process is not None
            if self._process.poll() is not None:
                log = self.log.read_text()
                if "address already in use" in log:
                    raise PortTakenError
                raise RuntimeError(f"the runtime ended while it started:\n{log[-4000:]}")
            try:
                answers = self._list_models(), self._list_models_over_http()
            except (grpc.RpcError, http.client.HTTPException, OSError):
                time.sleep(0.1)
                continue
            if all(self.marker.encode() in answer for answer in answers):
                return
            raise PortTakenError
        raise RuntimeError(f"the runtime did not serve within {self._timeout} s:\n{self.log.read_text()[-4000:]}")

    def _list_models(self) -> bytes:
        if self._ca_file is None:
            channel = grpc.insecure_channel(self.target)
        else:
            key, cert = (Path(file).read_bytes() for file in self._client_files) if self._client_files else (None, None)
            credentials = grpc.ssl_channel_credentials(Path(self._ca_file).read_bytes(), key, cert)
            channel = grpc.secure_channel(self.target, credentials)
        with channel:
            answer: bytes = channel.unary_unary("/caikit.runtime.info.InfoService/GetModelsInfo")(b"", timeout=5)
            return answer

    def _list_models_over_http(self) -> bytes:
        if self._ca_file is None:
            connection = http.client.HTTPConnection("localhost", self.http_port, timeout=5)
        else:
            context = ssl.create_default_context(cafile=self._ca_file)
            if self._client_files:
                key, cert = self._client_files
                context.load_cert_chain(cert, key)
            connection = http.client.HTTPSConnection("localhost", self.http_port, timeout=5, context=context)
        with contextlib.closing(connection):
            connection.request("GET", "/info/models")
            return connection.getresponse().read()

    def _stop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            if process.stdin is not None:
                process.stdin.close()


def dump_services(library: str, folder: Path, *options: str) -> Path:
    """Have caikit write its `.proto` files of a library, and `openapi.json`, into a folder."""
    environment = {"RUNTIME_LIBRARY": library, "PYTHONPATH": str(HERE / "runtime"), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [os.environ["RUNTIME_PYTHON"], "-m", "caikit.runtime.dump_services", *options, str(folder)]
    subprocess.run(command, env=os.environ | environment, check=True, capture_output=True)
    return folder


class PortTakenError(Exception):
    """Somebody else answers on the port."""


def free_port() -> int:
    """A port nobody listened on a moment ago, and none that the system gives to somebody else in the next moment."""
    while True:
        with socket.socket(socket.AF_INET6) as probe, contextlib.suppress(OSError):
            port = random.randrange(10_000, 32_000)
            probe.bind(("::", port))
            return port
