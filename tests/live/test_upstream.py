"""What caikit's own client promises of its finder and its initializer, and no other test here looks at.

Modules are made of a finder's configuration, as upstream's are, and own their connection.
"""

from __future__ import annotations

import gc
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from remote_client import (
    ConnectionInfo,
    RemoteClient,
    RemoteModelFinder,
    RemoteModelInitializer,
    RemoteModuleBase,
    RemoteModuleConfig,
    errors,
)

from ..support.runtime import OTHER_MODELS, SAMPLE_MODELS, Runtime, free_port
from ..support.wire import open_files, settled
from .protocols import Protocol, connection_of, undeploy
from .test_tls import Files

RUNS = ["run_sample", "run_sample_stream_out", "run_sample_stream_in", "run_sample_bidi_stream"]
ROWS = [{"name": "a"}, {"name": "b"}]


async def found(name: str, **config: Any) -> RemoteModuleConfig:
    """The configuration of a model, of a finder that is closed again."""
    finder = RemoteModelFinder(config)
    try:
        config_of_it = await finder.find_model(name)
    finally:
        await finder.aclose()
    assert config_of_it is not None
    return config_of_it


def made(config: RemoteModuleConfig) -> Any:
    """The module of a model, with a connection of its own."""
    module = RemoteModelInitializer().init(config)
    assert isinstance(module, RemoteModuleBase)
    return module


async def says_hello(module: Any) -> None:
    assert (await module.run_sample({"name": "x"}, throw=False)).greeting == "Hello x"
    assert [item.greeting async for item in module.run_sample_stream_out({"name": "x"}, count=1)] == ["Hello x 0"]


# -- finding ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("discover", [False, True])
async def test_a_found_model_has_its_tasks_methods(runtime: Runtime, protocol: Protocol, discover: bool) -> None:
    """By its module's id alone, or discovered: the same configuration, of which the same module is made."""
    known: dict[str, Any] = {"discover_models": False, "supported_models": {"foo": SAMPLE_MODELS["foo"]}}
    config = await found(
        "foo", connection=connection_of(runtime, protocol), protocol=protocol, **({} if discover else known)
    )
    assert isinstance(config, RemoteModuleConfig)
    assert (config.model_path, config.module_id, config.protocol) == ("foo", SAMPLE_MODELS["foo"], protocol)
    names = [method.name for method in dict(config.task_methods)["SampleTask"]]
    assert sorted(names) == sorted([*(RUNS if protocol == "grpc" else RUNS[:2]), "start_sample_job"])
    async with made(config) as module:
        await says_hello(module)


async def test_a_model_of_several_tasks(runtime: Runtime, protocol: Protocol) -> None:
    tasks = ["StreamingTask", "BidiStreamingTask"]
    config = await found(
        "prefix",
        connection=connection_of(runtime, protocol),
        protocol=protocol,
        supported_models={"prefix": {"module_id": SAMPLE_MODELS["prefix"], "tasks": tasks}},
    )
    assert {task for task, _ in config.task_methods} == set(tasks)
    async with made(config) as module:
        assert (await module.run_streaming("a")).greeting == "streaming a"
        assert (await module.run_bidi_streaming("b")).greeting == "bidi b"
        assert not hasattr(module, "run_sample")
        assert not hasattr(module, "run")  # of which task?


async def test_each_model_has_a_host_of_its_own(runtime: Runtime, protocol: Protocol) -> None:
    finder = RemoteModelFinder(
        {
            "protocol": protocol,
            "connection": connection_of(runtime, protocol) | {"hostname": "127.0.0.{}"},
            "discover_models": False,
            "supported_models": {"1": SAMPLE_MODELS["foo"], "2": SAMPLE_MODELS["foo"]},
        }
    )
    for name in ("1", "2"):
        config = await finder.find_model(name)
        assert config is not None
        assert (config.connection.hostname, config.model_path) == (f"127.0.0.{name}", name)
        config.model_path = "foo"  # which the runtime behind all these addresses has
        async with made(config) as module:
            await says_hello(module)
    assert await finder.find_model("3") is None
    await finder.aclose()


