"""Prediction jobs, trainings and model management, over both protocols."""

from __future__ import annotations

import asyncio
import enum
import json
import sys
import uuid
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy
import pandas
import pyarrow
import pytest

from remote_client import JobStatus, PredictionJob, RemoteClient, RemoteModelFinder, RemoteModelInitializer, TrainingJob
from remote_client.errors import (
    AlreadyExistsError,
    DeadlineExceededError,
    InputError,
    JobCancelledError,
    JobFailedError,
    ModelNotFoundError,
    NotFoundError,
)

from ..support.runtime import SAMPLE_MODELS, Runtime
from .protocols import Protocol, connection_of, target_of

CONFIG = f"module_id: {SAMPLE_MODELS['foo']}\n".encode()


def unique(stem: str) -> str:
    return f"{stem}-{uuid.uuid4().hex[:8]}"


def trained(runtime: Runtime, name: str) -> dict[str, Any]:
    """What the module that was trained says it was trained with."""
    (file,) = runtime.log.parent.rglob(f"{name}/config.yml")
    text = file.read_text().partition("\ntrained:\n")[2]
    answer: dict[str, Any] = {}
    key = ""
    for line in text.splitlines():
        if line.startswith("  - "):
            answer[key].append(line[4:])
        elif line.startswith("  "):
            key, _, value = line.strip().partition(":")
            answer[key] = value.strip() or []
    return answer


# -- prediction jobs --------------------------------------------------------------------------------------------------


async def test_a_job_completes(client: RemoteClient) -> None:
    model = await client.model("foo")
    job = await model.start_sample_job({"name": "World"})
    assert isinstance(job, PredictionJob)
    info = await job.wait()
    assert info.state is JobStatus.COMPLETED
    assert (await job.status()).state is JobStatus.COMPLETED
    for moment in (info.submission_timestamp, info.completion_timestamp):
        assert moment is not None
        assert moment.utcoffset() == timedelta(0)
        assert abs(datetime.now(UTC) - moment) < timedelta(minutes=1)
    assert (await job.result()).greeting == "Hello World"
    short = await client.model("foo", task="SampleTask")
    assert (await (await short.start_job({"name": "W"})).wait()).state is JobStatus.COMPLETED


async def test_a_job_fails(client: RemoteClient) -> None:
    job = await (await client.model("foo")).start_sample_job({"name": "World"}, throw=True)
    with pytest.raises(JobFailedError, match="failed: barf!") as caught:
        await job.wait()
    assert (caught.value.id, caught.value.reasons) == (job.id, ("barf!",))
    with pytest.raises(NotFoundError, match="encountered an error"):
        await job.result()
    assert (await job.status()).state is JobStatus.ERRORED


async def test_a_job_is_cancelled(client: RemoteClient) -> None:
    job = await (await client.model("slow")).start_slow_job(30.0)
    with pytest.raises(NotFoundError):
        await job.result()
    assert (await job.cancel()).state is JobStatus.CANCELED
    with pytest.raises(JobCancelledError, match="was cancelled"):
        await job.wait()
    with pytest.raises(NotFoundError, match="cancelled"):
        await job.result()


async def test_waiting_has_an_end(client: RemoteClient) -> None:
    job = await (await client.model("slow")).start_slow_job(30.0)
    with pytest.raises(DeadlineExceededError, match="is not done after"):
        await job.wait(0.3)
    waiting = asyncio.create_task(job.wait())
    await asyncio.sleep(0.2)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (await job.status()).state is JobStatus.RUNNING  # neither ended it
    await job.cancel()


async def test_a_ten_second_job_is_asked_about_at_most_12_times(
    grpc_client: RemoteClient, http_client: RemoteClient
) -> None:
    async def asked(client: RemoteClient) -> list[JobStatus]:
        job = await (await client.model("slow")).start_slow_job(10.0)
        seen: list[JobStatus] = []
        await job.wait(progress=lambda info: seen.append(info.state))
        return seen

    for seen in await asyncio.gather(asked(grpc_client), asked(http_client)):
        assert len(seen) <= 12
        assert set(seen) == {JobStatus.RUNNING, JobStatus.COMPLETED}


async def test_a_job_of_another_process(runtime: Runtime, protocol: Protocol, client: RemoteClient) -> None:
    target = target_of(runtime, protocol)
    code = f"""
import asyncio
import enum
from remote_client import RemoteClient
async def main():
    async with RemoteClient({target!r}) as client:
        print((await (await client.model("foo")).start_sample_job({{"name": "World"}})).id)
asyncio.run(main())
"""
    process = await asyncio.create_subprocess_exec(sys.executable, "-W", "error", "-c", code, stdout=-1)
    out, _ = await process.communicate()
    job = client.prediction_job("SampleTask", out.decode().strip())
    await job.wait()
    assert (await job.result()).greeting == "Hello World"


