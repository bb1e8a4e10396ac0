"""How a test server takes its orders: on its standard input, so that watching it opens no connection."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from typing import Any, Protocol


class Obedient(Protocol):
    """What a server keeps of what it saw, and the faults that are on."""

    faults: dict[str, Any]

    def reset(self) -> None:
        """Forget what was seen, and have no faults."""

    def stats(self) -> dict[str, Any]:
        """What was seen."""


async def obey(state: Obedient) -> None:
    """Commands, one JSON object a line, until the input ends."""
    reader = asyncio.StreamReader(limit=64 << 20)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    while line := await reader.readline():
        command = json.loads(line)
        if command["do"] == "reset":
            state.reset()
        elif command["do"] == "faults":
            state.faults |= command["faults"]
        print(json.dumps(state.stats()), flush=True)
    os._exit(0)  # calls may be in flight; nothing is worth waiting for
