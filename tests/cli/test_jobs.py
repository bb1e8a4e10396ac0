"""`remote-client jobs` as a program: ids that pipe, waits that Ctrl-C leaves, and what went wrong."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator

import pytest

from remote_client._cli.main import main

from ..live.protocols import PROTOCOLS, Protocol, named, nobody
from ..support.runtime import Runtime, free_port
from ..support.slow import slow_but
from .commands import on_stderr, on_terminal, run, run_here

Printed = pytest.CaptureFixture[str]


@pytest.fixture
def running(target: str, protocol: Protocol, capfd: Printed) -> Iterator[str]:
    """A job of half a minute."""
    assert main(["-t", target, "jobs", "start", "slow", "SlowTask", f"{named(protocol, 'seconds')}=30"]) == 0
    id = capfd.readouterr().out.strip()
    yield id
    main(["-t", target, "jobs", "cancel", "SlowTask", id])


def test_ids_pipe_from_the_start_to_the_result(target: str, protocol: Protocol, capfd: Printed) -> None:
    name = named(protocol, "sample_input")
    start = run("-t", target, "jobs", "start", "foo", "SampleTask", f"{name}.name=Ada")
    assert (start.code, start.err) == (0, "")
    id = start.out.removesuffix("\n")
    assert "\n" not in id
    waited = run_here(capfd, "-t", target, "jobs", "wait", "SampleTask", id)
    assert (waited.code, waited.err) == (0, "")
    assert (waited.json["id"], waited.json["state"]) == (id, "COMPLETED")
    result = run_here(capfd, "-t", target, "jobs", "result", "SampleTask", id)
    assert (result.code, result.json) == (0, {"greeting": "Hello Ada"})


def test_a_result_is_printed_as_call_prints_answers(runtime: Runtime, capfd: Printed) -> None:
    given = ["-t", runtime.target, "jobs"]
    job = ["TextTask", run_here(capfd, *given, "start", "text", "TextTask", "text=plain", "--json").json["id"]]
    assert main([*given, "wait", *job]) == 0
    capfd.readouterr()
    assert main([*given, "result", *job, "--text"]) == 0
    assert capfd.readouterr().out == "plain\n"
    assert main([*given, "result", *job, "--field", "nothing"]) == 2


@pytest.mark.parametrize("protocol", slow_but({"grpc"}, PROTOCOLS), indirect=True)
def test_a_status_is_a_table_on_a_terminal(target: str, running: str) -> None:
    shown = on_terminal("-t", target, "jobs", "status", "SlowTask", running)
    assert (shown.code, shown.err) == (0, "")
    rows = dict(line.split(maxsplit=1) for line in shown.out.splitlines() if " " in line.rstrip())
    assert (rows["id"], rows["state"]) == (running, "RUNNING")


def test_ctrl_c_leaves_the_job_running(target: str, running: str, capfd: Printed) -> None:
    with on_stderr("-t", target, "jobs", "wait", "SlowTask", running) as (process, told):
        told.until(f"job {running}: RUNNING")
        process.send_signal(signal.SIGINT)
        told.until(f"job {running} goes on: remote-client jobs wait SlowTask {running}")
        assert process.wait(20) == 130
        assert process.stdout is not None
        assert process.stdout.read() == b""
    assert main(["-t", target, "jobs", "status", "SlowTask", running]) == 0
    assert json.loads(capfd.readouterr().out)["state"] == "RUNNING"


def test_a_limit_leaves_the_job_running(target: str, running: str, capfd: Printed) -> None:
    assert main(["-t", target, "jobs", "wait", "SlowTask", running, "--limit", "0.3"]) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("remote-client: DeadlineExceededError: ")
    assert err.endswith("; a longer --limit gives it more time\n")
    assert main(["-t", target, "jobs", "result", "SlowTask", running]) == 1
    assert capfd.readouterr().err.startswith("remote-client: NotFoundError: ")


def test_a_cancelled_job(target: str, running: str, capfd: Printed) -> None:
    assert main(["-t", target, "jobs", "cancel", "SlowTask", running]) == 0
    assert json.loads(capfd.readouterr().out)["state"] == "CANCELED"
    assert main(["-t", target, "jobs", "wait", "SlowTask", running]) == 1
    assert "JobCancelledError" in capfd.readouterr().err


def test_a_failed_job(target: str, protocol: Protocol, capfd: Printed) -> None:
    assert main(["-t", target, "jobs", "start", "failing", "FailingTask", f"{named(protocol, 'kind')}=ValueError"]) == 0
    id = capfd.readouterr().out.strip()
    assert main(["-t", target, "jobs", "wait", "FailingTask", id]) == 1
    assert "JobFailedError: job " in capfd.readouterr().err
    assert main(["-t", target, "jobs", "status", "FailingTask", id]) == 0
    assert json.loads(capfd.readouterr().out)["state"] == "ERRORED"


def test_a_server_that_is_away(protocol: Protocol, capfd: Printed) -> None:
    target = nobody(free_port(), protocol)
    assert main(["-t", target, "jobs", "start", "foo", "SampleTask", "x=1"]) == 1
    assert main(["-t", target, "jobs", "wait", "SampleTask", "x", "--outage", "0.2"]) == 1
    assert capfd.readouterr().err.count("UnavailableError") == 2


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        ("", 2, "jobs has commands: remote-client jobs --help lists them"),
        ("status", 2, "give TASK and ID of a prediction job, or --training ID"),
        ("status SampleTask", 2, "give TASK and ID"),
        ("status SampleTask x --training y", 2, "give TASK and ID"),
        ("status SampleTask nothing", 1, "NotFoundError: "),
        ("status Nothing x", 2, "InputError: task: no server has prediction jobs of a task 'Nothing'"),
        ("wait --training nothing", 1, "NotFoundError: "),
        ("status SlwTask x", 2, "of a task 'SlwTask'; did you mean SlowTask?"),
        ("result Nothing x", 2, "the runtime has no prediction jobs of a task 'Nothing'; it has "),
        ("result SlwTask x", 2, "of a task 'SlwTask'; did you mean SlowTask?"),
        ("start foo GeoSpatialTask", 2, "GeoSpatialTask has no prediction jobs"),
        ("start nothing SampleTask", 1, "ModelNotFoundError: "),
        ("start foo SampleTask who=x", 2, "has no argument 'who'"),
        ("start foo SampleTask", 2, "InputError: "),
    ],
)
def test_wrong_use(runtime: Runtime, arguments: str, code: int, told: str, capfd: Printed) -> None:
    assert main(["-t", runtime.target, "jobs", *arguments.split()]) == code
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert told in err
