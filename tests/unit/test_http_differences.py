"""What a caller of one OpenAPI document meets at a server that has another: every kind of change, each classed."""

from __future__ import annotations

import copy
import json
from typing import Any

import pytest

from remote_client._schema.comparison import compare
from remote_client._schema.differences import Difference
from tests.support.contracts import described_document
from tests.support.large_documents import INTEGER, NULL, TEXT, any_of, array, ref

from .documents import CAIKIT_026, COMPLETE, DANGLING

RUN = "SampleTask.run_sample"
PAIR = "PairTask.run_pair"
TRAIN = "SampleTaskSampleModuleTrain.train"
INPUT, ANSWER = f"{RUN}.inputs", f"{RUN}()"
NUMBER = {"type": "number"}
BYTES = {"type": "string", "format": "binary"}
TIME = {"type": "string", "format": "date-time"}
ANY = {"type": "object", "additionalProperties": True}
BREAKING, TOLD = True, False
GONE: Any = object()


def model(title: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "title": title, "properties": properties, "additionalProperties": False}


def operation(title: str, answer: Any, **properties: Any) -> dict[str, Any]:
    return {
        "requestBody": {"content": {"application/json": {"schema": model(title, **properties)}}},
        "responses": {"200": {"content": {"application/json": {"schema": answer}}}},
    }


def request(task: str) -> str:
    return f"caikit.http.{task}.{task}RequestHttpRequest"


JOB = model("caikit_data_model.runtime.Job", prediction_id=TEXT)
STATUS = model("caikit_data_model.runtime.JobStatus", state=ref("JobState"))
DOCUMENT: dict[str, Any] = {
    "components": {
        "schemas": {
            "Input": model(
                "caikit_data_model.test.Input",
                name=TEXT,
                count=INTEGER,
                size=NUMBER,
                at=TIME,
                data=BYTES,
                tags=array(TEXT),
                sizes={"type": "object", "additionalProperties": INTEGER},
                color=ref("Color"),
                parent=ref("Input"),
                value=any_of(TEXT, INTEGER, ref("Place"), NULL),
            ),
            "Place": model("caikit_data_model.test.Place", label=TEXT),
            "Output": model(
                "caikit_data_model.test.Output",
                greeting=any_of(TEXT, NULL),
                total=INTEGER,
                mean=NUMBER,
                places=array(ref("Place")),
                color=ref("Color"),
                value=any_of(TEXT, ref("Place"), NULL),
                more=ANY,
            ),
            "Color": {"type": "integer", "enum": [0, 1, 2]},
            "JobState": {"type": "integer", "enum": [1, 2]},
            "SampleTaskRequestParameters": model(
                "caikit.http.SampleTask.SampleTaskRequestParameters", throw={"type": "boolean"}, times=INTEGER
            ),
            "PairTaskRequestInputs": model("caikit.http.PairTask.PairTaskRequestInputs", left=TEXT, right=TEXT),
            "TrainParameters": model(
                "caikit.runtime.Test.TrainParameters",
                rows=TEXT,
                batch_size={**INTEGER, "default": 8},
                rate=any_of(NUMBER, NULL),
            ),
        }
    },
    "paths": {
        "/api/v1/task/sample": {
            "post": operation(
                request("SampleTask"),
                ref("Output"),
                inputs=ref("Input"),
                parameters=ref("SampleTaskRequestParameters"),
                model_id=TEXT,
            )
        },
        "/api/v1/task/pair": {
            "post": operation(
                request("PairTask"), {"type": "string"}, inputs=ref("PairTaskRequestInputs"), model_id=TEXT
            )
        },
        "/api/v1/task/pair/job": {
            "post": operation(request("PairTask"), JOB, inputs=ref("PairTaskRequestInputs"), model_id=TEXT),
            "get": {"responses": {"200": {"content": {"application/json": {"schema": STATUS}}}}},
            "delete": {"responses": {"200": {"content": {"application/json": {"schema": STATUS}}}}},
        },
        "/api/v1/task/pair/job/results": {
            "get": {"responses": {"200": {"content": {"application/json": {"schema": JOB}}}}}
        },
        "/api/v1/SampleTaskSampleModuleTrain": {
            "post": operation(
                "caikit.runtime.Test.TrainRequest",
                model("Job", training_id=TEXT),
                model_name=TEXT,
                parameters=ref("TrainParameters"),
            )
        },
        "/management/trainings": {"get": {}, "delete": {}},
    },
}
SCHEMAS = ("components", "schemas")
_INPUT = (*SCHEMAS, "Input", "properties")
_OUTPUT = (*SCHEMAS, "Output", "properties")
_PARAMETERS = (*SCHEMAS, "SampleTaskRequestParameters", "properties")
_TRAINING = (*SCHEMAS, "TrainParameters", "properties")
_PAIR = (*SCHEMAS, "PairTaskRequestInputs", "properties")
_SAMPLE = ("paths", "/api/v1/task/sample")
_BODY = (*_SAMPLE, "post", "requestBody", "content", "application/json", "schema", "properties")
_ANSWERS = (*_SAMPLE, "post", "responses", "200", "content")
Keys = tuple[str, ...]


