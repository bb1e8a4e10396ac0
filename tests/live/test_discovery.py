"""What a server tells, the parts used on their own, and the ways to reach a server."""

import asyncio
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from remote_client import (
    ConnectionInfo,
    ModelInfo,
    RemoteClient,
    RemoteModelFinder,
    RemoteModelInitializer,
    construct_remote_module_class,
    errors,
)

from ..support.runtime import OTHER_MODELS, SAMPLE_MODELS, Runtime, free_port
from .protocols import Protocol, Recorder, connection_of, named, nobody, target_of


async def test_models(client: RemoteClient, runtime: Runtime) -> None:
    models = {info.name: info for info in await client.models()}
    # Other tests train and deploy models, whose names have a hyphen.
    assert {name for name in models if "-" not in name} == SAMPLE_MODELS.keys()
    assert runtime.marker in models
    foo = models["foo"]
    assert isinstance(foo, ModelInfo)
    assert (foo.module_id, foo.module_name, foo.loaded) == (SAMPLE_MODELS["foo"], "SampleModule", True)
    assert foo.module_metadata["version"] == "0.1.0"
    assert foo.size > 0


async def test_runtime_info(client: RemoteClient) -> None:
    assert "caikit" in (await client.runtime_info()).python_packages


async def test_healthy(client: RemoteClient, runtime: Runtime, protocol: Protocol) -> None:
    assert await client.healthy() is True
    async with RemoteClient([target_of(runtime, protocol), nobody(free_port(), protocol)]) as half:
        assert await half.healthy() is False


TASKS = [
    "BidiStreamingTask",
    "BundleTask",
    "BundlesTask",
    "EmbeddingTask",
    "FailingTask",
    "FileTask",
    "GeoSpatialTask",
    "NumbersTask",
    "PairTask",
    "ParametersTask",
    "RerankTask",
    "SampleTask",
    "SlowTask",
    "StreamingTask",
    "TaggedTask",
    "TextTask",
    "ZooTask",
]


async def test_describe(grpc_client: RemoteClient) -> None:
    description = await grpc_client.describe()
    assert description is await grpc_client.describe()
    assert list(description.tasks) == TASKS
    names = [[method.name for method in task.methods] for task in description.tasks.values()]
    assert names[0] == ["run_bidi_streaming", "run_bidi_streaming_bidi_stream", "start_bidi_streaming_job"]
    runs = ["run_sample", "run_sample_stream_out", "run_sample_stream_in", "run_sample_bidi_stream"]
    assert names[11] == [*runs, "start_sample_job"]
    rpc = description.tasks["SampleTask"].methods[1]
    assert (rpc.rpc_name, rpc.input_streaming, rpc.output_streaming) == (
        "ServerStreamingSampleTaskPredict",
        False,
        True,
    )
    assert rpc.request_dm_name == "caikit.runtime.SampleLib.ServerStreamingSampleTaskRequest"
    assert rpc.response_dm_name.endswith(".SampleOutputType")
    place = description.type("Place")
    assert place(label="x") == place(label="x", lat=0.0, lon=0.0, tags=[])
    with pytest.raises(errors.SchemaError, match="no types are called 'Nothing'"):
        description.type("Nothing")
    with pytest.raises(errors.SchemaError, match=r"did you mean Place\?"):
        description.type("Plaec")


async def test_describe_over_http(http_client: RemoteClient) -> None:
    description = await http_client.describe()
    assert description is await http_client.describe()
    assert list(description.tasks) == [task for task in TASKS if task != "GeoSpatialTask"]  # which streams its inputs
    names = [[method.name for method in task.methods] for task in description.tasks.values()]
    assert sorted(names[0]) == ["run_bidi_streaming", "start_bidi_streaming_job"]
    assert sorted(names[10]) == ["run_sample", "run_sample_stream_out", "start_sample_job"]
    (rpc,) = [each for each in description.tasks["SampleTask"].methods if each.output_streaming]
    assert (rpc.rpc_name, rpc.input_streaming, rpc.output_streaming) == (
        "ServerStreamingSampleTaskPredict",
        False,
        True,
    )
    assert rpc.path == "POST /api/v1/task/server-streaming-sample"
    assert rpc.request_dm_name == "caikit.http.SampleTask.ServerStreamingSampleTaskRequestHttpRequest"
    assert rpc.response_dm_name.endswith(".SampleOutputType")
    place = description.type("Place")
    assert place(label="x") == place(label="x", lat=None, lon=None, tags=None)
    assert description.notes == ()
    with pytest.raises(errors.SchemaError, match="no types are called 'Nothing'"):
        description.type("Nothing")


