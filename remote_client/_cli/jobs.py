"""`remote-client jobs`: prediction jobs, and trainings by their ids."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import App, Parameter

from .completers import job_tasks
from .output import wants_json, write_json, write_table
from .parameters import AllOptions
from .progress import note, status_line
from .usage import UsageError

if TYPE_CHECKING:
    from .._client.client import RemoteClient
    from .._client.job_status import JobInfo
    from .._client.jobs import PredictionJob, TrainingJob
    from .options import Options

Task = Annotated[str | None, Parameter(completer=job_tasks)]
Training = Annotated[str | None, Parameter(help="The id of a training, instead of TASK and ID.")]

jobs = App(name="jobs", help="Start a prediction job, or ask about jobs and trainings.")


@jobs.command
async def status(task: Task = None, id: str | None = None, /, *, training: Training = None, options: AllOptions) -> int:
    """Print the status of a job.

    Args:
        task: The task's class, such as SampleTask.
        id: The job's id, as `jobs start` prints it.
        options: Name the runtime.
    """
    async with options.client() as client:
        job = _job(client, task, id, training)
        _write(job, await job.status(), options)
    return 0


@jobs.command
async def wait(
    task: Task = None,
    id: str | None = None,
    /,
    *,
    training: Training = None,
    limit: float | None = None,
    outage: float = 300.0,
    options: AllOptions,
) -> int:
    """Wait until a job is done, and print its status. Interrupting the wait leaves the job running.

    The exit code is 1 if the job failed or was cancelled.

    Args:
        task: The task's class, such as SampleTask.
        id: The job's id, as `jobs start` prints it.
        limit: The seconds to wait at most; without it there is no limit.
        outage: The seconds for which the server may be away; inf for no limit.
        options: Name the runtime.
    """
    async with options.client() as client:
        job = _job(client, task, id, training)
        with left_running(job, f"remote-client jobs wait {_named(task, job.id)}"), status_line(told(job)) as show:
            info = await job.wait(limit, outage, progress=lambda info: show(told(job, info)))
        _write(job, info, options)
    return 0


@jobs.command
async def cancel(task: Task = None, id: str | None = None, /, *, training: Training = None, options: AllOptions) -> int:
    """Cancel a job, and print its status. The server ends the work when it can.

    Args:
        task: The task's class, such as SampleTask.
        id: The job's id, as `jobs start` prints it.
        options: Name the runtime.
    """
    async with options.client() as client:
        job = _job(client, task, id, training)
        _write(job, await job.cancel(), options)
    return 0


def _job(
    client: RemoteClient, task: str | None, id: str | None, training: str | None
) -> PredictionJob | TrainingJob[Any]:
    if training is not None and task is None:
        return client.training(training)
    if training is None and task is not None and id is not None:
        return client.prediction_job(task, id)
    raise UsageError("give TASK and ID of a prediction job, or --training ID")


def _named(task: str | None, id: str) -> str:
    return f"--training {id}" if task is None else f"{task} {id}"


@contextmanager
def left_running(job: PredictionJob | TrainingJob[Any], command: str) -> Iterator[None]:
    """Tell that an interrupted wait leaves its job running.

    Args:
        job: the job.
        command: the command that waits for it.
    """
    from asyncio import CancelledError  # here, so that completion stays quick

    try:
        yield
    except CancelledError:
        note(f"interrupted; {told(job)} goes on: {command}")
        raise


def told(job: PredictionJob | TrainingJob[Any], info: JobInfo | None = None) -> str:
    """Return a job as lines of progress show it."""
    kind = "training" if hasattr(job, "training_id") else "job"
    return f"{kind} {job.id}" if info is None else f"{kind} {job.id}: {info.state.name}"


def _write(job: PredictionJob | TrainingJob[Any], info: JobInfo, options: Options) -> None:
    values = {"id": job.id, **dict(info)}
    if wants_json(options):
        write_json(values)
    else:
        write_table(list(values), [[*list(values.values())[:-1], "\n".join(info.reasons)]])
