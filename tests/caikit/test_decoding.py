"""Answers are the data objects that caikit's own `from_proto` makes of the same bytes."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import Any

import pytest
from caikit.core.data_model import DataBase

from remote_client.caikit._data_objects import from_proto
from remote_client.caikit._decoding import decoder
from remote_client.errors import InvalidResponseError

from .odd_types import Flat, Hinted, Holder


@pytest.fixture(scope="module")
def data() -> Any:
    import sample_lib.data_model  # type: ignore[import-not-found]

    return sample_lib.data_model


def place(data: Any, **more: Any) -> Any:
    return data.Place(label="l", lat=1.5, lon=-2.5, tags=["a", "b"], **more)


def examples(data: Any) -> list[Any]:
    zoo = data.Zoo(
        text="t",
        blob=b"\0",
        color=data.Color.BLUE,
        place=place(data),
        places=[place(data), data.Place()],
        counts={"a": 1},
        when=datetime(2024, 5, 6, tzinfo=UTC),
        settings={"a": [1, None]},
        scalar_union=5,
        sequence_union=["x"],
        optional_int=0,
    )
    return [
        data.SampleOutputType(greeting="x"),
        data.SampleOutputType(),
        place(data),
        data.Numbers(numbers=[1.5, float("inf")], total=2.0),
        data.Numbers(unset_int=0, unset_text="", unset_place=place(data)),
        zoo,
        data.Zoo(),
        Flat(number=7, optional=0, numbers=[1, 2], flag=True, data=b"\xff", colors=[0, 7]),
        Flat(),
        Hinted(text="x"),
        Holder(hinted=Hinted(text="y"), many=[Hinted(text="z")], flat=Flat(number=1), when=[datetime.now(UTC)]),
        Holder(flat=Flat()),
    ]


def test_data_objects_are_caikits_own(data: Any) -> None:
    for example in examples(data):
        kind, message = type(example), example.to_proto()
        wanted, made = kind.from_proto(message), from_proto(kind, message.SerializeToString())
        assert type(made) is kind
        assert shape(made) == shape(wanted)
        assert made.to_proto() == wanted.to_proto()
        assert made.to_json() == wanted.to_json()


def shape(value: Any) -> Any:
    """Return all fields with the types of their values."""
    if isinstance(value, DataBase):
        names = [field.name for field in dataclasses.fields(value)]
        return type(value), {name: shape(getattr(value, name)) for name in names}
    if isinstance(value, list):
        return [shape(item) for item in value]
    return type(value), value


def test_a_from_proto_of_its_own_is_called(data: Any) -> None:
    message = Holder(hinted=Hinted(text="y"), many=[Hinted(text="z")]).to_proto()
    made = from_proto(Holder, message.SerializeToString())
    assert (made.hinted.text, made.many[0].text) == ("decoded y", "decoded z")


def test_plain_types_are_decoded_without_from_proto(data: Any) -> None:
    """What the time is saved by: a type that holds plain ones only never comes to caikit's own."""
    for kind in (data.SampleOutputType, data.Place, data.Numbers, Flat):
        assert decoder(kind) != kind.from_proto
    assert decoder(data.Zoo) == data.Zoo.from_proto


def test_bytes_of_another_type_are_told(data: Any) -> None:
    with pytest.raises(InvalidResponseError, match="the answer is not a valid Place"):
        from_proto(data.Place, b"\x0a\xff")
