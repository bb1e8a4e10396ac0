"""The sample library (`tests/runtime/sample_lib`) as declared modules with bodies, for a fake runtime."""

from __future__ import annotations

import asyncio
import json
import time
import traceback
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from datetime import datetime
from enum import IntEnum
from typing import Any, BinaryIO

from pydantic import BaseModel

from remote_client import errors
from remote_client.declare import module, task, taskmethod

from .runtime import SAMPLE_MODELS


class Color(IntEnum):
    RED = 0
    GREEN = 1
    BLUE = 7


class File(BaseModel):
    data: bytes | None = None
    filename: str | None = None
    type: str | None = None


class SampleInputType(BaseModel):
    name: str


class SampleOutputType(BaseModel):
    greeting: str


class Place(BaseModel):
    label: str | None
    lat: float | None
    lon: float | None
    tags: list[str] | None


class Zoo(BaseModel):
    flag: bool | None
    int64: int | None
    int32: int | None
    uint32: int | None
    uint64: int | None
    double: float | None
    float32: float | None
    text: str | None
    blob: bytes | None
    color: Color | None
    place: Place | None
    ints: list[int] | None
    doubles: list[float] | None
    texts: list[str] | None
    flags: list[bool] | None
    colors: list[Color] | None
    places: list[Place] | None
    counts: dict[str, int] | None
    names_by_number: dict[int, str] | None
    places_by_name: dict[str, Place] | None
    when: datetime | None
    moments: list[datetime] | None
    settings: dict[str, Any] | None
    scalar_union: bool | int | float | str | None
    message_union: Place | SampleInputType | None
    sequence_union: list[str] | list[int] | list[float] | None
    optional_text: str | None
    optional_int: int | None
    attachment: File | None


class Report(BaseModel):
    received: str


class FileReport(BaseModel):
    file: File
    size: int


class Bundle(BaseModel):
    name: str
    data: bytes

    def to_file(self, file: BinaryIO) -> File:
        file.write(self.data)
        return File(filename=self.name, type="application/zip")


class Numbers(BaseModel):
    numbers: list[float]
    total: float
    unset_int: int | None = None
    unset_text: str | None = None
    unset_place: Place | None = None


class Vector(BaseModel):
    data: list[float] | None


class Producer(BaseModel):
    name: str
    version: str


class ModelPointer(BaseModel):
    model_id: str


class EmbeddingResult(BaseModel):
    result: Vector
    producer_id: Producer


@task
class SampleTask:
    """Greets."""


@module(SAMPLE_MODELS["foo"], "SampleModule", "0.1.0", task=SampleTask)
class SampleModule:
    """Greets; every kind of method, and a training."""

    def __init__(self, trained: dict[str, Any] | None = None) -> None:
        self.trained = trained

    @taskmethod()
    def run(self, sample_input: SampleInputType, throw: bool = False) -> SampleOutputType:
        if throw:
            raise RuntimeError("barf!")
        return SampleOutputType(greeting=f"Hello {sample_input.name}")

    @taskmethod()
    def run_stream_out(
        self, sample_input: SampleInputType, count: int = 10, err_after: int = -1
    ) -> Iterator[SampleOutputType]:
        for number in range(count):
            if number == err_after:
                raise ValueError(f"asked to fail after {err_after}")
            yield SampleOutputType(greeting=f"Hello {sample_input.name} {number}")

    @taskmethod()
    def run_stream_in(
        self, sample_inputs: AsyncIterable[SampleInputType], greeting: str = "Hello Friends: "
    ) -> SampleOutputType:
        names: Any = sample_inputs  # a plain function reads them with `for`
        return SampleOutputType(greeting=greeting + ",".join(each.name for each in names))

    @taskmethod()
    async def run_bidi_stream(self, sample_inputs: AsyncIterable[SampleInputType]) -> AsyncIterator[SampleOutputType]:
        async for each in sample_inputs:
            yield SampleOutputType(greeting=f"Hello {each.name}")

    @classmethod
    def train(
        cls,
        training_data: Iterable[SampleInputType],
        union_list: list[str] | list[int],
        batch_size: int = 64,
        ratio: float = 0.5,
        shuffle: bool = True,
        note: str = "none",
        fail: bool = False,
        seconds: float = 0.0,
        oom_exit_code: int | None = None,
    ) -> SampleModule:
        if fail:
            if note == "traceback":
                _fail(note)
            raise ValueError("the training was asked to fail")
        time.sleep(seconds)
        given = {"union_list": union_list, "batch_size": batch_size, "ratio": ratio, "shuffle": shuffle, "note": note}
        return cls({"rows": [row.name for row in training_data], **given, "oom_exit_code": oom_exit_code})


@module(SAMPLE_MODELS["primitive"], "SampleModule", "0.2.0", task=SampleTask)
class SamplePrimitiveModule:
    @taskmethod()
    def run(self, sample_input: SampleInputType, prefix: str = "Primitive") -> SampleOutputType:
        return SampleOutputType(greeting=f"{prefix}: {sample_input.name}")

    @classmethod
    def train(cls, sample_input: SampleInputType, steps: int = 1) -> SamplePrimitiveModule:
        return cls()


