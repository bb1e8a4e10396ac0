"""Writes server-sent events, which browsers read with `EventSource`."""

from __future__ import annotations


def event(data: str, name: str = "message") -> bytes:
    """Return an event with a text of one line."""
    head = "" if name == "message" else f"event: {name}\n"
    return f"{head}data: {data}\n\n".encode()