async def test_several_connections(runtime: Runtime, other_runtime: Runtime, protocol: Protocol) -> None:
    """Two ports of one host and one of another: each model is found where it is, an unknown one nowhere."""
    other, sample = [connection_of(each, protocol) for each in (other_runtime, runtime)]
    elsewhere = sample | {"hostname": "127.0.0.1"}
    finder = RemoteModelFinder({"protocol": protocol, "remote_connections": [other, sample, elsewhere]})
    for name, connection, module_id in [
        ("foo", other, OTHER_MODELS["foo"]),
        (other_runtime.marker, other, OTHER_MODELS["foo"]),
        ("bar", sample, SAMPLE_MODELS["bar"]),
        ("geo", sample, SAMPLE_MODELS["geo"]),
    ]:
        config = await finder.find_model(name)
        assert config is not None
        assert {"hostname": config.connection.hostname, "port": config.connection.port} == connection
        assert config.module_id == module_id
    assert await finder.find_model("unknown") is None
    await finder.aclose()


@pytest.mark.parametrize("min_poll_time", [0, 3600])
async def test_a_model_that_comes_later(
    runtime: Runtime, protocol: Protocol, client: RemoteClient, min_poll_time: float
) -> None:
    name = f"later-{uuid.uuid4().hex[:8]}"
    finder = RemoteModelFinder(
        {"protocol": protocol, "connection": connection_of(runtime, protocol), "min_poll_time": min_poll_time}
    )
    assert await finder.find_model("foo") is not None
    assert await finder.find_model(name) is None
    await client.deploy_model(name, {"config.yml": f"module_id: {SAMPLE_MODELS['foo']}\n".encode()})
    try:
        config = await finder.find_model(name)
        if min_poll_time:
            assert config is None  # it was looked for just now
        else:
            assert config is not None
            async with made(config) as module:
                await says_hello(module)
    finally:
        await undeploy(client, name)
        await finder.aclose()


# -- calling ----------------------------------------------------------------------------------------------------------


async def test_modules_of_one_name_and_module_id_live_side_by_side(runtime: Runtime, protocol: Protocol) -> None:
    config = await found("foo", connection=connection_of(runtime, protocol), protocol=protocol)
    async with made(config) as first, made(config) as second:
        config.module_id = "another"
        async with made(config) as third:
            assert type(first) is type(second)
            assert type(first) is not type(third)
            for module in (first, second, third):
                await says_hello(module)


@pytest.mark.parametrize("read", [0, 1])
async def test_a_stream_outlives_its_module(runtime: Runtime, protocol: Protocol, read: int) -> None:
    module = made(await found("foo", connection=connection_of(runtime, protocol), protocol=protocol))
    stream = module.run_sample_stream_out({"name": "x"})
    greetings = [(await anext(stream)).greeting for _ in range(read)]
    del module
    gc.collect()
    greetings += [item.greeting async for item in stream]
    assert greetings == [f"Hello x {number}" for number in range(10)]
    await stream._caller.connections.aclose()


async def test_a_dropped_module_leaves_no_grpc_connection(runtime: Runtime) -> None:
    config = await found("foo", connection=connection_of(runtime, "grpc"))
    async with made(config) as module:
        await says_hello(module)  # whatever a process opens once is open now
    before = open_files()
    for _ in range(5):
        module = made(config)
        stream = module.run_sample_stream_out({"name": "x"})
        del module
        assert len([item async for item in stream]) == 10
        del stream
    gc.collect()
    assert await settled(open_files, before) <= before


