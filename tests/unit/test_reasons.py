"""Why a job failed: with its lines where a person reads it, in one line where a log does."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest
from pydantic import ValidationError

from remote_client import JobInfo, JobStatus
from remote_client._schema.openapi.document import describe
from remote_client._text.cleaning import clean_lines
from remote_client._text.tables import LINES, table
from remote_client.errors import JobCancelledError, JobFailedError, RemoteClientError
from tests.unit.documents import document

TRACEBACK = (
    'Traceback (most recent call last):\n  File "train.py", line 3, in fit\n    model.fit()\nValueError: no rows'
)


@pytest.mark.parametrize(
    ("told", "kept"),
    [
        ("", ""),
        ("one", "one"),
        (f"{TRACEBACK}\n", TRACEBACK),
        ("a\n\nb", "a\n\nb"),
        ("\n  a", "\n  a"),
        ("a\r\nb\r\n", "a\nb"),
        ("10 %\r20 %", "10 %\n20 %"),
        ("a\n\rb", "a\n\nb"),
        ("a\u2028b\u2029c\x85d", "a\nb\nc\nd"),
        ("a\x0bb\x0cc\x1cd\x1ee\x00f\x7fg", "a b c d e f g"),
        ("\x1b[31mred\x1b[0m\n\x9b1m", " [31mred [0m\n 1m"),
        ("\u202egninrut\ud800\ufeff", " gninrut  "),
        ("a\tb", "a b"),
        ("é 日本 🙂", "é 日本 🙂"),
    ],
)
def test_lines_are_kept_and_nothing_else_that_steers(told: str, kept: str) -> None:
    assert clean_lines(told) == kept
    assert clean_lines(kept) == kept
    assert JobInfo(state=JobStatus.ERRORED, reasons=(told,)).reasons == ((kept,) if kept else ())
    error = JobFailedError("job", "id", (told,))
    assert error.reasons == (kept,)
    assert str(error) == f"job 'id' failed: {kept}"


@pytest.mark.parametrize("line", ["x", "a line\n"])
def test_a_long_reason_keeps_its_beginning_and_its_end(line: str) -> None:
    told = f"{TRACEBACK}\n{line * 1_000_000}\nValueError: the end\n"
    (reason,) = JobInfo(state=JobStatus.ERRORED, reasons=(told,)).reasons
    assert reason.startswith(TRACEBACK)
    assert reason.endswith("\nValueError: the end")
    assert f"\n... ({len(told) - 1} characters)\n" in reason
    assert len(reason) < 17_000
    assert JobFailedError("job", "id", (reason,)).reasons == (reason,)  # it is not cut again


def test_several_reasons() -> None:
    assert str(JobFailedError("job", "id", ("one", "two"))) == "job 'id' failed: one; two"
    assert str(JobFailedError("job", "id")) == "job 'id' failed"
    error = JobCancelledError("training", "id", ("one", TRACEBACK))
    assert str(error) == f"training 'id' was cancelled: one\n{TRACEBACK}"
    for same in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert (str(same), same.reasons) == (str(error), error.reasons)


@pytest.mark.parametrize("reasons", ["text", 5, [5], [["a"]], {"a": 1}])
def test_what_are_no_reasons(reasons: Any) -> None:
    with pytest.raises(ValidationError):
        JobInfo.model_validate({"state": "ERRORED", "reasons": reasons})


def test_a_server_that_gives_none() -> None:
    for none in (None, [], [""], [None]):
        assert JobInfo.model_validate({"state": "ERRORED", "reasons": none}).reasons == ()


def test_notebooks_show_the_lines() -> None:
    escaped = TRACEBACK.replace('"', "&quot;")
    shown: Any = [JobInfo(state=JobStatus.ERRORED, reasons=(TRACEBACK,)), JobFailedError("job", "id", (TRACEBACK,))]
    for each in shown:
        assert escaped in each._repr_html_()
    long = table("", [("", f"first\n{'x' * 10_000}\nlast")])
    assert ">first\n" in long
    assert "\nlast<" in long
    assert "… (10011 characters)\n" in long
    assert len(long) < LINES + 500


def test_one_line_where_a_log_may_have_it() -> None:
    """Nobody can forge a line of a log through us; those who log `str()` of a job's error have been told."""
    forged = "a\n2031-01-01 ERROR root: forged"
    error = JobFailedError("job", forged, (forged,))
    assert "\n" not in repr(error)
    assert str(error).splitlines()[0] == "job 'a 2031-01-01 ERROR root: forged' failed: a"
    assert "\n" not in repr(JobInfo(state=JobStatus.ERRORED, reasons=(forged,)))
    wrapped = RemoteClientError("x")
    wrapped.__cause__ = type("Local", (Exception,), {})(forged)  # it cannot be pickled, and is told in words
    assert "\n" not in str(pickle.loads(pickle.dumps(wrapped)).__cause__)


def test_what_a_document_lacks_is_told_in_one_line() -> None:
    """The finder logs it; the names are the server's."""
    answer = {"type": "object", "title": "made.up.Answer", "properties": {"x": {"$ref": "#/components/schemas/A\nb"}}}
    (note,) = describe(document(answer)).notes
    assert "A b" in note
    assert note.isprintable()
