"""OpenAPI documents -> tasks, types and signatures."""

from __future__ import annotations

import inspect
import json
from datetime import UTC, date, datetime, time, timedelta
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from remote_client._schema.openapi.document import describe
from remote_client._schema.rpc import ServiceDescription
from remote_client.errors import SchemaError
from tests.unit.documents import COMPLETE, DANGLING, document


def ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def any_of(*schemas: Any) -> dict[str, Any]:
    return {"anyOf": list(schemas)}


def model(properties: dict[str, Any], title: str = "made.up.Answer", **more: Any) -> dict[str, Any]:
    return {"type": "object", "title": title, "properties": properties, "additionalProperties": False, **more}


STRING, INTEGER, NUMBER, BOOLEAN, NULL = ({"type": each} for each in ("string", "integer", "number", "boolean", "null"))


def answer_type(properties: dict[str, Any], **more: Any) -> type[BaseModel]:
    made: type[BaseModel] = describe(document(model(properties), **more)).type("Answer")
    return made


# -- whole documents --------------------------------------------------------------------------------------------------

EXPECTED = {
    "run_bidi_streaming": "(inputs: str) -> SampleOutputType",
    "run_bundle": "(inputs: str, size: int | None = None) -> FileResponse",
    "run_file": "(inputs: File) -> FileReport",
    "run_numbers": "(inputs: list[float]) -> Numbers",
    "run_pair": "(text: str, place: Place, note: str | None = None) -> Report",
    "run_pair_stream_out": (
        "(text: str, place: Place, note: str | None = None, count: int | None = None) -> AsyncIterator[Report]"
    ),
    "run_sample": "(inputs: SampleInputType, throw: bool | None = None, prefix: str | None = None) -> SampleOutputType",
    "run_slow": "(inputs: float) -> SampleOutputType",
    "run_streaming": "(inputs: str) -> SampleOutputType",
    "run_tagged": "(inputs: str, note: str | None = None) -> Report",
    "run_tagged_stream_out": (
        "(inputs: str, count: int | None = None, label: str | None = None) -> AsyncIterator[Report]"
    ),
}
OPEN_ENDED = {
    **EXPECTED,
    "run_bundle": "(inputs: str, **parameters: Any) -> FileResponse",
    "run_pair": "(inputs: Any, **parameters: Any) -> Report",
    "run_pair_stream_out": "(inputs: Any, **parameters: Any) -> AsyncIterator[Report]",
    "run_sample": "(inputs: SampleInputType, **parameters: Any) -> SampleOutputType",
    "run_tagged": "(inputs: str, **parameters: Any) -> Report",
    "run_tagged_stream_out": "(inputs: str, **parameters: Any) -> AsyncIterator[Report]",
}


def shown(description: ServiceDescription) -> dict[str, str]:
    methods = [method for task in description.tasks.values() for method in task.methods]
    return {method.name: str(method).removeprefix(method.name) for method in methods}


@pytest.mark.parametrize(("captured", "expected"), [(COMPLETE, EXPECTED), (DANGLING, OPEN_ENDED)])
def test_captured_documents(captured: bytes, expected: dict[str, str]) -> None:
    description = describe(captured)
    signatures = shown(description)
    assert {name: signatures[name] for name in expected} == expected
    assert not [name for name in signatures if name.endswith(("_stream_in", "_bidi_stream"))]
    assert {name: rpc.path for name, rpc in description.management.items()} == {
        "GetModelsInfo": "GET /info/models",
        "GetRuntimeInfo": "GET /info/version",
        "DeployModel": "POST /management/models",
        "UndeployModel": "DELETE /management/models",
        "GetTrainingStatus": "GET /management/trainings",
        "CancelTraining": "DELETE /management/trainings",
    }
    sample = description.tasks["SampleTask"].methods
    assert [(each.name, each.short_name, each.rpc_name, each.path) for each in sample] == [
        ("run_sample", "run", "SampleTaskPredict", "POST /api/v1/task/sample"),
        (
            "run_sample_stream_out",
            "run_stream_out",
            "ServerStreamingSampleTaskPredict",
            "POST /api/v1/task/server-streaming-sample",
        ),
        ("start_sample_job", "start_job", "SampleTaskStartPredictionJob", "POST /api/v1/task/sample/job"),
    ]
    job = sample[2].job
    assert job is not None
    assert job.result is not None
    assert [job.status.path, job.cancel.path, job.result.path] == [
        "GET /api/v1/task/sample/job",
        "DELETE /api/v1/task/sample/job",
        "GET /api/v1/task/sample/job/results",
    ]
    assert sample[0].response_dm_name == "caikit_data_model.common.sample_lib.SampleOutputType"


