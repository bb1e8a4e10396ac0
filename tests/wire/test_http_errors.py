"""HTTP errors: every status and every form of an error's body becomes the error it should."""

from __future__ import annotations

import json
from typing import Any

import pytest

from remote_client.errors import ClosedError, InternalError, InvalidArgumentError, NotFoundError, RemoteCallError
from tests.support.http_wire import LAST_CHUNK, Step, answer, chunk, event, event_head, events, http_module, send
from tests.support.http_wire import HttpWire as Wire

from .kinds import HANG

CLASSES = {
    "InvalidArgumentError": [400, 415, 422],
    "UnauthenticatedError": [401, 407, 511],
    "PermissionDeniedError": [403],
    "NotFoundError": [404],
    "UnimplementedError": [405, 501],
    "DeadlineExceededError": [408],
    "AlreadyExistsError": [409],
    "FailedPreconditionError": [412],
    "ResourceExhaustedError": [413, 414, 429, 431],
    "CallCancelledError": [499],
    "InternalError": [500],
    "UnavailableError": [421, 502, 503, 504, *range(520, 528), 530],
}
"""Of statuses alone, as proxies answer; the runtime's own 504 has its body."""
CLASS_OF = {status: name for name, statuses in CLASSES.items() for status in statuses}


@pytest.mark.own_http("no call is sent once more on a dead connection")
async def test_every_status_has_its_error(http: Any) -> None:
    for status in (*range(300, 600), 600, 799, 999):
        for call in (http.fail(status=status), anext(http.script_stream(steps=answer("", status)))):
            with pytest.raises(RemoteCallError) as caught:
                await call
            assert type(caught.value).__name__ == CLASS_OF.get(status, "UnknownError"), status
            assert caught.value.http_status == status
            assert caught.value.details or status >= 400
            assert f"HTTP status {status}" in str(caught.value)


@pytest.mark.parametrize("status", [200, 201, 202, 206, 226, 299])
async def test_every_success_is_one(http: Any, status: int) -> None:
    assert await http.script(steps=answer("x", status)) == b"x"


ID = "0123456789abcdef" * 2
CAIKIT = {"details": "no such model", "code": 404, "id": ID}
DETAIL = [
    {"type": "missing", "loc": ["body", "inputs"], "msg": "Field required", "input": {}},
    {"type": "int_type", "loc": ["body", "parameters", 0], "msg": "Not an integer", "input": "x"},
]
LONG = "y" * 50_000
BODIES: dict[str, tuple[Any, str]] = {
    "caikit": (CAIKIT, "no such model"),
    "additional_info": (
        {**CAIKIT, "additional_info": DETAIL},
        "body.inputs: Field required; body.parameters.0: Not an integer",
    ),
    "FastAPI, text": ({"detail": "Not Found"}, "Not Found"),
    "FastAPI, list": ({"detail": DETAIL}, "body.inputs: Field required; body.parameters.0: Not an integer"),
    "plain text": ("upstream connect error", "upstream connect error"),
    "HTML": ("<html>\r\n<h1>502</h1>\r\n</html>", "502"),
    "empty": ("", ""),
    "control characters": ("a\x1b[31mb\r\nc\x00d\u202ee\u009bf é", "a [31mb  c d e f é"),
    "control characters in JSON": ({"details": "a\x1b[31mb\r\nc\x00d\u202ee\u009bf é"}, "a [31mb  c d e f é"),
    "invalid UTF-8": (b"a\xff\xfeb", "a��b"),
    "long": (LONG, "y" * 4096 + "... (50000 characters)"),
    "long in JSON": ({"details": LONG}, "y" * 4096 + "... (50000 characters)"),
    "JSON: null": ("null", "null"),
    "JSON: number": ("1", "1"),
    "JSON: list": ('["a"]', '["a"]'),
    "details: null": ({"details": None}, ""),
    "details: number": ({"details": 1}, ""),
    "details: list": ({"details": ["a"]}, ""),
    "detail: object": ({"detail": {"a": 1}}, ""),
    "detail: odd list": ({"detail": [None, 1, {}, {"loc": 1}, {"loc": ["a"]}]}, "a: None"),
    "deep": ("[" * 60_000, None),
    "half of a pair": (rb'{"details": "\ud800"}', None),
}


@pytest.mark.parametrize(("body", "details"), BODIES.values(), ids=BODIES)
async def test_the_body_of_an_error(http_wire: Wire, http: Any, body: Any, details: str | None) -> None:
    steps = answer(body, 422, {"content-type": None})
    for call in (http.script(steps=steps), anext(http.script_stream(steps=steps))):
        with pytest.raises(InvalidArgumentError) as caught:
            await call
        error = caught.value
        assert details is None or error.details == details
        assert str(error).isprintable()
        assert len(str(error)) < 4400
        assert (error.http_status, error.model, error.method) == (422, "raw", "POST /script")
        assert error.code.name == "INVALID_ARGUMENT"
        told = body if isinstance(body, dict) else {}
        assert error.error_id == told.get("id")
        assert error.additional_info == told.get("additional_info")
    where = f"(HTTP status 422 in POST /script at {http_wire.host}:{http_wire.port} for model 'raw')"
    shown = error.details or "the server gave no details"
    assert str(error) == f"INVALID_ARGUMENT: {shown} {where}"


