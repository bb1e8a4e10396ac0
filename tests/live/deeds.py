"""A call of each method of each task of the sample library, and how its outcome is told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from remote_client import PredictionJob, RemoteClient
from remote_client.errors import JobFailedError, RemoteCallError

from .protocols import Protocol

PARIS = {"label": "Paris", "lat": 48.9, "lon": 2.4, "tags": ["capital", "river"]}
NOON = datetime(2024, 2, 29, 12, 30, 15, 123456, tzinfo=UTC)
PEOPLE = [{"name": "Ada"}, {"name": "Alan"}]
ZOO: dict[str, Any] = {
    "flag": True,
    "int64": 2**62,
    "int32": -(2**31),
    "uint32": 2**32 - 1,
    "uint64": 2**64 - 1,
    "double": 0.1,
    "float32": 1.5,
    "text": "zäöü",
    "blob": bytes(range(256)),
    "color": 7,
    "place": PARIS,
    "ints": [0, -1, 2**62],
    "doubles": [0.0, 1.5],
    "texts": ["", "a"],
    "flags": [True, False],
    "places": [PARIS, {}],
    "counts": {"a": 1},
    "when": NOON,
    "moments": [NOON],
    "settings": {"text": "x", "yes": True, "list": [{"deep": []}]},
    "scalar_union": "42",
    "message_union": {"name": "Ada"},
    "optional_text": "given",
    "attachment": {"data": b"\x00\xff", "filename": "a.bin"},
}
MORE: dict[str, Any] = {
    "colors": [7, 0, 1],
    "names_by_number": {0: "zero", -5: ""},
    "places_by_name": {"home": PARIS},
    "sequence_union": {"values": [1.5, 2.5]},
}
"""What the runtime takes over gRPC only."""
PARAMETERS: list[Any] = [
    *("text", 1, 0.5, True, b"\x00\xff", PARIS, NOON, {"a": {"b": [1, None]}}),  # the required ones, in their order
    *(["a", "b"], [PARIS, {}], {"w": 0.5}, {1: "one"}, PARIS, [1, 2]),
    *("optional", 0, 0.0, False, b"", {}, ["x"], "choice"),
]


@dataclass(frozen=True)
class Deed:
    """A call of a model; where it begins a job it has that job's result."""

    model: str
    method: str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def job(self) -> Deed:
        """The same as a job."""
        task = self.method.removeprefix("run_")
        return replace(self, method=f"start_{task}_job")

    @property
    def is_unary(self) -> bool:
        return not self.method.endswith("_stream") and "_stream_" not in self.method

    async def outcome(self, client: RemoteClient) -> str | tuple[type, Any]:
        """The answer's text, which tells its types and the order of its fields; or the error."""
        method = getattr(await client.model(self.model), self.method)
        try:
            if self.method.endswith(("_stream_out", "_bidi_stream")):
                return repr([each async for each in method(*self.args, **self.kwargs)])
            answer = await method(*self.args, **self.kwargs)
            if not isinstance(answer, PredictionJob):
                return repr(answer)
            await answer.wait()
            return repr(await answer.result())
        except (RemoteCallError, JobFailedError) as error:
            return type(error), error.details if isinstance(error, RemoteCallError) else error.reasons


BOTH = [
    Deed("foo", "run_sample", (PEOPLE[0],), {"throw": False}),
    Deed("foo", "run_sample_stream_out", (PEOPLE[0],), {"count": 3}),
    Deed("zoo", "run_zoo", (ZOO,)),
    Deed("zoo", "run_zoo_stream_out", (ZOO,), {"count": 2}),
    Deed("prefix", "run_streaming", ("a",)),
    Deed("prefix", "run_bidi_streaming", ("a",)),
    Deed("slow", "run_slow", (0.01,)),
    Deed("slow", "run_slow_stream_out", (0.01,), {"count": 2}),
    Deed("failing", "run_failing", ("ValueError",)),
    Deed("failing", "run_failing_stream_out", ("ValueError",), {"after": 1}),
    Deed("file", "run_file", ({"filename": "a.bin", "data": bytes(range(256))},)),
    Deed("bundle", "run_bundle", ("all.zip",), {"size": 5}),
    Deed("bundles", "run_bundles_stream_out", ("a",), {"count": 2}),
    Deed("embedding", "run_embedding", ({"data": {"values": [0.5, 1.5]}},), {"method": "a"}),
    Deed("pair", "run_pair", ("a", PARIS), {"note": "b"}),
    Deed("pair", "run_pair_stream_out", ("a", PARIS), {"count": 2}),
    Deed("tagged", "run_tagged", ("a",), {"note": "b"}),
    Deed("tagged", "run_tagged_stream_out", ("a",), {"label": "b"}),
    Deed("text", "run_text", ("zäöü",)),
    Deed("text", "run_text_stream_out", ("a",), {"pieces": ["b", "c"]}),
    Deed("numbers", "run_numbers", ([0.1, 2.5],)),
    Deed("rerank", "run_rerank", (), {"documents": [{"a": {"b": [1, None]}}], "query": "c", "top_n": 1}),
]
DEEDS: dict[Protocol, list[Deed]] = {
    "http": BOTH,
    "grpc": [
        *BOTH,
        Deed("foo", "run_sample_stream_in", (PEOPLE,), {"greeting": "Hi "}),
        Deed("foo", "run_sample_bidi_stream", (PEOPLE,)),
        Deed("zoo", "run_zoo_bidi_stream", ([ZOO | MORE, {}, MORE],)),
        Deed("geo", "run_geo_spatial_bidi_stream", ([1.5, 2.5], [3.5, 4.5]), {"label": "there"}),
        Deed("prefix", "run_bidi_streaming_bidi_stream", (["a", "b"],)),
        Deed("parameters", "run_parameters", tuple(PARAMETERS)),
    ],
}
"""A call of each method of each task."""
