"""Schemas of the files that caikit's `dump_services` writes do what those do that the runtime tells of itself."""

from __future__ import annotations

import subprocess
import sys
import uuid
from enum import Enum
from pathlib import Path
from typing import Any

import pytest

from remote_client import JobStatus, RemoteClient, ServiceDescription, sync
from remote_client._cli.main import main
from remote_client._schema.schema_file import read_schema
from remote_client.errors import UnsupportedError

from ..support.runtime import Runtime, dump_services
from .deeds import DEEDS, PEOPLE, Deed
from .protocols import PROTOCOLS, Protocol, target_of, undeploy

EACH = [(protocol, deed) for protocol, deeds in DEEDS.items() for deed in deeds]
SCHEMAS = [
    ("grpc", "protoc"),
    ("grpc", "protoc, by package"),
    ("grpc", "folder"),
    ("grpc", "reflection"),
    ("http", "document"),
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What caikit writes of the sample library: `.proto` files, and `openapi.json`."""
    return dump_services("sample_lib", tmp_path_factory.mktemp("dumped"))


def compiled(folder: Path) -> Path:
    """The file that protoc makes of a folder."""
    path = folder / "set.binpb"
    command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{folder}", "--include_imports", "--descriptor_set_out"]
    subprocess.run([*command, path, *folder.glob("*.proto")], check=True, capture_output=True)
    return path


@pytest.fixture(scope="module")
def descriptions(runtime: Runtime) -> dict[Protocol, ServiceDescription]:
    """What the runtime tells of itself."""
    told: dict[Protocol, ServiceDescription] = {}
    for protocol in PROTOCOLS:
        with sync.RemoteClient(target_of(runtime, protocol)) as client:
            told[protocol] = client.describe()
    return told


@pytest.fixture(scope="module")
def schemas(runtime: Runtime, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[Protocol, dict[str, Any]]:
    """What is given as schema=, by where it comes from."""
    by_package = dump_services("sample_lib", tmp_path_factory.mktemp("by_package"), "--consolidate-packages")
    grpc: dict[str, Any] = {"protoc": compiled(folder), "protoc, by package": compiled(by_package)}
    grpc["folder"] = read_schema(folder, "grpc")  # once, as protoc takes half a second
    written = tmp_path_factory.mktemp("written")
    grpc["reflection"], document = written / "runtime.binpb", written / "runtime.json"
    for target, path in ((runtime.target, grpc["reflection"]), (runtime.http_target, document)):
        assert main(["schema", "-t", target, "-o", str(path)]) == 0
    return {"grpc": grpc, "http": {"document": document}}


@pytest.mark.sampled(16)
@pytest.mark.parametrize(("protocol", "deed"), EACH, ids=lambda each: each if isinstance(each, str) else each.method)
async def test_a_call_is_the_same_with_every_schema(
    runtime: Runtime, protocol: Protocol, schemas: dict[Protocol, dict[str, Any]], deed: Deed
) -> None:
    # Over HTTP the runtime has no jobs of modules of several tasks (caikit 0.29).
    deeds = [deed, deed.job] if deed.is_unary and protocol == "grpc" else [deed]
    outcomes = []
    for schema in (None, *schemas[protocol].values()):
        async with RemoteClient(target_of(runtime, protocol), schema=schema) as client:
            outcomes.append([await each.outcome(client) for each in deeds])
    expected = outcomes[0]
    assert [isinstance(each, str) for each in expected] == [deed.model != "failing"] * len(deeds)
    assert outcomes == [expected] * len(outcomes)


def test_a_call_of_each_method_is_made(descriptions: dict[Protocol, ServiceDescription]) -> None:
    methods = {rpc.name for task in descriptions["grpc"].tasks.values() for rpc in task.methods}
    deeds = DEEDS["grpc"]
    assert methods == {each.method for each in (*deeds, *(each.job for each in deeds if each.is_unary))}


def members(kind: Any) -> list[str]:
    """The members of an enum, or the fields of a model with their types."""
    return list(map(repr, kind if issubclass(kind, Enum) else kind.model_fields.items()))


@pytest.mark.parametrize(("protocol", "schema"), SCHEMAS)
async def test_a_schema_describes_what_the_runtime_does(
    runtime: Runtime,
    protocol: Protocol,
    schemas: dict[Protocol, dict[str, Any]],
    descriptions: dict[Protocol, ServiceDescription],
    schema: str,
) -> None:
    async with RemoteClient(target_of(runtime, protocol), schema=schemas[protocol][schema]) as client:
        told = await client.describe()
    assert str(told) == str(descriptions[protocol])
    for name, kind in told.types.items():
        assert members(kind) == members(descriptions[protocol].types[name])


@pytest.mark.parametrize(("protocol", "schema"), SCHEMAS)
async def test_a_training(
    runtime: Runtime, protocol: Protocol, schemas: dict[Protocol, dict[str, Any]], schema: str
) -> None:
    async with RemoteClient(target_of(runtime, protocol), schema=schemas[protocol][schema]) as client:
        name = f"trained-{uuid.uuid4().hex[:8]}"
        model = await client.model("foo")
        job = await model.train(PEOPLE, ["x"], batch_size=8, model_name=name, module="SampleModule")
        assert (await job.wait()).state is JobStatus.COMPLETED
        trained = await job.model()
        assert (await trained.run_sample({"name": "World"})).greeting == "Hello World"
        assert name in {each.name for each in await client.models()}
    async with RemoteClient(target_of(runtime, protocol)) as client:
        await undeploy(client, name)


@pytest.mark.parametrize(("protocol", "schema"), SCHEMAS)
async def test_nothing_breaks_of_what_a_schema_tells(
    runtime: Runtime, protocol: Protocol, schemas: dict[Protocol, dict[str, Any]], schema: str
) -> None:
    async with RemoteClient(target_of(runtime, protocol), schema=schemas[protocol][schema]) as client:
        found = await client.check_schema()
    lacking = [] if schema in ("reflection", "document") else ["DeployModel", "UndeployModel"]
    assert [(each.path, each.breaking) for each in found] == [(each, False) for each in lacking]


async def test_the_file_of_a_service_is_enough_for_its_calls(runtime: Runtime, folder: Path) -> None:
    async with RemoteClient(runtime.target, schema=folder / "samplelibservice.proto") as client:
        assert (await (await client.model("foo")).run_sample({"name": "World"})).greeting == "Hello World"
        with pytest.raises(UnsupportedError, match="schema has no GetModelsInfo"):
            await client.models()


async def test_caikits_files_lack_the_deployment_of_models(runtime: Runtime, folder: Path) -> None:
    async with RemoteClient(runtime.target, schema=folder) as client:
        with pytest.raises(UnsupportedError, match="schema has no DeployModel"):
            await client.deploy_model("new", {"config.yml": b""})


async def test_caikits_document_lacks_types_of_parameters(runtime: Runtime, folder: Path) -> None:
    async with RemoteClient(runtime.http_target, schema=folder / "openapi.json") as client:
        (note,) = (await client.describe()).notes
        assert "does not define BundleTaskRequestParameters" in note
        assert (await (await client.model("foo")).run_sample(PEOPLE[0])).greeting == "Hello Ada"
