"""What docs/long-work.md says of restarts. Its examples are run with those of all pages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from remote_client import JobStatus, RemoteClient
from remote_client.errors import ModelNotFoundError, NotFoundError

from ..support.runtime import SAMPLE_MODELS, Runtime
from .protocols import Protocol, target_of

CONFIG = f"module_id: {SAMPLE_MODELS['foo']}\n".encode()
TRAINING: dict[str, Any] = {"training_data": [{"name": "Ada"}], "union_list": ["x"], "module": "SampleModule"}


@asynccontextmanager
async def started(protocol: Protocol, folder: Path, **spec: Any) -> AsyncIterator[RemoteClient]:
    """A client of a runtime of its own, whose models are kept in a folder."""
    with Runtime(workdir=str(folder), **spec) as runtime:
        async with RemoteClient(target_of(runtime, protocol)) as client:
            yield client


@pytest.mark.sampled(1)
async def test_a_restart_of_the_runtime(protocol: Protocol, tmp_path: Path) -> None:
    """Models stay; jobs and trainings are forgotten, done or not."""
    async with started(protocol, tmp_path) as client:
        model = await client.model("foo")
        job = await model.start_sample_job({"name": "World"})
        training = await model.train(**TRAINING, model_name="kept")
        running = await model.train(**TRAINING, model_name="lost", seconds=60.0)
        await client.deploy_model("deployed", {"config.yml": CONFIG})
        await job.wait()
        await training.wait()
        assert (await running.status()).state is JobStatus.RUNNING
    async with started(protocol, tmp_path) as client:
        for handle in (
            client.prediction_job("SampleTask", job.id),
            client.training(training.id),
            client.training(running.id),
        ):
            with pytest.raises(NotFoundError):
                await handle.status()
        with pytest.raises(NotFoundError):
            await client.prediction_job("SampleTask", job.id).result()
        for name in ("kept", "deployed"):
            assert (await (await client.model(name)).run_sample({"name": "World"})).greeting == "Hello World"
        with pytest.raises(ModelNotFoundError):
            await client.model("lost")


@pytest.mark.sampled(1)
async def test_the_runtime_forgets_what_is_done(protocol: Protocol, tmp_path: Path) -> None:
    """After its `retention_duration`, when it is asked for any job: what a training made goes, too."""
    async with started(protocol, tmp_path, retention="2s") as client:
        model = await client.model("foo")
        job = await model.start_sample_job({"name": "World"})
        training = await model.train(**TRAINING, model_name="purged")
        await job.wait()
        await training.wait()
        assert list(tmp_path.rglob("purged/config.yml"))
        for each in (job, training):
            with pytest.raises(NotFoundError):
                while True:
                    await each.status()
                    await asyncio.sleep(0.2)
        with pytest.raises(NotFoundError):
            await job.result()
        assert not list(tmp_path.rglob("purged/config.yml"))