async def test_handles_of_what_is_unknown(client: RemoteClient) -> None:
    with pytest.raises(NotFoundError):
        await client.prediction_job("SampleTask", "nope").status()
    with pytest.raises(InputError, match="no server has prediction jobs of a task 'Nope'"):
        await client.prediction_job("Nope", "id").status()
    with pytest.raises(NotFoundError):
        await client.training("nope").status()
    with pytest.raises(InputError, match="model_name"):
        await client.training("nope").model()
    with pytest.raises(InputError):
        client.prediction_job("SampleTask", "")


async def test_a_job_on_one_of_two_servers(runtime: Runtime, other_runtime: Runtime, protocol: Protocol) -> None:
    targets = [target_of(other_runtime, protocol), target_of(runtime, protocol)]
    async with RemoteClient(targets) as client:
        started = await (await client.model("bar")).start_sample_job({"name": "World"})
        found = client.prediction_job("SampleTask", started.id)
        await found.wait()
        assert (await found.result()).greeting == "Hello World"


async def test_arguments_of_a_job_are_checked(client: RemoteClient) -> None:
    model = await client.model("foo")
    with pytest.raises(InputError, match=r"start_sample_job\(\): .*name: expected str, not int"):
        model.start_sample_job({"name": 5})


# -- trainings --------------------------------------------------------------------------------------------------------

ROWS = [{"name": "a"}, {"name": "b"}]


class Mode(enum.Enum):
    FAST = "fast"


@pytest.mark.parametrize(
    ("arguments", "recorded"),
    [
        ({"union_list": ["x"], "batch_size": 0}, {"union_list": ["x"], "batch_size": "0"}),
        ({"union_list": [1, 2], "ratio": 0.0}, {"union_list": ["1", "2"], "ratio": "0.0"}),
        ({"union_list": ["x"], "shuffle": False}, {"shuffle": "false"}),
        ({"union_list": ["x"], "note": ""}, {"note": "''"}),
        ({"union_list": ["x"]}, {"batch_size": "64", "ratio": "0.5", "shuffle": "true", "note": "none"}),
        ({"union_list": ["x"], "oom_exit_code": None, "note": None}, {"oom_exit_code": "null", "note": "none"}),
        ({"union_list": ["x"], "oom_exit_code": 137}, {"oom_exit_code": "137"}),
        (
            {"union_list": [Mode.FAST], "note": Mode.FAST, "batch_size": numpy.int64(5), "ratio": Decimal("0.1")},
            {"union_list": ["fast"], "note": "fast", "batch_size": "5", "ratio": "0.1"},
        ),
    ],
    ids=["int", "float", "bool", "str", "defaults", "none", "without a default", "of other libraries"],
)
async def test_arguments_arrive(
    runtime: Runtime, client: RemoteClient, arguments: dict[str, Any], recorded: dict[str, Any]
) -> None:
    name = unique("trained")
    training = await (await client.model("foo")).train(training_data=ROWS, model_name=name, **arguments)
    assert isinstance(training, TrainingJob)
    assert training.model_name == name
    assert (await training.wait()).state is JobStatus.COMPLETED
    found = trained(runtime, name)
    assert found["rows"] == ["a", "b"]
    assert {key: found[key] for key in recorded} == recorded


async def rows_of_an_async_iterable() -> Any:
    for row in ROWS:
        yield row


@pytest.mark.parametrize(
    "source",
    [
        lambda folder: iter(ROWS),
        lambda folder: rows_of_an_async_iterable(),
        lambda folder: folder / "rows.json",
        lambda folder: str(folder / "rows.json"),
        lambda folder: [folder / "rows.json", folder / "more.json"],
        lambda folder: {"dirname": str(folder / "rows"), "extension": "json"},
        lambda folder: {"data_stream": {"filename": str(folder / "rows.json")}},
        lambda folder: pandas.DataFrame(ROWS),
        lambda folder: pandas.DataFrame(ROWS).itertuples(),
        lambda folder: pyarrow.Table.from_pylist(ROWS),
    ],
    ids=[
        "iterator",
        "async iterable",
        "path",
        "text",
        "list of files",
        "directory",
        "as sent",
        "frame",
        "rows",
        "Arrow",
    ],
)
async def test_training_data(runtime: Runtime, client: RemoteClient, source: Any, tmp_path: Path) -> None:
    (tmp_path / "rows.json").write_text(json.dumps(ROWS))
    (tmp_path / "more.json").write_text(json.dumps(ROWS[:1]))
    (tmp_path / "rows").mkdir()
    for row in ROWS:
        (tmp_path / "rows" / f"{row['name']}.json").write_text(json.dumps(row))
    name = unique("trained")
    model = await client.model("foo")
    training = await model.train(source(tmp_path), ["x"], model_name=name, module="SampleModule")
    await training.wait()
    assert sorted(set(trained(runtime, name)["rows"])) == ["a", "b"]


