"""`remote-client deploy` and `undeploy` as programs."""

from __future__ import annotations

import json
import signal
import socket
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from remote_client._cli.main import main

from ..live.protocols import Protocol, nobody
from ..support.runtime import SAMPLE_MODELS, Runtime, free_port
from .commands import on_stderr, on_terminal, run, run_here


@pytest.fixture
def name(runtime: Runtime) -> Iterator[str]:
    """A name that no model has, before and after."""
    name = f"deployed-{uuid.uuid4().hex[:8]}"
    yield name
    main(["-t", runtime.target, "undeploy", name])


@pytest.fixture
def folder(tmp_path: Path) -> str:
    tmp_path.joinpath("config.yml").write_text(f"module_id: {SAMPLE_MODELS['foo']}\n")
    return str(tmp_path)


def test_a_deployed_model_is_there_until_it_is_undeployed(
    target: str, name: str, folder: str, capfd: pytest.CaptureFixture[str]
) -> None:
    deployed = run("-t", target, "deploy", name, folder)
    assert (deployed.code, deployed.out, deployed.err) == (0, f"{name}\n", "")
    assert name in [model["name"] for model in run_here(capfd, "-t", target, "models").json]
    undeployed = run_here(capfd, "-t", target, "undeploy", name)
    assert (undeployed.code, undeployed.out, undeployed.err) == (0, f"{name}\n", "")
    again = run_here(capfd, "-t", target, "undeploy", name)
    assert (again.code, again.out) == (1, "")
    assert again.err.startswith("remote-client: NotFoundError: ")


def test_json_has_all_that_the_runtime_says(
    runtime: Runtime, name: str, folder: str, capfd: pytest.CaptureFixture[str]
) -> None:
    assert main(["-t", runtime.target, "deploy", name, folder, "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["name"] == name
    assert main(["-t", runtime.target, "undeploy", name, "--json"]) == 0
    assert json.loads(capfd.readouterr().out) == {"name": name}


def test_progress_is_a_line_on_a_terminal(runtime: Runtime, name: str, folder: str) -> None:
    deployed = on_terminal("-t", runtime.target, "deploy", name, folder, stream="stderr")
    assert (deployed.code, deployed.out) == (0, f"{name}\n")
    assert f"deploying {name}" in deployed.err


@pytest.mark.parametrize("links", [None, "elsewhere.yml"])
def test_folders_that_are_no_models(
    runtime: Runtime, name: str, links: str | None, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    tmp_path.joinpath("elsewhere.yml").touch()
    folder = tmp_path / "model"
    folder.mkdir()
    if links is not None:
        folder.joinpath("config.yml").symlink_to(tmp_path / links)
    assert main(["-t", runtime.target, "deploy", name, str(folder)]) == 2
    out, err = capfd.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert ("InputError: files: a model has at least one" if links is None else 'links="follow"') in err


def test_links_are_followed_on_demand(
    runtime: Runtime, name: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    config, folder = tmp_path / "elsewhere.yml", tmp_path / "model"
    config.write_text(f"module_id: {SAMPLE_MODELS['foo']}\n")
    folder.mkdir()
    folder.joinpath("config.yml").symlink_to(config)
    assert main(["-t", runtime.target, "deploy", name, str(folder), "--links", "follow"]) == 0
    assert capfd.readouterr().out == f"{name}\n"


def test_a_name_that_is_taken(runtime: Runtime, folder: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["-t", runtime.target, "deploy", "foo", folder]) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("remote-client: AlreadyExistsError: ")


def test_a_server_that_is_away(protocol: Protocol, folder: str, capfd: pytest.CaptureFixture[str]) -> None:
    assert main(["-t", nobody(free_port(), protocol), "deploy", "x", folder]) == 1
    out, err = capfd.readouterr()
    assert out == ""
    assert err.startswith("remote-client: UnavailableError: ")


def test_an_interrupted_request_may_have_been_sent(protocol: Protocol, folder: str) -> None:
    with socket.create_server(("localhost", 0)) as listener:  # and never answers
        target = nobody(listener.getsockname()[1], protocol)
        with on_stderr("-t", target, "deploy", "x", folder) as (process, told):
            told.until("deploying x")
            process.send_signal(signal.SIGINT)
            told.until("interrupted; if the request was sent already, the runtime carries it out")
            assert process.wait(20) == 130
