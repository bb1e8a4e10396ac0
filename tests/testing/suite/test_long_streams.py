"""The tests of `tests/live/test_long_streams.py`, against a fake runtime."""

from tests.live.test_long_streams import *  # noqa: F403
