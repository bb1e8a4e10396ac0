"""Draws the timeline of rotation: which connection each call used, and when connections opened and closed.

A client with `max_session_age` calls a real caikit runtime through a relay on the loopback. The relay sees connections
open and close, and reads each call's `x-request-id` from its headers; a hook tells when the call began and ended. Run
`RUNTIME_PYTHON=.venv-runtime/bin/python .venv/bin/python -m docs.pictures.rotation` in the project's folder;
`--again` draws the last record once more. The site does not include this file.
"""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import hpack

from remote_client import RemoteClient
from remote_client.hooks import CallEnded, CallStarted, Event

HERE = Path(__file__).parent
RECORD = HERE / "rotation.json"
AGE = 1.0
"""Seconds: the client's `max_session_age`."""
LENGTH = 4.4
"""Seconds of the whole timeline."""


# -- what happens -----------------------------------------------------------------------------------------------------


@dataclass
class Connection:
    """When a connection was opened and closed, in seconds of the timeline."""

    opened: float
    closed: float = LENGTH


@dataclass
class Call:
    """A call: unary or a stream, the task that made it, the number of its connection, its times, and its status."""

    kind: str
    caller: str
    connection: int
    began: float
    ended: float
    status: str


@dataclass
class Record:
    """All that happened."""

    connections: list[Connection] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)


class Frames:
    """Reads the ids of requests from the bytes that a client sends over HTTP/2."""

    def __init__(self) -> None:
        self._data = bytearray()
        self._left = 24  # the preface
        self._decoder = hpack.Decoder()

    def feed(self, data: bytes) -> Iterator[str]:
        """Yield the `x-request-id` of each request in the data; `-` for one without."""
        self._data += data
        if self._left:
            if len(self._data) < self._left:
                return
            del self._data[: self._left]
            self._left = 0
        while len(self._data) >= 9:
            length, kind, flags = int.from_bytes(self._data[:3]), self._data[3], self._data[4]
            if len(self._data) < 9 + length:
                return
            payload = bytes(self._data[9 : 9 + length])
            del self._data[: 9 + length]
            if kind == 1:  # HEADERS; this client sends each block in one frame, without padding and priority
                assert flags & 0x2C == 0x04
                yield next((str(value) for name, value in self._decoder.decode(payload) if name == "x-request-id"), "-")


class Relay:
    """Passes connections on to a port, and notes what it sees of them.

    Attributes:
        connections: all connections, in their order.
        used: the number of the connection of each call, by the call's id.
    """

    def __init__(self, to: int, clock: Clock) -> None:
        self._to, self._clock = to, clock
        self._tasks: set[asyncio.Task[None]] = set()
        self.connections: list[Connection] = []
        self.used: dict[str, int] = {}

    async def start(self) -> int:
        """Listen, and return the port."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Wait for the connections to end."""
        self._server.close()
        await asyncio.gather(*self._tasks)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = len(self.connections)
        self.connections.append(Connection(self._clock.now))
        there, back = await asyncio.open_connection("127.0.0.1", self._to)
        pumps = [self._pump(reader, back, number), self._pump(there, writer, None)]
        self._tasks.update(tasks := [asyncio.create_task(pump) for pump in pumps])
        await asyncio.wait(tasks)

    async def _pump(self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, number: int | None) -> None:
        frames = Frames()
        while data := await source.read(1 << 16):
            if number is not None:
                self.used |= dict.fromkeys(frames.feed(data), number)
            sink.write(data)
        if number is not None:
            self.connections[number].closed = self._clock.now
        sink.close()


class Clock:
    """Seconds since it was started."""

    def __init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Begin at 0."""
        self._begun = asyncio.get_running_loop().time()

    @property
    def now(self) -> float:
        """The time, to the millisecond."""
        return round(asyncio.get_running_loop().time() - self._begun, 3)


async def record(port: int, age: float = AGE, length: float = LENGTH) -> Record:
    """Call a runtime for a while through the relay, and return what happened."""
    clock, starts, calls = Clock(), dict[str, float](), dict[str, Call]()

    def observe(event: Event) -> None:
        if isinstance(event, CallStarted):
            starts[event.request_id] = clock.now
        elif isinstance(event, CallEnded):
            kind = "stream" if event.call is not None and event.call.streams else "unary"
            task = asyncio.current_task()
            assert task is not None
            calls[event.request_id] = Call(kind, task.get_name(), -1, starts[event.request_id], clock.now, event.status)

    relay = Relay(port, clock)
    target = f"127.0.0.1:{await relay.start()}"
    async with RemoteClient(target, max_session_age=age, retries=0, hooks=[observe]) as client:
        model = await client.model("slow", task="SlowTask")
        await model.run(seconds=0.01)  # the runtime loads the model

        async def unary(delay: float, seconds: float, pause: float) -> None:
            await asyncio.sleep(delay)
            while clock.now < length - seconds - 0.1:
                await model.run(seconds=seconds)
                await asyncio.sleep(pause)

        async def stream(delay: float, items: int) -> None:
            await asyncio.sleep(delay)
            async with model.run_stream_out(seconds=age / 10, count=items) as answers:
                async for _ in answers:
                    pass

        await asyncio.sleep(age)  # so that the first call of the record opens a connection
        clock.start()
        calls.clear()
        first = len(relay.connections)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(unary(0.0, 0.28 * age, 0.05 * age), name="A")
            tasks.create_task(unary(0.04, 0.19 * age, 0.08 * age), name="B")
            tasks.create_task(stream(0.45 * age, 17), name="C")
    await relay.stop()
    for id, call in calls.items():
        call.connection = relay.used[id] - first
    return Record(relay.connections[first:], sorted(calls.values(), key=lambda call: call.began))


# -- the picture ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Palette:
    """The colours of a variant: of Okabe and Ito, which the colour-blind tell apart."""

    text: str
    muted: str
    connection: str
    unary: str
    stream: str


PALETTES = {
    "light": Palette("#1f2328", "#57606a", "#d9e2ea", "#0072b2", "#d55e00"),
    "dark": Palette("#e6e6ea", "#a9abb8", "#3a4052", "#56b4e9", "#e69f00"),
}
ROWS = {"C": 0.16, "A": 0.42, "B": 0.68}
"""The place of each caller's calls in the band of a connection, from its top."""
HEIGHT = 0.2


