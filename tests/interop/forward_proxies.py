"""Forward proxies as people run them: tinyproxy and squid, with credentials and without."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Self

from tests.support.runtime import free_port

from .proxies import program

USER, PASSWORD = "user", "s3cret-of-the-proxy"


class Forward(ABC):
    """A running forward proxy on this machine; a context manager.

    Attributes:
        port: its port.

    Args:
        locked: whether it wants `USER` and `PASSWORD`.
    """

    name: str
    package: str

    def __init__(self, *, locked: bool = False) -> None:
        self._program = program(self.name, self.package)
        self.locked = locked

    @abstractmethod
    def configuration(self) -> str:
        """What its configuration file holds."""

    @abstractmethod
    def command_line(self) -> list[str]:
        """What starts it in the foreground."""

    @property
    def log(self) -> str:
        """What it wrote about requests."""
        path = self.folder / "access.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def url(self, password: str = "") -> str:
        """The proxy as `proxy=` names it."""
        shown = f"{USER}:{password}@" if password else ""
        return f"http://{shown}127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.port = free_port()
        self._folder = tempfile.TemporaryDirectory(prefix="remote-client-forward-")
        self.folder = Path(self._folder.name)
        self.file = self.folder / "conf"
        self.file.write_text(self.configuration())
        for each in (self.folder, *self.folder.iterdir()):  # started by root it becomes somebody else
            os.chmod(each, 0o777)
        with open(self.folder / "log", "wb") as log:
            command = self.command_line()
            self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        end = time.monotonic() + 20
        while not self._serves():
            if time.monotonic() > end or self._process.poll() is not None:
                told = (self.folder / "log").read_text(errors="replace")
                self.__exit__()
                raise RuntimeError(f"{self.name} does not serve: {told}")
            time.sleep(0.02)
        return self

    def _serves(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def __exit__(self, *_: object) -> None:
        self._process.terminate()  # squid ends its helpers
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._folder.cleanup()


class Tinyproxy(Forward):
    name = "tinyproxy"
    package = "apt-get install tinyproxy-bin"

    def configuration(self) -> str:
        lines = [f"Port {self.port}", "Listen 127.0.0.1", "Allow 127.0.0.1", "MaxClients 200", "LogLevel Connect"]
        lines += [f'LogFile "{self.folder}/access.log"', "Timeout 60"]
        if self.locked:
            lines.append(f"BasicAuth {USER} {PASSWORD}")
        return "\n".join([*lines, ""])

    def command_line(self) -> list[str]:
        return [self._program, "-d", "-c", str(self.file)]


class Squid(Forward):
    name = "squid"
    package = "apt-get install squid"
    helper = "/usr/lib/squid/basic_ncsa_auth"

    def configuration(self) -> str:
        lines = [
            f"http_port 127.0.0.1:{self.port}",
            f"pid_filename {self.folder}/pid",
            f"access_log stdio:{self.folder}/access.log",
            f"cache_log {self.folder}/cache.log",
            f"coredump_dir {self.folder}",
            "cache deny all",
            "cache_store_log none",
            "netdb_filename none",
            "shutdown_lifetime 0 seconds",
            "pinger_enable off",
            f"unique_hostname {self.folder.name}",
            "visible_hostname proxy.example",
        ]
        if self.locked:
            hashed = subprocess.check_output(["openssl", "passwd", "-apr1", PASSWORD], text=True).strip()
            (self.folder / "users").write_text(f"{USER}:{hashed}\n")
            lines += [
                f"auth_param basic program {self.helper} {self.folder}/users",
                "auth_param basic children 1",
                "acl known proxy_auth REQUIRED",
                "http_access allow known",
            ]
        else:
            lines.append("http_access allow localhost")
        return "\n".join([*lines, "http_access deny all", ""])

    def command_line(self) -> list[str]:
        assert shutil.which("openssl")
        return [self._program, "-N", "-n", f"rc{self.port}", "-f", str(self.file)]


FORWARDS: dict[str, type[Forward]] = {"tinyproxy": Tinyproxy, "squid": Squid}
