"""What a method's signature says, and how arguments are bound to it."""

import inspect
from collections.abc import AsyncIterable, AsyncIterator, Iterable
from typing import Any

import pytest

from remote_client._schema.protobuf.services import describe
from remote_client.errors import InputError, SchemaError

from .library import DESCRIPTION, ECHO, METHODS, Zoo, library


def test_parameters() -> None:
    parameters = ECHO.signature.parameters
    # Required ones first, each group in the server's order; a repeated field is left to the runtime.
    assert list(parameters) == ["zoo", "count", "note", "tags"]
    empty = inspect.Parameter.empty
    assert [each.default for each in parameters.values()] == [empty, empty, None, None]
    assert [each.annotation for each in parameters.values()] == [Zoo, int, str | None, list[str] | None]
    assert ECHO.signature.return_annotation is Zoo
    assert str(ECHO) == "run_echo(zoo: Zoo, count: int, note: str | None = None, tags: list[str] | None = None) -> Zoo"


def test_a_file_that_lists_the_fields_in_another_order() -> None:
    # As protoc's of caikit's own .proto files: they have the unions last, whatever their numbers.
    file = library()
    for message in file.message_type:
        fields = sorted(message.field, key=lambda each: (each.HasField("oneof_index"), each.number))
        del message.field[:]
        message.field.extend(fields)
    other = describe({file.name: file}, ["caikit.runtime.Unit.UnitService"])
    assert str(other) == str(DESCRIPTION)
    assert list(other.type("Zoo").model_fields) == list(Zoo.model_fields)


def test_streams() -> None:
    bidi = METHODS["run_echo_bidi_stream"]
    parameters: dict[str, Any] = {name: each.annotation for name, each in bidi.signature.parameters.items()}
    assert parameters["zoo"] == Iterable[Zoo] | AsyncIterable[Zoo]
    assert parameters["note"] == str | None
    assert bidi.signature.return_annotation == AsyncIterator[Zoo]
    assert [(rpc.short_name, rpc.name) for rpc in METHODS.values()] == [
        ("run", "run_echo"),
        ("run_stream_out", "run_echo_stream_out"),
        ("run_stream_in", "run_echo_stream_in"),
        ("run_bidi_stream", "run_echo_bidi_stream"),
    ]


def test_description() -> None:
    task = DESCRIPTION.tasks["EchoTask"]
    assert str(task).splitlines()[0] == "EchoTask"
    assert "    run_echo(zoo: Zoo" in str(task)
    assert DESCRIPTION.type("caikit.runtime.Unit.Place") is DESCRIPTION.type("Place")
    with pytest.raises(SchemaError, match="no types"):
        DESCRIPTION.type("lace")


@pytest.mark.parametrize(
    ("args", "kwargs"),
    [
        (({}, 1), {}),
        (({},), {"count": 1}),
        ((), {"count": 1, "zoo": {}}),
        ((Zoo(), 1, None, None), {}),
        (({}, 1), {"note": None}),
    ],
)
def test_ways_to_give_the_same(args: Any, kwargs: Any) -> None:
    assert ECHO.codec.encode("", args, kwargs) == ECHO.codec.encode("", ({}, 1), {})


@pytest.mark.parametrize(
    ("args", "kwargs", "told"),
    [
        ((), {}, "missing required argument: zoo, count"),
        (({},), {}, "missing required argument: count"),
        (({}, None), {}, "missing required argument: count"),
        ((), {"zo": {}, "count": 1}, "missing required argument: zoo; there is no argument zo"),
        (({}, 1, "n", [], 5), {}, "takes 4 arguments, not 5"),
        (({}, 1), {"count": 2, "zoo": {}}, "count, zoo: given twice"),
        (({}, 1), {"nothing": 5}, "nothing: EchoTaskRequest has no such field; it has zoo, note, tags, count"),
        (({}, 1), {"timeout": 5}, "note, tags, count; with_options(timeout=...) sets it for a call"),
        (({}, "1"), {}, "count: expected int, not str"),
    ],
)
def test_arguments_refused(args: Any, kwargs: Any, told: str) -> None:
    with pytest.raises(InputError) as caught:
        ECHO.codec.encode("", args, kwargs)
    assert str(caught.value).startswith("run_echo()")
    assert told in str(caught.value)


def test_which_arguments_are_streams() -> None:
    codec = METHODS["run_echo_bidi_stream"].codec
    text = {"note": "text is a constant", "tags": ["so", "is", "a", "list", "for", "a", "list"]}
    constants, streams = codec.split(([{}, {}],), {"count": 1, **text})
    assert list(streams) == ["zoo"]
    assert constants == codec.split(([{}],), {"count": 1, **text})[0]
    # A list of lists is a stream of lists.
    assert list(codec.split(([{}],), {"count": 1, "tags": [["a"], []]})[1]) == ["zoo", "tags"]
    assert list(codec.split(({},), {"count": iter([1])})[1]) == ["count"]
    with pytest.raises(InputError, match="needs a stream: give an iterable or async iterable for zoo or count"):
        codec.split(({},), {"count": 1})


def test_frames_are_constants_and_items() -> None:
    codec = METHODS["run_echo_stream_in"].codec
    constants, _ = codec.split(([{}],), {"count": 1, "note": "n"})
    whole = ECHO.codec.encode("", ({"a_int32": 5}, 1), {"note": "n"})
    assert sorted(codec.frame(constants, {"zoo": {"a_int32": 5}}, 0)) == sorted(whole)
    with pytest.raises(InputError, match=r"run_echo_stream_in\(\): zoo\[7\]\.a_int32: expected int, not str"):
        codec.frame(constants, {"zoo": {"a_int32": "x"}}, 7)
    with pytest.raises(InputError, match=r"zoo\[7\]: expected Zoo or a mapping"):
        codec.frame(constants, {"zoo": 5}, 7)


def test_a_task_and_its_namesake() -> None:
    file = library()
    service = file.service[0]
    method = service.method.add()
    method.CopyFrom(service.method[0])
    method.name = "EchoPredict"
    tasks = describe({file.name: file}, ["caikit.runtime.Unit.UnitService"]).tasks
    assert tasks["Echo"].methods[0].name == "run_echo"
    assert tasks["EchoTask"].methods[0].name == "run_echo_task"
