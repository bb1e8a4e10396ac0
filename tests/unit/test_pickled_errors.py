"""Errors travel between processes: with all that they tell, and with what caused them."""

from __future__ import annotations

import copy
import pickle
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

import pytest

from remote_client import errors
from remote_client._client.module import _NoStreamedInputError
from remote_client.errors import (
    JobFailedError,
    NotFoundError,
    OutcomeUnknownError,
    RemoteCallError,
    RemoteClientError,
    UnavailableError,
)

KINDS = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, RemoteClientError)]
PROTOCOLS = range(2, pickle.HIGHEST_PROTOCOL + 1)


class NeedsMore(RemoteCallError):
    """As users write them."""

    def __init__(self, details: str, *, shard: int) -> None:
        super().__init__(f"{details} of shard {shard}")
        self.shard = shard


class Stubborn(Exception):
    """An exception that cannot be unpickled, as many cannot."""

    def __init__(self, text: str, *, more: str) -> None:
        super().__init__(text)


def made(kind: type[RemoteClientError]) -> RemoteClientError:
    if issubclass(kind, errors.JobError):
        return kind("training", "id-1", ("out of memory", "again"))
    if issubclass(kind, RemoteCallError):
        return kind("no", method="a.B/C", target="h:1", model="m", http_status=404, additional_info={"a": [1]})
    return kind("no")


def same(one: BaseException, other: BaseException) -> bool:
    return type(one) is type(other) and str(one) == str(other) and one.args == other.args


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_survives(kind: type[RemoteClientError], protocol: int) -> None:
    error = made(kind)
    error.add_note("noted")
    for found in (pickle.loads(pickle.dumps(error, protocol)), copy.copy(error), copy.deepcopy(error)):
        assert same(found, error)
        assert vars(found) == vars(error)
        assert found.__notes__ == ["noted"]


def test_a_users_own_error_survives() -> None:
    found = pickle.loads(pickle.dumps(NeedsMore("no", shard=7)))
    assert (str(found), found.shard) == (str(NeedsMore("no", shard=7)), 7)


def chained() -> RemoteCallError:
    error, middle = OutcomeUnknownError("who knows"), UnavailableError("lost")
    error.model_name, error.previous = "m", (NotFoundError("before"),)
    middle.__cause__ = ConnectionResetError(104, "reset")
    middle.__cause__.__cause__ = ValueError("late")
    error.__cause__ = middle
    return error


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_causes_survive(protocol: int) -> None:
    error = chained()
    found = pickle.loads(pickle.dumps(error, protocol))
    causes, originals = list(errors.causes(found)), list(errors.causes(error))
    assert len(causes) == 4
    assert all(map(same, causes, originals))
    assert found.__suppress_context__
    assert same(found.previous[0], error.previous[0])
    assert found.model_name == "m"


def test_a_copy_keeps_its_cause() -> None:
    error = chained()
    found = copy.copy(error)
    assert found.__cause__ is error.__cause__
    assert list(map(str, errors.causes(copy.deepcopy(error)))) == list(map(str, errors.causes(error)))


def test_a_suppressed_context_stays_suppressed() -> None:
    try:
        try:
            raise OSError("hidden")
        except OSError:
            raise NotFoundError("told") from None
    except NotFoundError as error:
        found = pickle.loads(pickle.dumps(error))
    assert found.__suppress_context__
    assert found.__cause__ is None


@pytest.mark.parametrize("cause", [Stubborn("told", more=""), OSError(print, threading.Lock())])
def test_a_cause_that_cannot_travel_is_told_in_words(cause: BaseException) -> None:
    error = UnavailableError("lost")
    error.__cause__ = cause
    found = pickle.loads(pickle.dumps(error))
    assert type(found.__cause__) is RemoteClientError
    assert type(cause).__name__ in str(found.__cause__)


def test_a_circle_of_causes_ends() -> None:
    error, other = UnavailableError("one"), NotFoundError("other")
    error.__cause__, other.__cause__ = other, error
    found = pickle.loads(pickle.dumps(error))
    assert same(found.__cause__, other)


def test_an_attribute_that_is_missing_survives() -> None:
    error = _NoStreamedInputError("none", name="run_x", obj=threading.Lock())
    assert str(pickle.loads(pickle.dumps(error))) == "none"


def fail(number: int) -> int:
    if number % 2:
        raise [chained(), JobFailedError("job", "id-1", ("why",)), NeedsMore("no", shard=1)][number // 2]
    return number


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_a_pool_survives_them(method: str) -> None:
    with ProcessPoolExecutor(1, mp_context=get_context(method)) as pool:
        futures = [pool.submit(fail, each) for each in range(6)]
        assert [type(each.exception()) for each in futures[1::2]] == [OutcomeUnknownError, JobFailedError, NeedsMore]
        assert [each.result() for each in futures[::2]] == [0, 2, 4]
        found: Any = futures[3].exception()
        assert found.reasons == ("why",)
