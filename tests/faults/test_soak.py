"""The soak runs, and would tell of what grows; its half hour is `make soak`."""

from __future__ import annotations

import pytest

from tests.soak import GRPC_DEEDS, MEMORY_LIMIT, Sample, across_restarts, soak, verdict
from tests.support.runtime import Runtime


async def test_all_kinds_of_call_are_made(runtime: Runtime) -> None:
    samples, done = await soak(runtime, seconds=6, every=1)
    assert len(samples) >= 2  # one a second, and fewer on a busy machine
    assert set(done) == {deed.__name__ for deed in (*GRPC_DEEDS, across_restarts)}


@pytest.mark.parametrize(
    ("memory", "descriptors", "grows", "flat"),
    [(0.0, 0.0, False, True), (0.01, 0.0, True, True), (0.0, 0.1, False, False)],
)
def test_what_grows_is_told(memory: float, descriptors: float, grows: bool, flat: bool) -> None:
    samples = [Sample(second, 70 + memory * second, int(20 + descriptors * second), 9) for second in range(0, 600, 5)]
    slope, seen = verdict(samples)
    assert (slope > MEMORY_LIMIT, seen) == (grows, flat)
