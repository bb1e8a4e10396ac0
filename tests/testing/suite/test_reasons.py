"""The tests of `tests/live/test_reasons.py`, against a fake runtime."""

from tests.live.test_reasons import *  # noqa: F403
