"""A TCP proxy that does to connections what networks do."""

from __future__ import annotations

import asyncio
import random
import socket
import struct

from .proxy import Proxy

FAULTS = ("refuse", "accept and close", "delay", "throttle", "cut", "reset", "freeze", "drop half")


class FaultyProxy(Proxy):
    """Passes bytes on to `port`; an async context manager.

    Attributes:
        fault: what happens to new connections and to what is passed on from now on; None for nothing.
        cut_after: bytes of answers after which a connection is reset; 0 for never.
        gently: whether it is closed there instead of reset.
    """

    def __init__(self, port: int, fault: str | None, chance: random.Random) -> None:
        super().__init__(port)
        self._chance = chance
        self.fault = fault
        self.cut_after = 0
        self.gently = False

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        if self.fault in ("refuse", "accept and close"):
            if self.fault == "refuse":
                reset(writer)
            writer.close()
            return
        there, back = await asyncio.open_connection("127.0.0.1", self._to)
        self._writers.add(back)
        for source, sink, answers in ((reader, back, False), (there, writer, True)):
            task = asyncio.create_task(self._suffering(source, sink, answers))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _suffering(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, answers: bool) -> None:
        passed = 0
        try:
            while data := await source.read(1 << 12):
                if self.cut_after and answers and passed + len(data) >= self.cut_after:
                    sink.write(data[: self.cut_after - passed])
                    await sink.drain()
                    if not self.gently:
                        reset(sink)
                    return
                if not await self._suffer(sink, data, answers):
                    return
                passed += len(data)
        except ConnectionError:
            pass
        finally:
            self._writers.discard(sink)
            sink.close()

    async def _suffer(self, sink: asyncio.StreamWriter, data: bytes, answers: bool) -> bool:
        """Pass data on, or not; whether the connection goes on."""
        fault = self.fault
        if fault == "delay":
            await asyncio.sleep(self._chance.uniform(0.05, 0.4))
        elif fault == "throttle":
            for at in range(0, len(data), 100):
                sink.write(data[at : at + 100])
                await asyncio.sleep(0.01)
            return True
        elif fault == "freeze" or (fault == "drop half" and answers and self._chance.random() < 0.5):
            await asyncio.sleep(3600)
        elif fault in ("cut", "reset") and answers:
            sink.write(data[: self._chance.randrange(len(data))])
            if fault == "reset":
                reset(sink)
            return False
        sink.write(data)
        await sink.drain()
        return True


def reset(writer: asyncio.StreamWriter) -> None:
    """End a connection with RST instead of FIN."""
    sock = writer.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
