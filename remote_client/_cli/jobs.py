"""`remote-client jobs`: prediction jobs, and trainings by their ids."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, Parameter

from .._text.cleaning import clean
from .completers import job_arguments, job_tasks
from .hints import hint
from .output import wants_json, write_json, write_line, write_table
from .parameters import AllOptions, Flag, Input, Model, Output
from .progress import note, sending, status_line
from .usage import UsageError

if TYPE_CHECKING:
    from .._client.client import RemoteClient
    from .._client.job_status import JobInfo
    from .._client.jobs import PredictionJob, TrainingJob
    from .._schema.rpc import RemoteRPCDescriptor, ServiceDescription
    from .options import Options

Task = Annotated[str | None, Parameter(completer=job_tasks)]
Training = Annotated[str | None, Parameter(help="The id of a training, instead of TASK and ID.")]

jobs = App(name="jobs", help="Start a prediction job, or ask about jobs and trainings.")


@jobs.command
async def start(
    model: Model,
    task: Annotated[str, Parameter(completer=job_tasks)],
    /,
    *arguments: Annotated[str, Parameter(allow_leading_hyphen=False, completer=job_arguments)],
    input: Input = None,
    options: AllOptions,
) -> int:
    """Start a prediction job, and print its id. It is sent once.

    ARGUMENTS are those of `call`.

    Args:
        model: The model's name.
        task: The task's class, such as SampleTask.
        arguments: The arguments of the task's unary method.
        input: A file with JSON, or - for standard input: the arguments as an object, or the value of the first one.
        options: Name the runtime.
    """
    from .call_arguments import CallArguments

    async with options.client() as client:
        method: Any = getattr(await client.model(model, task=task), "start_job", None)
        if method is None:
            raise UsageError(f"{task} has no prediction jobs")
        given = CallArguments(method.rpc).of(arguments, input)
        with sending(f"starting a job of {model}"):
            job = await method(**given)
    if options.json:
        write_json({"id": job.id})
    else:
        write_line(clean(job.id))
    return 0


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
async def result(
    task: Annotated[str, Parameter(completer=job_tasks)],
    id: str,
    /,
    *,
    format: Literal["dict", "json", "file"] | None = None,
    text: Flag = False,
    field: str | None = None,
    output: Output = None,
    options: AllOptions,
) -> int:
    """Print the answer of a job that is done, as `call` prints the method's.

    Args:
        task: The task's class, such as SampleTask.
        id: The job's id, as `jobs start` prints it.
        format: json; dict, as Python writes it; or file, the bytes of an answer that is a file.
        text: Print the text of the answer.
        field: Print this field of the answer, such as file.data.
        output: The file for the answer. The default is standard output.
        options: Name the runtime.
    """
    from .answers import answer_writer

    async with options.client() as client:
        method = _result_method(await client.describe(), task)
        writer = answer_writer(method, format, text=text, field=field, output=output)
        await writer.write_only(await client.prediction_job(task, id).result())
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


def _result_method(description: ServiceDescription, task: str) -> RemoteRPCDescriptor:
    from .._schema.ambiguous_names import matching_tasks

    tasks = description.tasks
    keys = matching_tasks(((key, each.methods) for key, each in tasks.items()), task)
    for method in (method for key in keys for method in tasks[key].methods):
        if method.job is not None and method.job.result is not None:
            return method.job.result
    named = [key for key, each in tasks.items() if any(method.job for method in each.methods)]
    raise UsageError(f"the runtime has no prediction jobs of a task {task!r}; {hint(task, named)}")


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
    if wants_json(options):
        write_json({"id": job.id, **dict(info)})
        return
    times = ("started", info.submission_timestamp), ("ended", info.completion_timestamp)
    write_table((), [("id", job.id), ("state", info.state), *times, *(("reason", reason) for reason in info.reasons)])
