"""A call at the strict server, and what the server keeps of what it saw."""

from __future__ import annotations

import asyncio
import base64
import gzip
import random
import re
import struct
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import grpc
from h2.errors import ErrorCodes
from h2.exceptions import ProtocolError

from tests.interop.methods import HANDLERS
from tests.support.wire_server import State

if TYPE_CHECKING:
    from .strict_connection import Connection

PRINTABLE = "".join(chr(code) for code in range(0x20, 0x7F) if chr(code) != "%")
HEADS_KEPT = 100
_UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
Pairs = tuple[tuple[str, str | bytes], ...]


class StrictState(State):
    """See `wire_server.State`.

    Attributes:
        live: the connections that are open.
    """

    def __init__(self) -> None:
        self.live: set[Connection] = set()
        super().__init__()

    def reset(self) -> None:
        super().reset()
        self.violations: list[str] = []
        self.heads: list[list[tuple[str, str]]] = []
        self.resets: Counter[str] = Counter()
        self.goaways: Counter[str] = Counter()
        self.made = 0
        self.pings_sent = self.pings_acked = self.pings_received = 0
        self.settings_sent = self.settings_acked = 0
        self.packed_messages = 0

    def stats(self) -> dict[str, Any]:
        self._change()
        names = "violations resets goaways made pings_sent pings_acked pings_received settings_sent settings_acked"
        found = {name: getattr(self, name) for name in names.split()}
        return super().stats() | found | {"heads": self.heads[-HEADS_KEPT:], "packed": self.packed_messages}

    def _change(self) -> None:
        """Tell all connections of the settings that the fault `change` orders: statistics follow every command."""
        settings = self.faults.pop("change", None)
        for connection in self.live if settings else ():
            connection.change(settings)
            connection.flush()

    def refuses_unseen(self) -> bool:
        """Whether the next request is refused unseen."""
        left = self.faults.get("unseen", 0)
        self.faults["unseen"] = max(0, left - 1)
        return bool(left)


class AbortError(Exception):
    """A handler ends its call with a status."""

    def __init__(self, code: grpc.StatusCode, details: str, trailing: Pairs) -> None:
        self.code, self.details, self.trailing = code, details, trailing


class OverError(Exception):
    """The call is over on the wire; nothing more is sent."""


