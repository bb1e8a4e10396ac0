"""Time limits of every form against a real runtime: calls, streams, jobs and trainings."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import Any

import pytest

from remote_client import JobStatus, RemoteClient
from remote_client.errors import ConfigurationError, DeadlineExceededError

from ..support.runtime import Runtime
from .protocols import Protocol, target_of

LONG = [math.inf, 1e10, timedelta(days=365), timedelta.max]


@pytest.mark.parametrize("limit", LONG, ids=["inf", "1e10", "a year", "the longest"])
async def test_limits_out_of_reach(runtime: Runtime, protocol: Protocol, limit: Any) -> None:
    async with RemoteClient(target_of(runtime, protocol), timeout=limit, max_session_age=limit) as client:
        model: Any = await client.model("foo")
        value = {"name": "World"}
        assert (await model.run_sample(value)).greeting == "Hello World"
        endless = model.with_options(total_timeout=limit)
        assert [item async for item in endless.run_sample_stream_out(value)]
        job = await model.start_sample_job(value)
        assert (await job.wait(limit, poll=timedelta(milliseconds=100))).state is JobStatus.COMPLETED


async def test_a_short_timedelta(client: RemoteClient) -> None:
    slow: Any = await client.model("slow")
    with pytest.raises(DeadlineExceededError):
        await slow.with_options(timeout=timedelta(milliseconds=100)).run_slow(5.0)
    job = await slow.start_slow_job(5.0)
    with pytest.raises(DeadlineExceededError):
        await job.wait(timedelta(milliseconds=100))
    with pytest.raises(ConfigurationError, match="timeout: must be seconds or a timedelta, not '5'"):
        await job.wait("5")
    await job.cancel()
