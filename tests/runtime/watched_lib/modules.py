"""A module that ticks in a file while it works, and knows the deadline of the call that it serves."""

import asyncio
import time
from typing import Iterable, Optional

from caikit.core import DataObjectBase, ModuleBase, TaskBase, dataobject, module, task
from caikit.core.data_model import DataStream
from caikit.core.modules import ModuleSaver

TICK = 0.02
NO_DEADLINE = 3e9


@dataobject(package="caikit_data_model.watched_lib")
class Work(DataObjectBase):
    """Where to tick, and how long."""

    path: str
    seconds: float


@dataobject(package="caikit_data_model.watched_lib")
class Seen(DataObjectBase):
    """What the module saw of its call: over HTTP, and without a deadline, the seconds left are below 0."""

    number: int
    seconds_left: float


@task(
    unary_parameters={"work": Work},
    streaming_parameters={"works": Iterable[Work]},
    unary_output_type=Seen,
    streaming_output_type=Iterable[Seen],
)
class WatchTask(TaskBase):
    """Works for as long as it is told."""


@module(id="11110203-0405-0607-0809-0a0b02dd0e0f", name="WatchModule", version="0.1.0", task=WatchTask)
class WatchModule(ModuleBase):
    """Works, and stops when its caller has left."""

    @classmethod
    def load(cls, model_path, **_):
        return cls()

    def save(self, model_path):
        with ModuleSaver(self, model_path=model_path):
            pass

    @classmethod
    def train(cls, work: Work) -> "WatchModule":
        """Is done after the work."""
        _tick(work, lambda: False)
        return cls()

    @WatchTask.taskmethod(context_arg="context")
    def run(self, work: Work, context: Optional[object] = None) -> Seen:
        """Answers after the work. caikit interrupts it itself when the caller leaves."""
        left = _seconds_left(context)
        _tick(work, lambda: False)
        return Seen(number=0, seconds_left=left)

    @WatchTask.taskmethod(output_streaming=True, context_arg="context")
    def run_stream_out(
        self, work: Work, count: int = 3, first: float = 0.0, context: Optional[object] = None
    ) -> DataStream[Seen]:
        """Answers so many times, each after the work, and the first one after so many seconds more."""
        left, has_left = _seconds_left(context), _has_left(context)

        def stream():
            _tick(Work(path=work.path, seconds=first), has_left)
            for number in range(count):
                _tick(work, has_left)
                yield Seen(number=number, seconds_left=left)

        return DataStream(stream)

    @WatchTask.taskmethod(input_streaming=True, context_arg="context")
    def run_stream_in(self, works: DataStream[Work], context: Optional[object] = None) -> Seen:
        """Does one work after the other."""
        number, left = 0, _seconds_left(context)
        for work in works:
            _tick(work, _has_left(context))
            number += 1
        return Seen(number=number, seconds_left=left)

    @WatchTask.taskmethod(input_streaming=True, output_streaming=True, context_arg="context")
    def run_bidi_stream(self, works: DataStream[Work], context: Optional[object] = None) -> DataStream[Seen]:
        """Answers after each work."""
        left, has_left = _seconds_left(context), _has_left(context)

        def stream():
            for number, work in enumerate(works):
                _tick(work, has_left)
                yield Seen(number=number, seconds_left=left)

        return DataStream(stream)


def _tick(work, has_left):
    """Write to the file as long as the work takes, or until the caller has left."""
    end = time.monotonic() + work.seconds
    with open(work.path, "ab", buffering=0) as file:
        file.write(b".")
        while time.monotonic() < end and not has_left():
            time.sleep(TICK)
            file.write(b".")


def _seconds_left(context):
    time_remaining = getattr(context, "time_remaining", None)
    seconds = -1.0 if time_remaining is None else time_remaining()
    return -1.0 if seconds is None or seconds > NO_DEADLINE else seconds


def _has_left(context):
    """What tells whether the caller has left. Over HTTP it is the end of the task that sends the answers."""
    is_active = getattr(context, "is_active", None)
    if is_active is not None:
        return lambda: not is_active()
    return asyncio.current_task().done
