"""HTTP's codec: arguments -> bodies, answers -> objects."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel

from remote_client import FileResponse
from remote_client._objects.content import Body
from remote_client._schema.openapi.codec import QueryCodec
from remote_client._schema.openapi.document import describe
from remote_client.errors import InputError, InvalidResponseError, UnsupportedError
from tests.unit.documents import COMPLETE, DANGLING

DESCRIPTION = describe(COMPLETE)
OPEN_ENDED = describe(DANGLING)
NOW = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)


def codec(task: str, description: Any = DESCRIPTION) -> Any:
    return description.tasks[task].methods[0].codec


def body(task: str, *args: Any, description: Any = DESCRIPTION, **kwargs: Any) -> Any:
    return json.loads(codec(task, description).encode("m", args, kwargs))


def refused(task: str, *args: Any, description: Any = DESCRIPTION, **kwargs: Any) -> str:
    with pytest.raises(InputError) as caught:
        codec(task, description).encode("m", args, kwargs)
    return str(caught.value)


# -- requests ---------------------------------------------------------------------------------------------------------


def test_where_arguments_go() -> None:
    assert body("SampleTask", {"name": "a"}) == {"model_id": "m", "inputs": {"name": "a"}}
    assert body("SampleTask", inputs={"name": ""}, throw=False, prefix=None) == {
        "model_id": "m",
        "inputs": {"name": ""},
        "parameters": {"throw": False},
    }
    assert body("PairTask", "t", {"lat": 0}, note="") == {
        "model_id": "m",
        "inputs": {"text": "t", "place": {"lat": 0.0}},
        "parameters": {"note": ""},
    }
    assert body("ParametersTask", "", number=0, ratio=0.0, flag=False) == {
        "model_id": "m",
        "inputs": "",
        "parameters": {"number": 0, "ratio": 0.0, "flag": False},
    }


class Duck:
    """As numpy's scalars and arrays are."""

    dtype = "some"

    def __init__(self, value: Any) -> None:
        self.value = value

    def tolist(self) -> Any:
        return self.value


class Other(BaseModel):
    """A user's own model."""

    label: str = "l"
    lat: float | None = None


def numbers() -> Iterator[float]:
    yield 0.5
    yield 1.5


@pytest.mark.parametrize(
    ("name", "value", "sent"),
    [
        ("number", 2**64 - 1, 2**64 - 1),
        ("number", Duck(5), 5),
        ("ratio", 1, 1.0),
        ("blob", b"\xfb\xff\xbf", "+/+/"),
        ("blob", bytearray(b"\x00"), "AA=="),
        ("blob", memoryview(b"\x00"), "AA=="),
        ("place", Other(), {"label": "l"}),
        ("place", DESCRIPTION.type("Place")(label="x"), {"label": "x"}),
        ("words", ("a", "b"), ["a", "b"]),
        ("words", (each for each in "ab"), ["a", "b"]),
        ("words", {"a": 1}.keys(), ["a"]),
        ("places", [Other(), {"lat": 1.5}], [{"label": "l"}, {"lat": 1.5}]),
        ("weights", {"a": Duck(1.5)}, {"a": 1.5}),
        ("names", {1: "a", "2": "b"}, {"1": "a", "2": "b"}),
        ("when", NOW, "2024-01-02T03:04:05Z"),
        ("settings", {"a": (1, None, Duck([1])), "b": b"\x00", "c": NOW}, None),
        ("choice", {"label": "x"}, {"label": "x"}),
        ("choice", 5, 5),
        ("values", [1, 2], [1, 2]),
        ("values", numbers(), [0.5, 1.5]),
        ("values", Duck([0.5]), [0.5]),
        ("optional_flag", False, False),
    ],
)
def test_what_is_taken(name: str, value: Any, sent: Any) -> None:
    if sent is None:
        sent = {"a": [1, None, [1]], "b": "AA==", "c": NOW.isoformat()}
    assert body("ParametersTask", "t", **{name: value})["parameters"] == {name: sent}


def test_not_a_number_is_sent() -> None:
    sent = codec("NumbersTask").encode("m", ([float("nan"), float("inf"), -float("inf"), 0.1],), {})
    assert sent == b'{"model_id":"m","inputs":[NaN,Infinity,-Infinity,0.1]}'


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("number", "5", "number: expected int, not str"),
        ("number", True, "number: expected int, not bool"),
        ("number", 2**64, f"number: {2**64} is out of the range of 64-bit integers"),
        ("number", -(2**63) - 1, f"number: {-(2**63) - 1} is out of the range of 64-bit integers"),
        ("ratio", "1", "ratio: expected float, not str"),
        ("ratio", True, "ratio: expected float, not bool"),
        ("flag", 1, "flag: expected bool, not int"),
        ("blob", "text", "blob: expected bytes, not str"),
        ("place", 5, "place: expected Place or a mapping, not int"),
        ("place", {"lat": "x"}, "place.lat: expected float, not str"),
        ("place", {"lot": 1.0}, "place.lot: no such field"),
        ("words", "abc", "words: expected a list, not str"),
        ("words", [1], "words[0]: expected str, not int"),
        ("places", [{}, {"tags": [1]}], "places[1].tags[0]: expected str, not int"),
        ("weights", {"a": "x"}, "weights.a: expected float, not str"),
        ("weights", {1.5: 1.0}, "expected str keys in JSON, not float"),
        ("when", "2024-01-02", "when: expected datetime, not str"),
        ("when", datetime(2024, 1, 2), "when: expected a datetime with a time zone"),
        ("settings", {"a": object()}, "expected a JSON value, not object"),
        ("choice", [1], "choice: expected one of str, int, Place, not list"),
        ("optional_text", "\ud800", "surrogates not allowed"),
        ("numbr", 5, "has no parameter 'numbr'"),
    ],
)
def test_what_is_refused(name: str, value: Any, told: str) -> None:
    assert told in refused("ParametersTask", "t", **{name: value})


