"""caikit's own client beside the blocking client; run by the Python of the runtime's environment, which has both."""

from __future__ import annotations

from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from typing import Any

from remote_client.sync import RemoteClient

from .. import library
from ..backend import HOST
from ..floors import METADATA, TIMEOUT, sync_channel, unary
from ..harness import Case
from ..worker import Bench
from .sync import THREADS, in_threads, items

TEXT = {"name": "World"}


async def cases(bench: Bench) -> AsyncIterator[Case]:
    """The same tiny messages, by caikit's data objects."""
    module = caikit_module("grpc", bench.backend.grpc_port)
    kind: Any = import_module("sample_lib.data_model").SampleInputType

    with (
        RemoteClient(bench.backend.grpc) as client,
        sync_channel(bench.backend.grpc) as channel,
        ThreadPoolExecutor(max(THREADS)) as pool,
    ):
        model, request = client.model(library.MODEL), library.text_request("Tiny")
        calls = {
            "sync gRPC, bytes": unary(channel, library.rpc("Tiny"), request),
            "client": lambda: model.run_tiny(sample_input=library.TEXT),
            "caikit's client": lambda: module.run(sample_input=kind(**TEXT)),
        }
        for threads in THREADS:
            runs = {name: in_threads(pool, threads, call) for name, call in calls.items()}
            yield Case(f"caikit unary tiny, threads: {threads}", runs, step=threads)
        plain = channel.unary_stream(library.rpc("Tiny", "ServerStreaming"))
        streams = {
            "sync gRPC, bytes": items(lambda: plain(request, metadata=METADATA, timeout=TIMEOUT)),
            "client": items(lambda: model.run_tiny_stream_out(sample_input=library.TEXT)),
            "caikit's client": items(lambda: module.run_stream_out(sample_input=kind(**TEXT))),
        }
        yield Case("caikit stream tiny", streams, unit="item", step=library.ITEMS)


def caikit_module(protocol: str, port: int) -> Any:
    """caikit's remote module of the sample library's first module."""
    caikit, data = import_module("caikit"), import_module("caikit.interfaces.common.data_model")
    theirs = import_module("caikit.runtime.client")
    services: Any = import_module("caikit.runtime.service_factory").ServicePackageFactory
    caikit.config.configure(config_dict={"merge_strategy": "merge", "runtime": {"library": "sample_lib"}})
    modules = import_module("sample_lib.modules")
    services.get_service_package(services.ServiceType.INFERENCE)
    connection = data.ConnectionInfo(hostname=HOST, port=port, timeout=TIMEOUT)
    config = theirs.RemoteModuleConfig.load_from_module(
        modules.SampleModule, connection, protocol, library.MODEL_KEY, library.MODEL
    )
    return theirs.RemoteModelInitializer({}, "bench").init(config)