class Stream:
    """A call: it plays the part of grpc.aio's context for the handlers of `wire_server`."""

    def __init__(self, connection: Connection, id: int, headers: list[tuple[str, str]]) -> None:
        self.id = id
        self.room = asyncio.Event()
        self.received = 0
        self._connection = connection
        self._headers = headers
        self._born = time.monotonic()
        self._buffer = bytearray()
        self._messages: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._owed = 0
        self._ended = self._begun = self._gzip = self._reset = False
        self._initial: Pairs = ()
        self._trailing: Pairs = ()
        self._task = asyncio.create_task(self._run())

    # -- what comes in ------------------------------------------------------------------------------------------------

    def feed(self, data: bytes, length: int) -> None:
        """Data, and how much of the window it took."""
        self.received += length
        self._owed += length
        self._buffer += data
        while len(self._buffer) >= 5:
            flag, size = struct.unpack(">BI", self._buffer[:5])
            if len(self._buffer) < size + 5:
                break
            self._messages.put_nowait(self._unpacked(flag, bytes(self._buffer[5 : size + 5])))
            del self._buffer[: size + 5]
        if self._messages.qsize() <= 1:
            self._pay()

    def _unpacked(self, flag: int, message: bytes) -> bytes:
        if not flag:
            return message
        self._connection.state.packed_messages += 1
        if flag != 1 or self._header("grpc-encoding") != "gzip":
            self._connection.violation(f"flag {flag}, grpc-encoding {self._header('grpc-encoding')!r}")
        return gzip.decompress(message)

    def feed_end(self) -> None:
        self._ended = True
        if self._buffer:
            self._connection.violation("the request ends within a message")
        self._messages.put_nowait(None)

    def _pay(self) -> None:
        owed, self._owed = self._owed, 0
        self._connection.acknowledge(owed, self.id)

    async def _receive(self) -> bytes | None:
        message = await self._messages.get()
        if self._messages.empty():
            self._pay()
            self._connection.flush()
        return message

    async def _iterate(self) -> AsyncIterator[bytes]:
        while (message := await self._receive()) is not None:
            yield message

    # -- the call -----------------------------------------------------------------------------------------------------

    def cancel(self) -> None:
        """The client gave it up."""
        self._reset = True
        self._task.cancel()

    async def _run(self) -> None:
        try:
            await self._serve()
        except AbortError as error:
            await self._finish(error.code, error.details, error.trailing)
        except OverError:
            pass
        except ProtocolError:
            if not self._reset and not self._connection.transport.is_closing():
                raise
        finally:
            self._pay()
            self._connection.done(self)

    async def _serve(self) -> None:
        service, _, name = self._header(":path")[1:].partition("/")
        if (service, name) == ("test.Identity", "Get"):
            await self.write(self._connection.identity.encode())
            await self._finish(grpc.StatusCode.OK)
            return
        if service != "test.Test" or name not in HANDLERS:
            await self.abort(grpc.StatusCode.UNIMPLEMENTED, f"no {service}/{name} here")
        handler, (streams_in, _) = HANDLERS[name]
        request = self._iterate() if streams_in else await self._only()
        try:
            answer = await self._connection.state.track(name, handler)(request, self)
        except asyncio.CancelledError as error:
            if self._reset:
                raise
            raise AbortError(grpc.StatusCode.CANCELLED, repr(error), ()) from None
        if answer is not None:
            await self.write(answer)
        await self._finish(grpc.StatusCode.OK)

    async def _only(self) -> bytes:
        message = await self._receive()
        if message is None or await self._receive() is not None:
            self._connection.violation("a unary call's request is not one message")
        return message or b""

    async def _finish(self, code: grpc.StatusCode, details: str = "", trailing: Pairs = ()) -> None:
        """Send the trailers; alone, where there was no answer."""
        number: int = code.value[0]
        pairs = [("grpc-status", str(number)), *_encoded((*self._trailing, *trailing))]
        if details:
            pairs.insert(1, ("grpc-message", quote(details, safe=PRINTABLE)))
        if not self._begun and (code is grpc.StatusCode.OK or self._initial):
            self._begin()
        self._connection.ping()
        head = [] if self._begun else self._head()
        self._connection.h2.send_headers(self.id, [*head, *pairs], end_stream=True)
        if not self._ended:
            self._connection.h2.reset_stream(self.id, ErrorCodes.NO_ERROR)
        self._connection.flush()

    # -- what goes out ------------------------------------------------------------------------------------------------

    def _head(self) -> list[tuple[str, str]]:
        packed = [("grpc-encoding", "gzip")] if self._gzip else []
        return [(":status", "200"), ("content-type", "application/grpc"), *packed, *_encoded(self._initial)]

    def _begin(self) -> None:
        for status in self._connection.state.faults.get("interim", ()):
            self._connection.h2.send_headers(self.id, [(":status", str(status)), ("x-early", "1")])
        self._begun = True
        self._connection.h2.send_headers(self.id, self._head())
        self._connection.ping()
        self._break("after_header")

    def _break(self, place: str) -> None:
        """Reset the stream where that is ordered."""
        ordered, code = self._connection.state.faults.get("rst", ("", ""))
        if ordered == place:
            self._connection.h2.reset_stream(self.id, ErrorCodes[code])
            raise OverError

    async def write(self, message: bytes) -> None:
        if not self._begun:
            self._begin()
        if self._gzip:
            message = gzip.compress(message, 1)
        data = memoryview(struct.pack(">BI", self._gzip, len(message)) + message)
        if self._connection.state.faults.get("rst", ("",))[0] == "during_data":
            data = data[: len(data) // 2]
        while data:
            data = data[await self._send_some(data) :]
        self._break("during_data")
        self._break("after_data")

    async def _send_some(self, data: memoryview) -> int:
        """As many bytes as the window and the faults let through; how many that were."""
        faults, h2 = self._connection.state.faults, self._connection.h2
        padding = random.randint(0, faults["pad"]) if "pad" in faults else None
        around = 0 if padding is None else padding + 1
        room = min(h2.local_flow_control_window(self.id), h2.max_outbound_frame_size) - around
        size: int = min(room, len(data), faults.get("data", len(data)))
        if size <= 0:
            self.room.clear()
            self._connection.flush()
            await self.room.wait()
            return 0
        h2.send_data(self.id, bytes(data[:size]), pad_length=padding)
        self._connection.ping()
        self._connection.flush()
        await self._connection.writable.wait()
        return size

    # -- grpc.aio's context -------------------------------------------------------------------------------------------

    def _header(self, name: str) -> str:
        return next((value for key, value in self._headers if key == name), "")

    def peer(self) -> str:
        return str(self._connection.transport.get_extra_info("peername"))

    def set_compression(self, compression: grpc.Compression) -> None:
        if "gzip" not in self._header("grpc-accept-encoding"):
            self._connection.violation("an answer may not be compressed")
        self._gzip = compression is grpc.Compression.Gzip

    def invocation_metadata(self) -> Pairs:
        return tuple(
            (key, decoded)
            for key, value in self._headers
            if not re.match(r":|grpc-|te$|content-type$", key)
            for decoded in _decoded(key, value)
        )

    async def send_initial_metadata(self, pairs: Pairs) -> None:
        self._initial = pairs

    def set_trailing_metadata(self, pairs: Pairs) -> None:
        self._trailing = pairs

    def time_remaining(self) -> float | None:
        told = self._header("grpc-timeout")
        return float(told[:-1]) * _UNITS[told[-1]] - (time.monotonic() - self._born) if told else None

    async def abort(self, code: grpc.StatusCode, details: str = "", trailing: Pairs = ()) -> None:
        raise AbortError(code, details, trailing)


def _encoded(pairs: Pairs) -> list[tuple[str, str]]:
    return [
        (key, value if isinstance(value, str) else base64.b64encode(value).decode().rstrip("=")) for key, value in pairs
    ]


def _decoded(key: str, value: str) -> list[str | bytes]:
    if not key.endswith("-bin"):
        return [value]
    return [base64.b64decode(each + "=" * (-len(each) % 4), validate=True) for each in value.split(",")]
