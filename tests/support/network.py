"""A network of a test's own: this machine, a far one where servers run, and what names mean. Needs root and `ip`.

It lives in namespaces, so it is made by a process that `in_namespace` started, and ends with that.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from .http_wire import HttpWire
from .wire import ROOT, ServerProcess, WireServer

NAME = "models.test"
PORT = 8085
V4, V6 = "10.9.0.{}", "fd09::{}"
SILENT, REFUSING = 9, 4
"""Last parts of addresses: where nobody is, and packets vanish; where nobody listens."""


def missing() -> str | None:
    """What a network of one's own needs and this machine does not have."""
    if sys.platform != "linux":
        return "namespaces are Linux's"
    if tools := [each for each in ("ip", "unshare", "mount") if shutil.which(each) is None]:
        return f"{', '.join(tools)} not found (iproute2, util-linux)"
    script = "ip link add near type veth peer name far"
    tried = subprocess.run(["unshare", "-n", "-m", "sh", "-c", script], capture_output=True, text=True, check=False)
    return f"no namespaces here (root is needed): {tried.stderr.strip()}" if tried.returncode else None


def in_namespace(module: str, *arguments: str, env: dict[str, str] | None = None, timeout: float = 120) -> str:
    """Run a module of the tests in namespaces of its own; returns what it printed."""
    command = ["unshare", "-n", "-m", "--kill-child", "--fork", sys.executable, "-m", module, *arguments]
    told: dict[str, Any] = {"cwd": ROOT, "env": {**os.environ, **(env or {})}, "timeout": timeout}
    done = subprocess.run(command, capture_output=True, text=True, check=False, **told)
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


class Network:
    """Two machines with a cable: `near` here, `far` with the servers.

    Attributes:
        servers: the running ones by the last part of their address.
    """

    def __init__(self, folder: Path) -> None:
        self.servers: dict[str, ServerProcess] = {}
        self._hosts = folder / "hosts"
        self._hosts.write_text("")
        _run("mount", "--bind", str(self._hosts), "/etc/hosts")
        _run("mount", "-t", "tmpfs", "tmpfs", "/run")
        _run("ip", "netns", "add", "far")
        _run("ip", "link", "set", "lo", "up")
        _run("ip", "link", "add", "near", "type", "veth", "peer", "name", "far", "netns", "far")
        _run("ip", "-n", "far", "link", "set", "lo", "up")
        _run("ip", "-n", "far", "link", "set", "far", "up")
        _run("ip", "link", "set", "near", "up")
        self._ethernet = _run("ip", "netns", "exec", "far", "cat", "/sys/class/net/far/address").strip()
        self.localhost()

    def address(self, family: str = V4) -> None:
        """Give this machine an address, and let it send to any far one, whether that is there or not."""
        _run("ip", "address", "add", f"{family.format(1)}/{24 if family == V4 else 64}", "dev", "near", *_NODAD[family])
        known = ("lladdr", self._ethernet, "dev", "near", "nud", "permanent")
        for last in range(2, 10):
            _run("ip", "neigh", "replace", family.format(last), *known)
        self.appear(family.format(REFUSING))

    def appear(self, address: str) -> None:
        """Give the far machine an address."""
        family = V6 if ":" in address else V4
        prefix = 24 if family == V4 else 64
        _run("ip", "-n", "far", "address", "add", f"{address}/{prefix}", "dev", "far", *_NODAD[family])

    def vanish(self, address: str) -> None:
        """Take an address from the far machine: packets to it are dropped, those of open connections too."""
        family = V6 if ":" in address else V4
        _run("ip", "-n", "far", "address", "del", f"{address}/{24 if family == V4 else 64}", "dev", "far")

    def without_ipv6(self) -> None:
        """Turn IPv6 off on this machine, its loopback included."""
        for each in ("all", "default"):
            Path(f"/proc/sys/net/ipv6/conf/{each}/disable_ipv6").write_text("1")

    def localhost(self, *addresses: str) -> None:
        """Let localhost mean these; nothing means the usual ones, IPv6 first."""
        self._local = "".join(f"{each} localhost\n" for each in addresses or ("::1", "127.0.0.1"))
        self.names()

    def names(self, *addresses: str) -> None:
        """Let `NAME` mean these addresses, and no others."""
        self._hosts.write_text(self._local + "".join(f"{each} {NAME}\n" for each in addresses))

    def serve(self, protocol: str, address: str, *, far: bool = True, **wish: Any) -> ServerProcess:
        """Start a server at an address of the far machine, or of this one."""
        if far and address not in _run("ip", "-n", "far", "address"):
            self.appear(address)
        server: ServerProcess = (HttpWire if protocol == "http" else WireServer)(host=address, port=PORT, **wish)
        server.prefix = ("ip", "netns", "exec", "far") if far else ()
        self.servers[address] = server.__enter__()
        return server

    def stop(self, address: str) -> None:
        """Kill a server: the kernel ends its connections, and refuses new ones."""
        self.servers.pop(address).__exit__()


_NODAD = {V4: (), V6: ("nodad",)}


@contextmanager
def network() -> Iterator[Network]:
    """Make the network in this process's namespaces; its servers end with it."""
    with TemporaryDirectory() as folder:
        made = Network(Path(folder))
        try:
            yield made
        finally:
            for address in list(made.servers):
                made.stop(address)
            _run("umount", "/etc/hosts")
