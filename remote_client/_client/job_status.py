"""The status of a job, and how a wait shows it."""

import contextlib
import enum
import sys
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, field_validator

from .._objects.exports import exported_from
from .._text.cleaning import clean_lines
from .._text.tables import ShownAsTable, table, text_table
from ..errors import ConfigurationError

# The annotations are no strings: `get_type_hints` would look for their names in `remote_client`.

Progress = bool | Callable[["JobInfo"], Any]
"""Whether a wait shows a line of progress, or the function that gets every status."""


@exported_from("remote_client")
class JobStatus(enum.StrEnum):
    """The state of a job, in the names of caikit 0.29.

    Attributes:
        QUEUED: it has not begun.
        RUNNING: it is at work.
        COMPLETED: it is done, and has a result.
        CANCELED: it was cancelled.
        ERRORED: it failed.
    """

    QUEUED = "QUEUED"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    CANCELED = "CANCELED"
    ERRORED = "ERRORED"

    @property
    def is_final(self) -> bool:
        """Whether the job is over."""
        return self in (JobStatus.COMPLETED, JobStatus.CANCELED, JobStatus.ERRORED)


@exported_from("remote_client")
class JobInfo(ShownAsTable, BaseModel):
    """A server's answer about a job.

    Attributes:
        state: its state.
        submission_timestamp: when it was started, with a time zone; None if the server does not say.
        completion_timestamp: when it ended; None before, or if the server does not say.
        reasons: why it failed; a traceback keeps its lines.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="ignore")

    state: JobStatus
    submission_timestamp: datetime | None = None
    completion_timestamp: datetime | None = None
    reasons: tuple[str, ...] = ()

    def __str__(self) -> str:
        times = [("submitted", self.submission_timestamp), ("completed", self.completion_timestamp)]
        lines = [line for reason in self.reasons for line in reason.splitlines()]
        reasons = [("reasons" if not index else "", line) for index, line in enumerate(lines)]
        return text_table([("state", self.state), *(row for row in times if row[1]), *reasons])

    def _repr_html_(self) -> str:
        return table(type(self).__name__, ((name, value) for name, value in self if value))

    @field_validator("state", mode="before")
    @classmethod
    def _by_name(cls, value: Any) -> Any:
        return value.name if isinstance(value, enum.Enum) else value

    @field_validator("reasons", mode="before")
    @classmethod
    def _without_empty_ones(cls, value: Any) -> Any:
        return [reason for reason in value if reason] if isinstance(value, (list, tuple)) else value or ()

    @field_validator("reasons")
    @classmethod
    def _cleaned(cls, reasons: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(clean_lines, reasons))


@contextlib.contextmanager
def showing(job: object, progress: Progress) -> Iterator[Callable[[JobInfo], Any]]:
    """Give the function to call with every status of a job.

    Raises:
        ConfigurationError: progress is True, and rich is not installed.
    """
    if progress is not True:
        yield progress or (lambda info: None)
        return
    try:
        from rich.status import Status
        from rich.text import Text
    except ImportError:
        raise ConfigurationError("progress=True needs rich: pip install 'remote-client[progress]'") from None
    line = Status(Text(f"{job!r}"))  # `Text`, because the server's words are no markup
    if line.console.is_jupyter:  # rich would warn there that it needs ipywidgets
        yield _state_printer(job)
        return
    with line:
        yield lambda info: line.update(Text(f"{job!r}: {info.state.name}"))


def _state_printer(job: object) -> Callable[[JobInfo], Any]:
    last: JobStatus | None = None

    def show(info: JobInfo) -> None:
        nonlocal last
        if info.state is not last:
            last = info.state
            sys.stdout.write(f"{job!r}: {last.name}\n")

    return show
