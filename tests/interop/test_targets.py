"""Link-local addresses with their zones, and the ports of schemes, in a network of the test's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.conftest import ENGINE
from tests.support.network import in_namespace, missing


@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_zones_and_ports_of_schemes(tmp_path: Path, protocol: str) -> None:
    if why := missing():
        pytest.skip(why)
    module, engine = "tests.interop.target_situations", {"REMOTE_CLIENT_ENGINE": ENGINE}
    outcomes = json.loads(in_namespace(module, protocol, str(tmp_path), env=engine))
    assert len(outcomes) == 9
    assert set(outcomes.values()) == {"foo" if protocol == "grpc" else "raw"}, outcomes
