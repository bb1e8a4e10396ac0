"""Fixtures of several unit tests."""

from __future__ import annotations

import sys
from typing import Any

import pytest


@pytest.fixture(params=[True, False], ids=["with the extra", "without"])
def extra(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Whether the extra `cli` is there."""
    if not request.param:
        monkeypatch.setitem(sys.modules, "cyclopts", None)
        monkeypatch.delitem(sys.modules, "remote_client._cli.cyclopts_app", raising=False)
    return request.param
