"""What `print()`, IPython and a notebook show of descriptions, models, jobs, versions and errors."""

from __future__ import annotations

import copy
import pickle
from datetime import UTC, datetime
from typing import Any

import pytest

from remote_client import JobInfo, JobStatus, ModelInfo, RuntimeInfo
from remote_client._schema.runtime_info import ModelList
from remote_client.errors import InternalError, JobFailedError, ResourceExhaustedError
from tests.unit.library import DESCRIPTION

MODELS = ModelList(
    [
        ModelInfo(name="foo", module_id="id-1", loaded=True, size=12345, module_metadata={"name": "SampleModule"}),
        ModelInfo(name="a-new-one"),
    ]
)
WHEN = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)
FAILED = JobInfo(state=JobStatus.ERRORED, submission_timestamp=WHEN, reasons=("barf!", "Traceback:\n  line 1"))


@pytest.fixture(autouse=True)
def no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "0")


def test_models_are_a_table_and_a_list() -> None:
    assert str(MODELS).splitlines() == [
        "NAME       MODULE        MODULE ID  LOADED   BYTES",
        "foo        SampleModule  id-1       yes     12,345",
        "a-new-one                           no           0",
    ]
    assert list(MODELS) == MODELS
    assert repr(MODELS) == repr(list(MODELS))
    for other in (copy.deepcopy(MODELS), pickle.loads(pickle.dumps(MODELS))):
        assert (other, str(other)) == (MODELS, str(MODELS))


def test_a_model_and_versions_are_tables() -> None:
    assert str(MODELS[1]).splitlines()[:3] == ["name             a-new-one", "module_id", "loaded           no"]
    versions = RuntimeInfo(runtime_version="1.2", python_packages={"torch": "3.0", "caikit": "0.29.0"})
    assert str(versions).splitlines() == ["PACKAGE  VERSION", "runtime  1.2", "caikit   0.29.0", "torch    3.0"]


def test_a_jobs_status_keeps_the_lines_of_its_reasons() -> None:
    assert str(JobInfo(state=JobStatus.RUNNING)) == "state  RUNNING"
    assert str(FAILED).splitlines() == [
        "state      ERRORED",
        "submitted  2024-01-02 03:04:05+00:00",
        "reasons    barf!",
        "           Traceback:",
        "             line 1",
    ]


def test_a_description_has_a_line_for_each_method() -> None:
    lines = str(DESCRIPTION).splitlines()
    assert lines[:2] == [
        "TASK      METHOD                ARGUMENTS                 ANSWER",
        "EchoTask  run_echo              zoo, count, note?, tags?  Zoo",
    ]
    assert "EchoTask  run_echo_stream_out   zoo, count, note?, tags?  stream of Zoo" in lines


def test_reprs_are_short() -> None:
    assert repr(DESCRIPTION) == "<ServiceDescription: 1 tasks, 4 methods, 0 trainings>"
    task = DESCRIPTION.tasks["EchoTask"]
    assert repr(task).startswith("<TaskDescription EchoTask: run_echo, ")


@pytest.mark.parametrize(
    "value",
    [MODELS, MODELS[0], FAILED, RuntimeInfo(), DESCRIPTION, DESCRIPTION.tasks["EchoTask"]],
    ids=lambda x: type(x).__name__,
)
def test_ipython_shows_the_table(value: Any) -> None:
    pretty = pytest.importorskip("IPython.lib.pretty").pretty  # the matrix of versions is without it
    assert pretty(value) == str(value)


def test_notebooks_show_tables() -> None:
    task = DESCRIPTION.tasks["EchoTask"]
    for value, cells in (
        (MODELS, [">MODULE ID<", ">SampleModule<", ">yes<", ">12,345<"]),
        (DESCRIPTION, [">ARGUMENTS<", ">zoo, count, note?, tags?<", ">stream of Zoo<"]),
        (task, [">EchoTask<", ">stream of Zoo<", ">run_echo(zoo: Zoo, count: int, note: str | None = None, "]),
    ):
        shown = value._repr_html_()  # type: ignore[attr-defined]
        assert all(cell in shown for cell in cells), shown


def test_a_notebook_shows_what_is_known_of_an_error() -> None:
    error = InternalError("barf!", method="pkg.Service/Run", target="host:1", model="foo", error_id="e-1")
    error.request_id, error.attempts, error.seconds = "r-1", 2, 0.12345
    shown = error._repr_html_()
    for cell in (
        ">InternalError<",
        ">INTERNAL<",
        ">barf!<",
        ">pkg.Service/Run<",
        ">host:1<",
        ">e-1<",
        ">r-1<",
        ">0.123<",
    ):
        assert cell in shown
    assert "http_status" not in shown
    assert ">RESOURCE_EXHAUSTED<" in ResourceExhaustedError("")._repr_html_()
    failed = JobFailedError("training", "id-1", ("one", "two\n  three"))._repr_html_()
    assert ">id-1<" in failed
    assert ">one\ntwo\n  three<" in failed