@pytest.mark.parametrize(
    "given", ["a\r\nb\x1b[31m", "x" * 60_000, 1, None, ["a"]], ids=["colours", "long", "1", "null", "list"]
)
async def test_an_odd_id_of_an_error(http: Any, given: Any) -> None:
    """It is meant to be logged."""
    with pytest.raises(InternalError) as caught:
        await http.fail(status=500, body={"details": "d", "id": given})
    assert caught.value.error_id is None or (caught.value.error_id.isprintable() and len(caught.value.error_id) < 5000)


async def test_an_error_that_goes_on_and_on_is_told_by_what_there_is(http: Any) -> None:
    for size in (10, 10_000_000):
        with pytest.raises(NotFoundError) as caught:
            await http.script(steps=[*answer("z" * 10, 404, {"content-length": size}), ["close"]])
        assert caught.value.details == "z" * 10


# -- in a stream ------------------------------------------------------------------------------------------------------


def _event(data: bytes) -> list[Step]:
    lines = b"".join(b"data: " + line + b"\r\n" for line in data.splitlines() or [b""])
    return [send(event_head() + chunk(event("1")) + chunk(b"event: error\r\n" + lines + b"\r\n"))]


EVENTS: dict[str, tuple[bytes, str, int, str | None]] = {
    "caikit": (json.dumps(CAIKIT).encode(), "NotFoundError", 404, "no such model"),
    "422": (
        json.dumps({"details": "d", "code": 422, "additional_info": DETAIL}).encode(),
        "InvalidArgumentError",
        422,
        None,
    ),
    "500": (b'{"details": "Unhandled: boom", "code": 500}', "InternalError", 500, "Unhandled: boom"),
    "no code": (b'{"details": "d"}', "InternalError", 500, "d"),
    "a code of text": (b'{"details": "d", "code": "404"}', "InternalError", 500, "d"),
    "a code that is true": (b'{"details": "d", "code": true}', "InternalError", 500, "d"),
    "a code that is none": (b'{"details": "d", "code": 0}', "InternalError", 500, "d"),
    "a huge code": (b'{"details": "d", "code": 1' + b"0" * 400 + b"}", "InternalError", 500, "d"),
    "a code of success": (b'{"details": "d", "code": 200}', "InternalError", 500, "d"),
    "garbage": (b"\xff\x00\x1b[31m", "InternalError", 500, None),
    "empty": (b"", "InternalError", 500, ""),
    "several lines": (b'{"details":\r\n"d", "code": 404}', "NotFoundError", 404, "d"),
    "deep": (b"[" * 100_000, "InternalError", 500, None),
    "long": (b"y" * 1_000_000, "InternalError", 500, "y" * 4096 + "... (1000000 characters)"),
}


@pytest.mark.parametrize("end", [HANG, send(LAST_CHUNK)], ids=["open", "closed"])
@pytest.mark.parametrize(("data", "name", "status", "details"), EVENTS.values(), ids=EVENTS)
async def test_an_error_event(
    http_wire: Wire, http: Any, data: bytes, name: str, status: int, details: str | None, end: Step
) -> None:
    stream = http.script_stream(steps=[*_event(data), end])
    assert await anext(stream) == b"1"
    with pytest.raises(RemoteCallError) as caught:
        await anext(stream)
    error = caught.value
    assert (type(error).__name__, error.http_status) == (name, status)
    assert details is None or error.details == details
    assert (error.model, error.method) == ("raw", "POST /script")
    assert str(error).isprintable()
    with pytest.raises(ClosedError, match=name):
        await anext(stream)
    assert (await http_wire.until(lambda seen: not seen["running"]))["running"] == {}


async def test_an_error_event_is_the_end(http: Any) -> None:
    """What comes after it does not count, and what came before it does."""
    error = event('{"details": "over", "code": 404}', "error")
    for pieces in ([event("1"), error, event("2")], [event("1") + error + event("2")]):
        stream = http.script_stream(steps=[send(event_head() + b"".join(map(chunk, pieces)) + b"0\r\n\r\n")])
        assert await anext(stream) == b"1"
        with pytest.raises(NotFoundError, match="over"):
            await anext(stream)
        with pytest.raises(ClosedError, match="NotFoundError"):
            await anext(stream)


async def test_errors_of_the_scripted_runtime(http: Any) -> None:
    with pytest.raises(NotFoundError, match="after the events"):
        async for _ in http.count(n=2, fail=404):
            pass
    assert len([each async for each in http.script_stream(steps=events())]) == 0


async def test_secrets_are_not_shown(http_wire: Wire) -> None:
    async with http_module(http_wire.info()) as module:
        module = module.with_options(metadata={"authorization": "Bearer s3cr3t"})
        for call in (module.fail(status=401, body="no"), anext(module.script_stream(steps=answer("no", 401)))):
            with pytest.raises(RemoteCallError) as caught:
                await call
            chain = [caught.value, caught.value.__cause__, caught.value.__context__]
            assert "s3cr3t" not in " ".join(map(repr, (*chain, module, *map(str, chain), module._caller.options)))
