"""PredictionJob and TrainingJob: work that goes on at the server, and what can be asked about it."""

from __future__ import annotations

import asyncio
import contextlib
import enum
import inspect
import math
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import datetime
from functools import partial
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from .._objects.exports import exported_from
from .._schema.rpc import JobMethods, RemoteRPCDescriptor
from .._schema.runtime_info import validation_reason
from .._settings.durations import REACH, Duration, seconds
from .._text.cleaning import clean, clean_lines
from .._text.redaction import forgetful
from .._text.tables import table
from ..errors import (
    ConfigurationError,
    DeadlineExceededError,
    InputError,
    InvalidResponseError,
    JobCancelledError,
    JobFailedError,
    NotFoundError,
    OutcomeUnknownError,
    RemoteCallError,
    SchemaError,
    UnavailableError,
)
from ..settings import ONCE
from .job_polling import OUTAGE, JobPoller, PollSchedule, is_transient
from .job_servers import FindJobServer, FindJobServers, JobServer
from .silent_servers import first_answer, for_any

M = TypeVar("M")
"""The class of a trained model's module."""

SERVED_WITHIN = 60.0
"""Seconds after which a trained model that its server does not serve is missing."""

Progress = bool | Callable[["JobInfo"], Any]


@exported_from("remote_client")
class JobStatus(enum.StrEnum):
    """Where a job is (caikit 0.29, `caikit.interfaces.common.data_model.runtime.JobStatus`)."""

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    CANCELED = "CANCELED"
    ERRORED = "ERRORED"

    @property
    def is_final(self) -> bool:
        """Whether it stays so."""
        return self in (JobStatus.COMPLETED, JobStatus.CANCELED, JobStatus.ERRORED)


