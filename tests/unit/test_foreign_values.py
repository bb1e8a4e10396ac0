"""Values of other libraries over both protocols: enums, decimals, scalars and rows of numpy, pandas, polars, Arrow."""

from __future__ import annotations

import enum
import json
from collections import namedtuple
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy
import pandas
import polars
import pyarrow
import pytest
from pydantic import BaseModel, ConfigDict

from remote_client._schema.openapi.document import describe
from remote_client.errors import InputError

from .documents import COMPLETE
from .library import ECHO, METHODS, REQUEST, Zoo, echo, encode

HTTP = describe(COMPLETE)
LARGE = 2**60 + 1


def body(task: str, *args: Any, **kwargs: Any) -> Any:
    return json.loads(HTTP.tasks[task].methods[0].codec.encode("m", args, kwargs))


def sent(**parameters: Any) -> Any:
    """What a request over HTTP has as parameters."""
    return body("ParametersTask", "t", **parameters)["parameters"]


def refused(call: Callable[..., Any], *args: Any, **kwargs: Any) -> str:
    with pytest.raises(InputError) as caught:
        call(*args, **kwargs)
    return str(caught.value)


# -- enums ------------------------------------------------------------------------------------------------------------


class Plain(enum.Enum):
    GREEDY = "greedy"


class Mixed(str, enum.Enum):  # noqa: UP042 - its `str()` is another
    GREEDY = "greedy"


class Text(enum.StrEnum):
    GREEDY = "greedy"


class Number(enum.Enum):
    FIVE = 5


class Shade(enum.Enum):
    GREEN = 1


class Named(enum.StrEnum):
    GREEN = "GREEN"


class Lower(enum.StrEnum):
    GREEN = "green"


class Counted(enum.Enum):
    """Its own numbers, the server's names."""

    RED = 1
    GREEN = 2
    BLUE = 3


TEXTS = pytest.mark.parametrize("mode", [Plain.GREEDY, Mixed.GREEDY, Text.GREEDY])


@TEXTS
def test_an_enum_of_text_is_sent_as_its_value(mode: Any) -> None:
    got = echo(
        {
            "a_string": mode,
            "opt_string": mode,
            "many_string": ["x", mode],
            "by_str": {mode: 1},
            "by_int": {1: mode},
            "scalar": mode,
            "sequence": [mode],
            "maybe_str": mode,
            "settings": {mode: [mode, {"a": mode}]},
            "anything": mode,
        }
    )
    assert (got.a_string, got.opt_string, got.scalar, got.maybe_str, got.anything) == ("greedy",) * 5
    assert (got.many_string, got.sequence.values) == (["x", "greedy"], ["greedy"])
    assert (got.by_str, got.by_int) == ({"greedy": 1}, {1: "greedy"})
    assert got.settings == {"greedy": ["greedy", {"a": "greedy"}]}


@TEXTS
def test_an_enum_of_text_is_sent_as_its_value_over_http(mode: Any) -> None:
    assert body("ParametersTask", mode)["inputs"] == "greedy"
    values = {"words": ["x", mode], "weights": {mode: 1.0}, "choice": mode, "values": [mode], "optional_text": mode}
    assert sent(**values) == {
        "words": ["x", "greedy"],
        "weights": {"greedy": 1.0},
        "choice": "greedy",
        "values": ["greedy"],
        "optional_text": "greedy",
    }
    settings = {mode: [mode, {"a": mode}]}
    assert sent(settings=settings) == {"settings": {"greedy": ["greedy", {"a": "greedy"}]}}


def test_an_enum_of_numbers_is_sent_as_its_number() -> None:
    got = echo({"a_int32": Number.FIVE, "a_double": Number.FIVE, "many_int64": [Number.FIVE], "scalar": Number.FIVE})
    assert (got.a_int32, got.a_double, got.many_int64, got.scalar) == (5, 5.0, [5], 5)
    assert sent(number=Number.FIVE, ratio=Number.FIVE, choice=Number.FIVE) == {"number": 5, "ratio": 5.0, "choice": 5}


@pytest.mark.parametrize("shade", [Shade.GREEN, Named.GREEN, Lower.GREEN, Counted.GREEN])
def test_ones_own_enum_is_taken_by_its_names(shade: Any) -> None:
    got = echo({"color": shade, "colors": [shade], "colors_by_name": {"x": shade}, "mixed": shade})
    assert {str(each) for each in (got.color, *got.colors, got.colors_by_name["x"], got.mixed)} == {"GREEN"}
    assert str(Zoo(color=shade).color) == "GREEN"