async def test_nobody_answers_a_module(runtime: Runtime, protocol: Protocol) -> None:
    config = await found("foo", connection=connection_of(runtime, protocol), protocol=protocol)
    config.connection = ConnectionInfo(hostname="localhost", port=free_port())
    config.model_path = "nowhere"
    calls: list[Callable[[Any], Any]] = [
        lambda module: module.run_sample({"name": "x"}, throw=False),
        lambda module: anext(module.run_sample_stream_out({"name": "x"})),
        lambda module: module.start_sample_job({"name": "x"}),
        lambda module: module.train(training_data=ROWS, union_list=["x"]),
    ]
    if protocol == "grpc":
        calls.append(lambda module: module.run_sample_stream_in([{"name": "x"}]))
        calls.append(lambda module: anext(module.run_sample_bidi_stream([{"name": "x"}])))
    async with made(config) as module:
        for call in calls:
            with pytest.raises(errors.UnavailableError) as caught:
                await call(module)
            assert caught.value.target == config.connection.target


async def test_training_data_as_objects(runtime: Runtime, protocol: Protocol) -> None:
    """Rows that are objects of the server's own types, given as the source's message."""
    connection = connection_of(runtime, protocol)
    async with RemoteClient(ConnectionInfo(**connection), protocol=protocol) as client:
        row = (await client.describe()).type("SampleInputType")
    async with made(await found("foo", connection=connection, protocol=protocol)) as module:
        rows = [row(name="a"), row(name="b")]
        for data in (rows, {"data_stream": {"data": rows}}):
            training = await module.train(training_data=data, union_list=["x", "y"])
            assert isinstance(await training.model(), RemoteModuleBase)


# -- TLS --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    return Files(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def tls_runtime(files: Files) -> Iterator[Runtime]:
    """It wants a certificate of its clients too."""
    tls = {"server": {"key": files.server_key, "cert": files.server_cert}, "client": {"cert": files.ca}}
    with Runtime(tls=tls, ca_file=files.ca, client_files=(files.client_key, files.client_cert)) as running:
        yield running


def secured(runtime: Runtime, protocol: Protocol, files: Files, **tls: Any) -> dict[str, Any]:
    own = {"cert_file": files.client_cert, "key_file": files.client_key}
    return connection_of(runtime, protocol) | {"tls": {"enabled": True, **own, **tls}}


async def test_mutual_tls(tls_runtime: Runtime, files: Files, protocol: Protocol) -> None:
    connection = secured(tls_runtime, protocol, files, ca_file=files.ca)
    config = await found("foo", connection=connection, protocol=protocol)
    assert config.connection.tls.ca_file == files.ca
    async with made(config) as module:
        await says_hello(module)


async def test_an_authority_that_is_not_trusted(tls_runtime: Runtime, files: Files, protocol: Protocol) -> None:
    """Without a file it is the system's authorities that are; a call is no more careless than the search."""
    with pytest.raises(errors.TlsError):
        await found("foo", connection=secured(tls_runtime, protocol, files), protocol=protocol)
    config = await found("foo", connection=secured(tls_runtime, protocol, files, ca_file=files.ca), protocol=protocol)
    config.connection = ConnectionInfo(**secured(tls_runtime, protocol, files))
    async with made(config) as module:
        with pytest.raises(errors.TlsError):
            await says_hello(module)


async def test_https_without_verification(tls_runtime: Runtime, files: Files) -> None:
    connection = secured(tls_runtime, "http", files, insecure_verify=True)
    with pytest.warns(UserWarning, match="insecure_verify is set"):
        config = await found("foo", connection=connection, protocol="http")
    async with made(config) as module:
        await says_hello(module)


async def test_grpc_cannot_do_without_verification(tls_runtime: Runtime, files: Files) -> None:
    insecure = secured(tls_runtime, "grpc", files, ca_file=files.ca, insecure_verify=True)
    with pytest.raises(ValueError, match="insecure_verify"):
        RemoteModelFinder({"connection": insecure})


async def test_a_grpc_module_cannot_do_without_verification(tls_runtime: Runtime, files: Files) -> None:
    config = await found("foo", connection=secured(tls_runtime, "grpc", files, ca_file=files.ca))
    config.connection = ConnectionInfo(**secured(tls_runtime, "grpc", files, insecure_verify=True))
    with pytest.raises(ValueError, match="insecure_verify"):
        RemoteModelInitializer().init(config)
