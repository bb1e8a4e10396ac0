"""The tests of `tests/live/test_protocols.py`, against a fake runtime with the schema of the real one."""

import pytest

from tests.live.test_protocols import *  # noqa: F403

from .conftest import Runtime


@pytest.fixture(scope="session")
def runtime(schema_runtime: Runtime) -> Runtime:
    return schema_runtime
