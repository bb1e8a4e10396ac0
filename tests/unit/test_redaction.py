"""What is hidden of a server's words, and what tracebacks and causes keep."""

from __future__ import annotations

import asyncio
import base64
import sys
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
import pytest

from remote_client._text import redaction
from remote_client._text.redaction import clear_frames, redacted, with_cause
from remote_client.errors import InputError, UnavailableError

BLOB = b"\x00bin\xff"


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ("jw7Q", "jw7Q"),
        ("Bearer tk5X", "tk5X"),
        ("Bearer tk5X", "Bearer tk5X"),
        ("Basic bWU6cGE1cw==", "bWU6cGE1cw"),
        ("Basic bWU6cGE1cw==", "me:pa5s"),
        ("Basic bWU6cGE1cw==", "pa5s"),
        ("a&b/c d", "a&amp;b/c d"),
        ("a&b/c d", "a%26b%2Fc%20d"),
        ("a&b/c d", "a%26b/c%20d"),
        ("a&b/c d", "a%26b%2Fc+d"),
        ('say "no"', r"say \"no\""),
        (r'a"b\c', r'a"b\\c'),
        ("redacted", "redacted"),
        (BLOB, base64.b64encode(BLOB).decode()),
        (BLOB, base64.b64encode(BLOB).decode().rstrip("=")),
        (BLOB, base64.urlsafe_b64encode(BLOB).decode()),
        (BLOB, BLOB.decode("utf-8", "replace")),
        (BLOB, BLOB.decode("latin-1")),
        (BLOB, repr(BLOB)[2:-1]),
        (b"word", "word"),
    ],
)
@pytest.mark.parametrize("name", ["authorization", "x-pwd", "x-env"])
def test_a_value_is_hidden_whatever_its_name(name: str, value: Any, told: str) -> None:
    assert redacted(f"no {told}!", [(name, value)]) == "no [redacted]!"
    assert redacted({told: [told, {"a": told}]}, [(name, value)]) == {"[redacted]": ["[redacted]", {"a": "[redacted]"}]}


@pytest.mark.parametrize("value", ["abc", "1.0", "", "Bearer abc", b"abc", "p9!"])
def test_what_is_short_stays(value: str | bytes) -> None:
    told = ["abc", "1.0", "Bearer", base64.b64encode(b"abc").decode(), "p9!", "p9%21"]
    assert redacted(told, [("x-a", value)]) == told


def test_numbers_are_hidden_and_other_values_stay() -> None:
    told = {"a": 45192, "b": 45192.5, "c": True, "d": None, "e": 7}
    assert redacted(told, [("x-pin", "45192"), ("x-on", "True")]) == {
        "a": "[redacted]",
        "b": "[redacted]",
        "c": True,
        "d": None,
        "e": 7,
    }


def test_of_two_values_the_longer_is_hidden_whole() -> None:
    assert redacted("abcdefgh abcd", [("a", "abcd"), ("b", "abcdefgh")]) == "[redacted] [redacted]"


def test_a_cause_holds_no_request() -> None:
    request = httpx.Request("POST", "http://h", headers={"x-jwt": "jw7Q"}, content=b"body")
    try:
        try:
            raise httpx.ReadError("lost", request=request)
        except httpx.ReadError as error:
            raise httpx.ConnectError("no", request=request) from error
    except httpx.ConnectError as error:
        failure = with_cause(UnavailableError("no"), error, [("x-jwt", "jw7Q")])
    cause: Any = failure.__cause__
    assert [type(cause), type(cause.__cause__)] == [httpx.ConnectError, httpx.ReadError]
    for each in (cause, cause.__cause__):
        assert each.__traceback__ is None
        with pytest.raises(RuntimeError, match="has not been set"):
            _ = each.request


@pytest.mark.parametrize("more", ["", "told jw7Q"])
def test_a_cause_that_repeats_a_secret_is_dropped(more: str) -> None:
    error = OSError("jw7Q" if not more else "no")
    assert with_cause(UnavailableError("no"), error, [("x-jwt", "jw7Q")], more).__cause__ is None
    assert with_cause(UnavailableError("no"), error, [("x-jwt", "other")], more).__cause__ is error


# -- frames: functions that count as the package's ---------------------------------------------------------------------

SOURCE = """
def inner(body, error):
    raise error

def outer(body, error):
    inner(body, error)

async def waiting(body, error):
    outer(body, error)

async def through(function, body):
    local = body
    return await function(body)

async def caught(body, error, kept, go_on):
    try:
        inner(body, error)
    except Exception as found:
        kept.append(found)
    await go_on.wait()
    return body
"""


@pytest.fixture
def ours() -> dict[str, Any]:
    space: dict[str, Any] = {}
    exec(compile(SOURCE, f"{redaction.GENERATED}test>", "exec"), space)
    return space


def variables(error: BaseException) -> dict[str, dict[str, Any]]:
    """The variables of each frame behind the one that called `clear_frames`."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    return {frame.f_code.co_name: dict(frame.f_locals) for frame in frames[1:]}


async def failing(call: Callable[[], Awaitable[Any]]) -> BaseException:
    try:
        await call()
    except Exception as error:
        clear_frames(error)
        return error
    raise AssertionError


async def test_functions_are_emptied_and_coroutines_left_out(ours: dict[str, Any]) -> None:
    error = await failing(lambda: ours["waiting"]("body", InputError("no")))
    assert variables(error) == {"outer": {}, "inner": {}}
    assert "in inner" in "".join(traceback.format_exception(error))


async def test_a_users_frames_stay(ours: dict[str, Any]) -> None:
    async def mine(body: str) -> None:
        raise ValueError("my own")

    error = await failing(lambda: ours["through"](mine, "body"))
    assert variables(error) == {"mine": {"body": "body"}}


async def test_a_bug_of_the_package_keeps_its_lines(ours: dict[str, Any]) -> None:
    error = await failing(lambda: ours["waiting"]("body", KeyError("a bug")))
    assert list(variables(error)) == ["waiting", "outer", "inner"]
    assert variables(error)["inner"] == {}


async def test_a_coroutine_that_goes_on_is_left_alone(ours: dict[str, Any]) -> None:
    kept: list[BaseException] = []
    go_on = asyncio.Event()
    task = asyncio.create_task(ours["caught"]("body", InputError("no"), kept, go_on))
    await asyncio.sleep(0)

    async def again() -> None:
        raise kept[0]

    await failing(again)
    go_on.set()
    assert await task == "body"


async def test_a_suppressed_context_is_dropped() -> None:
    try:
        try:
            raise KeyError("what was sent")
        except KeyError:
            raise InputError("no") from None
    except InputError as error:
        clear_frames(error)
        assert error.__context__ is None


def test_a_method_that_clears_frames_is_a_coroutine_function_with_its_signature() -> None:
    async def method(self: object, name: str, *, more: int = 1) -> str:
        """Doc."""
        return name

    wrapped = redaction.clears_frames(method)
    assert asyncio.iscoroutinefunction(wrapped) or sys.version_info >= (3, 14)
    assert (wrapped.__name__, wrapped.__doc__) == ("method", "Doc.")
    assert asyncio.run(wrapped(None, "a", more=2)) == "a"
