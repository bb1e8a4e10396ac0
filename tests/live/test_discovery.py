"""What a server tells, the parts used on their own, and the ways to reach a server."""

import asyncio
import datetime
import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import trustme

from remote_client import (
    ConnectionInfo,
    ConnectionTlsInfo,
    ModelInfo,
    RemoteClient,
    RemoteModelFinder,
    RemoteModelInitializer,
    construct_remote_module_class,
    errors,
)

from ..support.runtime import OTHER_MODELS, SAMPLE_MODELS, Runtime, free_port


async def test_models(client: RemoteClient, runtime: Runtime) -> None:
    models = {info.name: info for info in await client.models()}
    assert models.keys() == {*SAMPLE_MODELS, runtime.marker}
    foo = models["foo"]
    assert isinstance(foo, ModelInfo)
    assert (foo.module_id, foo.module_name, foo.loaded) == (SAMPLE_MODELS["foo"], "SampleModule", True)
    assert foo.module_metadata["version"] == "0.1.0"
    assert foo.size > 0


async def test_runtime_info(client: RemoteClient) -> None:
    assert "caikit" in (await client.runtime_info()).python_packages


async def test_healthy(client: RemoteClient, runtime: Runtime) -> None:
    assert await client.healthy() is True
    async with RemoteClient([runtime.target, f"localhost:{free_port()}"]) as half:
        assert await half.healthy() is False


async def test_describe(client: RemoteClient) -> None:
    description = await client.describe()
    assert description is await client.describe()
    assert list(description.tasks) == [
        "BidiStreamingTask",
        "BundleTask",
        "FailingTask",
        "FileTask",
        "GeoSpatialTask",
        "NumbersTask",
        "PairTask",
        "ParametersTask",
        "SampleTask",
        "SlowTask",
        "StreamingTask",
        "TaggedTask",
        "TextTask",
        "ZooTask",
    ]
    names = [[method.name for method in task.methods] for task in description.tasks.values()]
    assert names[0] == ["run_bidi_streaming", "run_bidi_streaming_bidi_stream"]
    assert names[8] == ["run_sample", "run_sample_stream_out", "run_sample_stream_in", "run_sample_bidi_stream"]
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


async def test_a_proxy_tells_the_truth(client: RemoteClient) -> None:
    model = await client.model("foo")
    signature = inspect.signature(model.run_sample)
    assert list(signature.parameters) == ["sample_input", "throw", "prefix"]
    assert signature.parameters["sample_input"].default is inspect.Parameter.empty
    assert signature.parameters["throw"].default is None
    assert signature.return_annotation is (await client.describe()).type("SampleOutputType")
    assert {"run_sample", "run_sample_stream_out", "run_zoo"} <= set(dir(model))
    assert "SampleTaskPredict" in (model.run_sample.__doc__ or "")
    assert "run_sample(sample_input: SampleInputType" in (type(model).__doc__ or "")
    assert repr(model).startswith("<SampleModule 'foo' at localhost:")
    with pytest.raises(AttributeError, match="did you mean run_sample"):
        model.run_simple
    assert not hasattr(model, "__missing__")


async def test_task(client: RemoteClient) -> None:
    model = await client.model("foo", task="SampleTask")
    assert (await model.run({"name": "x"})).greeting == "Hello x"
    assert [item.greeting async for item in model.run_stream_out({"name": "x"}, count=1)] == ["Hello x 0"]
    assert (await model.run_stream_in([{"name": "x"}], greeting="Hi ")).greeting == "Hi x"
    assert [item.greeting async for item in model.run_bidi_stream([{"name": "x"}])] == ["Hello x"]
    assert not hasattr(model, "run_zoo")
    with pytest.raises(errors.InputError, match="did you mean SampleTask"):
        await client.model("foo", task="SimpleTask")


async def test_unknown_model(client: RemoteClient) -> None:
    with pytest.raises(errors.ModelNotFoundError, match="did you mean 'foo'") as caught:
        await client.model("fooo")
    assert isinstance(caught.value, errors.NotFoundError)
    assert caught.value.model == "fooo"


async def test_nobody_answers() -> None:
    async with RemoteClient(f"localhost:{free_port()}") as client:
        with pytest.raises(errors.UnavailableError):
            await client.model("foo")
        with pytest.raises(errors.UnavailableError):
            await client.models()
        with pytest.raises(errors.UnavailableError):
            await client.describe()


async def test_the_parts(runtime: Runtime) -> None:
    finder = RemoteModelFinder({"connection": {"hostname": "localhost", "port": runtime.port}})
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
    config.connection = ConnectionInfo(hostname="127.0.0.1", port=runtime.port)
    async with construct_remote_module_class(config)(config) as other:
        assert "127.0.0.1" in repr(other)
        assert (await other.run_sample({"name": "y"})).greeting == "Hello y"


async def test_configured_models(runtime: Runtime) -> None:
    finder = RemoteModelFinder(
        {
            "connection": {"hostname": "localhost", "port": runtime.port},
            "discover_models": False,
            "supported_models": {"foo": {"module_id": SAMPLE_MODELS["foo"], "tasks": ["SampleTask"]}},
        }
    )
    config = await finder.find_model("foo")
    assert config is not None
    assert [task for task, _ in config.task_methods] == ["SampleTask"]
    assert await finder.find_model("bar") is None
    await finder.aclose()


