"""Answers as columns: the kind of a type, parts of answers, cells, and the columns of every library."""

from __future__ import annotations

import enum
import inspect
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any

import narwhals
import numpy
import pandas
import polars
import pyarrow
import pytest
from pydantic import BaseModel, Field

from remote_client._bulk.columns import CHUNK, ObjectColumn, TypedColumn, dtype_of
from remote_client._bulk.kinds import JSON, Kind, answer_kind, cell_of, kind_at, kind_of, value_at
from remote_client._schema.plain_values import plain
from remote_client.errors import InputError, InvalidResponseError

NOW = datetime(2026, 1, 2, tzinfo=UTC)


class Color(enum.IntEnum):
    RED = 0
    BLUE = 7


class Tone(enum.Enum):
    LOUD = "loud"


class Floats(BaseModel):
    values: list[float]


class Doubles(BaseModel):
    values: list[float]


class Words(BaseModel):
    values: list[str]


class Answer(BaseModel):
    label: str = "a"
    score: float | None = 0.5
    color: Color = Color.BLUE
    class_: str = Field("c", alias="class")
    vector: Floats | Doubles | None = None
    parts: list[Floats] = []
    weights: dict[str, float] = {}


class Tree(BaseModel):
    name: str = ""
    children: list[Tree] = []


@dataclass
class Pair:
    left: int
    right: Tone


FLOATS = Kind("message", fields={"values": ("values", Kind("list", (Kind("float"),)))})


@pytest.mark.parametrize(
    ("annotation", "kind"),
    [
        (bool, Kind("boolean")),
        (int, Kind("integer")),
        (Annotated[float, "exact"], Kind("float")),
        (str | None, Kind("text")),
        (bytes, Kind("bytes")),
        (datetime, Kind("time")),
        (Color, Kind("text")),
        (list[int], Kind("list", (Kind("integer"),))),
        (dict[str, float], Kind("map", (Kind("text"), Kind("float")))),
        (dict[str, Any], JSON),
        (Any, JSON),
        (int | str, Kind("text")),
        (int | float | None, Kind("float")),
        (bool | int | str, JSON),
        (Floats | Words, JSON),
        (Floats | Doubles, FLOATS),
        (Floats, FLOATS),
        (Pair, Kind("message", fields={"left": ("left", Kind("integer")), "right": ("right", Kind("text"))})),
        (inspect.Parameter.empty, JSON),
    ],
    ids=repr,
)
def test_types_have_kinds(annotation: Any, kind: Kind) -> None:
    assert kind_of(annotation) == kind


def test_a_message_inside_of_itself_is_json() -> None:
    assert kind_of(Tree).fields["children"] == ("children", Kind("list", (JSON,)))


def test_a_stream_has_the_kind_of_an_answer() -> None:
    signature = inspect.Signature(return_annotation=AsyncIterator[Floats])
    assert answer_kind(signature) == FLOATS


def test_parts_have_kinds() -> None:
    kind = kind_of(Answer)
    assert kind_at(kind, "vector.values") == Kind("list", (Kind("float"),))
    assert kind_at(kind, "class") == kind_at(kind, "class_") == Kind("text")
    assert kind_at(kind_of(dict[str, Any]), "any.thing") == JSON


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("nothing", "no field 'nothing'; its fields are label, score, color, class, vector, parts, weights"),
        ("vector.nothing", "its fields are values"),
        ("parts.values", "no field 'values'; it is a list"),
        ("label.x", "it is a text"),
    ],
)
def test_there_is_no_such_part(path: str, told: str) -> None:
    with pytest.raises(InputError, match=told):
        kind_at(kind_of(Answer), path)


def test_parts_are_found_in_models_and_dicts() -> None:
    answer = Answer(vector=Floats(values=[1.0]))
    assert value_at(answer, "vector.values") == [1.0]
    assert value_at(answer, "class") == value_at(answer, "class_") == "c"
    assert value_at({"vector": {"values": [1.0]}}, "vector.values") == [1.0]
    assert value_at(Answer(), "vector.values") is None
    assert value_at({"vector": None}, "vector.values") is None


def test_plain_answers_are_dicts_and_scalars() -> None:
    assert plain(Answer(vector=Floats(values=[1.0]), weights={"a": 1.0})) == {
        "label": "a",
        "score": 0.5,
        "color": "BLUE",
        "class": "c",
        "vector": {"values": [1.0]},
        "parts": [],
        "weights": {"a": 1.0},
    }
    assert plain(Pair(1, Tone.LOUD)) == {"left": 1, "right": "loud"}
    assert plain([b"x", NOW, None]) == [b"x", NOW, None]
    assert plain((1.5, Color.BLUE, [Pair(1, Tone.LOUD)])) == [1.5, "BLUE", [{"left": 1, "right": "loud"}]]
    array = numpy.zeros(2)
    assert plain({"array": array})["array"] is array