def changed(*changes: tuple[Keys, Any]) -> dict[str, Any]:
    """The document with other values at these keys."""
    made = copy.deepcopy(DOCUMENT)
    for (*way, last), value in changes:
        inside: Any = made
        for key in way:
            inside = inside[key]
        if value is GONE:
            del inside[last]
        else:
            inside[last] = value
    return made


def put(keys: Keys, name: str, value: Any) -> tuple[Keys, Any]:
    return (*keys, name), value


CASES: dict[str, tuple[list[tuple[Keys, Any]], list[tuple[str, bool, str]]]] = {
    # -- methods
    "a task removed": ([(_SAMPLE, GONE)], [("SampleTask", BREAKING, "the task was removed")]),
    "a task added": (
        [(("paths", "/api/v1/task/new"), DOCUMENT["paths"]["/api/v1/task/pair"])],
        [("NewTask", TOLD, "the task was added")],
    ),
    "a streaming route added": (
        [(("paths", "/api/v1/task/server-streaming-sample"), DOCUMENT["paths"]["/api/v1/task/sample"])],
        [("SampleTask.run_sample_stream_out", TOLD, "added")],
    ),
    "a streaming route instead": (
        [
            (_SAMPLE, GONE),
            (("paths", "/api/v1/task/server-streaming-sample"), DOCUMENT["paths"]["/api/v1/task/sample"]),
        ],
        [(RUN, BREAKING, "removed"), ("SampleTask.run_sample_stream_out", TOLD, "added")],
    ),
    "a route moved": (
        [(_SAMPLE, GONE), (("paths", "/api/v2/task/sample"), DOCUMENT["paths"]["/api/v1/task/sample"])],
        [("SampleTask", BREAKING, "the task moved to POST /api/v2/task/sample")],
    ),
    "a job's routes removed": (
        [(("paths", "/api/v1/task/pair/job"), GONE)],
        [("PairTask.start_pair_job", BREAKING, "removed")],
    ),
    "a job that cannot be cancelled": (
        [(("paths", "/api/v1/task/pair/job", "delete"), GONE)],
        [("PairTask.start_pair_job().cancel", BREAKING, "removed")],
    ),
    "a training removed": (
        [(("paths", "/api/v1/SampleTaskSampleModuleTrain"), GONE)],
        [(TRAIN, BREAKING, "removed")],
    ),
    "the runtime's own methods removed": (
        [(("paths", "/management/trainings"), GONE)],
        [("GetTrainingStatus", BREAKING, "removed"), ("CancelTraining", BREAKING, "removed")],
    ),
    # -- parameters
    "a parameter removed": ([((*_PARAMETERS, "throw"), GONE)], [(f"{RUN}.throw", BREAKING, "removed")]),
    "a parameter added": ([((*_PARAMETERS, "more"), TEXT)], [(f"{RUN}.more", TOLD, "added")]),
    "all parameters removed": (
        [((*_BODY, "parameters"), GONE), ((*SCHEMAS, "SampleTaskRequestParameters"), GONE)],
        [(f"{RUN}.throw", BREAKING, "removed"), (f"{RUN}.times", BREAKING, "removed")],
    ),
    "an input removed": ([((*_BODY, "inputs"), GONE)], [(INPUT, BREAKING, "removed")]),
    "one of several inputs removed": ([((*_PAIR, "left"), GONE)], [(f"{PAIR}.left", BREAKING, "removed")]),
    "one more of several inputs": (
        [((*_PAIR, "more"), TEXT)],
        [(f"{PAIR}.more", BREAKING, "a new required parameter")],
    ),
    "a training's parameter removed": ([((*_TRAINING, "rate"), GONE)], [(f"{TRAIN}.rate", BREAKING, "removed")]),
    "a training's optional parameter added": (
        [((*_TRAINING, "more"), any_of(TEXT, NULL))],
        [(f"{TRAIN}.more", TOLD, "added")],
    ),
    "a training's required parameter added": (
        [((*_TRAINING, "more"), TEXT)],
        [(f"{TRAIN}.more", BREAKING, "a new required parameter")],
    ),
    "a training's parameter without its default": (
        [((*_TRAINING, "batch_size"), INTEGER)],
        [(f"{TRAIN}.batch_size", BREAKING, "required now")],
    ),
    "a training's parameter with a default": (
        [((*_TRAINING, "rows"), {**TEXT, "default": ""})],
        [(f"{TRAIN}.rows", TOLD, "optional now")],
    ),
    # -- fields
    "a field of a request removed": ([((*_INPUT, "name"), GONE)], [(f"{INPUT}.name", BREAKING, "removed")]),
    "a field of a request added": ([((*_INPUT, "more"), TEXT)], [(f"{INPUT}.more", TOLD, "added")]),
    "a required field of a request added": (
        [((*_INPUT, "more"), TEXT), ((*SCHEMAS, "Input", "required"), ["more"])],
        [(f"{INPUT}.more", BREAKING, "a new required field")],
    ),
    "a field renamed": (
        [((*_OUTPUT, "greeting"), GONE), ((*_OUTPUT, "salute"), TEXT)],
        [(f"{ANSWER}.greeting", BREAKING, "removed"), (f"{ANSWER}.salute", TOLD, "added")],
    ),
    "a field of an answer added": ([((*_OUTPUT, "new"), TEXT)], [(f"{ANSWER}.new", TOLD, "added")]),
    "a field that is never null": ([((*_OUTPUT, "greeting"), TEXT)], []),
    "another type": (
        [((*_INPUT, "name"), INTEGER)],
        [(f"{INPUT}.name", BREAKING, "type changed from string to integer")],
    ),
    "a request that takes more": (
        [((*_INPUT, "count"), NUMBER)],
        [(f"{INPUT}.count", TOLD, "type changed from integer to number: all values fit")],
    ),
    "a request that takes less": (
        [((*_INPUT, "size"), INTEGER)],
        [(f"{INPUT}.size", BREAKING, "type changed from number to integer")],
    ),
    "an answer that gives more": (
        [((*_OUTPUT, "total"), NUMBER)],
        [(f"{ANSWER}.total", BREAKING, "type changed from integer to number")],
    ),
    "an answer that gives less": (
        [((*_OUTPUT, "mean"), INTEGER)],
        [(f"{ANSWER}.mean", TOLD, "type changed from number to integer: all values fit")],
    ),
    "text where bytes were": (
        [((*_INPUT, "data"), TEXT)],
        [(f"{INPUT}.data", BREAKING, "type changed from string (binary) to string")],
    ),
    "bytes as newer versions of FastAPI spell them": (
        [((*_INPUT, "data"), {**TEXT, "contentMediaType": "application/octet-stream"})],
        [],
    ),
    "a list where a value was": (
        [((*_INPUT, "name"), array(TEXT))],
        [(f"{INPUT}.name", BREAKING, "type changed from string to a list")],
    ),
    "another type of a list's items": (
        [((*_INPUT, "tags"), array(INTEGER))],
        [(f"{INPUT}.tags", BREAKING, "type changed from string to integer")],
    ),
    "another type of a map's values": (
        [((*_INPUT, "sizes", "additionalProperties"), TEXT)],
        [(f"{INPUT}.sizes", BREAKING, "type changed from integer to string")],
    ),
    "any JSON where there was a type": (
        [((*_INPUT, "name"), {}), ((*_OUTPUT, "greeting"), {})],
        [
            (f"{INPUT}.name", TOLD, "type changed from string to any JSON"),
            (f"{ANSWER}.greeting", BREAKING, "type changed from string to any JSON"),
        ],
    ),
    "a definition lost": (
        [((*_INPUT, "color"), ref("Missing"))],
        [(f"{INPUT}.color", TOLD, "one of 0, 1, 2 before, and no longer described: it cannot be compared")],
    ),
    "a file instead of JSON": (
        [(_ANSWERS, {"application/octet-stream": {}})],
        [(ANSWER, BREAKING, "a file now")],
    ),
    # -- enums and unions
    "an enum's value removed": (
        [((*SCHEMAS, "Color", "enum"), [0, 1])],
        [(f"{INPUT}.color", BREAKING, "the value 2 was removed"), (f"{ANSWER}.color", BREAKING, "the value 2")],
    ),
    "an enum's value added": (
        [((*SCHEMAS, "Color", "enum"), [0, 1, 2, 3])],
        [(f"{INPUT}.color", TOLD, "the value 3 was added"), (f"{ANSWER}.color", TOLD, "the value 3 was added")],
    ),
    "any integer where an enum was": (
        [((*SCHEMAS, "Color"), INTEGER)],
        [(f"{INPUT}.color", TOLD, "all values fit"), (f"{ANSWER}.color", BREAKING, "to integer")],
    ),
    "a member of a request's union removed": (
        [((*_INPUT, "value"), any_of(INTEGER, ref("Place"), NULL))],
        [(f"{INPUT}.value", BREAKING, "no longer accepts string")],
    ),
    "a member of a request's union that another one takes": (
        [((*_INPUT, "value"), any_of(TEXT, NUMBER, ref("Place"), NULL))],
        [
            (f"{INPUT}.value", TOLD, "no longer accepts integer"),
            (f"{INPUT}.value", TOLD, "also accepts number"),
        ],
    ),
    "a member of a request's union added": (
        [((*_INPUT, "value"), any_of(TEXT, INTEGER, ref("Place"), array(TEXT)))],
        [(f"{INPUT}.value", TOLD, "also accepts a list")],
    ),
    "a union where a request took one type": (
        [((*_INPUT, "name"), any_of(TEXT, INTEGER))],
        [(f"{INPUT}.name", TOLD, "also accepts integer")],
    ),
    "a member of an answer's union added": (
        [((*_OUTPUT, "value"), any_of(TEXT, ref("Place"), array(TEXT)))],
        [(f"{ANSWER}.value", BREAKING, "may also be a list")],
    ),
    "a member of an answer's union removed": (
        [((*_OUTPUT, "value"), any_of(TEXT, NULL))],
        [(f"{ANSWER}.value", TOLD, "is no longer Place")],
    ),
    "a member of a union renamed": (
        [
            ((*SCHEMAS, "Site"), model("caikit_data_model.test.Site", label=TEXT)),
            ((*_OUTPUT, "value"), any_of(TEXT, ref("Site"), NULL)),
        ],
        [],
    ),
    "a field inside of a union's member": (
        [((*SCHEMAS, "Place", "properties", "label"), GONE)],
        [
            (f"{ANSWER}.places.label", BREAKING, "removed"),
            (f"{INPUT}.value.label", BREAKING, "removed"),
        ],  # told once of each direction
    ),
    "other components for the same schemas": (
        [
            ((*SCHEMAS, "Place-Output"), DOCUMENT["components"]["schemas"]["Place"]),
            ((*_OUTPUT, "places"), array(ref("Place-Output"))),
        ],
        [],
    ),
    "other words": ([((*_INPUT, "name"), {**TEXT, "title": "Name", "description": "Somebody's."})], []),
}


