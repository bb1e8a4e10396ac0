"""Large values: a million doubles and 16 MB of bytes, out and in; whole calls, and the conversion alone."""

from __future__ import annotations

import importlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from remote_client import RemoteClient

from .. import library
from ..floors import METADATA, TIMEOUT, aio_channel, unary
from ..harness import Case, Run, in_flight
from ..worker import Bench

MOST = 20
"""Calls of a run: a call takes long enough."""


async def cases(bench: Bench) -> AsyncIterator[Case]:
    """Each beside the same bytes over grpc.aio; conversions beside a copy of the bytes."""
    target = bench.backend.grpc
    async with RemoteClient(target) as client, aio_channel(target) as channel:
        model = await client.model(library.MODEL)
        data, doubles = bytes(library.BYTES), library.numbers()
        blob = library.message("BytesOutTaskRequest")(data=data).SerializeToString()
        packed = library.message("NumbersOutTaskRequest")(values=doubles).SerializeToString()
        arrays = {"client, list": doubles, **_numpy(doubles)}

        numbers = {name: _sender(model.run_numbers_out, each) for name, each in arrays.items()}
        if "client, numpy" in arrays:
            numbers["as tritonclient does"] = _tensor_out(channel, arrays["client, numpy"])
        yield _calls("numbers out", unary(channel, library.rpc("NumbersOut"), packed), numbers)
        ask = library.text_request("NumbersIn")
        readers = _reader(model.run_numbers_in)
        if _numpy([]):
            (readers["client, numpy"],) = _reader(model.with_options(output="numpy").run_numbers_in).values()
            readers["as tritonclient does"] = _tensor_in(channel, ask)
        yield _calls("numbers in", unary(channel, library.rpc("NumbersIn"), ask), readers)
        yield _calls(
            "bytes out", unary(channel, library.rpc("BytesOut"), blob), {"client": _sender(model.run_bytes_out, data)}
        )
        ask = library.text_request("BytesIn")
        yield _calls("bytes in", unary(channel, library.rpc("BytesIn"), ask), _reader(model.run_bytes_in))

        encode, decode = model.run_numbers_out.rpc.codec.encode, model.run_numbers_in.rpc.codec.decode
        copy = {"a copy of the bytes": repeat(lambda: bytearray(packed))}
        encoders = {name: repeat(encoder(encode, each)) for name, each in arrays.items()}
        yield Case("large numbers out, no call", copy | encoders, limit=MOST)
        decoders: dict[str, Run] = {"client": repeat(lambda: decode(packed, "pydantic"))}
        if _numpy([]):
            decoders["client, numpy"] = repeat(lambda: decode(packed, "numpy"))
        yield Case("large numbers in, no call", copy | decoders, limit=MOST)


def _tensor_out(channel: Any, array: Any) -> Callable[[], Awaitable[Any]]:
    """A tensor as bytes in a message, and that as bytes: the shape of Triton's client."""
    method, kind = channel.unary_unary(library.rpc("BytesOut")), library.message("BytesOutTaskRequest")

    async def call() -> Any:
        request = kind(data=array.tobytes())
        return await method(request.SerializeToString(), metadata=METADATA, timeout=TIMEOUT)

    return call


def _tensor_in(channel: Any, request: bytes) -> Callable[[], Awaitable[Any]]:
    call, kind = unary(channel, library.rpc("NumbersIn"), request), library.message("Blob")
    numpy: Any = importlib.import_module("numpy")

    async def read() -> Any:
        # A field of packed numbers is on the wire as one of bytes.
        return numpy.frombuffer(kind.FromString(await call()).data, "float64")

    return read


def _numpy(doubles: list[float]) -> dict[str, Any]:
    """The values as an array of numpy's, where that is there."""
    try:
        numpy: Any = importlib.import_module("numpy")
    except ImportError:
        return {}
    return {"client, numpy": numpy.array(doubles)}


def _calls(name: str, floor: Callable[[], Awaitable[Any]], ours: dict[str, Callable[[], Awaitable[Any]]]) -> Case:
    runs = {each: in_flight(1, call) for each, call in {"grpc.aio, bytes": floor, **ours}.items()}
    return Case(f"large {name}", runs, limit=MOST)


def _sender(method: Callable[..., Awaitable[Any]], value: Any) -> Callable[[], Awaitable[Any]]:
    return lambda: method(value)


def _reader(method: Callable[..., Awaitable[Any]]) -> dict[str, Callable[[], Awaitable[Any]]]:
    return {"client": lambda: method(sample_input=library.TEXT)}


def encoder(encode: Callable[..., bytes], value: Any) -> Callable[[], bytes]:
    """What makes a request of its only argument."""
    return lambda: encode(library.MODEL, (value,), {})


def repeat(deed: Callable[[], Any]) -> Run:
    """A run of something that is not awaited."""

    def run(times: int) -> None:
        for _ in range(times):
            deed()

    return run