def test_what_a_document_lacks_is_told() -> None:
    assert describe(COMPLETE).notes == ()
    (note,) = describe(DANGLING).notes
    assert "SampleTaskRequestParameters" in note
    assert "SampleInputType" not in note  # dangling too, but a component of that name is there
    assert note in str(describe(DANGLING))


@pytest.mark.parametrize(
    ("route", "title", "name"),
    [
        ("/task/made-up", "caikit.http.MadeUpTask.MadeUpTaskRequestHttpRequest", "run_made_up"),
        ("/some/prefix/task/made-up", "", "run_made_up"),
        ("/task/server-streaming-made-up", "", "run_made_up_stream_out"),
        (
            "/task/server-streaming-made-up",
            "caikit.http.ServerStreamingMadeUpTask.ServerStreamingMadeUpTaskRequestHttpRequest",
            "run_server_streaming_made_up",
        ),
        (
            "/task/server-streaming-made-up",
            "caikit.http.MadeUpTask.MadeUpTaskRequestHttpRequest",
            "run_made_up_stream_out",
        ),
        ("/task/made-up", "caikit.http.Other.OtherRequestHttpRequest", "run_made_up"),
        ("/task/o-c-r", "caikit.http.OCRTask.OCRTaskRequestHttpRequest", "run_o_c_r"),
    ],
)
def test_names_of_routes(route: str, title: str, name: str) -> None:
    assert list(shown(describe(document(model({}), route=route, title=title)))) == [name]


@pytest.mark.parametrize(
    ("shown_parameters", "components", "unary", "streaming"),
    [
        ("MadeUpTask", ["MadeUpTask", "ServerStreamingMadeUpTask"], ["MadeUpTask"], ["ServerStreamingMadeUpTask"]),
        ("MadeUpTask", ["MadeUpTask"], ["MadeUpTask"], []),
        ("ServerStreamingMadeUpTask", ["ServerStreamingMadeUpTask"], [], ["ServerStreamingMadeUpTask"]),
    ],
)
def test_merged_schemas(shown_parameters: str, components: list[str], unary: list[str], streaming: list[str]) -> None:
    """A task with metadata for its OpenAPI shows one schema on all its routes."""
    schemas = {f"{each}RequestParameters": model({each: STRING}, title=each) for each in components}
    told = json.loads(document(model({}), inputs=STRING, parameters=ref(f"{shown_parameters}RequestParameters")))
    told["paths"]["/api/v1/task/server-streaming-made-up"] = told["paths"]["/api/v1/task/made-up"]
    told["components"]["schemas"] = schemas
    methods = describe(json.dumps(told).encode()).tasks["MadeUpTask"].methods
    assert [list(each.signature.parameters)[1:] for each in methods] == [unary, streaming]


@pytest.mark.parametrize(
    "bad",
    [b"", b"<html>", b"[]", b"{}", b'{"paths": []}', b"\xff", b"[" * 100_000, b'{"paths": 5}', b'"paths"'],
)
def test_no_document(bad: bytes) -> None:
    with pytest.raises(SchemaError):
        describe(bad)


@pytest.mark.parametrize("junk", [None, 5, "x", [], {}, {"post": 5}, {"post": {"requestBody": []}}, {"get": None}])
@pytest.mark.parametrize("route", ["/api/v1/task/x", "/info/models", "", "task/x", "/task/", "/task/x\n"])
def test_junk_in_a_document(route: str, junk: Any) -> None:
    describe(json.dumps({"paths": {route: junk}}).encode())


# -- types ------------------------------------------------------------------------------------------------------------

