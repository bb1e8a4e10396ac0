"""The tests of `tests/live/test_calls.py`, against a fake runtime."""

from tests.live.test_calls import *  # noqa: F403
