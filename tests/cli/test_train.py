"""`remote-client train` as a program: the id that pipes, the wait, and which training it is."""

from __future__ import annotations

import inspect
import json
import signal
import uuid
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel

from remote_client._cli.arguments import value_of_json
from remote_client._cli.main import main
from remote_client._cli.training_arguments import row_kinds

from ..live.protocols import Protocol, named, nobody
from ..support.runtime import Runtime, free_port
from .commands import on_stderr, run, run_here

Printed = pytest.CaptureFixture[str]


@pytest.fixture
def name(runtime: Runtime) -> Iterator[str]:
    """A name that no model has, before and after."""
    name = f"trained-{uuid.uuid4().hex[:8]}"
    yield name
    main(["-t", runtime.target, "undeploy", name])


@pytest.fixture
def rows(tmp_path: Path) -> str:
    """A file of training data."""
    file = tmp_path / "rows.jsonl"
    file.write_text('{"name": "Ada"}\n\n{"name": "Bob"}\n')
    return f"training_data@{file}"


def test_a_trained_model_can_be_called(target: str, protocol: Protocol, name: str, rows: str, capfd: Printed) -> None:
    given = ["-t", target, "train", "foo", rows, 'union_list:=["a"]', "batch_size:=8"]
    trained = run(*given, "--model-name", name, "--wait")
    id = trained.out.removesuffix("\n")
    assert (trained.code, "\n" in id) == (0, False)
    assert trained.err == f"remote-client: training {id} makes the model {name}\n"
    word = f"{named(protocol, 'sample_input')}.name=Ada"
    assert run_here(capfd, "-t", target, "call", name, "SampleTask", word).json == {"greeting": "Hello Ada"}
    assert run_here(capfd, "-t", target, "jobs", "status", "--training", id).json["state"] == "COMPLETED"


def test_ctrl_c_leaves_the_training_running(target: str, name: str, rows: str, capfd: Printed) -> None:
    given = ["-t", target, "train", "foo", rows, 'union_list:=["a"]', "seconds=30", "--model-name", name, "--wait"]
    with on_stderr(*given) as (process, told):
        assert process.stdout is not None
        id = process.stdout.readline().decode().strip()  # it is there before the wait
        told.until(f"training {id}: RUNNING")
        process.send_signal(signal.SIGINT)
        told.until(f"training {id} goes on: remote-client jobs wait --training {id}")
        assert process.wait(20) == 130
    job = ["--training", id]
    assert main(["-t", target, "jobs", "wait", *job, "--limit", "0.3"]) == 1
    assert "DeadlineExceededError" in capfd.readouterr().err
    assert main(["-t", target, "jobs", "cancel", *job]) == 0
    assert json.loads(capfd.readouterr().out)["state"] == "CANCELED"


def test_a_failed_training(runtime: Runtime, name: str, rows: str, capfd: Printed) -> None:
    given = ["train", "foo", rows, 'union_list:=["a"]', "fail:=true", "--model-name", name]
    assert main(["-t", runtime.target, *given, "--wait"]) == 1
    out, err = capfd.readouterr()
    assert out.count("\n") == 1
    assert f"JobFailedError: training '{out.strip()}' failed: the training was asked to fail" in err


def test_arguments_come_from_standard_input(runtime: Runtime, name: str) -> None:
    document = {"training_data": [{"name": "Ada"}], "union_list": ["a"]}
    given = ["-t", runtime.target, "train", "foo", "--input", "-", "--model-name", name, "--json", "--wait"]
    trained = run(*given, input=json.dumps(document))
    assert (trained.code, trained.err) == (0, "")
    assert trained.json["model_name"] == name


def test_a_module_chooses_the_training(runtime: Runtime, name: str, capfd: Printed) -> None:
    given = ["-t", runtime.target, "train", "foo", "--model-name", name, "--wait"]
    assert main([*given, "--module", "EmbeddingModule", "base.model_id=foo", "rows:=[1, 2]", 'counts:={"a": 1}']) == 0
    assert capfd.readouterr().out.count("\n") == 1


def test_a_server_that_is_away(protocol: Protocol, capfd: Printed) -> None:
    assert main(["-t", nobody(free_port(), protocol), "train", "foo"]) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("remote-client: UnavailableError: ")


def test_rows_are_made_of_json_by_their_types() -> None:
    class Row(BaseModel):
        picture: bytes

    class Rows(BaseModel):
        data: list[Row]

    class File(BaseModel):
        filename: str

    class Source(BaseModel):
        data_stream: Rows | File | None

    def train(rows: Source, note: str) -> None: ...

    rpc: Any = SimpleNamespace(signature=inspect.signature(train, eval_str=True, locals=locals()))
    kinds = row_kinds(rpc)
    assert list(kinds) == ["rows"]
    assert value_of_json(kinds["rows"], {"picture": "aGk="}) == {"picture": b"hi"}


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ("nothing", 1, "ModelNotFoundError: "),
        ("foo", 2, "no training takes these arguments; --module chooses one: SampleModule: missing training_data; "),
        ("foo training_dta@x", 2, "SampleModule: training_dta@x: train has no argument 'training_dta'; did you mean"),
        ("foo --module Nothing", 2, "--module Nothing: the trainings are of SampleModule, EmbeddingModule"),
        ("foo --module SampleModule", 2, "InputError: train(): missing required argument: training_data"),
        ("foo --module SampleModule training_data@nowhere.jsonl", 2, "training_data@nowhere.jsonl: No such file"),
        ("foo --module SampleModule training_data@rows.csv", 2, "training_data@rows.csv: not JSON Lines: "),
        ("foo --module SampleModule training_data@rows.jsonl training_data@rows.jsonl", 2, "is given twice"),
        ("foo --module SampleModule training_data@rows.jsonl training_data=x", 2, "is given twice"),
        ("foo --module SampleModule training_data", 2, "training_data: expected name=text, name:=json or name@file"),
        ("foo --module SampleModule batch_size=many", 2, "InputError: train(): "),
        ("embedding rows:=[1]", 2, "InputError: train(): missing required argument: base"),
    ],
)
def test_wrong_use(
    runtime: Runtime,
    arguments: str,
    code: int,
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: Printed,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rows.csv").write_text("name\nAda\n")
    Path("rows.jsonl").write_text('{"name": "Ada"}\n')
    assert main(["-t", runtime.target, "train", *arguments.split()]) == code
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert told in err
