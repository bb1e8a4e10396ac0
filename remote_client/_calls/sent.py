"""What an attempt of a stream holds, and how it ends when the stream is garbage. `stream` decides about all else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from time import monotonic
from typing import NamedTuple

from .._concurrency import fork as _fork
from .._transport.balance import Health
from .._transport.call import ByteStream, Call
from .._transport.manager import Lease
from .._transport.pending import Place
from .attempts import Attempts
from .caller import Caller, wait_for_turn


class Sent(NamedTuple):
    """An attempt that was sent, and all that it holds."""

    stream: ByteStream
    lease: Lease
    place: Place
    health: Health

    def drop(self) -> None:
        """Cancel it if it still runs, and release all."""
        self.stream.cancel()
        self.lease.release()
        self.place.free()
        self.health.in_flight -= 1


async def turn(attempts: Attempts, call: Call) -> tuple[Place, Call]:
    """Wait until fewer calls wait for the server; return the place, and the attempt of a stream with the time it has.

    Raises:
        DeadlineExceededError: see `wait_for_turn`.
    """
    server, timeout = attempts.server, attempts.options.timeout
    if call.timeout != timeout:  # the call's is left for the first answer, the options' for every other one
        call = replace(call, timeout=timeout)
    place = server.pending.enter()
    if place is None:
        place, waited = await wait_for_turn(server, call)
        call = replace(call, total_timeout=waited.total_timeout)
    return place, call


def abandon(
    loop: asyncio.AbstractEventLoop, born: int, drop: Callable[[], object], caller: Caller, attempts: Attempts
) -> None:
    """End a stream that was collected, in whatever thread the collector runs.

    Args:
        loop: the stream's.
        born: the process of the stream, as the number of forks before it.
        drop: ends the attempt, in the loop's thread.
        caller: calls the hooks.
        attempts: the call.
    """
    if born != _fork.count:
        return  # what wakes a parent's loop is the parent's
    try:
        loop.call_soon_threadsafe(_drop, drop, caller, attempts)
    except RuntimeError:  # the loop is closed, and the call with it
        return


def _drop(drop: Callable[[], object], caller: Caller, attempts: Attempts) -> None:
    drop()
    caller.notify_hooks(attempts, attempts.ended(None, monotonic()))


def take_exception(opening: asyncio.Task[None]) -> None:
    """Take a task's exception, which asyncio would log if nobody reads the stream."""
    if not opening.cancelled():
        opening.exception()
