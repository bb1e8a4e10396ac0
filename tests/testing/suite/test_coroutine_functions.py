"""The tests of `tests/live/test_coroutine_functions.py`, against a fake runtime."""

from tests.live.test_coroutine_functions import *  # noqa: F403