def test_ones_own_enum_is_taken_by_its_number_over_http() -> None:
    assert body("ZooTask", {"color": Shade.GREEN})["inputs"] == {"color": 1}
    assert body("ZooTask", {"color": Shade.GREEN, "ints": [numpy.int64(1)]})["inputs"] == {"color": 1, "ints": [1]}
    assert "has the numbers without names" in refused(body, "ZooTask", {"color": Named.GREEN})


def test_an_enum_in_an_answer_reads_as_its_name() -> None:
    answer = echo({"color": "BLUE", "colors": [1], "colors_by_name": {"a": "RED"}, "mixed": "GREEN"})
    assert (str(answer.color), f"{answer.color:>5}", f"{answer.color:02d}", int(answer.color)) == (
        "BLUE",
        " BLUE",
        "07",
        7,
    )
    names = {"color": "BLUE", "colors": ["GREEN"], "colors_by_name": {"a": "RED"}, "mixed": "GREEN"}
    plain = echo(answer, "dict")
    dumped = answer.model_dump(mode="json")
    for name, value in names.items():
        assert plain[name] == dumped[name] == value
        assert echo(answer, "numpy")[name] == value


def test_a_number_without_a_name_can_be_handed_back() -> None:
    message = echo({}, "proto")
    message.color = 99
    data = message.SerializeToString()
    for output in ("pydantic", "dict"):
        answer = ECHO.codec.decode(data, output)  # type: ignore[arg-type]
        assert echo(answer, "proto").color == 99
    dumped = ECHO.codec.decode(data, "pydantic").model_dump(mode="json", include={"color"})
    assert dumped == {"color": "UNRECOGNIZED_99"}
    assert int(Zoo(**dumped).color) == 99


# -- numbers ----------------------------------------------------------------------------------------------------------

LARGE_NUMBERS = pytest.mark.parametrize(
    "number",
    [numpy.int64(LARGE), numpy.uint64(LARGE), Decimal(LARGE), pyarrow.scalar(LARGE), pandas.Series([LARGE])[0]],
    ids=["int64", "uint64", "Decimal", "Arrow", "pandas"],
)


@LARGE_NUMBERS
def test_an_integer_arrives_as_it_is(number: Any) -> None:
    got = echo({"a_int64": number, "many_int64": [number], "by_str": {"a": number}, "scalar": number})
    assert (got.a_int64, got.many_int64, got.by_str, got.scalar) == (LARGE, [LARGE], {"a": LARGE}, LARGE)
    assert sent(number=number, choice=number, values=[number]) == {"number": LARGE, "choice": LARGE, "values": [LARGE]}
    assert sent(settings={"a": number}) == {"settings": {"a": LARGE}}


@LARGE_NUMBERS
def test_an_integer_is_never_rounded(number: Any) -> None:
    for field in ("a_double", "a_float", "opt_double"):
        assert f"zoo.{field}: " in refused(encode, {field: number})
        assert "is not exact as a double" in refused(encode, {field: number})
    assert "many_double[1]: " in refused(encode, {"many_double": [1.0, number]})
    assert "many_float[0]: " in refused(encode, {"many_float": [number]})
    assert "is not exact as a JSON number" in refused(encode, {"settings": {"a": [number]}})
    assert f"ratio: {LARGE} is not exact as a double" in refused(sent, ratio=number)
    assert f"weights.a: {LARGE} is not exact as a double" in refused(sent, weights={"a": number})


def test_an_array_of_integers_is_never_rounded() -> None:
    for values in (numpy.array([1, LARGE]), pandas.Series([1, LARGE]), pyarrow.array([1, LARGE])):
        assert "many_double[1]: " in refused(encode, {"many_double": values})
        assert echo({"many_int64": values}).many_int64 == [1, LARGE]
        assert f"inputs[1]: {LARGE} is not exact" in refused(body, "NumbersTask", values)
    assert echo({"many_double": numpy.array([1, 2])}).many_double == [1.0, 2.0]


def test_integers_that_a_field_holds_are_taken() -> None:
    assert echo({"a_double": 2**60, "a_float": 2**60, "many_float": [2**24, 2**25]}).a_double == 2.0**60
    assert sent(ratio=2**60) == {"ratio": 2.0**60}
    assert "is not exact as float32" in refused(encode, {"a_float": 2**24 + 1})
    assert "too large for a double" in refused(encode, {"a_double": 10**400})


