"""OpenAPI documents of older runtimes are read as those of newer ones are."""

from __future__ import annotations

import json
from typing import Any

import pytest

from remote_client._schema.openapi.document import describe
from remote_client._schema.openapi.multipart import LARGE
from remote_client._schema.openapi.value_types import bare
from remote_client._schema.rpc import RemoteRPCDescriptor, ServiceDescription

from .documents import CAIKIT_026, COMPLETE

OLDER, NEWER = describe(CAIKIT_026), describe(COMPLETE)


def methods(description: ServiceDescription) -> dict[str, RemoteRPCDescriptor]:
    return {each.name: each for task in description.tasks.values() for each in task.methods}


def body(method: str, *args: Any, **kwargs: Any) -> Any:
    return json.loads(methods(OLDER)[method].codec.encode("m", args, kwargs))


@pytest.mark.parametrize("name", methods(OLDER))
def test_methods_have_the_same_signatures(name: str) -> None:
    assert str(methods(OLDER)[name]) == str(methods(NEWER)[name])


def test_only_the_jobs_are_missing() -> None:
    assert {each for each in methods(NEWER) if not each.endswith("_job")} == methods(OLDER).keys()


@pytest.mark.parametrize("name", OLDER.trainings)
def test_trainings_have_the_same_signatures(name: str) -> None:
    assert str(OLDER.trainings[name]) == str(NEWER.trainings[name])


def test_types_have_the_same_fields() -> None:
    for name in ("Zoo", "Place", "SampleOutputType", "Numbers", "TrainingJob"):
        older, newer = (
            {key: str(bare(each.annotation)) for key, each in description.type(name).model_fields.items()}
            for description in (OLDER, NEWER)
        )
        assert older == newer


def test_two_inputs_are_sent_by_their_names() -> None:
    assert body("run_pair", "t", {"label": "x"})["inputs"] == {"text": "t", "place": {"label": "x"}}
    assert body("run_rerank", [{"text": "a", "nested": {"b": [1, None]}}], "q", top_n=0) == {
        "model_id": "m",
        "inputs": {"documents": [{"text": "a", "nested": {"b": [1, None]}}], "query": "q"},
        "parameters": {"top_n": 0},
    }


def test_answers_are_read_as_their_type() -> None:
    codec = methods(OLDER)["run_sample"].codec
    assert codec.decode(b'{"greeting": "Hello"}', "pydantic") == OLDER.type("SampleOutputType")(greeting="Hello")


def test_a_training_takes_rows_and_needs_no_more_than_the_runtime_does() -> None:
    codec = OLDER.trainings["SampleTaskSampleModuleTrain"].codec
    sent = json.loads(codec.encode("new", ([{"name": "a"}], ["x"]), {"oom_exit_code": None}))
    assert sent["parameters"] == {"training_data": {"data_stream": {"data": [{"name": "a"}]}}, "union_list": ["x"]}


def test_a_file_is_sent_as_one() -> None:
    sent = methods(OLDER)["run_file"].codec.encode("m", ({"data": b"x" * LARGE, "filename": "a.bin"},), {})
    assert b'form-data; name="inputs"; filename="a.bin"' in sent
