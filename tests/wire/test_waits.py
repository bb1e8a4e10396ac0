"""Which answers to its questions a wait goes on through, and which end it."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any

import pytest

from remote_client import JobStatus, RemoteClient
from remote_client.errors import (
    InternalError,
    JobFailedError,
    NotFoundError,
    PermissionDeniedError,
    RemoteCallError,
    UnauthenticatedError,
    UnavailableError,
)
from tests.support import http_server
from tests.support.http_wire import RESET, HttpWire

ROUTE = "/api/v1/task/echo/job"
TRANSIENT: list[dict[str, Any]] = [*({"status": each} for each in (429, 502, 503, 504)), {"steps": [RESET]}]
DONE = {"body": {"state": "COMPLETED"}}


async def tell(server: HttpWire, *answers: dict[str, Any]) -> None:
    """Let a server with jobs answer so when it is asked for one's status."""
    document = http_server.openapi()
    operation: dict[str, Any] = {"responses": {"200": {"content": {"application/json": {"schema": {}}}}}}
    document["paths"][ROUTE] = dict.fromkeys(("post", "get", "delete"), operation)
    await server.faults({"GET /openapi.json": {"body": document}, f"GET {ROUTE}": list(answers)})


async def asked(server: HttpWire) -> int:
    count: int = (await server.stats())["started"][f"GET {ROUTE}"]
    return count


@pytest.mark.parametrize("fault", TRANSIENT, ids=lambda fault: str(fault.get("status", "reset")))
async def test_a_wait_goes_on_through_what_passes(http_wire: HttpWire, fault: dict[str, Any]) -> None:
    await tell(http_wire, *[fault] * 7, DONE)
    async with RemoteClient(http_wire.target) as client:
        assert (await client.prediction_job("EchoTask", "id").wait(poll=0.1)).state is JobStatus.COMPLETED
    assert await asked(http_wire) == 8


async def test_a_question_that_gets_no_answer_in_time_is_asked_again(http_wire: HttpWire) -> None:
    await tell(http_wire, {"delay": 60}, {"delay": 60}, DONE)
    async with RemoteClient(http_wire.target, timeout=0.5) as client:
        assert (await client.prediction_job("EchoTask", "id").wait(poll=0.1)).state is JobStatus.COMPLETED
    assert await asked(http_wire) == 3


@pytest.mark.parametrize(
    ("status", "expected"),
    [(401, UnauthenticatedError), (403, PermissionDeniedError), (404, NotFoundError), (500, InternalError)],
)
async def test_an_error_that_stays_ends_a_wait(
    http_wire: HttpWire, status: int, expected: type[RemoteCallError]
) -> None:
    await tell(http_wire, {"body": {"state": "RUNNING"}}, {"status": status})
    async with RemoteClient(http_wire.target) as client:
        with pytest.raises(expected):
            await client.prediction_job("EchoTask", "id").wait(poll=0.1)
    assert await asked(http_wire) == 2


async def test_a_silent_server_ends_a_wait_with_its_outage(http_wire: HttpWire) -> None:
    """A client without a limit of its own has one there."""
    await tell(http_wire, {"status": 503}, {"delay": 60})
    async with RemoteClient(http_wire.target, timeout=None) as client:
        with pytest.raises(UnavailableError, match=r"nobody has answered for .* seconds: DEADLINE_EXCEEDED: no answer"):
            await client.prediction_job("EchoTask", "id").wait(outage=1.0, poll=0.1)
    assert await asked(http_wire) == 2


async def test_what_ends_a_job_is_told_after_an_outage(http_wire: HttpWire) -> None:
    await tell(http_wire, *TRANSIENT, {"body": {"state": "ERRORED", "reasons": ["barf!"]}})
    async with RemoteClient(http_wire.target) as client:
        with pytest.raises(JobFailedError, match="barf!"):
            await client.prediction_job("EchoTask", "id").wait(poll=0.1)


# Not its timeout: asyncio's own limits leave a cycle, through the task that they cancel.
LEFT: dict[str, tuple[list[dict[str, Any]], Callable[[Any], Any]]] = {
    "outage": ([{"status": 503}] * 9, lambda job: job.wait(outage=0.3, poll=0.1)),
    "unknown": ([{"status": 404}], lambda job: job.wait()),
}


@pytest.mark.parametrize("several", [False, True], ids=["one server", "several"])
@pytest.mark.parametrize("end", LEFT)
async def test_a_wait_that_fails_needs_no_garbage_collector(
    http_wire: HttpWire, no_gc: None, end: str, several: bool
) -> None:
    answers, deed = LEFT[end]
    await tell(http_wire, *answers)
    async with RemoteClient([http_wire.target, "http://127.0.0.1:1"] if several else http_wire.target) as client:
        job = client.prediction_job("EchoTask", "id")
        if several and end == "unknown":  # the other one might know it
            deed = LEFT["outage"][1]
        with pytest.raises(RemoteCallError):
            await deed(job)
        gone = weakref.ref(job)
        del job
        assert gone() is None
