"""Which errors of calls hint at an interface that is another by now, and how."""

from __future__ import annotations

from typing import Any

import pytest

from remote_client._client.schema_errors import outdated_schema_hint, redeployment_hint
from remote_client._transport.http_errors import NO_ROUTE
from remote_client.errors import (
    InternalError,
    InvalidArgumentError,
    InvalidResponseError,
    NotFoundError,
    RemoteCallError,
    UnimplementedError,
)

MISSING = "SampleModule.run() missing 1 required positional argument: 'sample_input'"
UNEXPECTED = "SampleModule.run() got an unexpected keyword argument 'throw'"


def error(kind: type[RemoteCallError], details: str = "no", http_status: int | None = None) -> Any:
    return kind(details, http_status=http_status)


SUSPICIOUS = [
    error(UnimplementedError),
    error(UnimplementedError, http_status=405),
    error(InvalidResponseError),
    error(InvalidArgumentError, MISSING),
    error(InvalidArgumentError, UNEXPECTED),
    error(InvalidArgumentError, MISSING, 400),
    error(InvalidArgumentError, "Extra inputs are not permitted", 422),
    error(NotFoundError, NO_ROUTE, 404),
]
OTHERS = [
    error(InvalidArgumentError, "the model's own word"),
    error(InvalidArgumentError, "the model's own word", 400),
    error(NotFoundError, "no model foo"),
    error(NotFoundError, "no model foo", 404),
    error(InvalidResponseError, "a page", 200),
    error(InternalError, MISSING),
]


@pytest.mark.parametrize("failure", SUSPICIOUS, ids=str)
def test_an_error_that_a_stale_file_may_cause_names_the_file_and_the_check(failure: RemoteCallError) -> None:
    told = outdated_schema_hint(failure, "a/runtime.binpb")
    assert told.startswith("the method is that of a/runtime.binpb: `remote-client schema --check a/runtime.binpb` ")
    assert ("gateway" in told) == isinstance(failure, UnimplementedError)


@pytest.mark.parametrize("failure", OTHERS, ids=str)
def test_an_error_of_another_cause_has_no_hint(failure: RemoteCallError) -> None:
    assert outdated_schema_hint(failure, "runtime.binpb") == ""
    assert redeployment_hint(failure) == ""


@pytest.mark.parametrize("name", ["the given data", "the schema", "my folder/runtime.binpb"])
def test_a_schema_that_no_command_can_name_is_compared_by_the_client(name: str) -> None:
    assert f"that of {name}: `client.check_schema(model.config.schema)` " in outdated_schema_hint(
        error(UnimplementedError), name
    )


@pytest.mark.parametrize("failure", SUSPICIOUS, ids=str)
def test_of_what_the_server_told_itself_only_unknown_methods_and_answers_are_suspicious(failure: Any) -> None:
    told = redeployment_hint(failure)
    assert bool(told) == isinstance(failure, (UnimplementedError, InvalidResponseError))
    assert ("gateway" in told) == isinstance(failure, UnimplementedError)