async def test_a_trained_model_answers_at_once(client: RemoteClient) -> None:
    training = await (await client.model("foo")).train(training_data=ROWS, union_list=["x"])
    assert training.model_name is not None
    assert training.model_name.startswith("foo-")
    model = await training.model()
    assert (await model.run_sample({"name": "World"})).greeting == "Hello World"
    assert model.config.model_path == training.model_name
    again = await client.training(training.training_id, training.model_name).model()
    assert (await again.run_sample({"name": "World"})).greeting == "Hello World"


async def test_a_training_without_a_client(runtime: Runtime, protocol: Protocol) -> None:
    finder = RemoteModelFinder({"connection": connection_of(runtime, protocol), "protocol": protocol})
    config = await finder.find_model("foo")
    assert config is not None
    module = RemoteModelInitializer().init(config)
    assert module is not None
    async with module:
        training = await module.train(training_data=ROWS, union_list=["x"])
        model = await training.model()
        assert (await model.run_sample({"name": "World"})).greeting == "Hello World"
    await finder.aclose()


async def test_a_training_fails(client: RemoteClient) -> None:
    training = await (await client.model("foo")).train(training_data=ROWS, union_list=["x"], fail=True)
    for deed in (training.wait, training.model):
        with pytest.raises(JobFailedError, match="the training was asked to fail") as caught:
            await deed()
        assert caught.value.reasons == ("the training was asked to fail",)


async def test_a_training_is_cancelled(client: RemoteClient) -> None:
    training = await (await client.model("foo")).train(training_data=ROWS, union_list=["x"], seconds=30.0)
    assert (await client.training(training.training_id).cancel()).state is JobStatus.CANCELED
    with pytest.raises(JobCancelledError):
        await training.wait()


async def test_progress(client: RemoteClient, capsys: pytest.CaptureFixture[str]) -> None:
    training = await (await client.model("foo")).train(training_data=ROWS, union_list=["x"], seconds=0.5)
    await training.wait(progress=True)
    seen: list[JobStatus] = []

    async def asynchronous(info: Any) -> None:
        seen.append(info.state)

    await training.wait(progress=asynchronous)
    assert seen == [JobStatus.COMPLETED]


async def test_which_training(client: RemoteClient) -> None:
    """Two modules are called `SampleModule`, so no name decides: the arguments do, or `module=`."""
    model = await client.model("foo")
    assert model.config.train_method is None
    modules = {"SampleModule", "SamplePrimitiveModule", "EmbeddingModule"}
    assert {each.module for each in model.config.trainings} == modules
    assert (await (await model.train(sample_input={"name": "x"}, steps=2)).wait()).state is JobStatus.COMPLETED
    for arguments in ({}, {"training_data": ROWS, "union_list": ["x"], "steps": 1}):
        with pytest.raises(InputError, match=r"no server tells .*SampleModule: .*SamplePrimitiveModule: "):
            await model.train(**arguments)
    with pytest.raises(InputError, match=r"training_data\.data\[1\]\.name: expected str, not int"):
        await model.train(training_data=[{"name": "a"}, {"name": 5}], union_list=["x"], module="SampleModule")
    with pytest.raises(InputError, match="no trainings are of a module 'Nope'"):
        await model.train(module="Nope")
    with pytest.raises(InputError, match="cannot be the name of a model"):
        await model.train(training_data=ROWS, union_list=["x"], model_name="../x")


# -- models -----------------------------------------------------------------------------------------------------------


async def test_deploy_call_undeploy(client: RemoteClient) -> None:
    name = unique("deployed")
    info = await client.deploy_model(name, {"config.yml": CONFIG, "notes/more.bin": bytes(range(256)) * 300})
    assert (info.name, info.loaded) == (name, False)
    assert (await (await client.model(name)).run_sample({"name": "World"})).greeting == "Hello World"
    assert [each.name for each in await client.models(ids=[name, "foo"])] == [name, "foo"]
    with pytest.raises(AlreadyExistsError):
        await client.deploy_model(name, {"config.yml": CONFIG})
    await client.undeploy_model(name)
    with pytest.raises(NotFoundError):
        await client.undeploy_model(name)
    with pytest.raises(ModelNotFoundError):
        await client.models(ids=["foo", name])


async def test_deploy_a_folder(client: RemoteClient, tmp_path: Path) -> None:
    (tmp_path / "config.yml").write_bytes(CONFIG)
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "file").write_bytes(b"1")
    name = unique("deployed")
    await client.deploy_model(name, tmp_path)
    assert (await (await client.model(name)).run_sample({"name": "World"})).greeting == "Hello World"
    await client.undeploy_model(name)
