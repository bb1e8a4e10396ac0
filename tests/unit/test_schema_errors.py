"""What a refused question about the schema raises, by the error of its call."""

from __future__ import annotations

from typing import Any

import pytest

from remote_client._client.schema_errors import (
    AbsentDescriptionError,
    BusyDescriptionError,
    DeniedDescriptionError,
    ResetDescriptionError,
    UnauthenticatedDescriptionError,
    raise_refusal,
)
from remote_client._schema.budget import LateDescriptionError
from remote_client.errors import (
    CallCancelledError,
    DeadlineExceededError,
    InternalError,
    InvalidArgumentError,
    InvalidResponseError,
    NotFoundError,
    PermissionDeniedError,
    RemoteCallError,
    ResourceExhaustedError,
    ResponseTooLargeError,
    SchemaError,
    SchemaUnavailableError,
    TlsError,
    UnauthenticatedError,
    UnavailableError,
    UnimplementedError,
    UnknownError,
)

PATH = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo"


def failed(kind: type[RemoteCallError], details: str = "no", /, method: str = PATH[1:], **attributes: Any) -> Any:
    error = kind(details, method=method, target="h:1")
    for name, value in attributes.items():
        setattr(error, name, value)
    return error


def raised(error: RemoteCallError, path: str = PATH) -> BaseException:
    with pytest.raises((SchemaError, RemoteCallError)) as caught:
        raise_refusal(error, path, "h:1 does not describe itself")
    return caught.value


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (failed(UnimplementedError, outcome_known=True), SchemaUnavailableError),
        (failed(InvalidArgumentError, outcome_known=True), SchemaUnavailableError),
        (failed(NotFoundError, outcome_known=True), SchemaUnavailableError),
        (failed(NotFoundError, http_status=404), SchemaUnavailableError),
        (failed(UnknownError), SchemaUnavailableError),
        (failed(InternalError, outcome_known=True), SchemaUnavailableError),
        (failed(InternalError, reset=True), SchemaUnavailableError),
        (failed(CallCancelledError, reset=True), SchemaUnavailableError),
        (failed(UnauthenticatedError, outcome_known=True), UnauthenticatedDescriptionError),
        (failed(UnauthenticatedError, http_status=401), UnauthenticatedDescriptionError),
        (failed(PermissionDeniedError, http_status=403), DeniedDescriptionError),
        (failed(ResourceExhaustedError, http_status=429), BusyDescriptionError),
        (failed(UnavailableError, reset=True), ResetDescriptionError),
        (failed(UnavailableError, reset=True, outcome_known=True), ResetDescriptionError),
        (failed(UnavailableError), AbsentDescriptionError),
        (failed(UnavailableError, http_status=503), AbsentDescriptionError),
        (failed(DeadlineExceededError), LateDescriptionError),
        (failed(InvalidResponseError, http_status=200), SchemaError),
        (failed(ResponseTooLargeError), SchemaError),
    ],
)
def test_what_a_server_answered_is_the_schemas_error(error: RemoteCallError, kind: type[SchemaError]) -> None:
    found = raised(error)
    assert type(found) is kind
    assert found.__cause__ is error
    assert str(found).startswith(f"h:1 does not describe itself: {error.status}: no")
    assert isinstance(found, SchemaUnavailableError) == ("remote-client schema" in str(found))


@pytest.mark.parametrize(
    "error",
    [
        failed(UnavailableError, outcome_known=True),  # nobody was reached
        failed(DeadlineExceededError, outcome_known=True),  # nothing was sent
        failed(TlsError),
        failed(CallCancelledError, shed=True),  # for load
        failed(UnknownError, http_status=302),  # the target is another one
        failed(InvalidResponseError, outcome_known=True),
        failed(PermissionDeniedError, "failed to connect: a proxy refused it", http_status=403, outcome_known=True),
        failed(UnauthenticatedError, method="POST https://h/token", http_status=401),  # the credentials' own server
    ],
    ids=["unreached", "unsent", "TLS", "shed", "redirect", "no answer", "tunnel", "token"],
)
def test_what_no_server_answered_stays_as_it_is(error: RemoteCallError) -> None:
    assert raised(error) is error
    assert error.__cause__ is None


def test_an_error_of_a_call_keeps_what_the_call_told() -> None:
    error = failed(PermissionDeniedError, http_status=403, error_id="7", previous=(UnavailableError("before"),))
    found = raised(error)
    assert isinstance(found, PermissionDeniedError)
    told = ("target", "method", "http_status", "error_id", "previous")
    assert {name: getattr(found, name) for name in told} == {name: getattr(error, name) for name in told}


@pytest.mark.parametrize("kind", [UnimplementedError, PermissionDeniedError])
def test_long_words_of_a_server_leave_room_for_the_ways(kind: type[RemoteCallError]) -> None:
    found = str(raised(failed(kind, "no" * 10_000, outcome_known=True)))
    assert found.endswith("(docs/schemas.md)")
