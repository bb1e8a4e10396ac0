"""Connections that are closed when the process ends, by the loop that outlives their users."""

from __future__ import annotations

import asyncio
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

closers: WeakKeyDictionary[asyncio.AbstractEventLoop, WeakSet[Any]] = WeakKeyDictionary()
"""Objects whose `aclose` is awaited at exit if nobody closes them before, by their loop: the blocking client's."""