READ: dict[str, tuple[Any, Any, Any]] = {
    # schema, JSON value, Python value
    "bool": (BOOLEAN, True, True),
    "int": (INTEGER, 2**64 - 1, 2**64 - 1),
    "negative": (INTEGER, -(2**63), -(2**63)),
    "float": (NUMBER, 0.1, 0.1),
    "float of an int": (NUMBER, 1, 1.0),
    "str": (STRING, "\u2028", "\u2028"),
    "bytes": ({"type": "string", "format": "binary"}, "AP+/", b"\x00\xff\xbf"),
    "bytes, newer": ({"type": "string", "contentMediaType": "application/octet-stream"}, "+/8=", b"\xfb\xff"),
    "datetime": (
        {"type": "string", "format": "date-time"},
        "2024-01-02T03:04:05.678Z",
        datetime(2024, 1, 2, 3, 4, 5, 678000, UTC),
    ),
    "date": ({"type": "string", "format": "date"}, "2024-01-02", date(2024, 1, 2)),
    "time": ({"type": "string", "format": "time"}, "03:04:05", time(3, 4, 5)),
    "duration": ({"type": "string", "format": "duration"}, "PT5S", timedelta(seconds=5)),
    "list": ({"type": "array", "items": INTEGER}, [1, 2], [1, 2]),
    "map": ({"type": "object", "additionalProperties": INTEGER}, {"1": 2}, {"1": 2}),
    "any": ({}, {"a": [1, None, "x", 1.5]}, {"a": [1, None, "x", 1.5]}),
    "optional": (any_of(STRING, NULL), None, None),
    "list of types": ({"type": ["string", "null"]}, "x", "x"),
    "enum": ({"type": "integer", "enum": [0, 1, 7]}, "BLUE", "BLUE"),
    "enum's number": ({"type": "integer", "enum": [0, 1, 7]}, 7, 7),
    "text enum": ({"type": "string", "enum": ["a"]}, "a", "a"),
    "union": (any_of(BOOLEAN, INTEGER, NUMBER, STRING), 1, 1),
    "union bool": (any_of(BOOLEAN, INTEGER, NUMBER, STRING), True, True),
    "union float": (any_of(BOOLEAN, INTEGER, NUMBER, STRING), 1.0, 1.0),
}


@pytest.mark.parametrize("name", READ)
def test_types_from_json_and_back(name: str) -> None:
    schema, raw, value = READ[name]
    kind = answer_type({"x": schema})
    read = kind.model_validate_json(json.dumps({"x": raw}))
    assert read.x == value  # type: ignore[attr-defined]
    assert type(read.x) is type(value)  # type: ignore[attr-defined]
    assert json.loads(read.model_dump_json())["x"] == raw or name in ("datetime", "float of an int")
    if name != "enum":
        assert kind(x=value) == read


@pytest.mark.parametrize(
    ("schema", "bad"),
    [
        (INTEGER, "5"),
        (INTEGER, 5.5),
        (INTEGER, True),
        (INTEGER, 2**64),
        (NUMBER, "1"),
        (NUMBER, True),
        (BOOLEAN, 1),
        (STRING, 5),
        (STRING, []),
        ({"type": "string", "format": "binary"}, "*"),
        ({"type": "string", "format": "binary"}, 5),
        ({"type": "string", "format": "date-time"}, 5),
        ({"type": "string", "format": "date-time"}, "2024-01-02T03:04:05"),
        ({"type": "array", "items": INTEGER}, "x"),
        ({"type": "array", "items": INTEGER}, [1, "x"]),
        ({"type": "object", "additionalProperties": INTEGER}, [1]),
        ({"type": "integer", "enum": [0, 1]}, 5),
        (any_of(INTEGER, STRING), [5]),
    ],
)
def test_an_answer_of_another_type_is_refused(schema: Any, bad: Any) -> None:
    with pytest.raises(ValidationError):
        answer_type({"x": schema}).model_validate_json(json.dumps({"x": bad}))


def test_not_a_number_is_a_float() -> None:
    kind = answer_type({"x": NUMBER, "y": {"type": "array", "items": NUMBER}})
    read = kind.model_validate_json('{"x": NaN, "y": [Infinity, -Infinity]}')
    assert str(read) == "x=nan y=[inf, -inf]"
    assert read.model_dump_json() == '{"x":NaN,"y":[Infinity,-Infinity]}'


def test_a_type_that_holds_itself() -> None:
    node = model({"next": ref("Node"), "all": {"type": "array", "items": ref("Node")}, "text": STRING}, "made.up.Node")
    kind = answer_type({"root": ref("Node")}, schemas={"Node": node})
    read = kind.model_validate_json('{"root": {"next": {"text": "a"}, "all": [{"text": "b"}]}}')
    assert (read.root.next.text, read.root.all[0].text) == ("a", "b")  # type: ignore[attr-defined]


