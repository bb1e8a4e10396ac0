"""The tests' own clock."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.clock import Stopwatch

# A child's own waits would count as this process's: only grandchildren are somebody else.
BUSY = f"{sys.executable} -c 'while True: pass' & trap \"kill $!\" TERM; echo ready; wait"


@pytest.fixture
def busy() -> Iterator[None]:
    """One processor only, and two others who always want it."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    others = [subprocess.Popen(["sh", "-c", BUSY], stdout=subprocess.PIPE, text=True) for _ in range(2)]
    for other in others:
        assert other.stdout is not None
        other.stdout.readline()
    yield
    os.sched_setaffinity(0, before)
    for other in others:
        other.terminate()
        other.communicate()


@pytest.mark.skipif(not Path("/proc/thread-self/schedstat").exists(), reason="this system does not tell who waited")
@pytest.mark.usefixtures("busy")
def test_a_busy_machine_does_not_count() -> None:
    watch, begun = Stopwatch(), time.thread_time()
    while time.thread_time() < begun + 0.2:
        pass
    assert watch.wall > 0.4
    assert watch.seconds < 0.3


def test_sleeping_counts() -> None:
    watch = Stopwatch()
    time.sleep(0.1)
    assert watch.wall >= 0.1
    assert 0.05 < watch.seconds <= watch.wall