def test_decimals() -> None:
    got = echo(
        {"a_double": Decimal("0.1"), "a_float": Decimal("0.1"), "a_int32": Decimal("5.0"), "scalar": Decimal("1.5")}
    )
    assert (got.a_double, round(got.a_float, 6), got.a_int32, got.scalar) == (0.1, 0.1, 5, 1.5)
    assert sent(ratio=Decimal("0.1"), number=Decimal(5), settings={"a": Decimal("0.1")}) == {
        "ratio": 0.1,
        "number": 5,
        "settings": {"a": 0.1},
    }
    fine = Decimal("0.12345678901234567890")
    assert "is not exact as a double" in refused(encode, {"a_double": fine})
    assert "is not exact as float32" in refused(encode, {"a_float": Decimal("0.1234567891")})
    assert "is not exact as a double" in refused(encode, {"settings": {"a": fine}})
    assert "expected int, not Decimal" in refused(encode, {"a_int32": Decimal("1.5")})
    assert "is not exact as a double" in refused(sent, ratio=fine)
    assert "is not exact as a JSON number" in refused(sent, settings={"a": fine})
    assert "expected int" in refused(sent, number=Decimal("1e100000000"))
    assert echo({"a_double": Fraction(1, 3)}).a_double == 1 / 3  # rounded, as each division is


@pytest.mark.parametrize("make", [pyarrow.scalar, lambda value: numpy.array([value])[0]], ids=["Arrow", "numpy"])
def test_scalars_of_all_kinds(make: Callable[[Any], Any]) -> None:
    values = {
        "a_bool": True,
        "a_string": "x",
        "a_double": 1.5,
        "many_bool": [True],
        "many_string": ["y"],
        "a_bytes": b"z",
    }
    for name, value in values.items():
        given = [make(each) for each in value] if isinstance(value, list) else make(value)
        assert echo({name: given}).model_dump()[name] == value
    told = {"flag": True, "optional_text": "x", "ratio": 1.5, "words": ["y"], "number": 5}
    given = {
        name: [make(each) for each in value] if isinstance(value, list) else make(value) for name, value in told.items()
    }
    assert sent(**given) == told
    assert sent(settings=given) == {"settings": told}
    assert echo({"settings": given}).settings == told


def test_times() -> None:
    noon = pandas.Timestamp("2024-01-02T03:04:05.123456789Z")
    message = echo({"when": noon, "times": [noon], "span": pandas.Timedelta(-1, "ns")}, "proto")
    assert (message.when.nanos, message.times[0].nanos) == (123456789, 123456789)
    assert message.span.ToNanoseconds() == -1
    assert "whole microseconds" in refused(sent, when=noon)
    exact = datetime(2024, 1, 2, 3, 4, 5, 123456, UTC)
    assert echo({"when": pyarrow.scalar(exact)}).when == exact
    assert sent(when=pandas.Timestamp(exact)) == sent(when=pyarrow.scalar(exact)) == sent(when=exact)


# -- objects of pydantic ----------------------------------------------------------------------------------------------


class Loose(BaseModel):
    model_config = ConfigDict(extra="allow")

    label: str


def test_extra_fields_that_the_server_knows_are_sent() -> None:
    place = Loose(label="x", lat=1.5)  # type: ignore[call-arg]
    got = echo({"place": place, "places": [place], "thing": place, "anything": place})
    assert (got.place.lat, got.places[0].lat, got.thing.lat) == (1.5, 1.5, 1.5)
    assert got.anything == {"label": "x", "lat": 1.5}
    assert sent(place=place, places=[place], choice=place) == {
        "place": {"label": "x", "lat": 1.5},
        "places": [{"label": "x", "lat": 1.5}],
        "choice": {"label": "x", "lat": 1.5},
    }
    assert sent(settings={"a": place}) == {"settings": {"a": {"label": "x", "lat": 1.5}}}


def test_extra_fields_that_the_server_does_not_know_are_refused() -> None:
    place = Loose(label="x", lot=1.5)  # type: ignore[call-arg]
    assert "zoo.places[0].lot: Place has no such field" in refused(encode, {"places": [place]})
    assert "places[0].lot: no such field" in refused(sent, places=[place])


# -- tables -----------------------------------------------------------------------------------------------------------


@dataclass
class Spot:
    label: str
    lat: float