async def test_a_proxy_tells_the_truth(client: RemoteClient, protocol: Protocol) -> None:
    model = await client.model("foo")
    signature = inspect.signature(model.run_sample)
    sample_input = named(protocol, "sample_input")
    assert list(signature.parameters) == [sample_input, "throw", "prefix"]
    assert signature.parameters[sample_input].default is inspect.Parameter.empty
    assert signature.parameters["throw"].default is None
    assert signature.return_annotation is (await client.describe()).type("SampleOutputType")
    assert {"run_sample", "run_sample_stream_out", "run_zoo"} <= set(dir(model))
    assert "SampleTaskPredict" in (model.run_sample.__doc__ or "")
    assert f"run_sample({sample_input}: SampleInputType" in (type(model).__doc__ or "")
    assert repr(model).startswith("<SampleModule 'foo' at localhost:")
    with pytest.raises(AttributeError, match="did you mean run_sample"):
        model.run_simple
    with pytest.raises(AttributeError, match=r"the short names need the model's task: client.model\('foo', task=...\)"):
        model.run
    assert not hasattr(model, "__missing__")


async def test_task(client: RemoteClient, protocol: Protocol) -> None:
    model = await client.model("foo", task="SampleTask")
    assert (await model.run({"name": "x"})).greeting == "Hello x"
    assert [item.greeting async for item in model.run_stream_out({"name": "x"}, count=1)] == ["Hello x 0"]
    if protocol == "grpc":
        assert (await model.run_stream_in([{"name": "x"}], greeting="Hi ")).greeting == "Hi x"
        assert [item.greeting async for item in model.run_bidi_stream([{"name": "x"}])] == ["Hello x"]
    assert not hasattr(model, "run_zoo")
    with pytest.raises(errors.InputError, match="did you mean SampleTask"):
        await client.model("foo", task="SimpleTask")


@pytest.mark.parametrize("name", [None, 5, b"foo"])
async def test_a_model_has_a_text_for_a_name(client: RemoteClient, name: Any) -> None:
    with pytest.raises(errors.InputError, match="name: expected the name of a model, not "):
        await client.model(name)


async def test_unknown_model(client: RemoteClient) -> None:
    with pytest.raises(errors.ModelNotFoundError, match="did you mean 'foo'") as caught:
        await client.model("fooo")
    assert isinstance(caught.value, errors.NotFoundError)
    assert caught.value.model == "fooo"


async def test_nobody_answers(protocol: Protocol) -> None:
    async with RemoteClient(nobody(free_port(), protocol)) as client:
        with pytest.raises(errors.UnavailableError):
            await client.model("foo")
        with pytest.raises(errors.UnavailableError):
            await client.models()
        with pytest.raises(errors.UnavailableError):
            await client.describe()


async def test_targets(runtime: Runtime, protocol: Protocol) -> None:
    connection = connection_of(runtime, protocol)
    targets: list[str | ConnectionInfo] = [f"localhost:{connection['port']}", ConnectionInfo(**connection)]
    for target in targets:
        async with RemoteClient(target, protocol=protocol) as client:
            assert (await (await client.model("foo")).run_sample({"name": "x"})).greeting == "Hello x"


@pytest.mark.own_http("httpx does not say what the server sent instead")
async def test_the_other_protocols_port(runtime: Runtime, protocol: Protocol) -> None:
    other = {"grpc": f"localhost:{runtime.http_port}", "http": f"http://localhost:{runtime.port}"}[protocol]
    right = {"grpc": f"http://localhost:{runtime.http_port}", "http": f"grpc://localhost:{runtime.port}"}[protocol]
    async with RemoteClient(other) as client:
        with pytest.raises(errors.UnavailableError, match=f"try {right}"):
            await client.models()


