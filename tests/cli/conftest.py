"""The servers that commands call. Tests that take `target` run over both protocols."""

from __future__ import annotations

from typing import Any

import pytest

from ..live.protocols import PROTOCOLS, Protocol, target_of
from ..support.runtime import Runtime


@pytest.fixture(params=PROTOCOLS)
def protocol(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def target(runtime: Runtime, protocol: Protocol) -> str:
    return target_of(runtime, protocol)


@pytest.fixture(autouse=True)
def no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave no settings of the developer's to commands."""
    for name in ("TARGET", "TOKEN_FILE", "CA_FILE", "CERT_FILE", "KEY_FILE", "TIMEOUT", "SCHEMA"):
        monkeypatch.delenv(f"REMOTE_CLIENT_{name}", raising=False)
