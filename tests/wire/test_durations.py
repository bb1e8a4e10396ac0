"""Long and endless time limits on the wire, and time limits as `timedelta`."""

from __future__ import annotations

import asyncio
import math
from datetime import timedelta
from typing import Any

import pytest

from remote_client.errors import ConfigurationError, DeadlineExceededError
from remote_client.sync._modules import wrapped
from tests.support.http_wire import HttpWire, http_module
from tests.support.wire import WireServer, raw_module

LONG = [1e8, 1e9, 1e10, 1e300, 10**400, math.inf, timedelta(days=365), timedelta.max]


@pytest.fixture(params=["grpc", "http"])
def fresh(request: pytest.FixtureRequest) -> Any:
    """Makes a module of the protocol, on connections of its own, with these settings of its connection."""
    if request.param == "grpc":
        wire: WireServer = request.getfixturevalue("wire")
        return lambda **settings: raw_module(wire.info(**settings))
    http: HttpWire = request.getfixturevalue("http_wire")
    return lambda **settings: http_module(http.info(**settings))


async def _works(module: Any) -> None:
    assert await module.echo(b"x") == b"x"
    assert len([each async for each in module.count(n=2)]) == 2


@pytest.mark.parametrize("limit", LONG, ids=str)
async def test_a_limit_out_of_reach_never_expires(fresh: Any, limit: Any) -> None:
    async with fresh(timeout=limit, max_session_age=limit) as module:
        await _works(module)
    async with fresh() as module:
        await _works(module.with_options(timeout=limit, total_timeout=limit))


async def test_a_limit_out_of_reach_never_expires_in_the_blocking_client(fresh: Any) -> None:
    def call() -> None:
        with wrapped(fresh(timeout=math.inf)) as module:
            assert module.echo(b"x") == b"x"
            assert len(list(module.with_options(timeout=timedelta(days=1), total_timeout=1e10).count(n=2))) == 2

    await asyncio.to_thread(call)


async def test_an_error_tells_a_limit_to_the_millisecond(fresh: Any) -> None:
    """What is left of one for a second attempt has sixteen digits. gRPC's own library tells none."""
    async with fresh() as module:
        with pytest.raises(DeadlineExceededError, match=r"(within|for) 0\.123 seconds|Deadline Exceeded"):
            await module.with_options(timeout=0.1234567).sleep(seconds=60)


async def test_a_short_timedelta_expires(fresh: Any) -> None:
    short = timedelta(milliseconds=50)
    async with fresh(timeout=short) as module:
        with pytest.raises(DeadlineExceededError):
            await module.sleep(seconds=60)
    async with fresh() as module:
        with pytest.raises(DeadlineExceededError):
            await module.with_options(timeout=short).sleep(seconds=60)
        with pytest.raises(DeadlineExceededError):
            await anext(module.with_options(total_timeout=short).silent())


async def test_text_is_no_time_limit(fresh: Any) -> None:
    async with fresh() as module:
        for limit in ("5", "5s", b"5", True, [5], math.nan):
            with pytest.raises(ConfigurationError, match="timeout: "):
                module.with_options(timeout=limit)
