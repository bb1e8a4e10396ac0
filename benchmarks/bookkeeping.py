"""What a unary gRPC call costs between the client's method and the engine's bytes, in microseconds of the processor.

`python -m benchmarks.bookkeeping [--task Tiny|Rich] [--in-flight 32] [--rounds 51]` prints a table. Its first column
adds the client's layers one by one to the engine, with the bench's server at the other end: a layer costs what it adds,
and all of them the client less the engine. The second does so with a transport in the engine's place that answers in
the loop's next turn, and tells what the layers consist of, one function at a time: less than in calls, as nothing else
is in the processor's caches. All are the least of the rounds: on a busy machine a short run is now and then left alone.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import logging
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from typing import Any, NamedTuple

from remote_client import RemoteClient, RemoteModuleConfig, construct_remote_module_class
from remote_client._calls.caller import Caller
from remote_client._schema.arguments import Binder
from remote_client._transport.balance import Balancer
from remote_client._transport.call import Answered, ByteStream, Call, Transport, new_request_id
from remote_client._transport.engine import open_connections
from remote_client._transport.grpc.requests import id_block
from remote_client._transport.manager import ConnectionManager
from remote_client.errors import RemoteClientError
from remote_client.settings import CallOptions

from . import engine, library
from .backend import Backend, build, build_folder, cores, pin
from .floors import METADATA, TIMEOUT
from .harness import in_flight, processor_time

SECONDS = 0.02
"""Of a run."""
STEP = 320
"""The units of a run are a multiple of it."""
ANSWERS = {"Tiny": ("Greeting", library.TINY), "Rich": ("Tokens", library.rich())}
ARGUMENTS = {"sample_input": library.TEXT}
Run = Callable[[int], Awaitable[None]]
Times = Mapping[str, float]
"""Microseconds by what was measured."""


class Instant(Transport):
    """Answers in the next turn of the loop, so that as many calls are begun as in reality."""

    def __init__(self, answer: bytes) -> None:
        super().__init__("nowhere")
        self._answer = answer

    async def unary(self, call: Call, body: bytes | AsyncIterator[bytes], answered: Answered | None = None) -> bytes:
        """See `Transport`."""
        await asyncio.sleep(0)
        if answered is not None:
            answered()
        return self._answer

    def stream(self, call: Call, body: bytes | AsyncIterator[bytes], answered: Answered | None = None) -> ByteStream:
        """See `Transport`."""
        raise NotImplementedError

    async def aclose(self, reason: Callable[[], RemoteClientError]) -> None:
        """See `Transport`."""


class Part(NamedTuple):
    """A line of the table: what was measured, less what that contains."""

    name: str
    measured: str
    less: str = "nothing"

    def cost(self, times: Times) -> float:
        """Return its microseconds."""
        return times[self.measured] - times[self.less]


class Layer(NamedTuple):
    """What a layer of the client adds to those below, its parts, and the name of what they do not tell."""

    whole: Part
    parts: tuple[Part, ...] = ()
    rest: str = ""


LAYERS = (
    Layer(Part("the method", "method", "encoded")),
    Layer(
        Part("the request", "encoded", "decoded"),
        (Part("binding of its arguments", "bind"),),
        "protobuf's message of it, and its bytes",
    ),
    Layer(
        Part("the call", "sent", "bytes"),
        (
            Part("its id", "id"),
            Part("the rest of its record", "record", "id"),
            Part("whether it is logged", "log"),
            Part("its place among those that wait", "place"),
            Part("its lease of a connection", "lease"),
        ),
        "the rest: an attempt, and its end",
    ),
    Layer(
        Part("the answer", "decoded", "sent"),
        (Part("protobuf's message of it", "parse"), Part("its pydantic model", "decode", "parse")),
        "the rest",
    ),
)
BESIDE = (
    Part("the id on the wire, which calls have and bytes do not", "block"),
    Part("the choice of a server, where a model has two", "choose"),
)


async def measure(task: str, count: int, target: str, rounds: int) -> tuple[Times, Times]:
    """Return the least times, of calls and alone."""
    async with RemoteClient(target) as client:
        config = (await client.model(library.MODEL)).config
    answer = library.encoded(*ANSWERS[task])
    real = open_connections(engine.connection(target), "grpc")
    fakes = [ConnectionManager(lambda: Instant(answer), target=f"fake {each}") for each in range(2)]
    in_calls = await _least(_layers(task, count, config, real), rounds)
    alone = await _least(_layers(task, count, config, fakes[0]) | _functions(task, config, fakes), rounds)
    await real.aclose()
    return in_calls, alone


def _layers(task: str, count: int, config: RemoteModuleConfig, connections: ConnectionManager) -> dict[str, Run]:
    """Return calls, with a layer more in each."""
    method = getattr(construct_remote_module_class(config)(config, connections=connections), f"run_{task.lower()}")
    rpc, path, encode = method.rpc, method.rpc.path, method.rpc.codec.encode
    caller = Caller(connections, config.model_key, library.MODEL, CallOptions())
    request = encode(library.MODEL, (), ARGUMENTS)
    transport = connections.lease().transport
    calls: dict[str, Callable[[], Coroutine[Any, Any, Any]]] = {
        "bytes": lambda: transport.unary(Call(path, METADATA, TIMEOUT), request),
        "sent": lambda: caller.send(path, request),
        "decoded": lambda: caller.send(path, request, descriptor=rpc),
        "encoded": lambda: caller.send(path, encode(library.MODEL, (), ARGUMENTS), descriptor=rpc),
        "method": lambda: method(sample_input=library.TEXT),
    }
    return {name: in_flight(count, call) for name, call in calls.items()}


def _functions(task: str, config: RemoteModuleConfig, managers: list[ConnectionManager]) -> dict[str, Run]:
    """Return what the layers consist of, as far as one function does it."""
    codec = getattr(construct_remote_module_class(config), f"run_{task.lower()}").rpc.codec
    answer, id = library.encoded(*ANSWERS[task]), new_request_id()
    manager, balancer = managers[0], Balancer(managers)
    binder, record = Binder("", codec.signature, {}), Call(library.rpc(task), METADATA)
    logger = logging.getLogger("remote_client")

    def wait() -> None:
        place = manager.pending.enter()
        assert place is not None
        place.answered()
        place.free()

    functions: dict[str, Callable[[], object]] = {
        "nothing": lambda: None,
        "bind": lambda: binder.bind((), ARGUMENTS),
        "id": new_request_id,
        "record": record.numbered,
        "log": lambda: logger.isEnabledFor(logging.DEBUG),
        "place": wait,
        "lease": lambda: manager.lease().release(),
        "parse": lambda: codec.decode(answer, "proto"),
        "decode": lambda: codec.decode(answer, "pydantic"),
        "block": lambda: id_block(id),
        "choose": lambda: balancer.pick(0.0),
    }
    return {name: _repeated(function) for name, function in functions.items()}


def _repeated(function: Callable[[], object]) -> Run:
    async def run(times: int) -> None:
        for _ in range(times):
            function()

    return run


async def _least(runs: Mapping[str, Run], rounds: int) -> Times:
    units = {name: await _units(run) for name, run in runs.items()}
    least = dict.fromkeys(runs, math.inf)
    for _ in range(rounds):
        for name, run in runs.items():
            least[name] = min(least[name], await _seconds(run, units[name]) / units[name] * 1e6)
    return least


async def _units(run: Run) -> int:
    await run(STEP)
    return STEP * max(1, round(SECONDS / await _seconds(run, STEP)))


async def _seconds(run: Run, units: int) -> float:
    gc.collect()
    began = processor_time()
    await run(units)
    return processor_time() - began


def table(in_calls: Times, alone: Times) -> str:
    """Return the layers with their parts, and their sum."""
    rows = [("part", "in calls", "alone"), ("---", "---", "---")]
    for layer in LAYERS:
        whole = layer.whole.cost(alone)
        rows.append((layer.whole.name, f"{layer.whole.cost(in_calls):.2f}", f"{whole:.2f}"))
        rows += [(f"- {part.name}", "", f"{part.cost(alone):.2f}") for part in layer.parts]
        if layer.rest:
            rows.append((f"- {layer.rest}", "", f"{whole - sum(part.cost(alone) for part in layer.parts):.2f}"))
    all_in_calls, all_alone = (times["method"] - times["bytes"] for times in (in_calls, alone))
    rows.append(("all of it", f"{all_in_calls:.2f}", f"{all_alone:.2f}"))
    rows.append(("the engine, bytes", f"{in_calls['bytes']:.2f}", ""))
    rows += [(f"beside it: {part.name}", "", f"{part.cost(alone):.2f}") for part in BESIDE]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def main() -> None:
    """Parse the arguments, measure, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bookkeeping", description=__doc__)
    parser.add_argument("--task", choices=ANSWERS, default="Tiny", help="the answer: tiny, or of 21 messages")
    parser.add_argument("--in-flight", type=int, default=32, help="calls at once")
    parser.add_argument("--rounds", type=int, default=51)
    wish = parser.parse_args()
    client, server = cores()
    with build_folder() as folder, Backend(build(folder), server) as backend:
        pin(0, client)
        print(table(*asyncio.run(measure(wish.task, wish.in_flight, backend.grpc, wish.rounds))))


if __name__ == "__main__":
    main()
