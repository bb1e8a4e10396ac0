"""The tests of `tests/live/test_discovery.py`, against a fake runtime."""

from tests.live.test_discovery import *  # noqa: F403
