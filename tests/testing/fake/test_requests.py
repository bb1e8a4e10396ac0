"""Requests to a fake runtime: files, trainings, schemas, deployments, and the routes of HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any, BinaryIO

import httpx
import pytest
from pydantic import BaseModel

from remote_client import RemoteClient
from remote_client._schema.protobuf.services import descriptor_set
from remote_client.declare import module, taskmethod
from remote_client.errors import (
    ConfigurationError,
    InternalError,
    InvalidArgumentError,
    JobFailedError,
    UnimplementedError,
)
from remote_client.testing import FakeRuntime

from .greeters import Greeter, Greeting, Held, Who


class File(BaseModel):
    data: bytes
    filename: str = ""
    type: str = ""


class Size(BaseModel):
    size: int
    name: str


@module("file-id", "Files", "1", task="FileTask")
class Files:
    @taskmethod()
    def run(self, document: File, note: bytes = b"") -> Size:
        return Size(size=len(document.data) + len(note), name=document.filename)


async def test_a_file_is_sent_as_one(protocol: str) -> None:
    with FakeRuntime({"files": Files}) as runtime:
        async with RemoteClient(getattr(runtime, protocol)) as client:
            model = await client.model("files")
            answer = await model.run_file({"data": bytes(200_000), "filename": "a.bin"}, note=bytes(100_000))
    assert (answer.size, answer.name) == (300_000, "a.bin")
    if protocol == "http":
        assert str(runtime.calls[0].metadata["content-type"]).startswith("multipart/form-data")


class Archive(BaseModel):
    name: str

    def to_file(self, file: BinaryIO) -> None:
        file.write(b"content")


@module("archive-id", "Archives", "1", task="ArchiveTask")
class Archives:
    @taskmethod()
    def run(self, name: str) -> Archive:
        return Archive(name=name)


async def test_an_answer_that_is_a_file_over_http() -> None:
    with FakeRuntime({"archives": Archives}) as runtime:
        async with RemoteClient(runtime.http) as client:
            model = await client.model("archives")
            answer = await model.run_archive("a")
            job = await model.start_archive_job("a")
            await job.wait()
            assert await job.result() == answer
        async with RemoteClient(runtime.grpc) as client:
            assert (await (await client.model("archives")).run_archive("a")).name == "a"
    assert answer.data == b"content"


async def test_training_data_in_files(model: Any, tmp_path: Path) -> None:
    (tmp_path / "one.json").write_text('[{"name": "a"}, {"name": "b"}]')
    (tmp_path / "two.jsonl").write_text('{"name": "c"}\n{"name": "d"}\n')
    (tmp_path / "broken.json").write_text("[")
    files = [tmp_path / "one.json", tmp_path / "two.jsonl"]
    training = await model.train(files, hello="", model_name="new")
    assert (await (await training.model()).run_sample({"name": "x"})).greeting == "abcd x"
    training = await model.train(tmp_path / "broken.json", model_name="broken")
    with pytest.raises(JobFailedError, match=r"broken\.json is no file of JSON rows"):
        await training.wait()


async def test_a_schema_file(protocol: str, tmp_path: Path) -> None:
    with FakeRuntime({"foo": Greeter}, library="own_lib") as runtime:
        async with RemoteClient(runtime.grpc) as client:
            (tmp_path / "own.binpb").write_bytes(descriptor_set(await client.describe()))

    @module("own-id", "Own", "1", task="SampleTask", schema=str(tmp_path / "own.binpb"))
    class Own(Greeter):
        pass

    with FakeRuntime({"own": Own}) as runtime:
        async with RemoteClient(getattr(runtime, protocol)) as client:
            own = await client.model("own", Own)
            assert (await own.run(Who("x"))).greeting == "Hello x"
        async with RemoteClient(runtime.grpc) as client:
            method = (await client.describe()).tasks["SampleTask"].methods[0]
            assert method.full_name == "caikit.runtime.OwnLib.OwnLibService/SampleTaskPredict"

    @module("other-id", "Other", "1", task="SampleTask", schema=str(tmp_path / "own.binpb"))
    class Other:
        @taskmethod()
        async def run(self, sample_input: Who) -> Greeting:
            return Greeting(greeting="other")

    with FakeRuntime({"other": Other}) as runtime:  # the schema has more than this
        async with RemoteClient(runtime.grpc, schema=tmp_path / "own.binpb") as client:
            model = await client.model("other")
            assert (await model.run_sample({"name": "x"})).greeting == "other"
            with pytest.raises(InvalidArgumentError, match="does not support BidiStreamingSampleTaskPredict"):
                await anext(model.run_sample_bidi_stream([{"name": "x"}]))
            with pytest.raises(UnimplementedError, match="No module has SampleTaskGreeterTrain"):
                await model.train([{"name": "x"}])
    with pytest.raises(ConfigurationError, match="Own has a schema file and Held has none"):
        FakeRuntime({"own": Own, "held": Held})


ROUTES: list[tuple[str, str, dict[str, Any], int, str]] = [
    ("GET", "/health", {}, 200, "OK"),
    ("POST", "/nothing", {}, 404, "Not Found"),
    ("PUT", "/health", {}, 405, "Method Not Allowed"),
    ("POST", "/api/v1/task/sample", {"content": b"x", "headers": {"content-type": "text/plain"}}, 415, "text/plain"),
    ("POST", "/api/v1/task/server-streaming-sample", {"content": b"x"}, 415, "Unsupported media type"),
    ("POST", "/api/v1/task/sample", {"json": {"model_id": "foo", "inputs": 5}}, 422, "additional_info"),
    ("POST", "/api/v1/task/sample", {"data": {"nothing": "1"}, "files": {"a": b"1"}}, 422, "Unknown key 'nothing'"),
    ("POST", "/api/v1/task/sample", {"json": {"inputs": {"name": "x"}}}, 400, "Please provide model_id"),
    ("GET", "/management/trainings?training_id=none", {}, 404, "Training none not found"),
    ("POST", "/management/models", {"json": {"model_id": "", "model_files": []}}, 400, "Must provide model_id"),
    ("POST", "/management/models", {"json": {"model_id": "x", "model_files": []}}, 400, "at least one model_files"),
]


@pytest.mark.parametrize(("verb", "path", "request_parts", "status", "told"), ROUTES)
def test_routes(
    runtime: FakeRuntime, verb: str, path: str, request_parts: dict[str, Any], status: int, told: str
) -> None:
    answer = httpx.request(verb, runtime.http + path, trust_env=False, **request_parts)
    assert (answer.status_code, told in answer.text) == (status, True), answer.text


async def test_a_deployed_model_of_no_known_module(model: Any, runtime: FakeRuntime, protocol: str) -> None:
    async with RemoteClient(getattr(runtime, protocol)) as client:
        await client.deploy_model("odd", {"config.yml": b"module_id: nobody"})
        with pytest.raises(InternalError, match=r"its config\.yml names the module 'nobody'"):
            await (await client.model("odd", task="SampleTask")).run({"name": "x"})
