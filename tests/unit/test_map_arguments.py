"""The arguments of `remote-client map`: rows of JSON, CSV and Parquet by the types of a method."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterable, Iterable
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel

from remote_client._bulk.kinds import kind_of
from remote_client._cli.arguments import Arguments, value_of_json, value_of_text
from remote_client._cli.usage import UsageError
from remote_client.errors import InputError

WHEN = datetime(2026, 1, 2, 3, tzinfo=UTC)


class Person(BaseModel):
    name: str = ""
    photo: bytes = b""
    friends: list[Person] = []


def method(
    text: str,
    person: Person | None = None,
    count: int | None = None,
    when: datetime | None = None,
    names: dict[int, bytes] | None = None,
    anything: Any = None,
) -> None: ...


def arguments(*columns: str, batched: bool = False) -> Arguments:
    return Arguments(inspect.signature(method, eval_str=True), columns, batched=batched)


@pytest.mark.parametrize(
    ("row", "found"),
    [
        ({"text": "a", "count": 3}, {"text": "a", "count": 3}),
        ({"text": "a", "count": None}, {"text": "a"}),
        ({}, {}),
        ("a", {"text": "a"}),
        (["a"], {"text": ["a"]}),
        (None, {}),
        ({"when": "2026-01-02T03:00:00Z"}, {"when": WHEN}),
        ({"names": {"7": "AP8="}}, {"names": {7: b"\x00\xff"}}),
        ({"person": {"name": "AP8=", "photo": "AP8="}}, {"person": {"name": "AP8=", "photo": b"\x00\xff"}}),
        ({"person": {"unknown": 1}}, {"person": {"unknown": 1}}),
        ({"anything": {"when": "2026"}}, {"anything": {"when": "2026"}}),
        ({"count": "three", "person": 3}, {"count": "three", "person": 3}),
    ],
    ids=str,
)
def test_json_becomes_arguments(row: Any, found: Any) -> None:
    assert arguments().from_json(row) == found


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (
            {"no": 1},
            "no argument 'no'; it has text, person, count, when, names, anything; --column ARGUMENT=COLUMN choos",
        ),
        ({"when": "soon"}, "when: expected a time as ISO 8601 writes it"),
        ({"person": {"photo": "?"}}, "person: expected base64"),
        ({"names": {"x": "AA=="}}, "names: invalid literal for int"),
    ],
)
def test_wrong_rows(row: Any, told: str) -> None:
    with pytest.raises(InputError, match=told):
        arguments().from_json(row)


@pytest.mark.parametrize(
    ("columns", "row", "found"),
    [
        (["line"], {"line": "a", "id": 7}, {"text": "a"}),
        (["text=line", "count=n"], {"line": "a", "n": 7}, {"text": "a", "count": 7}),
        (
            ["person.name=who", "person.photo=bytes"],
            {"who": "a", "bytes": "AA=="},
            {"person": {"name": "a", "photo": b"\0"}},
        ),
        (["person.name=who"], {}, {}),
    ],
    ids=str,
)
def test_columns_are_chosen(columns: list[str], row: Any, found: Any) -> None:
    assert arguments(*columns).from_json(row) == found


@pytest.mark.parametrize("read", ["from_json", "from_text", "from_values"])
def test_a_column_that_no_row_has_is_told(read: str) -> None:
    with pytest.raises(InputError, match="--column: the row has no column 'lines' for text; did you mean line"):
        getattr(arguments("lines"), read)({"line": "a", "id": "7"})
    with pytest.raises(InputError, match="no column 'x' for text; it has line, id"):
        getattr(arguments("text=x"), read)({"line": "a", "id": "7"})


def test_rows_of_json_may_lack_what_is_optional() -> None:
    chosen = arguments("text=line", "count=n")
    assert chosen.from_json({"line": "a"}) == {"text": "a"}
    for read in (chosen.from_text, chosen.from_values):
        with pytest.raises(InputError, match="no column 'n' for count"):
            read({"line": "a"})


def test_a_single_value_has_no_columns() -> None:
    with pytest.raises(InputError, match="expected an object with 'line'"):
        arguments("line").from_json("a")


@pytest.mark.parametrize(
    ("column", "told"),
    [
        ("nothing=a", "--column nothing=a: the method has no argument 'nothing'; did you mean anything"),
        ("txt=a", "--column txt=a: the method has no argument 'txt'; did you mean text"),
        ("person.age=a", "--column person.age=a: the argument has no field 'age'; its fields are name, photo, friends"),
        ("text.x=a", "--column text.x=a: the argument has no field 'x'; it is a text"),
    ],
)
def test_columns_for_nothing(column: str, told: str) -> None:
    with pytest.raises(UsageError, match=told):
        arguments(column)


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        (str, "3", "3"),
        (int, "3", 3),
        (int, "three", "three"),
        (float, "1.5", 1.5),
        (bool, "true", True),
        (bytes, "AP8=", b"\x00\xff"),
        (datetime, "2026-01-02T03:00:00Z", WHEN),
        (list[str], '["a"]', ["a"]),
        (Person, '{"photo": "AA=="}', {"photo": b"\0"}),
        (Any, "plain text", "plain text"),
    ],
    ids=str,
)
def test_cells_of_csv(kind: Any, text: str, value: Any) -> None:
    assert value_of_text(kind_of(kind), text) == value


def test_an_empty_cell_has_no_value() -> None:
    assert arguments().from_text({"text": "", "count": "3"}) == {"count": 3}


def test_values_with_types_stay_what_they_are() -> None:
    assert arguments().from_values({"text": "a", "when": WHEN, "count": None}) == {"text": "a", "when": WHEN}


def test_rows_of_a_batch_have_the_items_of_lists() -> None:
    def embed(whens: list[datetime], model: bytes) -> None: ...

    found = Arguments(inspect.signature(embed, eval_str=True), [], batched=True)
    assert found.from_json({"whens": "2026-01-02T03:00:00Z", "model": "AA=="}) == {"whens": WHEN, "model": b"\0"}


def test_rows_of_a_stream_have_its_items() -> None:
    def stream(people: Iterable[Person] | AsyncIterable[Person]) -> None: ...

    found = Arguments(inspect.signature(stream, eval_str=True), [], batched=False)
    assert found.from_json({"people": {"photo": "AA=="}}) == {"people": {"photo": b"\0"}}


def test_messages_in_lists() -> None:
    assert value_of_json(kind_of(list[Person]), [{"photo": "AA=="}, 3]) == [{"photo": b"\0"}, 3]
