"""The messages of reads that a stream refuses, as it is over."""

from __future__ import annotations

from ..errors import ClosedError

STREAM_CLOSED = "the stream was closed"
"""The message of a read that `aclose` interrupts."""


def lost_message(error: BaseException) -> str:
    """Return the message of reads after the one that raised this error."""
    if isinstance(error, ClosedError):
        return str(error)
    if isinstance(error, Exception):
        return f"the stream ended with a {type(error).__name__}, which an earlier read raised: what was left is lost"
    return "a read of this stream was broken off, and its call with it: what was left is lost"