def draw(happened: Record, palette: Palette, file: Path) -> None:
    """Draw the timeline as an SVG."""
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.patches import Rectangle

    logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)  # a missing Helvetica is the reader's matter
    settings = {"svg.fonttype": "none", "svg.hashsalt": "rotation", "font.family": "sans-serif", "hatch.linewidth": 0.8}
    with mpl.rc_context({**settings, "font.sans-serif": ["Helvetica", "Arial", "DejaVu Sans"], "font.size": 9.5}):
        bands = 0.58 * len(happened.connections)
        height = bands + 1.1
        figure = Figure(figsize=(6.2, height))
        axes = figure.add_axes((0.15, 0.5 / height, 0.845, bands / height))
        for number, connection in enumerate(happened.connections):
            _draw_connection(axes, happened, number, connection, palette)
        for call in happened.calls:
            place = call.began, call.connection + ROWS[call.caller]
            colour = palette.stream if call.kind == "stream" else palette.unary
            axes.add_patch(Rectangle(place, call.ended - call.began, HEIGHT, color=colour, lw=0, zorder=3))
        _frame(axes, happened, palette)
        _legend(figure, palette)
        figure.savefig(file, transparent=True, metadata={"Date": None, "Creator": None})


def _draw_connection(axes: Any, happened: Record, number: int, connection: Connection, palette: Palette) -> None:
    """Draw the time in which a connection takes new calls, and the time from then on until it closes."""
    from matplotlib.patches import Rectangle

    following = happened.connections[number + 1 :]
    left = following[0].opened if following else connection.closed
    for begin, end, hatch in ((connection.opened, left, None), (left, connection.closed, "////")):
        if end > begin:
            shape = Rectangle((begin, number + 0.08), end - begin, 0.86, lw=1, ec=palette.muted, hatch=hatch, zorder=1)
            shape.set_facecolor("none" if hatch else palette.connection)
            axes.add_patch(shape)
    last = max((call for call in happened.calls if call.connection == number), key=lambda call: call.ended)
    if last.kind == "stream":
        axes.text(connection.closed + 0.04, number + 0.5, "closes with its stream", color=palette.muted, va="center")


def _frame(axes: Any, happened: Record, palette: Palette) -> None:
    """Set the axes' limits, labels and colours."""
    last = max(connection.closed for connection in happened.connections)
    axes.set(xlim=(0, last + 0.05), ylim=(len(happened.connections), 0))
    axes.set_yticks([number + 0.5 for number in range(len(happened.connections))])
    axes.set_yticklabels([f"connection {number + 1}" for number in range(len(happened.connections))])
    axes.set_xlabel("seconds", color=palette.muted)
    axes.tick_params(axis="both", colors=palette.muted, length=0)
    axes.tick_params(axis="y", colors=palette.text)
    axes.grid(axis="x", color=palette.muted, alpha=0.25, lw=0.6, zorder=0)
    axes.set_axisbelow(True)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _legend(figure: Any, palette: Palette) -> None:
    """Add the legend, above the axes."""
    from matplotlib.patches import Patch

    marks = [
        Patch(color=palette.unary, label="unary call"),
        Patch(color=palette.stream, label="stream"),
        Patch(facecolor=palette.connection, edgecolor=palette.muted, label="connection takes new calls"),
        Patch(facecolor="none", edgecolor=palette.muted, hatch="////", label="its last calls end"),
    ]
    figure.legend(
        handles=marks,
        loc="upper left",
        bbox_to_anchor=(0.13, 1),
        ncols=2,
        frameon=False,
        labelcolor=palette.text,
        handlelength=1.8,
    )


def main(again: bool) -> None:
    """Record what happens, unless the last record is to be drawn again, and draw it in both variants."""
    if not again:
        from tests.support.runtime import Runtime

        with Runtime() as runtime:
            happened = asyncio.run(record(runtime.port))
        RECORD.write_text(json.dumps(asdict(happened), indent=1) + "\n")
    read = json.loads(RECORD.read_text())
    happened = Record([Connection(**each) for each in read["connections"]], [Call(**each) for each in read["calls"]])
    for name, palette in PALETTES.items():
        draw(happened, palette, HERE / f"rotation-{name}.svg")


if __name__ == "__main__":
    main("--again" in sys.argv[1:])
