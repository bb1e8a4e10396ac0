"""Rows and tables of pandas, polars and Arrow as arguments, and answers as tables, of learned and declared modules."""

from __future__ import annotations

from collections.abc import AsyncIterable, Iterable
from typing import Any, TypedDict

import numpy
import pandas
import polars
import pyarrow
import pytest

from remote_client import RemoteClient, RemoteModuleBase
from remote_client.declare import module, taskmethod

from .protocols import Protocol

ROWS = [{"name": "a"}, {"name": "b"}]
FRAME = pandas.DataFrame(ROWS)
EACH = {
    "pandas": lambda: [row for _, row in FRAME.iterrows()],
    "itertuples": lambda: FRAME.itertuples(),
    "polars": lambda: polars.DataFrame(ROWS).iter_rows(named=True),
    "Arrow": lambda: pyarrow.Table.from_pylist(ROWS).to_pylist(),
    "Arrow scalars": lambda: pyarrow.array(ROWS),
}


class Who(TypedDict):
    name: str


class Greeting(TypedDict):
    greeting: str


@module(task="SampleTask")
class Greeter(RemoteModuleBase):
    @taskmethod()
    async def run_sample(self, sample_input: Who) -> Greeting:
        raise NotImplementedError

    @taskmethod()
    async def run_sample_stream_in(
        self, sample_inputs: Iterable[Who] | AsyncIterable[Who], greeting: str = ""
    ) -> Greeting:
        raise NotImplementedError


@pytest.mark.parametrize("rows", EACH.values(), ids=EACH)
@pytest.mark.parametrize("declared", [False, True], ids=["learned", "declared"])
async def test_rows_are_arguments(client: RemoteClient, protocol: Protocol, rows: Any, declared: bool) -> None:
    model: Any = await client.model("foo", *[Greeter][: int(declared)])
    answers = [await model.run_sample(row) for row in rows()]
    assert pandas.DataFrame(map(dict, answers)).to_dict("list") == {"greeting": ["Hello a", "Hello b"]}
    if protocol == "grpc":
        answer = await model.run_sample_stream_in(rows(), greeting="Hi ")
        assert dict(answer) == {"greeting": "Hi a,b"}


@pytest.mark.parametrize(
    "table", [FRAME, polars.DataFrame(ROWS), pyarrow.Table.from_pylist(ROWS)], ids=["pandas", "polars", "Arrow"]
)
async def test_a_table_is_a_stream_of_its_rows(grpc_client: RemoteClient, table: Any) -> None:
    model = await grpc_client.model("foo")
    assert (await model.run_sample_stream_in(table, greeting="Hi ")).greeting == "Hi a,b"
    assert [each.greeting async for each in model.run_sample_bidi_stream(table)] == ["Hello a", "Hello b"]


async def test_a_row_with_values_of_all_kinds_returns_equal(client: RemoteClient) -> None:
    zoo = await client.model("zoo")
    frame = pandas.DataFrame({"int64": [2**60 + 1], "double": [1.5], "flag": [True], "text": ["x"]})
    moment = pandas.Timestamp("2024-01-02T03:04:05Z")
    for row in (
        frame.astype(object).iloc[0],
        next(frame.itertuples()),
        polars.from_pandas(frame).row(0, named=True),
        pyarrow.Table.from_pandas(frame).to_pylist()[0],
        {"int64": numpy.int64(2**60 + 1), "double": pyarrow.scalar(1.5), "flag": numpy.bool_(True), "text": "x"},
    ):
        answer = await zoo.run_zoo(row)
        assert (answer.int64, answer.double, answer.flag, answer.text) == (2**60 + 1, 1.5, True, "x")
    assert (await zoo.run_zoo({"when": moment, "moments": pandas.Series([moment])})).moments == [moment]
