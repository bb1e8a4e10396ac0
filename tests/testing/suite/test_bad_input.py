"""The tests of `tests/live/test_bad_input.py`, against a fake runtime."""

from tests.live.test_bad_input import *  # noqa: F403
