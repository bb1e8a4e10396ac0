"""An answer can always be handed back as an argument: it is the same message again, whatever form it has."""

from __future__ import annotations

import json
import pickle
from datetime import UTC, datetime, timedelta
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message_factory import GetMessageClass

from remote_client._objects.content import Body
from remote_client._schema.openapi.document import describe
from remote_client._schema.protobuf.fields import is_map, is_repeated, map_entry

from .documents import COMPLETE
from .library import ECHO, INTEGERS, REQUEST, ZOO, encode

HTTP = describe(COMPLETE).tasks["ZooTask"].methods[0].codec
T = FieldDescriptor
TEXT = st.text(max_size=5)
SCALARS: dict[int, st.SearchStrategy[Any]] = {
    **{getattr(T, f"TYPE_{kind.upper()}"): st.integers(*bounds) for kind, bounds in INTEGERS.items()},
    T.TYPE_DOUBLE: st.floats(),
    T.TYPE_FLOAT: st.floats(width=32),
    T.TYPE_BOOL: st.booleans(),
    T.TYPE_STRING: TEXT,
    T.TYPE_BYTES: st.binary(max_size=5),
    T.TYPE_ENUM: st.sampled_from([0, 1, 7, 99, -(2**31)]),
}
JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.floats() | TEXT,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(TEXT, inner, max_size=2),
    max_leaves=5,
)


@st.composite
def messages(draw: st.DrawFn, descriptor: Descriptor, depth: int = 0) -> Any:
    """Any message of a type, but for what Python cannot hold: nanoseconds, and a null in a field of its own."""
    message = GetMessageClass(descriptor)()
    name = descriptor.full_name
    if name == "google.protobuf.Timestamp":
        message.FromDatetime(draw(st.datetimes(timezones=st.just(UTC))))
    elif name == "google.protobuf.Duration":
        message.FromTimedelta(draw(st.timedeltas(timedelta(days=-3_000_000), timedelta(days=3_000_000))))
    elif name == "google.protobuf.Struct":
        message.update(draw(st.dictionaries(TEXT, JSON, max_size=2)))
    elif name == "google.protobuf.ListValue":
        message.extend(draw(st.lists(JSON, max_size=2)))
    elif name == "google.protobuf.Value":
        message.string_value = draw(TEXT)
    elif descriptor.fields:
        for field in draw(st.lists(st.sampled_from([*descriptor.fields]), unique=True, max_size=8 if not depth else 3)):
            _fill(draw, message, field, depth)
    return message


def _fill(draw: st.DrawFn, message: Any, field: FieldDescriptor, depth: int) -> None:
    if depth > 3 and field.message_type is not None:
        return
    if is_map(field):
        key, value = map_entry(field)
        for each in draw(st.lists(SCALARS[key.type], unique=True, max_size=2)):
            if value.message_type is None:
                getattr(message, field.name)[each] = draw(SCALARS[value.type])
            else:
                getattr(message, field.name)[each].CopyFrom(draw(messages(value.message_type, depth + 1)))
    elif field.message_type is not None:
        one = messages(field.message_type, depth + 1)
        if is_repeated(field):
            getattr(message, field.name).extend(draw(st.lists(one, max_size=2)))
        else:
            getattr(message, field.name).CopyFrom(draw(one))
    elif is_repeated(field):
        getattr(message, field.name).extend(draw(st.lists(SCALARS[field.type], max_size=3)))
    else:
        setattr(message, field.name, draw(SCALARS[field.type]))


@pytest.mark.parametrize("output", ["pydantic", "dict", "numpy", "proto"])
@hypothesis.settings(max_examples=300, deadline=None, suppress_health_check=[*hypothesis.HealthCheck])
@hypothesis.given(zoo=messages(ZOO))
def test_over_grpc(zoo: Any, output: Any) -> None:
    answer = ECHO.codec.decode(zoo.SerializeToString(), output)
    # What protobuf's implementation in Python reads, too: it has one NaN.
    expected = type(zoo).FromString(zoo.SerializeToString()).SerializeToString(deterministic=True)
    for each in (answer, pickle.loads(pickle.dumps(answer))) if output == "dict" else (answer,):
        again = REQUEST.FromString(encode(each)).zoo
        assert again.SerializeToString(deterministic=True) == expected


PLACE = st.fixed_dictionaries(
    {}, optional={"label": TEXT, "lat": st.floats(), "lon": st.floats(), "tags": st.lists(TEXT, max_size=2)}
)
MOMENTS = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))
INT64 = st.integers(-(2**63), 2**63 - 1)
ANSWERS = st.fixed_dictionaries(
    {},
    optional={
        # As the runtime writes it. Without `color`: see the docs.
        "flag": st.booleans() | st.none(),
        "int64": INT64,
        "uint64": st.integers(0, 2**64 - 1),
        "double": st.floats(),
        "text": TEXT,
        "blob": st.sampled_from(["", "AA==", "+/+/"]),
        "place": PLACE,
        "ints": st.lists(INT64, max_size=2),
        "doubles": st.lists(st.floats(), max_size=2),
        "places": st.lists(PLACE, max_size=2),
        "counts": st.dictionaries(TEXT, INT64, max_size=2),
        "names_by_number": st.dictionaries(st.sampled_from(["0", "-5"]), TEXT),
        "when": MOMENTS.map(datetime.isoformat),
        "moments": st.lists(MOMENTS.map(datetime.isoformat), max_size=2),
        "settings": st.dictionaries(TEXT, JSON, max_size=2),
        "scalar_union_bool": st.booleans(),
        "message_union": PLACE.filter(bool),
        "sequence_union": st.lists(TEXT, min_size=1, max_size=2).map(lambda values: {"values": values}),
        "optional_int": INT64 | st.none(),
        "attachment": st.just({"data": "AA==", "filename": "a.bin"}),
    },
)


@hypothesis.settings(max_examples=300, deadline=None, suppress_health_check=[*hypothesis.HealthCheck])
@hypothesis.given(answer=ANSWERS)
def test_over_http(answer: Any) -> None:
    data = json.dumps(answer).encode()
    told, plain = HTTP.decode(data, "pydantic"), HTTP.decode(data, "dict")
    first, second = HTTP.encode("m", (told,), {}), HTTP.encode("m", (plain,), {})
    if b"form-data" not in first:  # an attachment is a file, between random marks
        assert first == second
        again = HTTP.decode(json.dumps(json.loads(first)["inputs"]).encode(), "pydantic")
        assert repr(again) == repr(told)  # NaN is not equal to itself


def test_a_file_over_http() -> None:
    methods = describe(COMPLETE).tasks
    answer = methods["BundleTask"].methods[0].codec.decode(Body(b"\x00" * 5, "application/zip", "a.zip"), "pydantic")
    sent = methods["FileTask"].methods[0].codec.encode("m", (answer,), {})
    assert b'name="inputs"; filename="a.zip"\r\nContent-Type: application/zip\r\n\r\n\x00\x00' in sent


def test_only_what_json_cannot_say_is_marked() -> None:
    methods = describe(COMPLETE).tasks
    assert type(methods["SampleTask"].methods[0].codec.decode(b'{"greeting": "x"}', "dict")) is dict
    assert type(methods["NumbersTask"].methods[0].codec.decode(b'{"total": 1.5}', "dict")) is dict
    assert type(HTTP.decode(b'{"blob": "AA=="}', "dict")) is not dict