async def test_the_parts(runtime: Runtime, protocol: Protocol) -> None:
    finder = RemoteModelFinder({"connection": connection_of(runtime, protocol), "protocol": protocol})
    assert await finder.find_model("nothing") is None
    assert "foo" in await finder.discover()
    config = await finder.find_model("foo")
    assert config is not None
    assert (config.model_path, config.module_id, config.model_key) == ("foo", SAMPLE_MODELS["foo"], "mm-model-id")
    await finder.aclose()
    # The configuration carries all a module needs; it opens a connection of its own.
    module = RemoteModelInitializer().init(config)
    assert module is not None
    async with module:
        assert (await module.run_sample({"name": "x"})).greeting == "Hello x"
    with pytest.raises(errors.ClosedError):
        await module.run_sample({"name": "x"})
    config.connection = ConnectionInfo(**connection_of(runtime, protocol) | {"hostname": "127.0.0.1"})
    async with construct_remote_module_class(config)(config) as other:
        assert "127.0.0.1" in repr(other)
        assert (await other.run_sample({"name": "y"})).greeting == "Hello y"


async def test_configured_models(runtime: Runtime, protocol: Protocol) -> None:
    finder = RemoteModelFinder(
        {
            "protocol": protocol,
            "connection": connection_of(runtime, protocol),
            "discover_models": False,
            "supported_models": {"foo": {"module_id": SAMPLE_MODELS["foo"], "tasks": ["SampleTask"]}},
        }
    )
    config = await finder.find_model("foo")
    assert config is not None
    assert [task for task, _ in config.task_methods] == ["SampleTask"]
    assert await finder.find_model("bar") is None
    await finder.aclose()


async def test_a_server_for_each_model(runtime: Runtime, protocol: Protocol) -> None:
    # `localhost` is a model's name that resolves.
    finder = RemoteModelFinder(
        {
            "protocol": protocol,
            "connection": connection_of(runtime, protocol) | {"hostname": "{}"},
            "supported_models": {"localhost": SAMPLE_MODELS["foo"]},
        }
    )
    config = await finder.find_model("localhost")
    assert config is not None
    assert config.connection.hostname == "localhost"
    with pytest.raises(errors.InputError, match="must be a DNS label"):
        await finder.find_model("evil.example/")
    assert "foo" in await finder.discover("localhost")
    await finder.aclose()


async def test_two_libraries_in_one_process(runtime: Runtime, other_runtime: Runtime, protocol: Protocol) -> None:
    targets = [target_of(each, protocol) for each in (runtime, other_runtime)]
    async with RemoteClient(targets[0]) as sample, RemoteClient(targets[1]) as other:
        greets, doubles = await sample.model("foo"), await other.model("foo")
        assert (await greets.run_sample({"name": "x"})).greeting == "Hello x"
        assert (await doubles.run_sample({"number": 21})).doubled == 42
        told = {"grpc": "it has number", "http": "inputs.name: no such field"}[protocol]
        with pytest.raises(errors.InputError, match=told):
            doubles.run_sample({"name": "x"})
        same = [(await each.describe()).type("SampleInputType") for each in (sample, other)]
        assert same[0] is not same[1]


async def test_several_servers(runtime: Runtime, other_runtime: Runtime, protocol: Protocol) -> None:
    async with RemoteClient([target_of(each, protocol) for each in (other_runtime, runtime)]) as client:
        names = {info.name for info in await client.models()}
        assert {runtime.marker, other_runtime.marker} <= names
        # Of two servers that list `foo`, the first is used; `bar` only the second has.
        foo, bar = await client.model("foo"), await client.model("bar")
        assert foo.config.module_id == OTHER_MODELS["foo"]
        assert (await foo.run_sample({"number": 2})).doubled == 4
        assert (await bar.run_sample({"name": "x"})).greeting == "Hello x"


async def test_a_dead_server_among_two(runtime: Runtime, protocol: Protocol) -> None:
    port = free_port()
    async with RemoteClient([nobody(port, protocol), target_of(runtime, protocol)]) as client:
        assert (await (await client.model("foo")).run_sample({"name": "x"})).greeting == "Hello x"
        with pytest.raises(errors.ModelNotFoundError, match=f"localhost:{port} could not be asked"):
            await client.model("nothing")


