"""The tests of `tests/live/test_durations.py`, against a fake runtime."""

from tests.live.test_durations import *  # noqa: F403