@exported_from("remote_client")
class JobInfo(BaseModel):
    """What the server says about a job.

    Attributes:
        state: where it is.
        submission_timestamp: when it was started, with a time zone; None where the server does not tell.
        completion_timestamp: when it ended; None before, and where the server does not tell.
        reasons: why it failed; a traceback keeps its lines.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    state: JobStatus
    submission_timestamp: datetime | None = None
    completion_timestamp: datetime | None = None
    reasons: tuple[str, ...] = ()

    def _repr_html_(self) -> str:
        return table(type(self).__name__, self)

    @field_validator("state", mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        return value.name if isinstance(value, enum.Enum) else value

    @field_validator("reasons", mode="before")
    @classmethod
    def _no_empty_ones(cls, value: Any) -> Any:
        return [each for each in value if each] if isinstance(value, (list, tuple)) else value or ()

    @field_validator("reasons")
    @classmethod
    def _cleaned(cls, reasons: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(clean_lines, reasons))


_Which = Callable[[JobMethods], RemoteRPCDescriptor]


class _Job:
    """What both kinds of job have in common.

    Args:
        id: the server's id of it.
        homes: gives the servers that may have it, all of which are asked; several where it is not known which.
    """

    def __init__(self, id: str, homes: FindJobServers) -> None:
        if not isinstance(id, str) or not id:
            raise InputError(f"id: expected the id of a job, not {id!r}")
        self.id = id
        self._homes = homes
        self._home: JobServer | None = None
        self._is_complete = False
        """Whether `wait` saw that: it stays so, though a server that restarts forgets it."""

    async def status(self) -> JobInfo:
        """Where the job is now.

        Raises:
            NotFoundError: no server knows it.
            UnavailableError: no server that answered knows it; the message names the others.
        """
        return await self._ask(_status_of)

    async def cancel(self) -> JobInfo:
        """Cancel the job; the server says at once that it is cancelled, and ends the work when it can."""
        return await self._ask(lambda methods: methods.cancel)

    async def wait(
        self,
        timeout: Duration | None = None,
        outage: Duration | None = OUTAGE,
        *,
        poll: Duration | None = None,
        progress: Progress = False,
    ) -> JobInfo:
        """Wait until the job is done. Cancelling this leaves the job as it is.

        It goes on while the server cannot be reached, is overloaded or does not answer in time. All waits of an event
        loop together ask fewer than 50 times a second: of hundreds, each asks more rarely.

        Args:
            timeout: seconds (or a `timedelta`) to wait at most; None or `math.inf` for no limit.
            outage: seconds (or a `timedelta`) without an answer after which it ends; None or `math.inf` for no limit.
                With a timeout the default is no limit.
            poll: seconds between two questions, at least 0.1; without it they grow from 0.2 to 5.
            progress: True for a line that shows what goes on, in a notebook a line for each state (needs `rich`), or a
                function, async or not, that gets each status.

        Raises:
            JobFailedError: it failed.
            JobCancelledError: it was cancelled.
            DeadlineExceededError: it was not done in time; it goes on.
            UnavailableError: nobody answered for `outage` seconds; it may go on.
            NotFoundError: no server knows it: a runtime forgets its jobs when it restarts.
            RemoteCallError: the server refused to answer.
        """
        polling = PollSchedule(_outage(outage, timeout), None if poll is None else seconds(poll, "poll"))
        with _shown(self, progress) as show:
            time_limit = asyncio.timeout(None if timeout is None else seconds(timeout, "timeout"))
            info = None
            try:
                async with time_limit:
                    info = await self._done(JobPoller(self, polling), show)
            except TimeoutError:
                if not time_limit.expired():
                    raise
            finally:
                del time_limit  # see `RemoteStream._read`
        if info is None:
            raise self._late(f"is not done after {timeout} seconds", polling) from polling.error
        if info.state is JobStatus.ERRORED:
            raise JobFailedError(self._kind, self.id, info.reasons)
        if info.state is JobStatus.CANCELED:
            raise JobCancelledError(self._kind, self.id, info.reasons)
        self._is_complete = True
        return info

    async def _done(self, waiting: JobPoller, show: Callable[[JobInfo], Any]) -> JobInfo:
        while True:
            # What is asked again anyway is sent once.
            turns = len(self._homes()) if self._home is None else 1
            info = await waiting.ask(partial(self._ask, _status_of, retry=ONCE), turns)
            if info is None:
                continue
            shown = show(info)
            if inspect.isawaitable(shown):
                await shown
            if info.state.is_final:
                return info

    def _late(self, told: str, polling: PollSchedule) -> DeadlineExceededError:
        silent = polling.silent(asyncio.get_running_loop().time())
        outage = f"; nobody has answered for {silent:.3g} seconds: {polling.error}" if polling.error else ""
        return DeadlineExceededError(f"{self!r} {told}{outage}")

    @forgetful
    async def _ask(self, which: _Which, **options: Any) -> JobInfo:
        answer = await self._call(which, output="dict", **options)
        try:
            return JobInfo.model_validate(answer)
        except ValidationError as error:
            told = validation_reason(error)
        raise InvalidResponseError(f"the answer is no job's status: {told}")  # here, without the server's values

    async def _call(self, which: _Which, **options: Any) -> Any:
        if self._home is None:
            homes = self._homes()
            if len(homes) > 1:
                return await self._call_at(await self._find_home(homes, options), which, options)
            (find,) = homes.values()
            self._home = await find()
        return await self._call_at(self._home, which, options)

    async def _find_home(self, homes: Mapping[str, FindJobServer], options: dict[str, Any]) -> JobServer:
        """Ask several servers for the job's status; the first that knows the job has it."""
        untold: dict[str, Exception] = {}

        async def look(target: str, find: FindJobServer) -> JobServer:
            try:
                home = await find()
                await self._call_at(home, _status_of, options)
            except (RemoteCallError, SchemaError) as error:
                if not isinstance(error, NotFoundError):
                    untold[target] = error
                raise
            return home

        looks = [partial(look, *each) for each in homes.items()]
        found, errors = await first_answer(looks, for_any, failures=(RemoteCallError, SchemaError, InputError))
        for error in errors:
            error.with_traceback(None)  # which leads here, and so to itself
        if found is None:
            try:
                raise self._not_found(untold, errors)
            finally:
                untold.clear()
                errors.clear()
        self._home = found
        return found

    def _not_found(self, untold: Mapping[str, Exception], errors: list[Exception]) -> Exception:
        outage = [each for each in untold.values() if isinstance(each, RemoteCallError) and is_transient(each)]
        if not outage:
            return min(errors, key=_certainty)
        others = " no other server knows it, and" if len(untold) < len(errors) else ""
        told = "; ".join(f"{target} could not be asked ({error})" for target, error in untold.items())
        failure = UnavailableError(f"{self!r}:{others} {told}", target=", ".join(untold))
        failure.__cause__ = outage[0]
        return failure

    async def _call_at(self, home: JobServer, which: _Which, options: dict[str, Any]) -> Any:
        method = which(home.methods)
        return await home.caller.replace(**options).unary(
            method, method.codec.encode("", (), {home.methods.key: self.id})
        )

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_home": None}

    @property
    def _kind(self) -> str:
        return "job"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {clean(self.id)!r}>"

    def _repr_html_(self) -> str:
        return table(type(self).__name__, [("id", self.id)])


@exported_from("remote_client")
class PredictionJob(_Job):
    """A prediction that the server makes on its own; `start_<task>_job` starts one.

    Attributes:
        id: the server's id of it. `RemoteClient.prediction_job` makes a handle of an id, in any process.
    """

    async def result(self) -> Any:
        """What the method would have answered.

        Raises:
            NotFoundError: there is no result: the job is not done, or failed, or was cancelled, or is unknown.
        """
        return await self._call(_result_of)


