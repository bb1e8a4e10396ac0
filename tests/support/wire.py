"""The parent's end of the servers of the wire tests, and of `wire_server` in particular: starting it, watching it, and
calling it with raw bytes through a module. `http_wire` is the same for HTTP.
"""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import signal
import subprocess
import sys
import threading
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import grpc

from remote_client._client.module import RemoteModuleBase, construct_remote_module_class
from remote_client._client.module_config import RemoteModuleConfig
from remote_client._schema.rpc import Codec, RemoteRPCDescriptor
from remote_client._transport.manager import ConnectionManager
from remote_client.settings import CallOptions, ConnectionInfo, Protocol

from .clock import Stopwatch

ROOT = Path(__file__).parent.parent.parent
Stats = dict[str, Any]


class ServerProcess(ABC):
    """A running server, on a port it chose itself unless one is given; a context manager.

    Attributes:
        module: what is run; it gets its options as JSON, and tells its port and identity in a line of JSON.
        prefix: the command that runs it, such as one that enters a network namespace.
    """

    module: str
    prefix: tuple[str, ...] = ()

    def __init__(self, **wish: Any) -> None:
        self._wish = wish
        self._lock = threading.Lock()
        self.port: int = wish.get("port", 0)
        self.host: str = wish.get("host", "127.0.0.1")

    def __enter__(self) -> Self:
        self._start()
        try:
            answer = self._ask_identity()
            assert answer in (None, self.identity.encode()), "somebody else serves on this port"
        except BaseException:
            self.__exit__()
            raise
        return self

    def restart(self) -> None:
        """Kill it, and start another one on its port. Clients are calling: what they do counts at once."""
        self.__exit__()
        self._start()

    def _start(self) -> None:
        self.identity = uuid.uuid4().hex
        command = [*self.prefix, sys.executable, "-m", self.module]
        wish = {**self._wish, "port": self.port, "identity": self.identity}
        # Its errors about calls that were cut are not this test run's.
        quiet = {"GRPC_VERBOSITY": "NONE", "PYTHONDONTWRITEBYTECODE": "1"}
        self._process = subprocess.Popen(
            [*command, json.dumps(wish)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd=ROOT,
            env={**os.environ, **quiet},
            text=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self.__exit__()
            raise RuntimeError(f"{self.module} did not start")
        told = json.loads(line)
        self.port = told["port"]

    @abstractmethod
    def _ask_identity(self) -> bytes | None:
        """Who serves on this port; None where that cannot be asked."""

    def __exit__(self, *_: object) -> None:
        process = self._process
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()

    def info(self, **changes: Any) -> ConnectionInfo:
        return ConnectionInfo(**{"hostname": self.host, "port": self.port, "timeout": 20, "retries": 0} | changes)

    def signal(self, number: int) -> None:
        self._process.send_signal(number)

    def command(self, do: str, **more: Any) -> Stats:
        with self._lock:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(json.dumps({"do": do, **more}) + "\n")
            self._process.stdin.flush()
            answer: Stats = json.loads(self._process.stdout.readline())
            return answer

    async def stats(self) -> Stats:
        return await asyncio.to_thread(self.command, "stats")

    async def started(self, *names: str) -> int:
        """How many requests of these methods or routes came."""
        counts = (await self.stats())["started"]
        return sum(counts.get(name, 0) for name in names)

    async def faults(self, faults: Mapping[str, Any] | None = None, /, **more: Any) -> None:
        await asyncio.to_thread(self.command, "faults", faults={**(faults or {}), **more})

    async def until(self, wanted: Callable[[Stats], bool], within: float = 1.0) -> Stats:
        """The first statistics that are as wanted, or the last ones when the time is over."""
        watch = Stopwatch()
        while not wanted(stats := await self.stats()) and watch.seconds < within:
            await asyncio.sleep(0.02)
        return stats

    async def until_running(self, count: int, within: float = 5.0) -> Stats:
        """Waits until that many calls run."""
        stats = await self.until(lambda seen: sum(seen["running"].values()) == count, within)
        assert sum(stats["running"].values()) == count, stats
        return stats


class WireServer(ServerProcess):
    """A running `wire_server`."""

    module = "tests.support.wire_server"
    protocol: Protocol = "grpc"

    def plain(self, connections: ConnectionManager | None = None, *, call_options: Any = None, **changes: Any) -> Any:
        """A module with the server's plain methods, such as HttpWire's has; `changes` are to its settings."""
        return raw_module(self.info(**changes), connections, options=call_options)

    @property
    def target(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def _ask_identity(self) -> bytes | None:
        if "tls" in self._wish:
            return None
        with grpc.insecure_channel(self.target, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
            answer: bytes = channel.unary_unary("/test.Identity/Get")(b"", timeout=5)
        return answer


class RawCodec:
    """Bytes in and out: what the wire tests look at is below the schema."""

    def encode(self, model: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        return args[0] if args else json.dumps(kwargs).encode()

    signature = inspect.Signature()

    def incomplete(self, model: str) -> bytes | None:
        return None

    def split(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
        return b"", {"items": args[0]}

    def frame(self, constants: bytes, items: dict[str, Any], index: int) -> bytes:
        data: bytes = items["items"]
        return data

    def decode(self, data: bytes, output: Any) -> Any:
        return data


_METHODS = {
    "echo": (False, False),
    "sleep": (False, False),
    "big": (False, False),
    "fail": (False, False),
    "count": (False, True),
    "silent": (False, True),
    "sum": (True, False),
    "chat": (True, True),
}


def raw_module(
    info: ConnectionInfo, connections: ConnectionManager | None = None, *, options: CallOptions | None = None
) -> Any:
    """A module with the wire server's plain methods; keyword arguments are sent as JSON."""
    methods = [raw_method(name, f"/test.Test/{name.title()}", kind, RawCodec()) for name, kind in _METHODS.items()]
    return module_of(methods, info, "grpc", connections, options)


def raw_method(name: str, path: str, kind: tuple[bool, bool], codec: Codec) -> RemoteRPCDescriptor:
    """A method below the schema; its kind is whether its input and its output are streams."""
    return RemoteRPCDescriptor(
        signature=inspect.Signature(),
        request_dm_name="",
        response_dm_name="",
        rpc_name=name.title().replace("_", ""),
        input_streaming=kind[0],
        output_streaming=kind[1],
        task="Raw",
        name=name,
        path=path,
        codec=codec,
    )


def module_of(
    methods: list[RemoteRPCDescriptor],
    info: ConnectionInfo,
    protocol: Protocol,
    connections: ConnectionManager | None,
    options: CallOptions | None,
) -> Any:
    """A module with these methods, of a model called `raw`."""
    config = RemoteModuleConfig(
        connection=info, protocol=protocol, model_key="mm-model-id", task_methods=[("Raw", methods)], model_path="raw"
    )
    made: RemoteModuleBase = construct_remote_module_class(config)(config, connections=connections, options=options)
    return made


def open_files() -> int:
    """File descriptors of this process."""
    return len(os.listdir("/proc/self/fd"))


async def settled(measure: Callable[[], int], at_most: int, within: float = 3.0) -> int:
    """The first measurement that is small enough, or the last one when the time is over."""
    watch = Stopwatch()
    while (value := measure()) > at_most and watch.seconds < within:
        await asyncio.sleep(0.02)
    return value
