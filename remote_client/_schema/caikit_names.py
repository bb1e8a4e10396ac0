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
    """Return the task class that an RPC runs: `ServerStreamingSampleTaskPredict` -> `SampleTask`; None for other RPCs.

    The flags decide whether there is a prefix to remove, as a task may itself be called `BidiStreamingTask`.
    """
    if not rpc_name.endswith(_SUFFIX):
        return None
    prefix = _PREFIXES[input_streaming, output_streaming]
    name = rpc_name.removesuffix(_SUFFIX)
    return name.removeprefix(prefix) or None if name.startswith(prefix) else None


def keeps_task_suffix(task: str, tasks: Container[str]) -> bool:
    """Return whether a task's methods keep the suffix `Task`, as the runtime has a task of the name without it."""
    return task.endswith("Task") and task.removesuffix("Task") in tasks


def job_rpc(rpc_name: str) -> tuple[str, str] | None:
    """Return the task of a prediction job's RPC, and `start`, `status`, `result` or `cancel`; None for other RPCs."""
    for suffix, method in _JOB_SUFFIXES.items():
        if rpc_name.endswith(suffix) and rpc_name != suffix:
            return rpc_name.removesuffix(suffix), method
    return None


def trained_module(rpc_name: str, tasks: Container[str]) -> tuple[str, str] | None:
    """Return the task and the module's class of `SampleTaskSampleModuleTrain`; None for RPCs that train no module."""
    stem = rpc_name.removesuffix("Train")
    if stem == rpc_name or not stem:
        return None
    task = next((stem[:end] for end in range(len(stem) - 1, 0, -1) if stem[:end] in tasks), None)
    if task is None:  # a task without inference methods
        head, found, tail = stem.partition("Task")
        task = head + found if found and tail else ""
    return task, stem.removeprefix(task)


def rpc_name(task: str, output_streaming: bool) -> str:
    """Return the stem of the name of an RPC without streamed input, as in `ServerStreamingSampleTask`."""
    return _PREFIXES[False, output_streaming] + task


def short_method_name(input_streaming: bool, output_streaming: bool) -> str:
    """Return a method's name without the task: `run`, `run_stream_out`, `run_stream_in` or `run_bidi_stream`."""
    return "run" + _KINDS[input_streaming, output_streaming]


def method_name(task: str, input_streaming: bool, output_streaming: bool, *, keep_suffix: bool = False) -> str:
    """Return `run_<task>` with the kind of stream: `SampleTask` -> `run_sample_stream_out`.

    `keep_suffix` keeps the suffix `Task`, for a runtime with both a `SampleTask` and a `Sample`. Over HTTP a task may
    have any letters in its name. If several tasks get the same method name, users name the task.
    """
    stem = task if keep_suffix else task.removesuffix("Task") or task
    return f"run_{identifier_part(snake_case(stem))}{_KINDS[input_streaming, output_streaming]}"


def job_method_name(task: str, *, keep_suffix: bool = False) -> str:
    """Return `start_<task>_job`: `SampleTask` -> `start_sample_job`."""
    return method_name(task, False, False, keep_suffix=keep_suffix).replace("run_", "start_", 1) + "_job"


def snake_case(name: str) -> str:
    """Return a name with an underscore before every capital but the first, in lower case: caikit's rule."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
