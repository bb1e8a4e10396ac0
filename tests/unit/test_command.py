"""The command as a program: however it is started, it says what it did by its exit code."""

from __future__ import annotations

import os
import pty
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from remote_client import __version__
from remote_client._cli import argparse_app, schema, stubs
from remote_client._cli.main import main
from remote_client._cli.options import Options
from remote_client._cli.usage import COMMANDS
from tests.support.runtime import free_port

STARTS = ["remote_client", "remote_client._cli.main"]
WITHOUT_EXTRA = "import sys; sys.modules['cyclopts'] = None; from remote_client._cli.main import main; sys.exit(main())"
PROTOCOLS = ["grpc", "http"]


def command(module: str, *arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    started = [sys.executable, "-W", "error", "-m", module, *arguments]
    return subprocess.run(started, capture_output=True, text=True, timeout=60, check=False, **options)


@pytest.mark.parametrize("module", STARTS)
def test_the_module_is_the_command(module: str) -> None:
    ended = command(module, "--version")
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, f"{__version__}\n", "")


@pytest.mark.parametrize("module", STARTS)
def test_wrong_use_exits_with_two(module: str) -> None:
    ended = command(module)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith("usage: remote-client ")


@pytest.mark.parametrize("module", STARTS)
def test_a_server_that_is_away_exits_with_one(module: str) -> None:
    ended = command(module, "stubs", f"http://127.0.0.1:{free_port()}")
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr.startswith("remote-client: ")


def test_without_the_extra_there_is_stubs() -> None:
    def call(*arguments: str) -> tuple[int, str, str]:
        started = [sys.executable, "-W", "error", "-c", WITHOUT_EXTRA, *arguments]
        ended = subprocess.run(started, capture_output=True, text=True, timeout=60, check=False)
        return ended.returncode, ended.stdout, ended.stderr

    extra = "pip install 'remote-client[cli]'"
    assert call("--version") == (0, f"{__version__}\n", "")
    assert extra in call("--help")[1]
    assert call("-t", "a:1", "schema", "-o", "a.binpb") == (
        2,
        "",
        f"remote-client: the command schema needs: {extra}\n",
    )
    code, out, err = call("stubs", f"http://127.0.0.1:{free_port()}")
    assert (code, out) == (1, "")
    assert err.startswith("remote-client: UnavailableError: UNAVAILABLE")


@pytest.mark.usefixtures("extra")
@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("", "--help lists the commands"),
        ("-t a:1", "--help lists the commands"),
        ("nothing", "nothing"),
        ("stubs --nothing", "--nothing"),
        ("stubs a:1 b:1", "b:1"),
        ("stubs a:b", "the port must be a number"),
        ("stubs -o stubs.txt", "a .py file"),
        ("stubs -t a:1 --proxy socks5://b", "socks5:// proxies are not supported"),
        ("stubs -o", "-o"),
    ],
)
def test_wrong_use_is_told_in_a_line(arguments: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments.split()) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(("remote-client: ", "usage: remote-client "))
    assert told in err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ("schema -o a.json", "over grpc the schema is a FileDescriptorSet, a .binpb file"),
        ("schema -o a", "a .binpb file"),
        ("schema -t http://a -o a.binpb", "over http the schema is an OpenAPI document, a .json file"),
        ("schema -t http://a -o a.yaml", "a .json file"),
        ("schema --check a.binpb -o a.binpb", "--check compares, -o writes: give one of them"),
        ("schema --check nowhere.binpb", "--check: nowhere.binpb cannot be read: No such file or directory"),
        ("schema --schema nowhere.proto", "--schema: nowhere.proto cannot be read: No such file or directory"),
        ("schema --check https://a/b.json", "--check: https://a/b.json cannot be read: No such file or directory"),
        ("schema -t a:1 --schema a.binpb", "--schema asks no server"),
        ("schema --json", "--json goes with --check"),
        ("schema a:1", "a:1"),
    ],
)
def test_wrong_use_of_schema(arguments: str, told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments.split()) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert told in err


