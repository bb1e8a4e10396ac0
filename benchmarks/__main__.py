"""`python -m benchmarks`: runs all cases, or those whose names begin with `--only`, and tells their figures."""

from __future__ import annotations

import argparse
import datetime
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .backend import Program, build, build_folder, cores
from .harness import QUICK, Effort
from .report import row, table

FILES = (
    "ceiling",
    "sync",
    "grpc",
    "stream",
    "gateway",
    "tls",
    "envoy",
    "http",
    "large",
    "bulk",
    "growth",
    "discovery",
    "rotation",
    "uvloop",
    "hooks",
    "caikit",
    "caikit_http",
    "caikit_module",
    "start",
    "memory",
)
SAMPLE_LIBRARY = str(Path(__file__).parent.parent / "tests" / "runtime")
LIBRARIES = ("hpack", "httptools", "grpcio", "protobuf", "pydantic", "aiohttp", "httpx", "opentelemetry-sdk", "uvloop")
CAIKIT_LIBRARIES = ("caikit", "grpcio", "protobuf", "pydantic")
SLOW = "Python, for want of a C compiler: BUSY BEFORE THE CLIENT IS, so that gRPC's ratios are too good to be true"


def main() -> None:
    """Parse the arguments, run, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="run everything once, however little that tells")
    parser.add_argument(
        "--only", default="", metavar="NAME", help="cases whose names begin so, for example 'grpc unary tiny'"
    )
    parser.add_argument("--rounds", type=int, default=Effort.rounds)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to this file too")
    wish = parser.parse_args()
    effort = QUICK if wish.quick else Effort(rounds=wish.rounds)
    figures: list[dict[str, Any]] = []
    left_out: dict[str, str] = {}
    with build_folder() as folder:
        program = build(folder)
        told = about(program)
        print("\n".join(f"{name}: {value}" for name, value in told.items()), flush=True)
        for figure in _figures(wish.only, effort, program):
            if "left_out" in figure:
                left_out[figure["left_out"]] = figure["reason"]
                continue
            figures.append(figure)
            print(row(figure), file=sys.stderr, flush=True)
    print(table(figures))
    for name, reason in left_out.items():
        print(f"left out: {name}: {reason}")
    if wish.json is not None:
        whole = {"about": told, "effort": asdict(effort), "left out": left_out, "figures": figures}
        wish.json.write_text(json.dumps(whole, indent=1))
    if not figures and not left_out:
        parser.error(f"no case begins with {wish.only!r}")


def about(program: Program) -> dict[str, str]:
    """What the figures depend on."""
    client, server = cores()
    return {
        "date": datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "command": " ".join(["python -m benchmarks", *sys.argv[1:]]),
        "machine": f"{_processor()}, {os.cpu_count()} cores; {os.uname().sysname} {os.uname().release}",
        "cores": "not pinned" if client is None else f"client on {client}, server on {server}",
        "python": sys.version.split()[0],
        "libraries": ", ".join(f"{name} {version(name)}" for name in LIBRARIES),
        "libraries of the cases of caikit": _caikit_libraries(),
        "server": "C" if program.in_c else SLOW,
        "TLS": "no" if not program.ca else "yes",
    }


def _caikit_libraries() -> str:
    python = _caikit_python()
    if python is None:
        return "none"
    code = f"import importlib.metadata as m; print(', '.join(f'{{x}} {{m.version(x)}}' for x in {CAIKIT_LIBRARIES}))"
    return subprocess.run([python, "-c", code], check=True, stdout=subprocess.PIPE, text=True).stdout.strip()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return os.uname().machine
    found = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return found[0] if found else os.uname().machine


def _figures(only: str, effort: Effort, program: Program) -> Iterator[dict[str, Any]]:
    for file in FILES:
        if not file.startswith(only.partition(" ")[0].rstrip(":")):
            continue
        if file.startswith("caikit") and _caikit_python() is None:
            yield {"left_out": file, "reason": "RUNTIME_PYTHON names no environment with caikit"}
            continue
        wish = {"file": file, "only": only, "effort": asdict(effort), "program": asdict(program)}
        with _worker(file, json.dumps(wish)) as process:
            assert process.stdout is not None
            for line in process.stdout:
                yield json.loads(line)
        if process.returncode:
            raise SystemExit(f"the cases of {file} failed")


def _worker(file: str, wish: str) -> subprocess.Popen[str]:
    python, environment = sys.executable, None
    if file.startswith("caikit"):
        python, environment = _caikit_python() or python, os.environ | {"PYTHONPATH": SAMPLE_LIBRARY}
    command = [python, "-m", "benchmarks.worker", wish]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def _caikit_python() -> str | None:
    """The Python of the runtime's environment, which has the client's libraries as well."""
    named = os.environ.get("RUNTIME_PYTHON", "")
    return named if Path(named).is_file() else None


if __name__ == "__main__":
    main()
