"""`map_frame`: the same answers in tables of pandas, polars and Arrow, over both protocols."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas
import polars
import pyarrow
import pytest

from remote_client import RemoteClient, RemoteModuleBase, sync
from remote_client.bulk import Progress, map_frame
from remote_client.declare import module, taskmethod
from remote_client.errors import InputError, InternalError, InvalidResponseError
from remote_client.sync import bulk as sync_bulk

from ..support.runtime import Runtime
from .protocols import Protocol, named, target_of

LIBRARIES = {"pandas": pandas.DataFrame, "polars": polars.DataFrame, "Arrow": pyarrow.table}
TYPES = {"pandas": pandas.DataFrame, "polars": polars.DataFrame, "Arrow": pyarrow.Table}
WHEN = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)


@dataclass
class Who:
    name: str


@dataclass
class Greeting:
    greeting: str


@module(task="SampleTask")
class Greeter(RemoteModuleBase):
    @taskmethod()
    async def run_sample(self, sample_input: Who) -> Greeting:
        raise NotImplementedError


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def blocking(runtime: Runtime, protocol: Protocol) -> Iterator[sync.RemoteClient]:
    with sync.RemoteClient(target_of(runtime, protocol)) as client:
        yield client


def rows_of(frame: Any) -> list[dict[str, Any]]:
    """The rows of a frame, a missing value of any library as None."""
    if isinstance(frame, polars.DataFrame):
        return frame.to_dicts()
    if isinstance(frame, pyarrow.Table):
        return frame.to_pylist()
    return [{name: plain(value) for name, value in row.items()} for row in frame.to_dict("records")]


def plain(value: Any) -> Any:
    if hasattr(value, "tolist"):
        return value.tolist()
    return None if value is pandas.NA or value is pandas.NaT or value != value else value


def columns_of(frame: Any) -> list[str]:
    return list(frame.column_names if isinstance(frame, pyarrow.Table) else frame.columns)


def types_of(frame: Any) -> list[Any]:
    return list(frame.schema.types if isinstance(frame, pyarrow.Table) else frame.dtypes)


async def test_a_message_is_a_struct_or_a_dict(client: RemoteClient, library: str) -> None:
    model: Any = await client.model("text")
    frame = LIBRARIES[library]({"id": [7, 8], "text": ["a", "b"]})
    answered = await map_frame(model.run_text, frame, input="text", output="answer")
    assert type(answered) is TYPES[library]
    assert rows_of(answered) == [
        {"id": 7, "text": "a", "answer": {"greeting": "a"}},
        {"id": 8, "text": "b", "answer": {"greeting": "b"}},
    ]
    assert columns_of(frame) == ["id", "text"]


async def test_parts_of_answers_are_columns(client: RemoteClient, library: str) -> None:
    model: Any = await client.model("embedding")
    frame = LIBRARIES[library]({"vector": [{"data": {"values": [1.0, 2.0]}}, {"data": {"values": [3.0, 4.0]}}]})
    parts = {"values": "result.data.values", "producer": "producer_id.name", "tokens": "input_token_count"}
    answered = await map_frame(model.run_embedding, frame, input="vector", output=parts)
    found = [(row["values"], row["producer"], row["tokens"] or 0) for row in rows_of(answered)]
    assert found == [([1.0, 2.0], "mean", 0), ([3.0, 4.0], "mean", 0)]


async def test_arguments_come_from_columns(client: RemoteClient, protocol: Protocol, library: str) -> None:
    model: Any = await client.model("primitive", task="SampleTask")
    frame = LIBRARIES[library]({"who": [{"name": "a"}, {"name": "b"}]})
    columns = {named(protocol, "sample_input"): "who"}
    answered = await map_frame(model.run, frame, input=columns, output={"greeting": "greeting"})
    assert [row["greeting"] for row in rows_of(answered)] == ["Primitive: a", "Primitive: b"]


async def test_a_missing_value_leaves_the_argument_out(client: RemoteClient, protocol: Protocol, library: str) -> None:
    model: Any = await client.model("tagged")
    frame = LIBRARIES[library]({"text": ["a", "b"], "note": ["x", None]})
    columns = {named(protocol, "text"): "text", "note": "note"}
    answered = await map_frame(model.run_tagged, frame, input=columns, output={"got": "received"})
    assert [row["got"] for row in rows_of(answered)] == [
        '{"text": "a", "note": "x"}',
        '{"text": "b", "note": null}',
    ]


async def test_a_missing_single_argument_is_the_error_of_its_row(grpc_client: RemoteClient, library: str) -> None:
    model: Any = await grpc_client.model("text")
    frame = LIBRARIES[library]({"text": ["a", None]})
    with pytest.raises(InputError) as raised:
        await map_frame(model.run_text, frame, input="text", output="answer")
    assert raised.value.__notes__ == ["row 1"]


@pytest.mark.parametrize("missing", [None, float("nan"), pandas.NA, pandas.NaT])
async def test_what_pandas_takes_for_missing_is_missing(grpc_client: RemoteClient, missing: Any) -> None:
    model: Any = await grpc_client.model("tagged")
    frame = pandas.DataFrame({"text": ["a"], "note": pandas.Series([missing], dtype=object)})
    columns = {"text": "text", "note": "note"}
    answered = await map_frame(model.run_tagged, frame, input=columns, output={"got": "received"})
    assert rows_of(answered)[0]["got"] == '{"text": "a", "note": null}'


async def test_every_type_has_a_cell(grpc_client: RemoteClient, library: str) -> None:
    model: Any = await grpc_client.model("zoo")
    zoo = {"flag": True, "text": "a", "blob": b"\x00\xff", "color": "BLUE", "when": WHEN, "ints": [1, 2], "double": 1.5}
    zoo |= {"place": {"label": "p", "lat": 1.0, "lon": 2.0, "tags": ["t"]}, "uint64": 9, "moments": [WHEN]}
    answered = await map_frame(model.run_zoo, LIBRARIES[library]({"zoo": [zoo]}), input="zoo", output="answer")
    answer = rows_of(answered)[0]["answer"]
    assert {name: answer[name] for name in zoo} == zoo
    assert answer["message_union"] is None


async def test_what_has_free_keys_or_no_type(grpc_client: RemoteClient, library: str) -> None:
    model: Any = await grpc_client.model("zoo")
    parts = {name: name for name in ("counts", "names_by_number", "settings", "scalar_union", "sequence_union")}

    async def answer_to(zoo: dict[str, Any]) -> list[Any]:
        frame = LIBRARIES[library]({"zoo": [zoo]})
        answered = await map_frame(model.run_zoo, frame, input="zoo", output=parts)
        return [rows_of(answered)[0][name] for name in parts]

    zoo = {"scalar_union": 3, "sequence_union": {"values": ["a"]}}
    if library == "pandas":  # columns with types hold no maps
        maps: dict[str, Any] = {"counts": {"a": 1}, "names_by_number": {1: "x"}, "settings": {"k": [1]}}
        assert await answer_to(zoo | maps) == [{"a": 1}, {1: "x"}, {"k": [1]}, 3, {"values": ["a"]}]
    else:
        assert await answer_to(zoo) == [[], [], None, "3", '{"values":["a"]}']


async def test_both_protocols_give_the_same_columns(runtime: Runtime, library: str) -> None:
    frame = LIBRARIES[library]({"zoo": [{"text": "a", "blob": b"\x00\xff", "color": 7, "when": WHEN, "int64": 2**60}]})
    found = []
    for target in (runtime.target, runtime.http_target):
        async with RemoteClient(target) as client:
            model: Any = await client.model("zoo")
            parts = {name: name for name in ("text", "blob", "color", "when", "int64")}
            answered = await map_frame(model.run_zoo, frame, input="zoo", output=parts)
            found.append((rows_of(answered)[0], types_of(answered)))
    assert found[0] == found[1]
    assert {name: found[0][0][name] for name in ("blob", "color", "when", "int64")} == {
        "blob": b"\x00\xff",
        "color": "BLUE",
        "when": WHEN,
        "int64": 2**60,
    }


@pytest.mark.parametrize(
    "index",
    [
        pandas.Index([7, 7, 3]),
        pandas.Index(["b", "a", "b"], name="key"),
        pandas.MultiIndex.from_tuples([("a", 1), ("a", 1), ("b", 2)], names=["x", "y"]),
        pandas.date_range("2026-01-01", periods=3),
    ],
    ids=["duplicates", "names", "MultiIndex", "times"],
)
@pytest.mark.parametrize("on_error", ["return", "skip"])
async def test_pandas_keeps_its_index(grpc_client: RemoteClient, index: Any, on_error: Any) -> None:
    model: Any = await grpc_client.model("text")
    frame = pandas.DataFrame({"text": ["a", None, "c"]}, index=index)
    answered = await map_frame(model.run_text, frame, input="text", output={"answer": "greeting"}, on_error=on_error)
    rows = [0, 1, 2] if on_error == "return" else [0, 2]
    pandas.testing.assert_frame_equal(answered[["text"]], frame.iloc[rows], check_freq=False)
    assert [row["answer"] for row in rows_of(answered)] == [["a", None, "c"][row] for row in rows]


async def test_order_is_kept(grpc_client: RemoteClient, library: str) -> None:
    model: Any = await grpc_client.model("text")
    texts = [f"text {number}" for number in range(1500)]
    frame = LIBRARIES[library]({"text": texts})
    answered = await map_frame(model.run_text, frame, input="text", output={"answer": "greeting"})
    assert [row["answer"] for row in rows_of(answered)] == texts


async def test_errors_are_returned_in_their_rows(client: RemoteClient, library: str) -> None:
    model: Any = await client.model("text")
    frame = LIBRARIES[library]({"text": ["a", None, "c"]})
    answered = await map_frame(
        model.run_text, frame, input="text", output="answer", on_error="return", error_column="error"
    )
    assert columns_of(answered) == ["text", "answer", "error"]
    rows = rows_of(answered)
    assert [row["answer"] for row in rows] == [{"greeting": "a"}, None, {"greeting": "c"}]
    assert [row["error"] is None for row in rows] == [True, False, True]
    assert "run_text" in rows[1]["error"]


async def test_failed_rows_are_skipped(grpc_client: RemoteClient, library: str) -> None:
    model: Any = await grpc_client.model("text")
    frame = LIBRARIES[library]({"text": [None, "a", None, "c"], "id": [1, 2, 3, 4]})
    answered = await map_frame(model.run_text, frame, input="text", output="answer", on_error="skip")
    assert [(row["id"], row["answer"]) for row in rows_of(answered)] == [(2, {"greeting": "a"}), (4, {"greeting": "c"})]


async def test_all_rows_may_fail(grpc_client: RemoteClient, library: str) -> None:
    model: Any = await grpc_client.model("numbers")
    frame = LIBRARIES[library]({"numbers": [["x"], ["y"]]})
    options: Any = {"input": "numbers", "output": {"total": "total", "unset": "unset_int"}}
    returned = await map_frame(model.run_numbers, frame, on_error="return", **options)
    skipped = await map_frame(model.run_numbers, frame, on_error="skip", **options)
    assert [(row["total"], row["unset"]) for row in rows_of(returned)] == [(None, None)] * 2
    assert columns_of(skipped) == ["numbers", "total", "unset"]
    assert rows_of(skipped) == []
    if library != "pandas":  # where integers with gaps are another type
        assert types_of(returned) == types_of(skipped)


async def test_a_raised_error_names_its_row(client: RemoteClient, library: str) -> None:
    model: Any = await client.model("failing")
    frame = LIBRARIES[library]({"kind": ["RuntimeError"]})
    with pytest.raises(InternalError) as raised:
        await map_frame(model.run_failing, frame, input="kind", output="answer")
    assert raised.value.__notes__[-1] == "row 0"


async def test_an_empty_frame_gets_the_columns(client: RemoteClient, library: str) -> None:
    model: Any = await client.model("numbers")
    full = LIBRARIES[library]({"numbers": [[1.0], [2.5]]})
    empty = full[:0] if library != "Arrow" else full.slice(0, 0)
    options: Any = {"input": "numbers", "output": {"total": "total", "numbers_back": "numbers"}}
    for on_error in ("raise", "skip"):
        answered = await map_frame(model.run_numbers, empty, on_error=on_error, **options)
        assert columns_of(answered) == ["numbers", "total", "numbers_back"]
        assert rows_of(answered) == []
        assert types_of(answered) == types_of(await map_frame(model.run_numbers, full, **options))


async def test_a_column_is_replaced(grpc_client: RemoteClient, library: str) -> None:
    model: Any = await grpc_client.model("text")
    frame = LIBRARIES[library]({"text": ["a"], "id": [1]})
    answered = await map_frame(model.run_text, frame, input="text", output="text")
    assert rows_of(answered) == [{"text": {"greeting": "a"}, "id": 1}]
    assert rows_of(frame) == [{"text": "a", "id": 1}]


async def test_rows_go_out_in_batches(grpc_client: RemoteClient, library: str) -> None:
    model: Any = await grpc_client.model("numbers")
    frame = LIBRARIES[library]({"number": [float(number) for number in range(10)]})
    by_name = await map_frame(model.run_numbers, frame, input="number", output="same", batch_size=4, split="numbers")
    by_function = await map_frame(
        model.run_numbers, frame, input="number", output="same", batch_size=4, split=lambda answer: answer.numbers
    )
    assert [row["same"] for row in rows_of(by_name)] == [float(number) for number in range(10)]
    assert rows_of(by_function) == rows_of(by_name)
    assert types_of(by_function) == types_of(by_name)


async def test_a_map_that_was_stopped_goes_on(grpc_client: RemoteClient, library: str, tmp_path: Path) -> None:
    model: Any = await grpc_client.model("text")
    options: Any = {"input": "text", "output": "answer", "checkpoint": tmp_path / "done.jsonl"}
    first = LIBRARIES[library]({"text": ["a", "b", None]})
    with pytest.raises(InputError):
        await map_frame(model.run_text, first, **options)
    whole = LIBRARIES[library]({"text": ["a", "b", "c"]})
    answered = await map_frame(model.run_text, whole, **options)
    assert [row["answer"]["greeting"] for row in rows_of(answered)] == ["a", "b", "c"]
    assert len((tmp_path / "done.jsonl").read_text().splitlines()) == 3


async def test_the_number_of_rows_is_known(grpc_client: RemoteClient, library: str) -> None:
    model: Any = await grpc_client.model("text")
    seen: list[Progress] = []
    frame = LIBRARIES[library]({"text": ["a", "b"]})
    await map_frame(model.run_text, frame, input="text", output="answer", progress=seen.append)
    assert (seen[-1].done, seen[-1].total) == (2, 2)


async def test_a_stream_both_ways_fills_a_column(grpc_client: RemoteClient, library: str) -> None:
    model: Any = await grpc_client.model("foo")
    frame = LIBRARIES[library]({"who": [{"name": "a"}, {"name": "b"}]})
    answered = await map_frame(model.run_sample_bidi_stream, frame, input="who", output={"said": "greeting"})
    assert [row["said"] for row in rows_of(answered)] == ["Hello a", "Hello b"]


async def test_other_outputs_become_the_same_cells(grpc_client: RemoteClient, library: str) -> None:
    model: Any = await grpc_client.model("numbers")
    frame = LIBRARIES[library]({"numbers": [[1.0, 2.0]]})
    for output in ("pydantic", "dict", "numpy", "proto"):
        method = model.with_options(output=output).run_numbers
        answered = await map_frame(method, frame, input="numbers", output={"back": "numbers", "total": "total"})
        (row,) = rows_of(answered)
        assert (list(row["back"]), row["total"]) == ([1.0, 2.0], 3.0)


async def test_an_answer_that_is_a_file(client: RemoteClient, library: str) -> None:
    model: Any = await client.model("bundle")
    frame = LIBRARIES[library]({"name": ["a.zip"]})
    answered = await map_frame(model.run_bundle, frame, input="name", output={"data": "data"})
    assert len(rows_of(answered)[0]["data"]) == 1024


async def test_wrong_arguments(grpc_client: RemoteClient, library: str) -> None:
    model: Any = await grpc_client.model("text")
    frame = LIBRARIES[library]({"text": ["a"]})

    async def refused(told: str, **changes: Any) -> None:
        arguments: Any = {"input": "text", "output": "answer"} | changes
        with pytest.raises(InputError, match=told):
            await map_frame(arguments.pop("method", model.run_text), arguments.pop("frame", frame), **arguments)

    await refused("input: the frame has no column 'nothing'; it has text", input="nothing")
    await refused("the answer has no field 'nothing'; its fields are greeting", output={"a": "nothing"})
    await refused("it is a text", output={"a": "greeting.nothing"})
    await refused('error_column: .* on_error="return"', error_column="error")
    await refused("error_column: 'answer' is a column of the output", error_column="answer", on_error="return")
    await refused("method: expected a method of a model", method=print)
    await refused("frame: ", frame={"text": ["a"]})
    await refused("batch_size and split: give both", batch_size=2)


async def test_labels_of_pandas_need_not_be_text(grpc_client: RemoteClient) -> None:
    model: Any = await grpc_client.model("text")
    with pytest.raises(InputError, match="no column 'text'; it has 0, 1"):
        await map_frame(model.run_text, pandas.DataFrame([["a", "b"]]), input="text", output="answer")


async def test_columns_of_one_name_are_refused(grpc_client: RemoteClient) -> None:
    model: Any = await grpc_client.model("text")
    twice = pandas.DataFrame([["a", "b"]], columns=["text", "text"])
    with pytest.raises(InputError, match=r"frame: .*unique column names"):
        await map_frame(model.run_text, twice, input="text", output="answer")


@pytest.mark.parametrize("dtype", ["string", "category", "string[pyarrow]", object])
async def test_types_of_pandas_columns(grpc_client: RemoteClient, dtype: Any) -> None:
    model: Any = await grpc_client.model("tagged")
    frame = pandas.DataFrame({"text": ["a", "b"], "note": pandas.Series(["x", None], dtype=dtype)})
    columns = {"text": "text", "note": "note"}
    answered = await map_frame(model.run_tagged, frame, input=columns, output={"got": "received"})
    assert [row["got"] for row in rows_of(answered)] == ['{"text": "a", "note": "x"}', '{"text": "b", "note": null}']


@pytest.mark.parametrize("way", ["declared", "unpickled"])
async def test_modules_of_other_origin(runtime: Runtime, protocol: Protocol, library: str, way: str) -> None:
    frame = LIBRARIES[library]({"who": [{"name": "a"}]})
    async with RemoteClient(target_of(runtime, protocol)) as client:
        model: Any = await client.model("foo", *([Greeter] if way == "declared" else []))
        if way == "unpickled":
            model = pickle.loads(pickle.dumps(model))
        try:
            answered = await map_frame(model.run_sample, frame, input="who", output={"said": "greeting"})
        finally:
            await model.aclose()
    assert [row["said"] for row in rows_of(answered)] == ["Hello a"]


async def test_a_lazy_frame_is_refused(grpc_client: RemoteClient) -> None:
    model: Any = await grpc_client.model("text")
    lazy: Any = polars.LazyFrame({"text": ["a"]})
    with pytest.raises(InputError, match=r"give frame\.collect\(\)"):
        await map_frame(model.run_text, lazy, input="text", output="answer")


async def test_a_wrong_number_of_answers_is_an_error(grpc_client: RemoteClient) -> None:
    model: Any = await grpc_client.model("numbers")
    frame = pandas.DataFrame({"number": [1.0, 2.0]})
    with pytest.raises(InvalidResponseError, match="1 values for 2 rows"):
        await map_frame(
            model.run_numbers, frame, input="number", output="a", batch_size=2, split=lambda answer: answer.numbers[:1]
        )


async def test_other_tasks_go_on_meanwhile(grpc_client: RemoteClient) -> None:
    model: Any = await grpc_client.model("text")
    frame = pandas.DataFrame({"text": ["a"] * 300})
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0)
            ticks += 1

    ticking = asyncio.create_task(tick())
    await map_frame(model.run_text, frame, input="text", output="answer")
    ticking.cancel()
    assert ticks > 10


def test_the_blocking_twin(blocking: sync.RemoteClient, library: str) -> None:
    model: Any = blocking.model("text")
    frame = LIBRARIES[library]({"text": ["a", None]})
    answered = sync_bulk.map_frame(
        model.run_text, frame, input="text", output={"back": "greeting"}, on_error="return", error_column="error"
    )
    assert [(row["back"], row["error"] is None) for row in rows_of(answered)] == [("a", True), (None, False)]
    with pytest.raises(InputError) as raised:
        sync_bulk.map_frame(model.run_text, frame, input="text", output="answer")
    assert raised.value.__notes__ == ["row 1"]


async def test_each_client_has_its_own_twin(grpc_client: RemoteClient) -> None:
    model: Any = await grpc_client.model("text")
    with pytest.raises(InputError, match=r"a method of a model of remote_client\.sync"):
        sync_bulk.map_frame(model.run_text, pandas.DataFrame({"text": ["a"]}), input="text", output="a")
