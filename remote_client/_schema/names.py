"""caikit's naming rules (caikit 0.29, `caikit.runtime.names` and `caikit.core.toolkit.name_tools`)."""

from __future__ import annotations

import re
from collections.abc import Container

from .identifiers import identifier_part

_SUFFIX = "Predict"
_JOB_SUFFIXES = {
    "StartPredictionJob": "start",
    "GetPredictionJobStatus": "status",
    "GetPredictionJobResult": "result",
    "CancelPredictionJob": "cancel",
}
_PREFIXES = {
    (False, False): "",
    (False, True): "ServerStreaming",
    (True, False): "ClientStreaming",
    (True, True): "BidiStreaming",
}
_KINDS = {
    (False, False): "",
    (False, True): "_stream_out",
    (True, False): "_stream_in",
    (True, True): "_bidi_stream",
}


def task_name(rpc_name: str, input_streaming: bool, output_streaming: bool) -> str | None:
    """The task class that an RPC runs, as in `ServerStreamingSampleTaskPredict` -> `SampleTask`; None for other RPCs.

    The flags decide whether there is a prefix to strip: a task may itself be called `BidiStreamingTask`.
    """
    if not rpc_name.endswith(_SUFFIX):
        return None
    prefix = _PREFIXES[input_streaming, output_streaming]
    name = rpc_name.removesuffix(_SUFFIX)
    return name.removeprefix(prefix) or None if name.startswith(prefix) else None


def needs_its_whole_name(task: str, tasks: Container[str]) -> bool:
    """Whether a task's methods keep the word `Task`, as the runtime has a task of the name without it."""
    return task.endswith("Task") and task.removesuffix("Task") in tasks


def job_rpc(rpc_name: str) -> tuple[str, str] | None:
    """The task of an RPC about prediction jobs and what it does: `start`, `status`, `result` or `cancel`."""
    for suffix, deed in _JOB_SUFFIXES.items():
        if rpc_name.endswith(suffix) and rpc_name != suffix:
            return rpc_name.removesuffix(suffix), deed
    return None


def trained_module(rpc_name: str, tasks: Container[str]) -> tuple[str, str] | None:
    """The task and the module's class of a training, as in `SampleTaskSampleModuleTrain`; None for other RPCs."""
    stem = rpc_name.removesuffix("Train")
    if stem == rpc_name or not stem:
        return None
    task = next((stem[:end] for end in range(len(stem) - 1, 0, -1) if stem[:end] in tasks), None)
    if task is None:  # a task that is only trained for
        head, found, tail = stem.partition("Task")
        task = head + found if found and tail else ""
    return task, stem.removeprefix(task)


def rpc_name(task: str, output_streaming: bool) -> str:
    """The stem of an RPC's name without streamed input, as in `ServerStreamingSampleTask`."""
    return _PREFIXES[False, output_streaming] + task


def short_method_name(input_streaming: bool, output_streaming: bool) -> str:
    """`run`, `run_stream_out`, `run_stream_in` or `run_bidi_stream`: a method's name where the task is known."""
    return "run" + _KINDS[input_streaming, output_streaming]


def method_name(task: str, input_streaming: bool, output_streaming: bool, *, whole: bool = False) -> str:
    """`run_<task>` and the kind of stream, as in `SampleTask` -> `run_sample_stream_out`.

    `whole` keeps the word `Task`, for a runtime that has both a `SampleTask` and a `Sample`. Over HTTP a task may have
    any letters. Tasks whose methods get one name are told apart by the task, see `ambiguous_names`.
    """
    stem = task if whole else task.removesuffix("Task") or task
    return f"run_{identifier_part(snake_case(stem))}{_KINDS[input_streaming, output_streaming]}"


def job_method_name(task: str, *, whole: bool = False) -> str:
    """`start_<task>_job`, as in `SampleTask` -> `start_sample_job`."""
    return method_name(task, False, False, whole=whole).replace("run_", "start_", 1) + "_job"


def snake_case(name: str) -> str:
    """caikit's rule: an underscore before each capital but the first."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