@module(SAMPLE_MODELS["zoo"], "ZooModule", "0.1.0", task="ZooTask")
class ZooModule:
    @taskmethod()
    def run(self, zoo: Zoo) -> Zoo:
        return zoo

    @taskmethod()
    def run_stream_out(self, zoo: Zoo, count: int = 2) -> Iterator[Zoo]:
        return iter([zoo] * count)

    @taskmethod()
    async def run_bidi_stream(self, zoos: AsyncIterable[Zoo]) -> AsyncIterator[Zoo]:
        async for each in zoos:
            yield each


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return {"bytes": value.hex()}
    if isinstance(value, datetime):
        return {"datetime": value.isoformat()}
    if isinstance(value, BaseModel):
        return {type(value).__name__: value.model_dump()}
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, list) else value


def _report(**got: Any) -> Report:
    return Report(received=json.dumps({name: _plain(value) for name, value in got.items()}))


@module(SAMPLE_MODELS["parameters"], "ParametersModule", "0.1.0", task="ParametersTask")
class ParametersModule:
    @taskmethod()
    def run(
        self,
        text: str,
        number: int,
        ratio: float,
        flag: bool,
        blob: bytes,
        place: Place,
        words: list[str],
        places: list[Place],
        weights: dict[str, float],
        names: dict[int, str],
        when: datetime,
        settings: dict[str, Any],
        choice: str | int | Place,
        values: list[str] | list[int] | list[float],
        optional_text: str | None = None,
        optional_number: int | None = None,
        optional_ratio: float | None = None,
        optional_flag: bool | None = None,
        optional_blob: bytes | None = None,
        optional_place: Place | None = None,
        optional_words: list[str] | None = None,
        optional_choice: str | int | None = None,
    ) -> Report:
        return _report(**{name: value for name, value in locals().items() if name != "self"})


@module(SAMPLE_MODELS["geo"], "GeoModule", "0.1.0", task="GeoSpatialTask")
class GeoModule:
    @taskmethod()
    def run_bidi_stream(
        self, lats: AsyncIterable[float], lons: AsyncIterable[float], label: str = "here"
    ) -> Iterator[Place]:
        pairs: Any = zip(lats, lons)  # type: ignore[call-overload]  # noqa: B905
        for lat, lon in pairs:
            yield Place(label=label, lat=lat, lon=lon, tags=None)


@module(SAMPLE_MODELS["prefix"], "PrefixModule", "0.1.0")
class PrefixModule:
    @taskmethod("StreamingTask")
    def run_streaming(self, text: str) -> SampleOutputType:
        return SampleOutputType(greeting=f"streaming {text}")

    @taskmethod("BidiStreamingTask")
    async def run_bidi(self, text: str) -> SampleOutputType:
        return SampleOutputType(greeting=f"bidi {text}")

    @taskmethod("BidiStreamingTask")
    async def run_bidi_bidi(self, texts: AsyncIterable[str]) -> AsyncIterator[SampleOutputType]:
        async for each in texts:
            yield SampleOutputType(greeting=f"bidi {each}")


@module(SAMPLE_MODELS["slow"], "SlowModule", "0.1.0", task="SlowTask")
class SlowModule:
    @taskmethod()
    async def run(self, seconds: float) -> SampleOutputType:
        await asyncio.sleep(seconds)
        return SampleOutputType(greeting=f"slept {seconds}")

    @taskmethod()
    async def run_stream_out(self, seconds: float, count: int = 3) -> AsyncIterator[SampleOutputType]:
        for number in range(count):
            await asyncio.sleep(seconds)
            yield SampleOutputType(greeting=f"slept {number}")


_ERRORS: dict[str, Callable[[str], Exception]] = {
    "ValueError": lambda _: ValueError("a value of the model's is wrong"),
    "TypeError": lambda _: TypeError("a type of the model's is wrong"),
    "RESOURCE_EXHAUSTED": lambda _: errors.ResourceExhaustedError("the model's backend is overloaded"),
    "NOT_FOUND": errors.NotFoundError,
    "INVALID_ARGUMENT": errors.InvalidArgumentError,
    "UNAUTHORIZED": errors.UnauthenticatedError,
    "FORBIDDEN": errors.PermissionDeniedError,
    "CONNECTION_ERROR": errors.UnavailableError,
    "UNKNOWN": errors.UnknownError,
    "FATAL": errors.InternalError,
}


def _fail(kind: str) -> None:
    if kind == "traceback":  # as modules tell what happened in a process of their own
        try:
            json.loads("{")
        except ValueError:
            raise RuntimeError(traceback.format_exc()) from None
    if kind in _ERRORS:
        raise _ERRORS[kind](f"the model says {kind}")
    raise RuntimeError("the model broke")


