"""The tests of `tests/live/test_declared.py`, against a fake runtime."""

from tests.live.test_declared import *  # noqa: F403
