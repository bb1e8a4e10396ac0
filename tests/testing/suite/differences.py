"""Where a fake runtime differs from a real one: the tests of the shared suite that show it, and why."""

_REQUIRED = "the required inputs of a task are the parameters without a default; the tasks of caikit name theirs apart"
_OTHER_TASK = (
    "a task that the model's class does not have is always INVALID_ARGUMENT; caikit may answer with another task"
)
_UNAVAILABLE = "UNAVAILABLE is 503 over HTTP, and a status is the same in a stream; caikit has 501, and 500 in streams"
_TAKEN = "HTTP takes enums in lists, maps of messages and any JSON, which caikit refuses"

DIFFERENT: dict[str, str] = {
    "test_bad_input.py::test_empty_list_that_only_the_module_requires[http]": _REQUIRED,
    "test_bad_input.py::test_other_rows_over_http[NaN]": "JSON has no blanks",
    "test_bad_input.py::test_other_rows_over_http[no UTF-8]": "text that is not UTF-8 is refused with 400, not 500",
    "test_bad_input.py::test_other_rows_over_http[task of another module]": _OTHER_TASK,
    "test_bad_input.py::test_rows_over_http[task of another module-sample]": _OTHER_TASK,
    "test_bad_input.py::test_rows_over_http[task of another module-server-streaming-sample]": _OTHER_TASK,
    "test_bad_input.py::test_task_of_another_module": _OTHER_TASK,
    "test_bad_input.py::test_the_model_raises[http-CONNECTION_ERROR-UnavailableError]": _UNAVAILABLE,
    "test_bad_input.py::test_the_model_raises[http-RESOURCE_EXHAUSTED-ResourceExhaustedError]": _UNAVAILABLE,
    "test_bad_input.py::test_what_a_validation_of_the_servers_tells": _TAKEN,
    "test_declared.py::test_types_of_ones_own_return_equal[grpc]": "integers are int64, numbers double",
    "test_discovery.py::test_describe": "a field that may be None, or has a default, is unset over gRPC, too, not zero",
    "test_discovery.py::test_ipv6": "it listens on 127.0.0.1 only",
    "test_protocols.py::test_the_tasks_that_both_have_differ_in_their_single_input_only": _REQUIRED,
    "test_protocols.py::test_what_only_grpc_takes[zoo.run_zoo-argument2-InternalError-Color.BLUE]": _TAKEN,
    "test_protocols.py::test_what_only_grpc_takes[zoo.run_zoo-argument3-InternalError-not JSON serializable]": _TAKEN,
    "test_protocols.py::test_what_only_grpc_takes[zoo.run_zoo-argument4-InvalidArgumentError-"
    "inputs.settings.a.int: Input should be]": _TAKEN,
    "test_protocols.py::test_what_reaches_the_module": "times have their time zone over gRPC, too",
    "test_zoo.py::test_positional_is_the_same_as_keyword[http]": _REQUIRED,
}
NOT_RUN: dict[str, str] = {
    "test_bad_input.py::test_overloaded": "it starts a real runtime; a fake one is never overloaded",
    "test_discovery.py::test_unix_socket": "it starts a real runtime; a fake one has no Unix socket",
}
QUICK = (
    "test_calls.py::test_unary",
    "test_calls.py::test_stream_out",
    "test_calls.py::test_stream_in[list]",
    "test_calls.py::test_bidi[generator]",
    "test_calls.py::test_two_streams_in_step",
    "test_calls.py::test_cancelling_a_task[http-unary]",
    "test_calls.py::test_cancelling_a_task[grpc-bidi]",
    "test_jobs.py::test_a_job_completes",
    "test_jobs.py::test_arguments_arrive[grpc-defaults]",
    "test_jobs.py::test_arguments_arrive[http-defaults]",
    "test_jobs.py::test_deploy_call_undeploy",
    "test_discovery.py::test_models",
    "test_discovery.py::test_describe",
    "test_discovery.py::test_describe_over_http",
    "test_bad_input.py::test_the_model_raises[grpc-RuntimeError-InternalError]",
    "test_bad_input.py::test_rows_over_http[unknown model-sample]",
)
"""The sample that `make test` runs; `make test-all` runs all."""
