"""As `caikit.py`, over HTTP, in a process of its own: caikit makes one remote module of a module, and no other."""

from __future__ import annotations

import json
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from importlib import import_module
from typing import Any

from remote_client.sync import RemoteClient

from .. import library
from ..backend import HOST
from ..floors import TIMEOUT
from ..harness import Case
from ..worker import Bench
from .caikit import TEXT, caikit_module
from .sync import THREADS, in_threads

BODY = {"model_id": library.MODEL, "inputs": "World"}


async def cases(bench: Bench) -> AsyncIterator[Case]:
    """The same tiny messages. Answers that are streamed over HTTP caikit's client cannot read at all."""
    module = caikit_module("http", bench.backend.http_port)
    kind: Any = import_module("sample_lib.data_model").SampleInputType
    path = library.route("tiny")
    with RemoteClient(bench.backend.http) as client, ThreadPoolExecutor(max(THREADS)) as pool:
        model = client.model(library.MODEL)
        calls = {
            "http.client, bytes": plain(bench.backend.http_port, path, json.dumps(BODY).encode()),
            "client": lambda: model.run_tiny("World"),
            "caikit's client": lambda: module.run(sample_input=kind(**TEXT)),
        }
        for threads in THREADS:
            runs = {name: in_threads(pool, threads, call) for name, call in calls.items()}
            yield Case(f"caikit over HTTP, threads: {threads}", runs, step=threads)


def plain(port: int, path: str, body: bytes) -> Callable[[], bytes]:
    """A call on a kept connection, of which each thread has one."""
    threads = threading.local()

    def call() -> bytes:
        connection = getattr(threads, "connection", None)
        if connection is None:
            connection = threads.connection = HTTPConnection(HOST, port, timeout=TIMEOUT)
        connection.request("POST", path, body, {"content-type": "application/json"})
        answer: bytes = connection.getresponse().read()
        return answer

    return call
