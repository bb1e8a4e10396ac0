"""`remote-client models`, `describe`, `health` and `info`: tables on a terminal, JSON in a pipe, and exit codes."""

from __future__ import annotations

import json
import re
import threading
from typing import Any

import pytest

from remote_client._cli.main import main

from ..live.protocols import Protocol, named, nobody, target_of
from ..support.runtime import SAMPLE_MODELS, Runtime, free_port
from .commands import on_terminal, run


def rows(table: str) -> list[list[str]]:
    """Return the cells of a table, which two spaces or more separate."""
    return [re.split(" {2,}", line.strip()) for line in table.splitlines()]


# -- models -----------------------------------------------------------------------------------------------------------


def test_models_are_json_in_a_pipe(target: str, runtime: Runtime) -> None:
    ended = run("models", "-t", target)
    assert (ended.code, ended.err, ended.out.count("\n")) == (0, "", 1)
    models = {model["name"]: model for model in ended.json}
    assert models.keys() == runtime.models.keys() | {runtime.marker}
    assert list(models) == sorted(models)
    foo = models["foo"]
    assert (foo["module_id"], foo["module_name"], foo["loaded"]) == (SAMPLE_MODELS["foo"], "SampleModule", True)
    assert foo["module_metadata"] == {"name": "SampleModule", "version": "0.1.0"}


def test_models_are_a_table_on_a_terminal(runtime: Runtime) -> None:
    ended = on_terminal("models", "-t", runtime.http_target)
    assert (ended.code, ended.err) == (0, "")
    header, *found = rows(ended.out)
    assert header == ["NAME", "MODULE", "MODULE ID", "LOADED", "BYTES"]
    assert ["foo", "SampleModule", SAMPLE_MODELS["foo"], "yes"] in [row[:4] for row in found]
    starts = {line.index("00110203") for line in ended.out.splitlines()[1:]}
    assert len(starts) == 1


def test_json_on_a_terminal_is_indented(runtime: Runtime) -> None:
    ended = on_terminal("models", "--json", "-t", runtime.target)
    assert ended.out.startswith('[\n  {\n    "name": ')
    assert ended.json[0]["name"] == "bar"


# -- describe ---------------------------------------------------------------------------------------------------------


def test_everything_is_described(target: str, protocol: Protocol, capfd: Any) -> None:
    assert main(["describe", "-t", target]) == 0
    told = json.loads(capfd.readouterr().out)
    assert told.keys() == {"protocol", "tasks", "types", "trainings", "notes"}
    assert told["protocol"] == protocol
    methods = {method["name"]: method for method in told["tasks"]["SampleTask"]}
    name = named(protocol, "sample_input")
    assert methods["run_sample"]["arguments"][0] == {"name": name, "type": "SampleInputType", "required": True}
    assert {"name": "throw", "type": "bool", "required": False} in methods["run_sample"]["arguments"]
    assert methods["run_sample_stream_out"]["answer"] == "stream of SampleOutputType"
    assert told["types"]["SampleInputType"] == {"name": "str"}
    assert told["types"]["Zoo"]["places"] == "list[Place]"
    if protocol == "grpc":
        stream = methods["run_sample_bidi_stream"]["arguments"][0]
        assert stream == {"name": "sample_inputs", "type": "stream of SampleInputType", "required": True}
        assert methods["run_sample"]["path"].endswith("/SampleTaskPredict")


def test_a_task_is_described_on_a_terminal(target: str, protocol: Protocol) -> None:
    ended = on_terminal("-t", target, "describe", "SampleTask")
    assert (ended.code, ended.err) == (0, "")
    methods, arguments, types = (rows(table) for table in ended.out.split("\n\n"))
    name = named(protocol, "sample_input")
    assert methods[:2] == [
        ["METHOD", "ARGUMENTS", "ANSWER"],
        ["run_sample", f"{name} throw? prefix?", "SampleOutputType"],
    ]
    assert arguments[0] == ["ARGUMENT", "TYPE", "REQUIRED"]
    assert [name, "SampleInputType", "yes"] in arguments
    assert ["prefix", "str", "no"] in arguments
    assert types[1:] == [["SampleInputType", "name", "str"], ["SampleOutputType", "greeting", "str"]]


@pytest.mark.parametrize("wanted", ["run_zoo", "ZooTask"])
def test_a_method_or_a_task_is_described(target: str, wanted: str, capfd: Any) -> None:
    assert main(["describe", wanted, "-t", target]) == 0
    out = capfd.readouterr().out
    assert '"name":"run_zoo"' in out
    assert "SampleTask" not in out
    assert ('"run_zoo_stream_out"' in out) == (wanted == "ZooTask")


