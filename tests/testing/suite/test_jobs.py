"""The tests of `tests/live/test_jobs.py`, against a fake runtime."""

from tests.live.test_jobs import *  # noqa: F403
