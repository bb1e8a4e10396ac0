"""Why a job failed, told with a traceback, over both protocols."""

from __future__ import annotations

from typing import Any

import pytest

from remote_client import JobStatus, RemoteClient
from remote_client.errors import JobFailedError


def check_traceback(error: JobFailedError) -> None:
    """A traceback is readable in the reasons, in the error's text and in a notebook."""
    (reason,) = error.reasons
    lines = reason.splitlines()
    assert lines[0] == "Traceback (most recent call last):"
    assert lines[1].startswith('  File "')
    assert lines[-1].startswith("json.decoder.JSONDecodeError: Expecting property name")
    assert len(lines) > 5
    assert str(error).endswith(f" failed: {reason}")
    shown: Any = error._repr_html_()
    assert "\nTraceback" not in shown  # it follows what failed
    assert "Traceback (most recent call last):\n  File &quot;" in shown
    assert "\njson.decoder.JSONDecodeError: Expecting property name" in shown
    assert "\n" not in repr(error)


async def test_a_prediction_job(client: RemoteClient) -> None:
    job = await (await client.model("failing")).start_failing_job("traceback")
    with pytest.raises(JobFailedError) as caught:
        await job.wait()
    check_traceback(caught.value)
    info = await job.status()
    assert info.state is JobStatus.ERRORED
    assert info.reasons == caught.value.reasons
    assert "\njson.decoder.JSONDecodeError: Expecting property name" in info._repr_html_()


async def test_a_training(client: RemoteClient) -> None:
    model = await client.model("foo")
    training = await model.train(training_data=[{"name": "a"}], union_list=["x"], fail=True, note="traceback")
    for deed in (training.wait, training.model):
        with pytest.raises(JobFailedError) as caught:
            await deed()
        check_traceback(caught.value)