@pytest.mark.parametrize(
    ("annotation", "value", "cell"),
    [
        (float, 1, 1.0),
        (float, None, None),
        (list[float], numpy.array([1, 2], "float32"), [1.0, 2.0]),
        (Color, Color.BLUE, "BLUE"),
        (Color, "BLUE", "BLUE"),
        (int | str, 3, "3"),
        (dict[str, float], {"a": 1}, [{"key": "a", "value": 1.0}]),
        (dict[str, Any], {"a": [1, NOW, b"\xff"]}, '{"a":[1,"2026-01-02T00:00:00+00:00","/w=="]}'),
        (Any, [float("nan"), numpy.array([1])], "[NaN,[1]]"),
        (Floats, {}, {"values": None}),
        (Floats, Floats(values=[1.0]), {"values": [1.0]}),
        (Tree, Tree(name="a", children=[Tree(name="b")]), {"name": "a", "children": ['{"name":"b","children":[]}']}),
        (Answer, {"class": "x"}, {**dict.fromkeys(kind_of(Answer).fields), "class": "x"}),
    ],
    ids=str,
)
def test_cells(annotation: Any, value: Any, cell: Any) -> None:
    assert cell_of(kind_of(annotation))(value) == cell


BACKENDS = {
    "polars": (narwhals.Implementation.POLARS, polars.DataFrame),
    "Arrow": (narwhals.Implementation.PYARROW, pyarrow.table),
}


@pytest.mark.parametrize("library", BACKENDS)
@pytest.mark.parametrize(
    ("annotation", "values"),
    [
        (bool, [True, None]),
        (int, [1, None]),
        (float, [1, None]),
        (str, ["a", None]),
        (bytes, [b"\xff", None]),
        (datetime, [NOW, None]),
        (list[float], [[1, 2.5], None]),
        (dict[str, int], [{"a": 1}, None]),
        (dict[str, Any], [{"a": 1}, None]),
        (Floats, [Floats(values=[1]), None]),
        (Answer, [Answer(), {"label": None}]),
    ],
    ids=repr,
)
def test_typed_columns_have_one_type_whatever_is_in_them(library: str, annotation: Any, values: list[Any]) -> None:
    backend, make = BACKENDS[library]
    types = []
    for some in (values, [], values[1:]):
        column = TypedColumn("answer", kind_of(annotation), backend)
        column.extend(some)
        table = narwhals.from_native(column.add_to(make({"id": list(range(len(some)))})))
        assert len(table) == len(some)
        types.append(table.schema["answer"])
    assert types == [dtype_of(kind_of(annotation))] * 3


@pytest.mark.parametrize("library", BACKENDS)
def test_long_columns_are_made_of_chunks(library: str) -> None:
    backend, make = BACKENDS[library]
    column = TypedColumn("answer", Kind("integer"), backend)
    for start in range(0, 3 * CHUNK, 500):
        column.extend(list(range(start, start + 500)))
    length = len(range(0, 3 * CHUNK, 500)) * 500
    table = narwhals.from_native(column.add_to(make({"id": list(range(length))})))
    assert table["answer"].to_list() == list(range(length))


@pytest.mark.parametrize("library", BACKENDS)
def test_a_value_that_does_not_fit_names_the_column(library: str) -> None:
    backend, make = BACKENDS[library]
    column = TypedColumn("answer", Kind("integer"), backend)
    column.extend([2**64])
    with pytest.raises(InvalidResponseError, match="column answer: answers do not fit Int64: "):
        column.add_to(make({"id": [1]}))


@pytest.mark.parametrize(
    ("kind", "values", "dtype"),
    [
        (Kind("integer"), [1, 2], "int64"),
        (Kind("integer"), [1, None], "Int64"),
        (Kind("integer"), [2**63], "uint64"),
        (Kind("boolean"), [True], "bool"),
        (Kind("boolean"), [True, None], "boolean"),
        (Kind("float"), [1, None], "float64"),
        (Kind("text"), ["a", None], pandas.Series(["a"]).dtype),
        (Kind("text"), [None], pandas.Series(["a"]).dtype),
        (Kind("text"), [], pandas.Series(["a"]).dtype),
        (Kind("bytes"), [b"a"], object),
        (Kind("time"), [NOW, None], "datetime64[us, UTC]"),
        (Kind("list", (Kind("float"),)), [[1.0], [2.0]], object),
        (Kind("list", (Kind("float"),)), [numpy.zeros(2), None], object),
        (FLOATS, [Floats(values=[1.0]), None], object),
        (JSON, [1, "a"], object),
        (None, [1.5, 2.0], "float64"),
        (None, [], object),
    ],
    ids=str,
)
def test_columns_of_pandas(kind: Kind | None, values: list[Any], dtype: Any) -> None:
    column = ObjectColumn("answer", kind, narwhals.Implementation.PANDAS)
    column.extend(values)
    frame = pandas.DataFrame({"id": range(len(values))}, index=[3] * len(values))
    answered = column.add_to(frame)
    assert answered["answer"].dtype == dtype
    assert list(answered.index) == list(frame.index)
    assert list(frame.columns) == ["id"]


def test_tables_are_not_loaded_before_they_are_used() -> None:
    script = "import sys, remote_client.bulk, remote_client.sync.bulk; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert not {"narwhals", "pandas", "polars", "pyarrow", "numpy"} & set(loaded)


def test_narwhals_is_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    from remote_client._bulk.columns import narwhals as load
    from remote_client.errors import ConfigurationError

    monkeypatch.setitem(sys.modules, "narwhals", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'remote-client\[frames\]'"):
        load()