FRAME = pandas.DataFrame({"label": ["x", "y"], "lat": [1.5, 2.5]})
Point = namedtuple("Point", "label lat")
ROWS = {
    "Series": FRAME.iloc[0],
    "itertuples": next(FRAME.itertuples()),
    "itertuples without index": next(FRAME.itertuples(index=False)),
    "records": FRAME.to_dict("records")[0],
    "namedtuple": Point("x", 1.5),
    "dataclass": Spot("x", 1.5),
    "polars": polars.DataFrame(FRAME.to_dict("list")).row(0, named=True),
    "polars struct": polars.DataFrame(FRAME.to_dict("list")).to_struct()[0],
    "Arrow": pyarrow.RecordBatch.from_pandas(FRAME).to_pylist()[0],
    "Arrow struct": pyarrow.array(FRAME.to_dict("records"))[0],
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_a_row_is_taken_where_a_mapping_is(row: Any) -> None:
    place = {"label": "x", "lat": 1.5}
    got = echo(
        {"place": row, "places": [row], "places_by_name": {"a": row}, "thing": row, "settings": row, "anything": row}
    )
    for each in (got.place, got.places[0], got.places_by_name["a"], got.thing):
        assert each.model_dump() == place
    assert got.settings == got.anything == place
    assert sent(place=row, places=[row], choice=row, settings=row) == {
        "place": place,
        "places": [place],
        "choice": place,
        "settings": place,
    }


def test_a_row_is_taken_as_a_map() -> None:
    counts = pandas.Series({"a": 1, "b": LARGE})
    assert echo({"by_str": counts}).by_str == {"a": 1, "b": LARGE}
    assert sent(weights=pandas.Series({"a": 0.5})) == {"weights": {"a": 0.5}}


def test_a_column_stays_a_list() -> None:
    for column in (pandas.Series([0.5, 1.5]), pandas.Series({"a": 0.5, "b": 1.5}), polars.Series([0.5, 1.5])):
        assert echo({"many_double": column, "sequence": column}).many_double == [0.5, 1.5]
        assert body("NumbersTask", column)["inputs"] == [0.5, 1.5]
    assert body("NumbersTask", Point(1.0, 2.0))["inputs"] == [1.0, 2.0]


def test_rows_are_the_items_of_a_stream_and_may_be_its_constants() -> None:
    codec = METHODS["run_echo_stream_in"].codec
    rows = FRAME.rename(columns={"label": "a_string", "lat": "a_double"})
    for frame in (rows.itertuples(), [row for _, row in rows.iterrows()], iter(rows.to_dict("records"))):
        constants, streams = codec.split((), {"zoo": frame, "count": numpy.int64(3)})
        frames = [codec.frame(constants, {"zoo": each}, index) for index, each in enumerate(streams["zoo"])]
        told = [REQUEST.FromString(each) for each in frames]
        assert [(each.zoo.a_string, each.zoo.a_double, each.count) for each in told] == [("x", 1.5, 3), ("y", 2.5, 3)]
    constants, streams = codec.split((), {"zoo": rows.iloc[0], "count": iter([1, 2])})
    assert list(streams) == ["count"]
    assert REQUEST.FromString(constants).zoo.a_string == "x"


def test_what_is_missing_in_a_row_is_not_given() -> None:
    row = pandas.Series({"label": pandas.NA, "lat": 1.5}, dtype=object)
    assert echo({"place": row}).place.model_dump() == {"label": "", "lat": 1.5}
    assert sent(place=row) == {"place": {"lat": 1.5}}


def test_a_column_that_the_server_does_not_know_is_refused() -> None:
    row = next(FRAME.rename(columns={"lat": "lot"}).itertuples())
    assert "zoo.place.lot: Place has no such field" in refused(encode, {"place": row})
    assert "place.lot: no such field" in refused(sent, place=row)


@pytest.mark.parametrize(
    "table",
    [
        pandas.DataFrame({"name": ["a", "b"]}),
        polars.DataFrame({"name": ["a", "b"]}),
        pyarrow.table({"name": ["a", "b"]}),
        pyarrow.RecordBatch.from_pydict({"name": ["a", "b"]}),
        [pandas.Series({"name": "a"}), pandas.Series({"name": "b"})],
        list(pandas.DataFrame({"name": ["a", "b"]}).itertuples()),
    ],
    ids=["pandas", "polars", "Table", "RecordBatch", "Series", "itertuples"],
)
def test_a_table_is_a_trainings_data(table: Any) -> None:
    codec = HTTP.trainings["SampleTaskSampleModuleTrain"].codec
    parameters = json.loads(codec.encode("new", (table, ["x"]), {}))["parameters"]
    assert parameters["training_data"] == {"data_stream": {"data": [{"name": "a"}, {"name": "b"}]}}


@pytest.mark.parametrize(
    "read",
    [
        lambda rows: pandas.DataFrame(rows).to_dict("records"),
        lambda rows: polars.DataFrame(rows).to_dicts(),
        lambda rows: pyarrow.Table.from_pylist(rows).to_pylist(),
    ],
    ids=["pandas", "polars", "Arrow"],
)
def test_answers_become_tables_by_their_fields(read: Callable[[Any], Any]) -> None:
    answers = [echo({"place": {"label": label}, "a_int64": LARGE}) for label in "xy"]
    found = read([each.model_dump(include={"place", "a_int64"}) for each in answers])
    assert found == [{"a_int64": LARGE, "place": {"label": label, "lat": 0.0}} for label in "xy"]