def found(old: Any, new: Any) -> list[Difference]:
    before, after = (each if isinstance(each, bytes) else json.dumps(each).encode() for each in (old, new))
    return compare(described_document(before), described_document(after))


@pytest.mark.parametrize("name", CASES)
def test_a_change_is_classed(name: str) -> None:
    changes, expected = CASES[name]
    told = found(DOCUMENT, changed(*changes))
    assert sorted((each.path, each.breaking) for each in told) == sorted(each[:2] for each in expected), told
    for path, breaking, text in expected:
        assert any(text in each.text for each in told if (each.path, each.breaking) == (path, breaking)), told


@pytest.mark.parametrize("document", [DOCUMENT, COMPLETE, DANGLING, CAIKIT_026], ids=["small", "0.29", "lost", "0.26"])
def test_a_document_is_as_it_is(document: Any) -> None:
    assert found(document, document) == []


def test_only_jobs_are_new_since_caikit_026() -> None:
    assert {(each.breaking, each.path.rpartition("_")[2], each.text) for each in found(CAIKIT_026, COMPLETE)} == {
        (False, "job", "added")
    }


def test_definitions_that_a_server_loses_break_nothing() -> None:
    assert [each.path for each in found(COMPLETE, DANGLING) if each.breaking] == ["RerankTask"]
    assert not any(each.breaking for each in found(DANGLING, COMPLETE))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (((*SCHEMAS, "PairTaskRequestInputs", "properties", "left"), GONE), "removed; also in PairTask.start_pair_job"),
        (((*SCHEMAS, "Output", "properties", "greeting"), GONE), "removed"),
    ],
)
def test_what_methods_share_is_told_with_all_of_them(change: tuple[tuple[str, ...], Any], told: str) -> None:
    assert [each.text for each in found(DOCUMENT, changed(change))] == [told]