@pytest.mark.parametrize("wanted", ["SampleModule", "SampleTaskSampleModuleTrain"])
def test_a_training_is_described(target: str, wanted: str, capfd: Any) -> None:
    assert main(["describe", wanted, "-t", target]) == 0
    told = json.loads(capfd.readouterr().out)
    assert told["tasks"] == {}
    (training,) = told["trainings"].values()
    assert training["answer"] == "TrainingJob"
    data = training["arguments"][0]
    assert data == {"name": "training_data", "type": "DataStreamSourceSampleInputType", "required": True}
    assert told["types"]["SampleInputType"] == {"name": "str"}


def test_a_schema_file_is_described_without_a_server(runtime: Runtime, tmp_path: Any, capfd: Any) -> None:
    file = str(tmp_path / "runtime.binpb")
    assert main(["schema", "-t", runtime.target, "-o", file]) == 0
    assert main(["describe", "SampleTask", "--schema", file, "-t", nobody(free_port(), "grpc")]) == 0
    assert '"run_sample"' in capfd.readouterr().out


@pytest.mark.parametrize(
    ("wanted", "told"),
    [
        ("SampelTask", "did you mean SampleTask?"),
        ("run_zo", "did you mean run_zoo?"),
        ("SampleTaskSampleModulTrain", "did you mean SampleTaskSampleModuleTrain?"),
        ("x", "it has "),
    ],
)
def test_an_unknown_task_is_wrong_use(target: str, wanted: str, told: str, capfd: Any) -> None:
    assert main(["describe", wanted, "-t", target]) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"remote-client: the runtime has no task {wanted!r}; {told}")
    assert "run_sample" not in err


# -- health -----------------------------------------------------------------------------------------------------------


def test_a_serving_runtime_is_healthy(target: str, capfd: Any) -> None:
    told = f'{{"target":"{target}","serving":true,"missing":[],"reason":null}}\n'
    assert main(["health", "-t", target]) == 0
    assert capfd.readouterr() == (told, "")
    assert main(["health", "-t", target, "--models", "foo,bar", "--wait", "20"]) == 0
    assert capfd.readouterr() == (told, "")


def test_health_on_a_terminal(runtime: Runtime) -> None:
    ended = on_terminal("health", "--models", "foo,bar", "-t", runtime.target)
    assert (ended.code, ended.out, ended.err) == (0, f"{runtime.target} serves\n", "")
    ended = on_terminal("health", "--models", "foo,bax", "-t", runtime.target)
    assert (ended.code, ended.out) == (1, f"{runtime.target} serves without bax\n")


def test_a_missing_model_exits_with_one(target: str, capfd: Any) -> None:
    assert main(["health", "-t", target, "--models", "foo", "--models", "bax,bar"]) == 1
    assert capfd.readouterr().out.endswith('"serving":true,"missing":["bax"],"reason":null}\n')
    assert main(["health", "-t", target, "--models", "foo,bax", "--wait", "0.3"]) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("remote-client: DeadlineExceededError: ")
    assert "'bax'" in err
    assert err.endswith("; a longer --wait gives it more time\n")


def test_a_server_that_is_away_is_not_healthy(protocol: Protocol, capfd: Any) -> None:
    target = nobody(free_port(), protocol)
    assert main(["health", "-t", target]) == 1
    out, err = capfd.readouterr()
    told = json.loads(out)
    assert (told["serving"], told["missing"], err) == (False, [], "")
    assert told["reason"].startswith("UNAVAILABLE: failed to connect")
    assert main(["health", "-t", target, "--wait", "0.3"]) == 1
    assert "does not serve (UNAVAILABLE" in capfd.readouterr().err


@pytest.mark.slow
def test_health_waits_until_a_runtime_serves(protocol: Protocol) -> None:
    with Runtime(models={"foo": SAMPLE_MODELS["foo"]}) as late:
        late.kill()
        back = threading.Timer(0.5, late.restart)
        back.start()
        try:
            ended = run("health", "--wait", "50", "--models", "foo", "-t", target_of(late, protocol))
        finally:
            back.join()
    assert (ended.code, ended.err, ended.json["serving"]) == (0, "", True)


# -- info -------------------------------------------------------------------------------------------------------------


def test_versions(target: str, capfd: Any) -> None:
    assert main(["info", "-t", target]) == 0
    told = json.loads(capfd.readouterr().out)
    assert told.keys() == {"runtime_version", "python_packages"}
    assert told["python_packages"]["caikit"]


def test_versions_on_a_terminal(runtime: Runtime) -> None:
    header, own, *packages = rows(on_terminal("info", "-t", runtime.target).out)
    assert (header, own[0]) == (["PACKAGE", "VERSION"], "runtime")
    assert "caikit" in [name for name, _ in packages]


# -- errors -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["models", "describe", "info"])
def test_a_server_that_is_away_is_one_line(command: str, protocol: Protocol, capfd: Any) -> None:
    target = nobody(free_port(), protocol)
    assert main([command, "-t", target]) == 1
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith("remote-client: UnavailableError: UNAVAILABLE: ")
    assert "-t or REMOTE_CLIENT_TARGET names the runtime" in err
