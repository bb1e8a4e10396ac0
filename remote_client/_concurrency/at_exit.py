"""Connections to close when the process exits. The blocking client's loop closes them."""

from __future__ import annotations

import asyncio
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

closers: WeakKeyDictionary[asyncio.AbstractEventLoop, WeakSet[Any]] = WeakKeyDictionary()
"""The objects with an `aclose` to await at exit, by loop. Only the blocking client's loop has an entry."""