def test_refusals_of_inputs() -> None:
    assert refused("SampleTask") == "run_sample(): missing required argument: inputs"
    own_name = refused("SampleTask", sample_input={})
    assert own_name.endswith("there is no argument sample_input; over HTTP a task's single input is called inputs")
    assert refused("SampleTask", {}, timeout=5).endswith("with_options(timeout=...) sets it for a call")
    assert refused("PairTask", "t") == "run_pair(): missing required argument: place"
    assert refused("PairTask", 5, {}) == "run_pair(): text: expected str, not int"
    assert refused("SampleTask", {"name": 5}) == "run_sample(): inputs.name: expected str, not int"
    assert "inputs, throw, prefix" in refused("SampleTask", {}, sample_input={})
    assert "takes 3 arguments, not 4" in refused("SampleTask", {}, 1, 2, 3)
    assert "expected one of 0, 1, 7" in refused("ZooTask", {"color": "BLUE"})
    assert "expected one of 0, 1, 7" in refused("ZooTask", {"color": 5})


def test_nesting_without_end() -> None:
    endless: list[Any] = []
    endless.append(endless)
    assert "nested too deeply" in refused("ParametersTask", "t", settings={"a": endless})


def test_a_changed_object_is_checked_again() -> None:
    place = DESCRIPTION.type("Place")(label="x")
    place.label = 5  # type: ignore[attr-defined]
    assert "place.label: expected str, not int" in refused("ParametersTask", "t", place=place)


def test_where_names_are_unknown_anything_goes() -> None:
    assert body("ParametersTask", "t", description=OPEN_ENDED, anything=[b"\x00", NOW, Other()])["parameters"] == {
        "anything": ["AA==", NOW.isoformat(), {"label": "l"}]
    }
    sent = body("PairTask", {"text": "t", "place": Other()}, description=OPEN_ENDED, note="n")
    assert sent == {"model_id": "m", "inputs": {"text": "t", "place": {"label": "l"}}, "parameters": {"note": "n"}}
    assert body("PairTask", {}, description=OPEN_ENDED) == {"model_id": "m", "inputs": {}}
    assert "inputs.name: expected str" in refused("SampleTask", {"name": 5}, description=OPEN_ENDED)


def test_streamed_inputs_are_not_for_http() -> None:
    for each in (codec("SampleTask"), QueryCodec("x", ["y"])):
        with pytest.raises(UnsupportedError, match="gRPC"):
            each.split((), {})
        with pytest.raises(UnsupportedError, match="gRPC"):
            each.frame(b"", {}, 0)


# -- answers ----------------------------------------------------------------------------------------------------------


def test_answers() -> None:
    raw = b'{"greeting": "Hello"}'
    assert codec("SampleTask").decode(raw, "pydantic").greeting == "Hello"
    assert codec("SampleTask").decode(raw, "dict") == {"greeting": "Hello"}
    assert QueryCodec("x", ["y"]).decode(raw, "dict") == {"greeting": "Hello"}


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"", "Invalid JSON"),
        (b"<html>", "Invalid JSON"),
        (b'{"greeting": "a"', "Invalid JSON"),
        (b'{"greeting": "\xff"}', "Invalid JSON"),
        (b"[" * 200_000, "recursion limit"),
        (b'{"greeting": NaN}', "greeting: expected str, not float"),
        (b'{"greeting": ["a"]}', "greeting: expected str, not list"),
        (b"[]", "SampleOutputType"),
        (b"null", "SampleOutputType"),
        (b'{"other": 1}', "other: no such field"),
    ],
)
def test_answers_that_are_none(raw: bytes, told: str) -> None:
    with pytest.raises(InvalidResponseError, match="the answer is not a valid") as caught:
        codec("SampleTask").decode(raw, "pydantic")
    assert told in str(caught.value)


@pytest.mark.parametrize("raw", [b"", b"<html>", b"[" * 200_000, b"\xff", b'{"a": "\xff"}'])
def test_dicts_that_are_none(raw: bytes) -> None:
    for decode in (codec("SampleTask").decode, QueryCodec("x", ["y"]).decode):
        with pytest.raises(InvalidResponseError, match="not valid JSON"):
            decode(raw, "dict")


def test_queries() -> None:
    codec = QueryCodec("GetModelsInfo", ["model_ids"])
    assert codec.encode("", (), {}) == b""
    assert codec.encode("", (), {"model_ids": ["a b", "ü&c"]}) == b"model_ids=a+b&model_ids=%C3%BC%26c"


def test_a_dict_is_what_the_server_said() -> None:
    assert codec("SampleTask").decode(b'{"greeting": ["a"], "n": 18446744073709551616}', "dict") == {
        "greeting": ["a"],
        "n": 2**64,
    }


def test_files() -> None:
    data = bytes(range(256))
    answer = codec("BundleTask").decode(Body(data, "application/zip", "a.zip"), "pydantic")
    assert answer == FileResponse("a.zip", "application/zip", data)
    assert type(answer.data) is bytes
    assert repr(answer) == "FileResponse(filename='a.zip', content_type='application/zip', 256 bytes)"
    assert codec("BundleTask").decode(data, "dict") == {
        "filename": None,
        "content_type": "application/octet-stream",
        "data": data,
    }
    assert codec("SampleTask").decode(Body(b"1", "text/plain"), "pydantic").data == b"1"  # not what was declared


def test_bytes_are_standard_base64() -> None:
    raw = bytes(range(256))
    sent = body("ParametersTask", "t", blob=raw)["parameters"]["blob"]
    assert base64.b64decode(sent, validate=True) == raw
