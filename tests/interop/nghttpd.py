"""nghttp2's own server, which speaks HTTP/2 and no gRPC."""

from __future__ import annotations

import socket
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from remote_client.settings import ConnectionInfo

from .proxies import program


def unused_port() -> int:
    """A port of 127.0.0.1 nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Nghttpd:
    """A running nghttpd, which speaks HTTP/2 and no gRPC; a context manager.

    Args:
        arguments: more of its command line's.
        files: path -> contents: what it serves.
        tls: key and certificate; without them it speaks in the clear.
    """

    def __init__(
        self, *arguments: str, files: Mapping[str, bytes] | None = None, tls: Mapping[str, str] | None = None
    ) -> None:
        self._program = program("nghttpd", "apt-get install nghttp2-server")
        self._arguments = [*arguments, *([] if tls else ["--no-tls"])]
        self._tls = [tls["key"], tls["cert"]] if tls else []
        self._files = files or {}

    def __enter__(self) -> Self:
        self.port = unused_port()
        self._folder = tempfile.TemporaryDirectory(prefix="remote-client-nghttpd-")
        for path, contents in self._files.items():
            file = Path(self._folder.name, path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(contents)
        command = [self._program, "-a", "127.0.0.1", "-d", self._folder.name, *self._arguments, str(self.port)]
        self._process = subprocess.Popen([*command, *self._tls], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        end = time.monotonic() + 5
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            except OSError as error:
                if time.monotonic() > end or self._process.poll() is not None:
                    self.__exit__()
                    raise RuntimeError(f"nghttpd does not serve: {error}") from error
                time.sleep(0.02)

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
        self._folder.cleanup()

    def info(self, **changes: Any) -> ConnectionInfo:
        given: dict[str, Any] = {"hostname": "127.0.0.1", "port": self.port, "timeout": 10, "retries": 0}
        return ConnectionInfo(**given | changes)
