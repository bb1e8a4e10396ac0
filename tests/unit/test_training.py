"""Which training is meant, and how its data may be given."""

from __future__ import annotations

import inspect
import json
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any

import pytest

from remote_client import JobInfo, JobStatus
from remote_client._client.module_config import RemoteModuleConfig
from remote_client._client.training import choose_training, train_doc, train_signature
from remote_client._schema import caikit_names
from remote_client._schema.openapi.document import describe
from remote_client._schema.training_data import data_stream_source
from remote_client.errors import InputError
from remote_client.settings import ConnectionInfo
from tests.unit.documents import COMPLETE, DANGLING

ROWS = [{"name": "a"}]


def config(document: bytes = COMPLETE, train: str | None = None) -> RemoteModuleConfig:
    trainings = describe(document).trainings
    return RemoteModuleConfig(
        connection=ConnectionInfo(hostname="h"),
        protocol="http",
        model_key="mm-model-id",
        task_methods=[],
        model_path="foo",
        train_method=trainings[train] if train else None,
        trainings=list(trainings.values()),
    )


def chosen(*args: Any, of: RemoteModuleConfig | None = None, **kwargs: Any) -> tuple[str, dict[str, Any]]:
    training, name, body = choose_training(of or config(), args, kwargs)
    request = json.loads(body)
    assert request["model_name"] == name
    return training.module, request


@pytest.mark.parametrize(
    ("rpc", "tasks", "found"),
    [
        ("SampleTaskSampleModuleTrain", ["SampleTask"], ("SampleTask", "SampleModule")),
        ("SampleTaskTaskModuleTrain", ["SampleTask", "SampleTaskTask"], ("SampleTaskTask", "Module")),
        ("NewTaskNewModuleTrain", [], ("NewTask", "NewModule")),
        ("OddNameTrain", [], ("", "OddName")),
        ("Train", [], None),
        ("SampleTaskPredict", ["SampleTask"], None),
    ],
)
def test_names_of_trainings(rpc: str, tasks: list[str], found: Any) -> None:
    assert caikit_names.trained_module(rpc, tasks) == found


def test_the_arguments_decide() -> None:
    assert chosen(training_data=ROWS, union_list=["x"])[0] == "SampleModule"
    assert chosen(sample_input={"name": "x"})[0] == "SamplePrimitiveModule"
    assert chosen(ROWS, ["x"], 5, module="SampleModule")[1]["parameters"] == {
        "training_data": {"data_stream": {"data": ROWS}},
        "union_list": ["x"],
        "batch_size": 5,
    }
    assert chosen(training_data=ROWS, union_list=[1], module="SampleTaskSampleModuleTrain")[0] == "SampleModule"


def test_a_known_training_is_not_second_guessed() -> None:
    known = config(train="SampleTaskSampleModuleTrain")
    with pytest.raises(InputError, match=r"has no parameter 'sample_input'|missing required"):
        chosen(sample_input={"name": "x"}, of=known)
    assert chosen(training_data=ROWS, union_list=["x"], of=known)[0] == "SampleModule"


def test_more_than_one_takes_them() -> None:
    twice = config()
    twice.trainings = [*twice.trainings, *(replace(each, module="Twin") for each in twice.trainings[:1])]
    with pytest.raises(InputError, match=r"more than one takes these arguments.*SampleModule.*Twin"):
        choose_training(twice, (), {"training_data": ROWS, "union_list": ["x"]})


def test_zero_false_and_empty_are_sent() -> None:
    _, request = chosen(training_data=[], union_list=[], batch_size=0, ratio=0.0, shuffle=False, note="")
    assert request["parameters"] == {
        "training_data": {"data_stream": {"data": []}},
        "union_list": [],
        "batch_size": 0,
        "ratio": 0.0,
        "shuffle": False,
        "note": "",
    }


def test_names_and_places() -> None:
    _, request = chosen(training_data=ROWS, union_list=["x"])
    assert request["model_name"].startswith("foo-")
    assert request["model_name"] != chosen(training_data=ROWS, union_list=["x"])[1]["model_name"]
    nested = config()
    nested.model_path = "org/my model"
    assert chosen(training_data=ROWS, union_list=["x"], of=nested)[1]["model_name"].startswith("org-my-model-")
    for prefix in ("", "_"):
        given = {f"{prefix}model_name": "m", f"{prefix}output_path": "some/where"}
        _, request = chosen(training_data=ROWS, union_list=["x"], **given)
        assert (request["model_name"], request["output_path"]) == ("m", {"path": "some/where"})
    path = {"bucket": "b", "path": "p"}
    assert chosen(training_data=ROWS, union_list=["x"], output_path=path)[1]["output_path"] == path
    for bad in ("", "../x", "a/b", "ü", 5):
        with pytest.raises(InputError):
            chosen(training_data=ROWS, union_list=["x"], model_name=bad)