@module(SAMPLE_MODELS["failing"], "FailingModule", "0.1.0", task="FailingTask")
class FailingModule:
    @taskmethod()
    def run(self, kind: str) -> SampleOutputType:
        _fail(kind)
        raise AssertionError

    @taskmethod()
    async def run_stream_out(self, kind: str, after: int = 2) -> AsyncIterator[SampleOutputType]:
        for number in range(after):
            yield SampleOutputType(greeting=str(number))
        _fail(kind)


@module(SAMPLE_MODELS["file"], "FileModule", "0.1.0", task="FileTask")
class FileModule:
    @taskmethod()
    def run(self, document: File) -> FileReport:
        return FileReport(file=document, size=len(document.data or b""))


@module(SAMPLE_MODELS["bundle"], "BundleModule", "0.1.0", task="BundleTask")
class BundleModule:
    @taskmethod()
    def run(self, name: str, size: int = 1024) -> Bundle:
        return Bundle(name=name, data=(bytes(range(256)) * (size // 256 + 1))[:size])


@module(SAMPLE_MODELS["bundles"], "BundlesModule", "0.1.0", task="BundlesTask")
class BundlesModule:
    @taskmethod()
    def run_stream_out(self, name: str, count: int = 2) -> Iterator[Bundle]:
        for number in range(count):
            yield Bundle(name=name, data=bytes([number]))


@module(SAMPLE_MODELS["pair"], "PairModule", "0.1.0", task="PairTask")
class PairModule:
    @taskmethod()
    def run(self, text: str, place: Place, note: str | None = None) -> Report:
        return _report(text=text, place=place, note=note)

    @taskmethod()
    def run_stream_out(self, text: str, place: Place, note: str | None = None, count: int = 2) -> Iterator[Report]:
        for number in range(count):
            yield _report(text=text, place=place, note=note, number=number)


@module(SAMPLE_MODELS["tagged"], "TaggedModule", "0.1.0", task="TaggedTask")
class TaggedModule:
    @taskmethod()
    def run(self, text: str, note: str | None = None) -> Report:
        return _report(text=text, note=note)

    @taskmethod()
    def run_stream_out(self, text: str, count: int = 2, label: str | None = None) -> Iterator[Report]:
        for _ in range(count):
            yield _report(text=text, count=count, label=label)


@module(SAMPLE_MODELS["text"], "TextModule", "0.1.0", task="TextTask")
class TextModule:
    @taskmethod()
    def run(self, text: str) -> SampleOutputType:
        return SampleOutputType(greeting=text)

    @taskmethod()
    def run_stream_out(self, text: str, pieces: list[str] | None = None) -> Iterator[SampleOutputType]:
        for piece in pieces or []:
            yield SampleOutputType(greeting=piece)


@module(SAMPLE_MODELS["numbers"], "NumbersModule", "0.1.0", task="NumbersTask")
class NumbersModule:
    @taskmethod()
    def run(self, numbers: list[float]) -> Numbers:
        return Numbers(numbers=numbers, total=sum(numbers))


@module(SAMPLE_MODELS["rerank"], "RerankModule", "0.1.0", task="RerankTask")
class RerankModule:
    @taskmethod()
    def run(self, documents: list[dict[str, Any]], query: str, top_n: int | None = None) -> Report:
        return _report(documents=documents, query=query, top_n=top_n)


@module(SAMPLE_MODELS["embedding"], "EmbeddingModule", "0.1.0", task="EmbeddingTask")
class EmbeddingModule:
    def __init__(self, trained: dict[str, Any] | None = None) -> None:
        self.trained = trained

    @taskmethod()
    def run(
        self, vector: Vector, method: str = "mean", cls: str = "first", service_type: str = "any"
    ) -> EmbeddingResult:
        return EmbeddingResult(result=vector, producer_id=Producer(name=method, version=f"{cls} {service_type}"))

    @classmethod
    def train(
        cls,
        base: ModelPointer,
        rows: Iterable[int],
        names: list[str] | list[int] | None = None,
        rate: float = 0.5,
        counts: dict[str, int] | None = None,
    ) -> EmbeddingModule:
        trained = {"base": base.model_id, "rows": list(rows), "names": names, "rate": rate, "counts": counts}
        return cls(trained)


MODULES: dict[str, Any] = {
    "foo": SampleModule,
    "bar": SampleModule,
    "primitive": SamplePrimitiveModule,
    "zoo": ZooModule,
    "parameters": ParametersModule,
    "geo": GeoModule,
    "prefix": PrefixModule,
    "slow": SlowModule,
    "failing": FailingModule,
    "file": FileModule,
    "bundle": BundleModule,
    "bundles": BundlesModule,
    "pair": PairModule,
    "tagged": TaggedModule,
    "text": TextModule,
    "numbers": NumbersModule,
    "rerank": RerankModule,
    "embedding": EmbeddingModule,
}
"""The models of the sample library."""