@pytest.mark.parametrize("schemas", [{"A": ref("A")}, {"A": ref("B"), "B": ref("A")}])
def test_references_in_a_circle(schemas: dict[str, Any]) -> None:
    with pytest.raises(SchemaError, match="refers to itself"):
        answer_type({"x": ref("A")}, schemas=schemas)


def test_two_types_of_one_name() -> None:
    properties = {"a": model({"x": STRING}, "made.up.Twin"), "b": model({"y": STRING}, "made.up.Twin")}
    read = answer_type(properties).model_validate_json('{"a": {"x": "1"}, "b": {"y": "2"}}')
    assert (read.a.x, read.b.y) == ("1", "2")  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "name", ["from", "self", "_x", "__class__", "model_config", "copy", "a b", "a.b", "ü", "", "1"]
)
def test_odd_names(name: str) -> None:
    kind = answer_type({name: STRING, "other": STRING})
    read = kind.model_validate_json(json.dumps({name: "v", "other": "w"}))
    attribute = next(each for each in kind.model_fields if each != "other")
    assert attribute.isidentifier()
    assert getattr(read, attribute) == "v"
    assert json.loads(read.model_dump_json()) == {name: "v", "other": "w"}


# -- unions in answers ------------------------------------------------------------------------------------------------

PLACE = model({"lat": NUMBER}, "made.up.Place")
PERSON = model({"name": STRING}, "made.up.Person")
LISTS = any_of({"type": "array", "items": STRING}, {"type": "array", "items": INTEGER})


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ({"who": {"name": "a"}}, "who=Person(name='a')"),
        ({"who_person": {"name": "a"}}, "who=Person(name='a')"),
        ({"who_place": {"lat": 1.5}}, "who=Place(lat=1.5)"),
        ({"who_else_int": 5}, "who_else=5"),
        ({"who_else_str": "5"}, "who_else='5'"),
        ({"values_intsequence": {"values": [1]}}, "values=[1]"),
        ({"values": {"values": ["a"]}}, "values=['a']"),
        ({"values": []}, "values=[]"),
        ({"who_place": {"lat": 1.5}, "who_else_int": 1, "values_str": {"values": []}}, "who=Place(lat=1.5)"),
    ],
)
def test_members_of_unions(raw: dict[str, Any], shown: str) -> None:
    kind = answer_type({"who": any_of(PLACE, PERSON), "who_else": any_of(INTEGER, STRING), "values": LISTS})
    assert shown in repr(kind.model_validate_json(json.dumps(raw)))


def test_a_member_with_a_name_of_its_own() -> None:
    kind = answer_type({"data": any_of(PLACE, PERSON), "id": STRING})
    assert kind.model_validate_json('{"jsondata": {"lat": 1.0}, "id": "x"}').data.lat == 1.0  # type: ignore[attr-defined]


def test_a_message_called_values_stays_one() -> None:
    """As caikit's vectors: a message of its own, with the field `values`."""
    vector = model({"values": {"type": "array", "items": NUMBER}}, "made.up.Vector")
    kind = answer_type({"data": any_of(vector, model({"values": {"type": "array", "items": INTEGER}}, "made.up.Ints"))})
    assert kind.model_validate_json('{"data": {"values": [0.5]}}').data.values == [0.5]  # type: ignore[attr-defined]
    assert kind.model_validate_json('{"data_vector": {"values": [0.5]}}').data.values == [0.5]  # type: ignore[attr-defined]


def test_what_belongs_to_no_union_is_refused() -> None:
    kind = answer_type({"who": any_of(PLACE, PERSON), "text": STRING})
    with pytest.raises(ValidationError, match="Extra inputs"):
        kind.model_validate_json('{"who": {"name": "a"}, "other": 1}')


def test_signatures_are_what_inspect_shows() -> None:
    codec = describe(COMPLETE).tasks["ParametersTask"].methods[0].codec
    parameters = codec.signature.parameters  # type: ignore[attr-defined]
    assert parameters["inputs"].default is inspect.Parameter.empty
    assert str(parameters["values"].annotation) == "list[str] | list[int] | list[float] | None"
    assert str(parameters["when"].annotation) == "datetime.datetime | None"