def test_a_training_with_a_parameter_of_that_name() -> None:
    told = json.loads(COMPLETE)
    parameters = told["components"]["schemas"]["SampleTaskSamplePrimitiveModuleTrainParameters"]
    parameters["properties"]["model_name"] = {"type": "string"}
    own = config(json.dumps(told).encode(), "SampleTaskSamplePrimitiveModuleTrain")
    _, request = chosen({"name": "x"}, model_name="mine", _model_name="new", of=own)
    assert (request["model_name"], request["parameters"]["model_name"]) == ("new", "mine")
    assert "model_name" not in {
        each.name for each in train_signature(own).parameters.values() if each.kind is inspect.Parameter.KEYWORD_ONLY
    }


def test_optional_data_takes_rows_too() -> None:
    told = json.loads(COMPLETE)
    parameters = told["components"]["schemas"]["SampleTaskSamplePrimitiveModuleTrainParameters"]["properties"]
    source = {"$ref": "#/components/schemas/DataStreamSourceSampleInputType"}
    parameters["more_data"] = {"anyOf": [source, {"type": "null"}]}
    parameters["limit"] = {"type": ["integer", "null"]}
    own = config(json.dumps(told).encode(), "SampleTaskSamplePrimitiveModuleTrain")
    for more in ({}, {"more_data": None, "limit": None}):
        assert chosen({"name": "x"}, of=own, **more)[1]["parameters"] == {"sample_input": {"name": "x"}}
    assert chosen({"name": "x"}, more_data=iter(ROWS), of=own)[1]["parameters"]["more_data"] == {
        "data_stream": {"data": ROWS}
    }


def test_where_the_document_lacks_the_parameters() -> None:
    _, request = chosen(
        training_data={"data_stream": {"data": ROWS}}, any=1, module="SampleModule", of=config(DANGLING)
    )
    assert request["parameters"] == {"training_data": {"data_stream": {"data": ROWS}}, "any": 1}


def test_signature_and_doc() -> None:
    known = config(train="SampleTaskSampleModuleTrain")
    shown = str(train_signature(known))
    assert "batch_size: int | None = 64" in shown
    assert "shuffle: bool | None = True" in shown
    assert "*, model_name: str | None = None" in shown
    assert str(train_signature(config())) == (
        "(*, model_name: str | None = None, output_path: Any = None, module: str | None = None, **parameters: Any)"
    )
    assert "module='SamplePrimitiveModule': train(sample_input: SampleInputType" in train_doc(known)


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ("a.csv", {"filename": "a.csv"}),
        (PurePosixPath("d/a.csv"), {"filename": "d/a.csv"}),
        (PurePosixPath("d"), {"dirname": "d"}),
        ([PurePosixPath("a.csv"), PurePosixPath("b.csv")], {"files of": ["a.csv", "b.csv"]}),
        (["a.csv"], {"rows of": ["a.csv"]}),
        (iter(ROWS), {"rows of": ROWS}),
        ([], {"rows of": []}),
        ({"bucket": "b"}, {"bucket": "b"}),
    ],
)
def test_sources(given: Any, sent: Any) -> None:
    made = data_stream_source(given, lambda files: {"files of": files}, lambda rows: {"rows of": rows})
    assert made == {"data_stream": sent}


@pytest.mark.parametrize("given", [5, b"x", {"data_stream": {"data": []}}])
def test_sources_that_stay(given: Any) -> None:
    assert data_stream_source(given, list, list) is given


def test_infos() -> None:
    info = JobInfo.model_validate({"state": "RUNNING", "reasons": [""], "submission_timestamp": None, "new": 1})
    assert (info.state, info.reasons) == (JobStatus.RUNNING, ())
    assert JobInfo.model_validate({"state": JobStatus.ERRORED, "reasons": ["a\x1b[31m", ""]}).reasons == ("a [31m",)
    assert JobInfo.model_validate({"state": "QUEUED", "reasons": None}).state.is_final is False
