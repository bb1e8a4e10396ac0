"""The exceptions: their tree, their texts, their copies."""

import copy
import pickle

import grpc
import pytest

from remote_client import errors
from remote_client._transport.status_codes import error_class
from remote_client.errors import RemoteCallError

CALL_ERRORS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, RemoteCallError)]


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
def test_each_status_has_its_class(code: grpc.StatusCode) -> None:
    kind = error_class(code.name)
    assert kind("x").code is code
    assert kind is not errors.UnknownError or code is grpc.StatusCode.UNKNOWN


def test_a_status_of_the_future_is_unknown() -> None:
    assert error_class("BRAND_NEW") is errors.UnknownError


@pytest.mark.parametrize(
    ("kind", "bases"),
    [
        (errors.ConfigurationError, (ValueError,)),
        (errors.InputError, (TypeError, ValueError)),
        (errors.ClosedError, (RuntimeError,)),
        (errors.WrongLoopError, (RuntimeError,)),
        (errors.ForkedError, (RuntimeError,)),
        (errors.UnsupportedError, ()),
        (errors.SchemaError, ()),
        (errors.SchemaUnavailableError, (errors.SchemaError,)),
        (errors.DeadlineExceededError, (RemoteCallError, TimeoutError)),
        (errors.ModelNotFoundError, (errors.NotFoundError,)),
        (errors.ResponseTooLargeError, (errors.ResourceExhaustedError,)),
        (errors.InvalidResponseError, (errors.InternalError,)),
        (errors.TlsError, (RemoteCallError,)),
    ],
)
def test_tree(kind: type[Exception], bases: tuple[type[Exception], ...]) -> None:
    assert issubclass(kind, (errors.RemoteClientError, *bases))
    assert all(issubclass(kind, base) for base in bases)


def test_a_tls_error_is_not_merely_unavailable() -> None:
    assert not issubclass(errors.TlsError, errors.UnavailableError)  # it stays, so nobody should retry it


def test_text() -> None:
    error = errors.NotFoundError("no such model", method="p.S/M", target="h:1", model="foo")
    assert str(error) == "NOT_FOUND: no such model (in p.S/M at h:1 for model 'foo')"
    assert str(errors.InternalError("")) == "INTERNAL: the server gave no details"


@pytest.mark.parametrize(
    "nasty", ["\x1b[31mred", "a\r\nforged: line", "\u202eright to left", "\x00\x07", "\x9b1m", "\u2028"]
)
def test_server_text_is_cleaned(nasty: str) -> None:
    error = errors.InternalError(f"<{nasty}>", model=nasty)
    for text in (error.details, str(error)):
        assert text.isprintable()
    assert error.details.startswith("<")
    assert error.details.endswith(">")


def test_server_text_is_capped() -> None:
    error = errors.InternalError("x" * 10_000_000)
    assert len(error.details) < 5000
    assert error.details.endswith("(10000000 characters)")


@pytest.mark.parametrize("kind", CALL_ERRORS)
def test_copies(kind: type[RemoteCallError]) -> None:
    error = kind("d", method="m", target="t", model="x", http_status=404, error_id="i", additional_info={"a": 1})
    for other in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert type(other) is kind
        assert vars(other) == vars(error)
        assert str(other) == str(error)
        assert other.code is error.code


def test_a_refused_schema_leads_to_the_servers_error() -> None:
    error = errors.SchemaUnavailableError("h:1 refuses", errors.NotFoundError("nothing here", target="h:1"))
    for other in (error, pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
        assert str(other) == "h:1 refuses"
        assert other.__cause__ is other.error
        assert type(other.error) is errors.NotFoundError
        assert vars(other.error) == vars(error.error)
        assert other.code is grpc.StatusCode.NOT_FOUND
