"""PredictionJob and TrainingJob: handles of work that goes on at the server."""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from .._concurrency.time_limits import LATE, within
from .._objects.exports import exported_from
from .._schema.rpc import JobMethods, RemoteRPCDescriptor
from .._settings.durations import OUTAGE, REACH, Duration, seconds
from .._settings.retries import ONCE
from .._text.cleaning import clean
from .._text.redaction import clears_frames
from .._text.tables import table
from ..errors import (
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
from .job_polling import JobPoller, PollSchedule, is_transient
from .job_servers import FindJobServer, FindJobServers, JobServer
from .silent_servers import first_answer, for_any

if TYPE_CHECKING:
    from .job_status import JobInfo, Progress

M = TypeVar("M")
"""The class of a trained model's module."""
SERVED_WITHIN = 60.0
"""Seconds in which a server must begin to serve a model whose training is done, where no timeout is given."""
_Method = Callable[[JobMethods], RemoteRPCDescriptor]
"""Picks one of the methods of jobs."""


class _Job:
    """The base of both kinds of job.

    Args:
        id: the server's id of the job.
        servers: returns the servers that may have the job, with a function for each.
    """

    def __init__(self, id: str, servers: FindJobServers) -> None:
        if not isinstance(id, str) or not id:
            raise InputError(f"id: expected the id of a job, not {id!r}")
        self.id = id
        self._servers = servers
        self._server: JobServer | None = None
        self._is_complete = False
        """Whether `wait` saw it complete. A server that restarts forgets that, the handle does not."""

    async def status(self) -> JobInfo:
        """Return the job's status.

        Raises:
            NotFoundError: no server knows the job.
            UnavailableError: no server that answered knows it; the message names the others.
        """
        return await self._ask(_status_of)

    async def cancel(self) -> JobInfo:
        """Cancel the job. The server says at once that it is cancelled, and ends the work when it can."""
        return await self._ask(lambda methods: methods.cancel)

    async def wait(
        self,
        timeout: Duration | None = None,
        outage: Duration | None = OUTAGE,
        *,
        poll: Duration | None = None,
        progress: Progress = False,
    ) -> JobInfo:
        """Wait until the job is done. Cancelling the wait leaves the job running.

        The wait goes on while the server is unreachable, overloaded or slow. All waits of an event loop together send
        fewer than 50 polls a second: hundreds of waits poll less often.

        Args:
            timeout: seconds (or a `timedelta`) to wait at most; None or `math.inf` for no limit.
            outage: seconds (or a `timedelta`) without an answer after which it ends; None or `math.inf` for no limit.
                With a timeout the default is no limit.
            poll: seconds between polls, at least 0.1; by default they grow from 0.2 to 5.
            progress: True for a line that shows the state, in a notebook a line per state (needs `rich`), or a
                function, sync or async, that gets every status.

        Raises:
            JobFailedError: the job failed.
            JobCancelledError: the job was cancelled.
            DeadlineExceededError: the job was not done in time; it goes on.
            UnavailableError: no server answered for `outage` seconds; the job may go on.
            NotFoundError: no server knows the job: a runtime forgets its jobs when it restarts.
            RemoteCallError: the server refused to answer.
        """
        from .job_status import JobStatus, showing

        schedule = PollSchedule(_outage(outage, timeout), None if poll is None else seconds(poll, "poll"))
        with showing(self, progress) as show:
            limit = None if timeout is None else seconds(timeout, "timeout")
            info = await within(limit, self._final_status(JobPoller(self, schedule), show))
        if info is LATE:
            raise self._late(f"is not done after {timeout} seconds", schedule) from schedule.error
        if info.state is JobStatus.ERRORED:
            raise JobFailedError(self._kind, self.id, info.reasons)
        if info.state is JobStatus.CANCELED:
            raise JobCancelledError(self._kind, self.id, info.reasons)
        self._is_complete = True
        return info

    async def _final_status(self, poller: JobPoller, show: Callable[[JobInfo], Any]) -> JobInfo:
        while True:
            turns = len(self._servers()) if self._server is None else 1
            # Without retries, as the next poll is one.
            info = await poller.poll(partial(self._ask, _status_of, retry=ONCE), turns)
            if info is None:
                continue
            shown = show(info)
            if inspect.isawaitable(shown):
                await shown
            if info.state.is_final:
                return info

    def _late(self, message: str, schedule: PollSchedule) -> DeadlineExceededError:
        silent = schedule.silent(asyncio.get_running_loop().time())
        outage = f"; nobody has answered for {silent:.3g} seconds: {schedule.error}" if schedule.error else ""
        return DeadlineExceededError(f"{self!r} {message}{outage}")

    @clears_frames
    async def _ask(self, method: _Method, **options: Any) -> JobInfo:
        answer = await self._call(method, output="dict", **options)
        from .._schema.runtime_info import validation_reason
        from .job_status import JobInfo

        try:
            return JobInfo.model_validate(answer)
        except ValueError as error:
            reason = validation_reason(error)
        # Raised here: the error above holds the server's values, and would be this one's context.
        raise InvalidResponseError(f"the answer is no job's status: {reason}")

    async def _call(self, method: _Method, **options: Any) -> Any:
        if self._server is None:
            servers = self._servers()
            if len(servers) > 1:
                return await self._call_at(await self._find_server(servers, options), method, options)
            (find,) = servers.values()
            self._server = await find()
        return await self._call_at(self._server, method, options)

    async def _find_server(self, servers: Mapping[str, FindJobServer], options: dict[str, Any]) -> JobServer:
        """Ask all servers for the job's status; the first that knows the job has it."""
        failed: dict[str, Exception] = {}

        async def look(target: str, find: FindJobServer) -> JobServer:
            try:
                server = await find()
                await self._call_at(server, _status_of, options)
            except (RemoteCallError, SchemaError) as error:
                if not isinstance(error, NotFoundError):
                    failed[target] = error
                raise
            return server

        looks = [partial(look, *item) for item in servers.items()]
        found, errors = await first_answer(looks, for_any, failures=(RemoteCallError, SchemaError, InputError))
        for error in errors:
            error.with_traceback(None)  # leads to this frame, and so to the error itself: a reference cycle
        if found is None:
            try:
                raise self._not_found(failed, errors)
            finally:
                failed.clear()
                errors.clear()
        self._server = found
        return found

    def _not_found(self, failed: Mapping[str, Exception], errors: list[Exception]) -> Exception:
        outage = [error for error in failed.values() if isinstance(error, RemoteCallError) and is_transient(error)]
        if not outage:
            return min(errors, key=_certainty)
        others = " no other server knows it, and" if len(failed) < len(errors) else ""
        unasked = "; ".join(f"{target} could not be asked ({error})" for target, error in failed.items())
        failure = UnavailableError(f"{self!r}:{others} {unasked}", target=", ".join(failed))
        failure.__cause__ = outage[0]
        return failure

    async def _call_at(self, server: JobServer, method: _Method, options: dict[str, Any]) -> Any:
        rpc = method(server.methods)
        return await server.caller.replace(**options).unary(
            rpc, rpc.codec.encode("", (), {server.methods.key: self.id})
        )

    def __getstate__(self) -> dict[str, Any]:
        return {**vars(self), "_server": None}

    @property
    def _kind(self) -> str:
        return "job"

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {clean(self.id)!r}>"

    def _repr_html_(self) -> str:
        return table(type(self).__name__, [("id", self.id)])


@exported_from("remote_client")
class PredictionJob(_Job):
    """A prediction that the server makes in the background; `start_<task>_job` starts one.

    Attributes:
        id: the server's id of the job. `RemoteClient.prediction_job` makes a handle of an id, in any process.
    """

    async def result(self) -> Any:
        """Return the answer that the method would have given.

        Raises:
            NotFoundError: there is no result: the job is not done, failed, was cancelled, or is unknown.
        """
        return await self._call(_result_of)


@exported_from("remote_client")
class TrainingJob(_Job, Generic[M]):
    """A training; `train` starts one.

    Attributes:
        training_id: the server's id of the training. `RemoteClient.training` makes a handle of an id, in any process.
        model_name: the name of the model that it makes.
    """

    def __init__(
        self,
        id: str,
        servers: FindJobServers,
        *,
        model_name: str | None = None,
        find: Callable[[str, JobServer], Awaitable[M | NotFoundError]],
    ) -> None:
        super().__init__(id, servers)
        self.model_name = model_name
        self._find = find

    @property
    def training_id(self) -> str:
        """The server's id of the training."""
        return self.id

    async def model(
        self, timeout: Duration | None = None, outage: Duration | None = OUTAGE, *, progress: Progress = False
    ) -> M:
        """Wait until the training is done and its model can be called, and return the model's module.

        Args:
            timeout: seconds (or a `timedelta`) to wait at most for both; with None there is no limit for the training,
                and a server that answers has a minute to serve the model.
            outage: as in `wait`.
            progress: as in `wait`.

        Raises:
            JobFailedError: the training failed.
            JobCancelledError: the training was cancelled.
            DeadlineExceededError: the model could not be called in time; the training goes on.
            UnavailableError: no server answered for `outage` seconds; the training may go on.
            InputError: the model's name is not known.
        """
        if not self.model_name:
            raise InputError("model_name: give the trained model's name to client.training(training_id, model_name)")
        now = asyncio.get_running_loop().time
        due = None if timeout is None else now() + seconds(timeout, "timeout")
        if self._server is None or not self._is_complete:
            await self.wait(timeout, outage, progress=progress)
        assert self._server is not None
        schedule = PollSchedule(_outage(outage, timeout), last=1.0)
        missing: list[NotFoundError] = []
        serving = self._served(self.model_name, self._server, schedule, math.inf if due else SERVED_WITHIN, missing)
        module = await within(None if due is None else due - now(), serving)
        if module is not LATE and module is not None:
            return module
        answer = f" (the last answer: {missing[-1]})" if missing else ""
        message = (
            f"is done, but {self._server.caller.target} was not seen to have the model {self.model_name!r}{answer}: "
            "does the runtime keep trained models where it looks for models?"
        )
        raise self._late(message, schedule) from (schedule.error or (missing[-1] if missing else None))

    async def _served(
        self, name: str, server: JobServer, schedule: PollSchedule, limit: float, missing: list[NotFoundError]
    ) -> M | None:
        """Return the model's module, or None if the server has answered for so long without having it."""
        poller, now = JobPoller(self, schedule), asyncio.get_running_loop().time
        while schedule.answering(now()) < limit:
            module = await poller.poll(partial(self._find, name, server))
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
    """Return whether a training goes on. One that its server forgot does not."""
    try:
        return not (await training.status()).state.is_final
    except NotFoundError:
        return False


def id_of(answer: dict[str, Any], key: str, rpc: RemoteRPCDescriptor) -> str:
    """Return the id in the answer to a start.

    Raises:
        OutcomeUnknownError: there is none, so that the job cannot be asked about.
    """
    found = answer.get(key)
    if not isinstance(found, str) or not found:
        raise OutcomeUnknownError(f"the server started a job but returned no {key}", method=rpc.path.removeprefix("/"))
    return found


def _certainty(error: Exception) -> int:
    """Return how surely an error means that a server has no such job. The least certain error is raised."""
    return 2 if isinstance(error, InputError) else 1 if isinstance(error, NotFoundError) else 0


def _status_of(methods: JobMethods) -> RemoteRPCDescriptor:
    return methods.status


def _result_of(methods: JobMethods) -> RemoteRPCDescriptor:
    assert methods.result is not None
    return methods.result


def _outage(given: Duration | None, timeout: Duration | None) -> float:
    """Return the seconds without an answer after which a wait ends."""
    outage = REACH if given is None else seconds(given, "outage")
    has_end = timeout is not None and seconds(timeout, "timeout") < REACH
    return math.inf if outage == REACH or (has_end and outage == OUTAGE) else outage