@exported_from("remote_client")
class TrainingJob(_Job, Generic[M]):
    """A training; `train` starts one.

    Attributes:
        training_id: the server's id of it. `RemoteClient.training` makes a handle of an id, in any process.
        model_name: the name of the model that it makes.
    """

    def __init__(
        self,
        id: str,
        homes: FindJobServers,
        *,
        model_name: str | None = None,
        find: Callable[[str, JobServer], Awaitable[M | NotFoundError]],
    ) -> None:
        super().__init__(id, homes)
        self.model_name = model_name
        self._find = find

    @property
    def training_id(self) -> str:
        """The server's id of the training."""
        return self.id

    async def model(
        self, timeout: Duration | None = None, outage: Duration | None = OUTAGE, *, progress: Progress = False
    ) -> M:
        """Wait until the training is done, unless `wait` saw that, and its model can be called; the model's module.

        Args:
            timeout: seconds (or a `timedelta`) to wait at most, for both; None for no limit but a
                minute in which the server answers for the second.
            outage, progress: as in `wait`.

        Raises:
            JobFailedError, JobCancelledError, DeadlineExceededError, UnavailableError: see `wait`.
            InputError: the model's name is not known.
        """
        if not self.model_name:
            raise InputError("model_name: give the trained model's name to client.training(training_id, model_name)")
        due = None if timeout is None else asyncio.get_running_loop().time() + seconds(timeout, "timeout")
        if self._home is None or not self._is_complete:
            await self.wait(timeout, outage, progress=progress)
        assert self._home is not None
        polling = PollSchedule(_outage(outage, timeout), last=1.0)
        missing: list[NotFoundError] = []
        time_limit = asyncio.timeout_at(due)
        try:
            async with time_limit:
                patience = math.inf if due else SERVED_WITHIN
                module = await self._served(self.model_name, self._home, polling, patience, missing)
        except TimeoutError:
            if not time_limit.expired():
                raise
            module = None
        finally:
            del time_limit  # see `RemoteStream._read`
        if module is not None:
            return module
        answer = f" (the last answer: {missing[-1]})" if missing else ""
        told = (
            f"is done, but {self._home.caller.target} was not seen to have the model {self.model_name!r}{answer}: does "
            "the runtime keep trained models where it looks for models?"
        )
        raise self._late(told, polling) from (polling.error or (missing[-1] if missing else None))

    async def _served(
        self, name: str, home: JobServer, polling: PollSchedule, patience: float, missing: list[NotFoundError]
    ) -> M | None:
        waiting, now = JobPoller(self, polling), asyncio.get_running_loop().time
        while polling.answering(now()) < patience:
            module = await waiting.ask(partial(self._find, name, home))
            if isinstance(module, NotFoundError):
                missing[:] = [module]
            elif module is not None:
                return module
        return None

    @property
    def _kind(self) -> str:
        return "training"

    def __repr__(self) -> str:
        return f"<TrainingJob {clean(self.id)!r} of the model {self.model_name!r}>"

    def _repr_html_(self) -> str:
        return table(type(self).__name__, [("id", self.id), ("model_name", self.model_name)])


async def is_running(training: TrainingJob[Any]) -> bool:
    """Whether a training goes on. One that its server forgot does not."""
    try:
        return not (await training.status()).state.is_final
    except NotFoundError:
        return False


def _certainty(error: Exception) -> int:
    """Return how surely an error means that a server has no such job. The least certain error is raised."""
    return 2 if isinstance(error, InputError) else 1 if isinstance(error, NotFoundError) else 0


def _status_of(methods: JobMethods) -> RemoteRPCDescriptor:
    return methods.status


def _result_of(methods: JobMethods) -> RemoteRPCDescriptor:
    assert methods.result is not None
    return methods.result


def _outage(given: Duration | None, timeout: Duration | None) -> float:
    """Return the seconds without an answer that end a wait."""
    outage = REACH if given is None else seconds(given, "outage")
    has_end = timeout is not None and seconds(timeout, "timeout") < REACH
    return math.inf if outage == REACH or (has_end and outage == OUTAGE) else outage


@contextlib.contextmanager
def _shown(job: _Job, progress: Progress) -> Iterator[Callable[[JobInfo], Any]]:
    """What to call with each status."""
    if progress is not True:
        yield progress or (lambda info: None)
        return
    try:
        from rich.status import Status
        from rich.text import Text
    except ImportError:
        raise ConfigurationError("progress=True needs rich: pip install 'remote-client[progress]'") from None
    line = Status(Text(f"{job!r}"))  # the server's words, and no markup
    if line.console.is_jupyter:  # rich would warn there that it needs ipywidgets
        yield _printed(job)
        return
    with line:
        yield lambda info: line.update(Text(f"{job!r}: {info.state.name}"))


def _printed(job: _Job) -> Callable[[JobInfo], Any]:
    """Prints each new state on a line."""
    last: JobStatus | None = None

    def show(info: JobInfo) -> None:
        nonlocal last
        if info.state is not last:
            last = info.state
            sys.stdout.write(f"{job!r}: {last.name}\n")

    return show


def job_of(answer: dict[str, Any], key: str, rpc: RemoteRPCDescriptor) -> str:
    """The id in the answer to a start. Without one nobody can ask about what was started."""
    found = answer.get(key)
    if not isinstance(found, str) or not found:
        raise OutcomeUnknownError(f"the server started a job but told no {key}", method=rpc.path.removeprefix("/"))
    return found
