"""The tests of tests/live that call a client, through the blocking client."""

from __future__ import annotations

import inspect
from typing import Any

from ..live import (
    test_bad_input,
    test_calls,
    test_discovery,
    test_folders,
    test_jobs,
    test_protocols,
    test_reasons,
    test_zoo,
)

MODULES = (
    test_bad_input,
    test_calls,
    test_discovery,
    test_folders,
    test_jobs,
    test_protocols,
    test_reasons,
    test_zoo,
)
CLIENTS = {"client", "grpc_client", "http_client"}
LEFT_OUT = {
    "test_bidi_answers_before_the_next_input": "its input is made by the test's loop; see test_calls.py",
    "test_time_limits_from_outside": "asyncio's limits do not reach a blocking call",
    "test_cancelling_a_task": "as above",
    "test_waiting_has_an_end": "as above; see test_misuse.py",
    "test_many_at_once": "they are at once in the test's loop; see test_threads.py",
    "test_an_error_of_the_users_iterable": "the call is made outside of pytest.raises; see test_calls.py",
    "test_empty_list_that_only_the_module_requires": "as above",
    "test_a_ten_second_job_is_asked_about_at_most_12_times": "the questions are the asyncio client's",
    "test_a_proxy_tells_the_truth": "it looks at the type of the object that stands in for the blocking one",
    "test_both_protocols_tell_the_same_of_models": "other tests train models meanwhile; nothing of it is the facade's",
    "test_reading_holds_up_nobody": "a task is cancelled; a blocking call is not",
    "test_a_stream_has_one_reader": "a blocking iterator may be read by several threads",
}


def through_the_facade() -> dict[str, Any]:
    found: dict[str, Any] = {}
    for module in MODULES:
        for name, function in vars(module).items():
            parameters = inspect.signature(function).parameters.keys() if inspect.isfunction(function) else set()
            called = name.startswith("test_") and CLIENTS & parameters and "raw" not in parameters
            if called and name not in LEFT_OUT:
                found[f"{module.__name__.rpartition('.')[2]}__{name.removeprefix('test_')}"] = function
    return found


globals().update(through_the_facade())


def test_nothing_is_left_out_that_does_not_exist() -> None:
    assert all(any(hasattr(module, name) for module in MODULES) for name in LEFT_OUT)
