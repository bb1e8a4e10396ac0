"""The jobs of a fake runtime: predictions and trainings that go on after the call that started them."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from ..errors import NotFoundError
from ._errors import status_of

_WORDS = {
    "RUNNING": "is still in progress",
    "CANCELED": "was cancelled",
    "ERRORED": "encountered an error",
}


@dataclass
class Job:
    """A job.

    Attributes:
        id: its id.
        work: the task that does it.
        state: one of caikit's states of jobs.
        result: the body's answer, once it is there.
    """

    id: str
    work: asyncio.Task[None] | None = None
    state: str = "RUNNING"
    result: Any = None
    _submitted: datetime = field(default_factory=lambda: datetime.now(UTC))
    _completed: datetime | None = None
    _reasons: list[str] = field(default_factory=list)

    async def run(self, work: Callable[[], Awaitable[Any]]) -> None:
        """Do the work, and note how it ends."""
        try:
            result = await work()
        except Exception as error:
            self._end("ERRORED", reasons=[status_of(error)[1]])
        else:
            self._end("COMPLETED", result)

    def _end(self, state: str, result: Any = None, reasons: list[str] | None = None) -> None:
        if self.state == "RUNNING":
            self.state, self.result, self._completed = state, result, datetime.now(UTC)
            self._reasons = reasons or []

    def cancel(self) -> None:
        """Cancel it at once, also if a plain function's thread goes on."""
        self._end("CANCELED")
        if self.work is not None:
            self.work.cancel()

    def status(self, key: str) -> dict[str, Any]:
        """Return its status; `key` is the name of the id."""
        answer = {
            key: self.id,
            "state": self.state,
            "submission_timestamp": self._submitted,
            "completion_timestamp": self._completed,
            "reasons": self._reasons,
        }
        return {name: value for name, value in answer.items() if value is not None}


class Jobs:
    """The jobs by id.

    Args:
        noun: what they are, in messages.
    """

    def __init__(self, noun: str) -> None:
        self._noun = noun
        self._jobs: dict[str, Job] = {}

    def start(self, work: Callable[[], Awaitable[Any]]) -> Job:
        """Start a job. Its work has not begun when this returns."""
        job = Job(str(uuid.uuid4()))
        self._jobs[job.id] = job
        job.work = asyncio.create_task(job.run(work))
        return job

    def get(self, id: str) -> Job:
        """Return a job.

        Raises:
            NotFoundError: there is none with this id.
        """
        if id not in self._jobs:
            raise NotFoundError(f"{self._noun} {id} not found")
        return self._jobs[id]

    def cancel(self, id: str) -> Job:
        """Cancel a job and return it. One that is over stays as it is.

        Raises:
            NotFoundError: there is none with this id.
        """
        job = self.get(id)
        job.cancel()
        return job

    def result(self, id: str) -> Any:
        """Return the result of a completed job.

        Raises:
            NotFoundError: there is none with this id, or it has no result.
        """
        job = self.get(id)
        if job.state != "COMPLETED":
            raise NotFoundError(f"{self._noun} {id} {_WORDS[job.state]}")
        return job.result

    async def aclose(self) -> None:
        """Cancel all jobs, and wait for their tasks."""
        work = [job.work for job in self._jobs.values() if job.work is not None]
        for task in work:
            task.cancel()
        await asyncio.gather(*work, return_exceptions=True)