async def test_a_server_for_each_model(runtime: Runtime) -> None:
    # `localhost` is a model's name that resolves.
    finder = RemoteModelFinder(
        {
            "connection": {"hostname": "{}", "port": runtime.port},
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


async def test_two_libraries_in_one_process(runtime: Runtime, other_runtime: Runtime) -> None:
    async with RemoteClient(runtime.target) as sample, RemoteClient(other_runtime.target) as other:
        greets, doubles = await sample.model("foo"), await other.model("foo")
        assert (await greets.run_sample({"name": "x"})).greeting == "Hello x"
        assert (await doubles.run_sample({"number": 21})).doubled == 42
        with pytest.raises(errors.InputError, match="it has number"):
            doubles.run_sample({"name": "x"})
        same = [(await each.describe()).type("SampleInputType") for each in (sample, other)]
        assert same[0] is not same[1]


async def test_several_servers(runtime: Runtime, other_runtime: Runtime) -> None:
    async with RemoteClient([other_runtime.target, runtime.target]) as client:
        names = {info.name for info in await client.models()}
        assert {runtime.marker, other_runtime.marker} <= names
        # Of two servers that list `foo`, the first is used; `bar` only the second has.
        foo, bar = await client.model("foo"), await client.model("bar")
        assert foo.config.module_id == OTHER_MODELS["foo"]
        assert (await foo.run_sample({"number": 2})).doubled == 4
        assert (await bar.run_sample({"name": "x"})).greeting == "Hello x"


async def test_a_dead_server_among_two(runtime: Runtime) -> None:
    dead = f"localhost:{free_port()}"
    async with RemoteClient([dead, runtime.target]) as client:
        assert (await (await client.model("foo")).run_sample({"name": "x"})).greeting == "Hello x"
        with pytest.raises(errors.ModelNotFoundError, match=f"{dead} could not be asked"):
            await client.model("nothing")


async def test_ipv6(runtime: Runtime) -> None:
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
async def test_session_age(runtime: Runtime, age: float, at_least: int) -> None:
    async with RemoteClient(runtime.target, max_session_age=age) as client:
        model = await client.model("foo")
        for _ in range(20):
            assert (await model.run_sample({"name": "x"})).greeting == "Hello x"
            await asyncio.sleep(0.01)
        opened = int(repr(client).split()[-3])
    assert opened == 1 if age < 0 else opened >= at_least


async def test_metadata(runtime: Runtime) -> None:
    async def token() -> dict[str, str]:
        return {"authorization": "Bearer abc"}

    def identity() -> dict[str, str]:
        return {"X-Request-Id": "1"}

    sources: list[Callable[[], Any] | dict[str, str | bytes]] = [token, identity, {"trace-bin": b"\x00"}]
    for source in sources:
        async with RemoteClient(runtime.target, metadata=source) as client:
            model = (await client.model("foo")).with_options(metadata={"other": "x"})
            assert (await model.run_sample({"name": "x"})).greeting == "Hello x"
    async with RemoteClient(runtime.target) as client:
        model = await client.model("foo")
        with pytest.raises(errors.InputError, match="'mm-model-id' cannot be used"):
            await model.with_options(metadata={"mm-model-id": "bar"}).run_sample({"name": "x"})


class Files:
    """Certificates of one authority, as files."""

    def __init__(self, folder: Path) -> None:
        self.authority = trustme.CA()
        self.ca = self._write(folder / "ca.pem", [self.authority.cert_pem])
        tomorrow = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)
        server = self.authority.issue_cert("localhost", not_after=tomorrow)
        client = self.authority.issue_cert("client@example.org", not_after=tomorrow)
        self.server_key = self._write(folder / "server.key", [server.private_key_pem])
        self.server_cert = self._write(folder / "server.pem", server.cert_chain_pems)
        self.client_key = self._write(folder / "client.key", [client.private_key_pem])
        self.client_cert = self._write(folder / "client.pem", client.cert_chain_pems)

    @staticmethod
    def _write(path: Path, blobs: list[trustme.Blob]) -> str:
        path.write_bytes(b"".join(blob.bytes() for blob in blobs))
        return str(path)


async def test_tls(tmp_path: Path) -> None:
    files = Files(tmp_path)
    tls = {"server": {"key": files.server_key, "cert": files.server_cert}}
    (tmp_path / "other").mkdir()
    with Runtime(tls=tls, ca_file=files.ca) as runtime:
        async with RemoteClient(f"grpcs://{runtime.target}", tls={"ca_file": files.ca}) as client:
            assert (await (await client.model("foo")).run_sample({"name": "x"})).greeting == "Hello x"
        wrong = ConnectionTlsInfo(ca_file=Files(tmp_path / "other").ca)
        async with RemoteClient(runtime.target, tls=wrong) as client:
            with pytest.raises(errors.TlsError):
                await client.models()
        async with RemoteClient(f"127.0.0.1:{runtime.port}", tls={"ca_file": files.ca}) as client:
            with pytest.raises(errors.TlsError):  # the certificate is for localhost
                await client.models()
        async with RemoteClient(runtime.target) as client:
            with pytest.raises(errors.UnavailableError):  # plain text to a TLS port
                await client.models()


async def test_mutual_tls(tmp_path: Path) -> None:
    files = Files(tmp_path)
    tls = {"server": {"key": files.server_key, "cert": files.server_cert}, "client": {"cert": files.ca}}
    ours = {"ca_file": files.ca, "cert_file": files.client_cert, "key_file": files.client_key}
    with Runtime(tls=tls, ca_file=files.ca, client_files=(files.client_key, files.client_cert)) as runtime:
        async with RemoteClient(runtime.target, tls=ours) as client:
            assert (await (await client.model("foo")).run_sample({"name": "x"})).greeting == "Hello x"
        async with RemoteClient(runtime.target, tls={"ca_file": files.ca}) as client:
            with pytest.raises(errors.UnavailableError):  # the server just closes the connection
                await client.models()
