"""Link-local addresses with their zones, and the ports of schemes, in a network of the test's own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import ENGINE
from tests.support.wire import ROOT

NAMESPACE = ("unshare", "-n", "--kill-child", "--fork")


@pytest.fixture
def namespace() -> tuple[str, ...]:
    """The command that runs another one in a network of its own."""
    if absent := [each for each in ("ip", "unshare") if shutil.which(each) is None]:
        pytest.skip(f"{', '.join(absent)} not found (iproute2, util-linux)")
    command = [*NAMESPACE, "ip", "link", "add", "near0", "type", "veth", "peer", "name", "far0"]
    tried = subprocess.run(command, capture_output=True, text=True, check=False)
    if tried.returncode:
        pytest.skip(f"no network namespaces here (root is needed): {tried.stderr.strip()}")
    return NAMESPACE


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_zones_and_ports_of_schemes(namespace: tuple[str, ...], tmp_path: Path, protocol: str) -> None:
    done = subprocess.run(
        [*namespace, sys.executable, "-m", "tests.interop.target_situations", protocol, str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "REMOTE_CLIENT_ENGINE": ENGINE},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    outcomes = json.loads(done.stdout)
    assert len(outcomes) == 9
    assert set(outcomes.values()) == {"foo" if protocol == "grpc" else "raw"}, outcomes
