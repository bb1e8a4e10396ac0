"""What an engine, or a peer with any engine, cannot do: those tests must fail, for the reason that is told here."""

from __future__ import annotations

import os

import pytest

ENGINE = os.environ.get("REMOTE_CLIENT_ENGINE") or "asyncio"
"""The engine that the tests run on."""

BY_ENGINE: dict[str, dict[str, str]] = {
    "grpcio": {},
    "asyncio": {},
}
"""Engine -> the beginning of a test's name with its parameters -> why it fails."""


def reason(item: pytest.Item) -> str | None:
    """Why a test must fail, if it must."""
    return next((why for name, why in BY_ENGINE[ENGINE].items() if item.name.startswith(name)), None)
