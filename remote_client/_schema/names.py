"""caikit's naming rules (caikit 0.29, `caikit.runtime.names` and `caikit.core.toolkit.name_tools`)."""

from __future__ import annotations

import re

_SUFFIX = "Predict"
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


def rpc_name(task: str, output_streaming: bool) -> str:
    """The stem of an RPC's name without streamed input, as in `ServerStreamingSampleTask`."""
    return _PREFIXES[False, output_streaming] + task


def short_method_name(input_streaming: bool, output_streaming: bool) -> str:
    """`run`, `run_stream_out`, `run_stream_in` or `run_bidi_stream`: a method's name where the task is known."""
    return "run" + _KINDS[input_streaming, output_streaming]


def method_name(task: str, input_streaming: bool, output_streaming: bool, *, whole: bool = False) -> str:
    """`run_<task>` and the kind of stream, as in `SampleTask` -> `run_sample_stream_out`.

    `whole` keeps the word `Task`, for a runtime that has both a `SampleTask` and a `Sample`.
    """
    stem = task if whole else task.removesuffix("Task") or task
    return f"run_{snake_case(stem)}{_KINDS[input_streaming, output_streaming]}"


def snake_case(name: str) -> str:
    """caikit's rule: an underscore before each capital but the first."""
    return re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
