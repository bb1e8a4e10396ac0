"""What the client is compared with: the same bytes over the libraries below it, and what people write without it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
from google.protobuf import json_format
from pydantic import BaseModel

from . import library

METADATA = ((library.MODEL_KEY, library.MODEL),)
TIMEOUT = 60
# Channels are Any: their stubs know none of bytes in and out, without serializers.
OPTIONS = (("grpc.max_receive_message_length", -1), ("grpc.use_local_subchannel_pool", 1))


def aio_channel(target: str, ca: str = "") -> Any:
    """A plain channel of grpc.aio; with an authority's file over TLS."""
    if ca:
        trusted = grpc.ssl_channel_credentials(Path(ca).read_bytes())
        return grpc.aio.secure_channel(target, trusted, options=OPTIONS)
    return grpc.aio.insecure_channel(target, options=OPTIONS)


def sync_channel(target: str) -> Any:
    """A plain channel of blocking gRPC."""
    return grpc.insecure_channel(target, options=OPTIONS)


def unary(channel: Any, path: str, request: bytes) -> Callable[[], Any]:
    """A call of bytes, with metadata and a deadline; blocking or to be awaited, as the channel is."""
    method = channel.unary_unary(path)
    return lambda: method(request, metadata=METADATA, timeout=TIMEOUT)


class Text(BaseModel):
    """A request's data."""

    text: str


class Greeting(BaseModel):
    """A tiny answer."""

    greeting: str


class Token(BaseModel):
    """A part of a rich answer."""

    word: str
    entity: str
    start: int
    end: int
    score: float


class Tokens(BaseModel):
    """A rich answer."""

    results: list[Token]
    token_count: int


ANSWERS: dict[str, type[BaseModel]] = {"Tiny": Greeting, "Rich": Tokens}


def naive(task: str) -> tuple[Callable[[BaseModel], bytes], Callable[[bytes], BaseModel]]:
    """Pydantic and `json_format`: how a request becomes bytes, and bytes an answer."""
    request, answer, model = (
        library.message(f"{task}TaskRequest"),
        library.message(ANSWERS[task].__name__),
        ANSWERS[task],
    )

    def encode(value: BaseModel) -> bytes:
        data: bytes = json_format.ParseDict({"sample_input": value.model_dump()}, request()).SerializeToString()
        return data

    def decode(data: bytes) -> BaseModel:
        told = json_format.MessageToDict(answer.FromString(data), preserving_proto_field_name=True)
        return model.model_validate(told)

    return encode, decode


def naive_unary(channel: Any, task: str) -> Callable[[], Awaitable[BaseModel]]:
    """A call of pydantic models by `json_format`."""
    encode, decode = naive(task)
    method = channel.unary_unary(library.rpc(task))

    async def call() -> BaseModel:
        return decode(await method(encode(Text(**library.TEXT)), metadata=METADATA, timeout=TIMEOUT))

    return call
