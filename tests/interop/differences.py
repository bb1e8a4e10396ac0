"""What an engine, or a peer with any engine, cannot do: those tests must fail, for the reason that is told here."""

from __future__ import annotations

import os

import pytest

ENGINE = os.environ.get("REMOTE_CLIENT_ENGINE") or "asyncio"
"""The engine that the tests run on."""

_RESET = "a status with RST_STREAM(CANCEL) right behind it becomes CANCELLED"

ALWAYS: dict[str, dict[str, str]] = {
    "grpcio": {
        "test_a_status_that_comes_before_the_request_is_whole[haproxy]": _RESET,
    },
    "asyncio": {},
}
"""Engine -> the beginning of a test's name with its parameters -> why it fails."""
SOMETIMES: dict[str, dict[str, str]] = {
    "grpcio": {
        "test_status_code_and_message[haproxy]": _RESET,
        "test_discovery_and_health_through_a_proxy[haproxy]": _RESET,
    },
    "asyncio": {},
}
"""The same, of tests that fail now and then."""


def mark(item: pytest.Item) -> pytest.MarkDecorator | None:
    """What is expected of a test that does not pass."""
    for table, strict in ((ALWAYS, True), (SOMETIMES, False)):
        for name, why in table[ENGINE].items():
            if item.name.startswith(name):
                return pytest.mark.xfail(reason=f"{ENGINE}: {why}", strict=strict)
    return None