async def test_ipv6(runtime: Runtime) -> None:
    # The runtime's HTTP server listens on IPv4 only.
    for target in (f"[::1]:{runtime.port}", ConnectionInfo(hostname="::1", port=runtime.port)):
        async with RemoteClient(target) as client:
            assert (await (await client.model("foo")).run_sample({"name": "x"})).greeting == "Hello x"


async def test_unix_socket(tmp_path: Path) -> None:
    path = tmp_path / "grpc.sock"
    with Runtime(models={"foo": SAMPLE_MODELS["foo"]}, unix_socket=str(path)):
        async with RemoteClient(f"unix:{path}") as client:
            assert await client.healthy()
            model = await client.model("foo")
            assert (await model.run_sample({"name": "x"})).greeting == "Hello x"
            answers = [item async for item in model.run_sample_bidi_stream([{"name": "x"}])]
            assert len(answers) == 1
            assert repr(client).startswith(f"<RemoteClient of unix:{path}")


@pytest.mark.parametrize(("age", "at_least"), [(-1, 1), (0, 20), (0.05, 3)])
async def test_session_age(runtime: Runtime, protocol: Protocol, age: float, at_least: int) -> None:
    async with RemoteClient(target_of(runtime, protocol), max_session_age=age) as client:
        model = await client.model("foo")
        for _ in range(20):
            assert (await model.run_sample({"name": "x"})).greeting == "Hello x"
            await asyncio.sleep(0.01)
        opened = int(repr(client).split()[-3])
    assert opened == 1 if age < 0 else opened >= at_least


async def test_streams_outlive_their_session(runtime: Runtime, protocol: Protocol) -> None:
    async with RemoteClient(target_of(runtime, protocol), max_session_age=0.05) as client:
        foo, slow = await client.model("foo"), await client.model("slow")
        async with slow.run_slow_stream_out(0.1, count=4) as stream:
            for number in range(4):
                assert (await anext(stream)).greeting == f"slept {number}"
                assert (await foo.run_sample({"name": "x"})).greeting == "Hello x"
        assert int(repr(client).split()[-3]) >= 4


async def test_metadata(runtime: Runtime, protocol: Protocol) -> None:
    async def token() -> dict[str, str]:
        return {"authorization": "Bearer abc"}

    def identity() -> dict[str, str]:
        return {"X-Request-Id": "1"}

    sources: list[Callable[[], Any] | dict[str, str | bytes]] = [token, identity, {"trace-bin": b"\x00"}]
    for source in sources:
        async with RemoteClient(target_of(runtime, protocol), metadata=source) as client:
            model = (await client.model("foo")).with_options(metadata={"other": "x"})
            assert (await model.run_sample({"name": "x"})).greeting == "Hello x"
    async with RemoteClient(target_of(runtime, protocol)) as client:
        model = await client.model("foo")
        with pytest.raises(errors.InputError, match="'mm-model-id' cannot be used"):
            await model.with_options(metadata={"mm-model-id": "bar"}).run_sample({"name": "x"})


async def test_metadata_are_headers_of_every_request(runtime: Runtime) -> None:
    recorder = Recorder()
    tokens = iter(range(100))
    source: Callable[[], Any] = lambda: {"authorization": f"Bearer {next(tokens)}"}  # noqa: E731
    async with RemoteClient(runtime.http_target, metadata=source, transport=recorder) as client:
        model = (await client.model("foo")).with_options(metadata={"trace-bin": b"\x00\xff"})
        await model.run_sample({"name": "x"})
        assert [item.greeting async for item in model.run_sample_stream_out({"name": "x"}, count=1)] == ["Hello x 0"]
        await client.healthy()
    sent = recorder.requests
    assert [each.headers["authorization"] for each in sent] == [f"Bearer {number}" for number in range(len(sent))]
    assert [each.headers.get("trace-bin") for each in sent if each.method == "POST"] == ["AP8="] * 2
    assert [each.url.path for each in sent] == [
        "/openapi.json",
        "/info/models",
        "/api/v1/task/sample",
        "/api/v1/task/server-streaming-sample",
        "/health",
    ]