@pytest.mark.parametrize(
    ("arguments", "variable", "options"),
    [
        ("{}", None, Options()),
        ("{}", "", Options(target="localhost:8085")),
        ("{}", "http://a", Options(target="http://a")),
        ("-t b:1 {}", "http://a", Options(target="b:1")),
        ("{} -t b:1", "http://a", Options(target="b:1")),
        ("{} --target=b:1 --proxy env", None, Options(target="b:1", proxy="env")),
        ("--proxy http://c:1 {}", None, Options(proxy="http://c:1")),
    ],
)
@pytest.mark.parametrize("asked", ["schema", "stubs"])
def test_options_and_the_environment_name_the_server(
    asked: str, extra: bool, arguments: str, variable: str | None, options: Options, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Options] = []

    async def record(given: Any, *_: object, **__: object) -> int:
        seen.append(getattr(given, "options", given))
        return 0

    monkeypatch.setattr(schema, "_write", record)
    monkeypatch.setattr(stubs, "write_stubs", record)
    monkeypatch.setattr(argparse_app, "write_stubs", record)
    monkeypatch.delenv("REMOTE_CLIENT_TARGET", raising=False)
    if variable is not None:
        monkeypatch.setenv("REMOTE_CLIENT_TARGET", variable)
    done = main(arguments.format(asked).split()), seen
    assert done == ((0, [options]) if extra or asked == "stubs" else (2, []))


@pytest.mark.usefixtures("extra")
def test_stubs_takes_its_target_without_an_option(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []

    async def record(*arguments: Any, **more: Any) -> int:
        seen.append((*arguments, more))
        return 0

    monkeypatch.setattr(stubs, "write_stubs", record)
    monkeypatch.setattr(argparse_app, "write_stubs", record)
    monkeypatch.setenv("REMOTE_CLIENT_TARGET", "http://a")
    assert main(["stubs", "-o", "f.py", "--proxy", "env", "b:1", "--sync"]) == 0
    assert main(["stubs", "--schema", "a.binpb", "--force", "--output", "f.py"]) == 0
    assert seen == [
        (Options(target="b:1", proxy="env"), Path("f.py"), {"blocking": True, "force": False}),
        (Options(target="http://a", schema="a.binpb"), Path("f.py"), {"blocking": False, "force": True}),
    ]


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], *([name, "--help"] for name in COMMANDS)])
def test_help_is_quick(arguments: list[str]) -> None:
    run = f"from remote_client._cli.main import main; main({arguments})"
    script = f"import sys; {run}; print(*sys.modules, file=sys.stderr)"
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ended.stdout
    loaded = {name.partition(".")[0] for name in ended.stderr.split()}
    assert not {"grpc", "google", "pydantic", "pydantic_core", "anyio", "asyncio", "yaml"} & loaded


def test_bytes_are_not_for_a_terminal() -> None:
    terminal, end = pty.openpty()
    try:
        asked = [sys.executable, "-m", "remote_client", "schema"]
        ended = subprocess.run(asked, stdout=end, stderr=subprocess.PIPE, text=True, timeout=60, check=False)
        os.set_blocking(terminal, False)
        with pytest.raises(BlockingIOError):
            os.read(terminal, 1)
    finally:
        os.close(terminal)
        os.close(end)
    assert ended.returncode == 2
    assert "name a file with -o" in ended.stderr


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("asked", ["schema", "stubs"])
def test_an_interrupt_ends_the_call(asked: str, protocol: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)
        target = f"{protocol}://127.0.0.1:{server.getsockname()[1]}"
        started = [sys.executable, "-m", "remote_client", "-t", target, asked]
        with subprocess.Popen(started, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            connection, _ = server.accept()
            with connection:
                connection.settimeout(30)
                assert connection.recv(1 << 16)
                process.send_signal(signal.SIGINT)
                assert process.communicate(timeout=30) == ("", "")
                while connection.recv(1 << 16):
                    pass  # what was on the way
    assert process.returncode == 130
