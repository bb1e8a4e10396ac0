"""`remote_client.caikit` beside caikit's own client: modules, data objects and streams, on the threads of caikit's
servers; run by the Python of the runtime's environment.

The floor is caikit's client. Bytes alone, without data objects, are beneath both.
"""

from __future__ import annotations

import functools
import json
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from importlib import import_module
from typing import Any

from tests.support.http_server import plain as answered

from .. import library
from ..answers import Answer
from ..backend import HOST, Backend
from ..floors import METADATA, TIMEOUT, sync_channel, unary
from ..harness import Case
from ..worker import Bench
from .caikit_http import BODY, plain
from .sync import in_threads, items, items_in_threads

SIZES = ("tiny", "rich")
THREADS = (1, 32)
THEIRS, OURS = "caikit's client", "remote_client.caikit"
SERVICE = "/caikit.runtime.Benchmarks.BenchmarksService/"
TRAINING_SERVICE = "/caikit.runtime.Benchmarks.BenchmarksTrainingService/"
TRAINING = "TinyTaskTinyModuleTrain"
ROWS = 20

Calls = dict[str, Callable[[], Any]]


async def cases(bench: Bench) -> AsyncIterator[Case]:
    """Unary calls, streams, and starts of trainings."""
    caikit, services = import_module("caikit"), import_module("caikit.runtime.service_factory")
    caikit.config.configure(config_dict={"merge_strategy": "merge", "runtime": {"library": "benchmarks"}})
    data: Any = import_module("benchmarks.caikit_library")
    for service in ("INFERENCE", "TRAINING"):
        services.ServicePackageFactory.get_service_package(services.ServicePackageFactory.ServiceType[service])
    backend = bench.start(1, answers=[*_answers()])
    pool = import_module("caikit.runtime.server_base").ServerThreadPool.pool
    modules = {
        (size, protocol): _modules(getattr(data, f"{size.title()}Module"), protocol, port)
        for protocol, port in (("grpc", backend.grpc_port), ("http", backend.http_port))
        for size in SIZES
    }
    with sync_channel(backend.grpc) as channel:
        for (size, protocol), both in modules.items():
            calls = _calls(both, "run", data.Text)
            if protocol == "grpc":
                calls["bytes"] = unary(channel, _rpc(size), library.text_request(size.title()))
            else:
                calls["bytes"] = plain(backend.http_port, library.route(size), json.dumps(BODY).encode())
            for case in _unary(pool, f"{protocol} unary {size}", calls):
                yield case
        for size in SIZES:
            streams = _calls(modules[size, "grpc"], "run_stream_out", data.Text)
            method, request = channel.unary_stream(_rpc(size, "ServerStreaming")), library.text_request(size.title())
            streams["bytes"] = functools.partial(method, request, metadata=METADATA, timeout=TIMEOUT)
            for threads in THREADS:
                runs = {who: items_in_threads(pool, threads, stream) for who, stream in streams.items()}
                step = threads * library.ITEMS
                yield Case(f"caikit_module grpc stream {size}, threads: {threads}", runs, unit="item", step=step)
            events = {
                "http.client, lines": items(functools.partial(_events, backend, size)),
                # caikit's client looks for text in lines of bytes: over HTTP it reads no stream at all.
                OURS: items(_calls(modules[size, "http"], "run_stream_out", data.Text)[OURS]),
            }
            yield Case(f"caikit_module http stream {size}", events, unit="item", step=library.ITEMS)
    for protocol in ("grpc", "http"):
        tiny = modules["tiny", protocol]
        starts: Calls = {
            who: functools.partial(module.train, training_data=_rows(data.Text)) for who, module in tiny.items()
        }
        for case in _unary(pool, f"{protocol} training start", starts):
            yield case


def _unary(pool: ThreadPoolExecutor, name: str, calls: Calls) -> Iterator[Case]:
    for threads in THREADS:
        runs = {who: in_threads(pool, threads, call) for who, call in calls.items()}
        yield Case(f"caikit_module {name}, threads: {threads}", runs, step=threads)


def _calls(modules: dict[str, Any], method: str, text: Any) -> Calls:
    def caller(module: Any) -> Callable[[], Any]:
        bound = getattr(module, method)
        return lambda: bound(sample_input=text(**library.TEXT))

    return {who: caller(module) for who, module in modules.items()}


def _rpc(size: str, prefix: str = "") -> str:
    return f"{SERVICE}{prefix}{size.title()}TaskPredict"


def _answers() -> Iterator[Answer]:
    """Beside those of HTTP, which all clients ask alike."""
    for size, data in (
        ("tiny", library.encoded("Greeting", library.TINY)),
        ("rich", library.encoded("Tokens", library.rich())),
    ):
        yield Answer(_rpc(size), data)
        yield Answer(_rpc(size, "ServerStreaming"), data, times=library.ITEMS)
    job = import_module("caikit.interfaces.runtime.data_model").TrainingJob(training_id="a.b", model_name="trained")
    yield Answer(f"{TRAINING_SERVICE}{TRAINING}", job.to_proto().SerializeToString())
    yield Answer(f"POST /api/v1/{TRAINING}", answered(job.to_json().encode()))


def _rows(text: Any) -> Any:
    sources: Any = import_module("caikit.runtime.service_generation.data_stream_source")
    source = sources.make_data_stream_source(text)
    return source(data_stream=source.JsonData(data=[text(**library.TEXT) for _ in range(ROWS)]))


def _modules(local: Any, protocol: str, port: int) -> dict[str, Any]:
    """The model as both clients' remote module."""
    settings = (_connection(port), protocol, library.MODEL_KEY, library.MODEL)
    packages = {THEIRS: "caikit.runtime.client", OURS: "remote_client.caikit"}
    return {who: _class(package, local)(*settings) for who, package in packages.items()}


@functools.cache
def _class(package: str, local: Any) -> Any:
    """The class of a client's remote modules, made once: caikit refuses a second one of a module."""
    client: Any = import_module(package)
    connection: Any = _connection(0)
    config = client.RemoteModuleConfig.load_from_module(local, connection, "grpc", library.MODEL_KEY, library.MODEL)
    return type(client.RemoteModelInitializer({}, "bench").init(config))


def _connection(port: int) -> Any:
    data = import_module("caikit.interfaces.common.data_model")
    return data.ConnectionInfo(hostname=HOST, port=port, timeout=TIMEOUT)


def _events(backend: Backend, size: str) -> Iterator[Any]:
    connection = HTTPConnection(HOST, backend.http_port, timeout=TIMEOUT)
    try:
        connection.request("POST", library.route(size, True), json.dumps(BODY))
        for line in connection.getresponse():
            if line.startswith(b"data:"):
                yield line
    finally:
        connection.close()
