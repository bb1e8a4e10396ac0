"""Anything at all, given to all that reads what comes from outside: an object or a typed error, and nothing else.

The examples are derived from the tests' names, so that each run has the same ones; a failure prints its example and
the blob that makes it again. `FUZZ_EXAMPLES=10` multiplies their number.
"""

from __future__ import annotations

import asyncio
import decimal
import fractions
import itertools
import json
import os
import pathlib
import uuid
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Any
from urllib.parse import unquote

import numpy
import pytest
from google.protobuf import any_pb2, struct_pb2, timestamp_pb2
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from remote_client._client.configuration import remote_finders
from remote_client._schema.openapi import document as openapi
from remote_client._schema.protobuf import reflection
from remote_client._schema.protobuf import services as protobuf_services
from remote_client._settings.connection import parse_target
from remote_client._transport.call import Call
from remote_client._transport.http.errors import response_error
from remote_client._transport.http.sse import EventReader
from remote_client._transport.http_errors import event_error
from remote_client._transport.metadata import resolve_metadata
from remote_client._transport.retry import pushback_ms, retry_after
from remote_client.errors import ConfigurationError, InputError, InvalidResponseError, RemoteCallError, SchemaError
from remote_client.settings import ConnectionInfo
from tests.support.slow import slow_but
from tests.support.wire_library import library_files
from tests.unit import library
from tests.unit.documents import COMPLETE, DANGLING
from tests.unit.library import ECHO, Zoo


def fuzz(examples: int) -> Any:
    """The same examples in every run; no database, and no deadline of one example's own."""
    return settings(
        max_examples=examples * int(os.environ.get("FUZZ_EXAMPLES", "1")),
        derandomize=True,
        database=None,
        deadline=None,
        print_blob=True,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
        suppress_health_check=list(HealthCheck),
    )


# -- Python values ----------------------------------------------------------------------------------------------------


class Index:
    """An integer of another library, and one that is none after all."""

    def __init__(self, value: Any) -> None:
        self.value = value

    def __index__(self) -> Any:
        return self.value

    def __float__(self) -> Any:
        return self.value


class Array:
    """What numpy's arrays and scalars look like."""

    dtype = "any"

    def __init__(self, value: Any) -> None:
        self.value = value

    def tolist(self) -> Any:
        return self.value


class Stranger(BaseModel):
    """A model of the user's own, some of whose fields may be missing."""

    name: str
    label: Any = None


def nested(depth: int, kind: str) -> Any:
    value: Any = "leaf"
    for _ in range(depth):
        value = {"list": [value], "mapping": {"children": value}, "tree": {"children": [value]}}[kind]
    return value


def circle() -> list[Any]:
    ring: list[Any] = []
    ring.append(ring)
    return ring


TEXT = st.text(st.characters(), max_size=8) | st.sampled_from(["\ud800", "\x00", "", "é" * 100, "RED", "1e5", "{}"])
ZONES = st.sampled_from([None, UTC, timezone(timedelta(hours=23, minutes=59)), timezone(-timedelta(hours=23))])
MESSAGES: list[Any] = [
    any_pb2.Any(type_url="x/y"),
    struct_pb2.Struct(),
    struct_pb2.Value(),
    timestamp_pb2.Timestamp(seconds=2**62),
    ECHO.codec.decode(b"", "proto"),
]
ODD: list[Any] = [
    object(),
    object,
    Zoo,
    int,
    list,
    list[int],
    nested,
    ...,
    NotImplemented,
    range(3),
    complex(1, 2),
    decimal.Decimal("sNaN"),
    decimal.Decimal("1e999"),
    fractions.Fraction(10**400, 3),
    uuid.UUID(int=5),
    pathlib.PurePosixPath("a/b.json"),
    pathlib.PurePosixPath("\udcff"),
    memoryview(b"abcdef")[::2],
    Stranger(name="x"),
    Stranger.model_construct(),
    Zoo.model_construct(),
    Zoo.model_construct(place=5, color="RED", many_string=[1]),
    Index(10**30),
    Index("no"),
    Array([1, 2]),
    Array(Array(5)),
    date(2020, 1, 1),
    time(1),
    ValueError("x"),
    {None: 1},
    {(1, 2): 3},
    {"values": [1, "x"]},
    *MESSAGES,
]
HUGE: list[Any] = [
    10**5000,
    -(10**5000),
    {10**5000: 1},
    {"x": 10**5000},
    memoryview(b"ab").cast("H"),
    circle(),
    Stranger.model_construct(name=circle()),
    *(nested(depth, kind) for depth in (90, 120, 400, 20_000) for kind in ("list", "mapping", "tree")),
]
"""What Python cannot write or hash, which hypothesis would have to."""
SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**31, 2**32, 2**63, 2**64, -(2**63) - 1])
    | st.floats()
    | TEXT
    | st.binary(max_size=8)
    | st.binary(max_size=4).map(bytearray)
    | st.binary(max_size=4).map(memoryview)
    | st.datetimes(timezones=ZONES)
    | st.timedeltas()
    | st.sampled_from(ODD)
)
PLAIN = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | TEXT
    | st.binary(max_size=8)
    | st.datetimes(timezones=ZONES)
)


def values(names: list[str]) -> Any:
    """Values whose mappings have the names of fields, now and then."""
    keys = st.sampled_from(names) | TEXT | st.integers() | st.none()

    def more(inner: Any) -> Any:
        return (
            st.lists(inner, max_size=3)
            | st.lists(inner, max_size=3).map(tuple)
            | st.lists(inner, max_size=3).map(iter)
            | st.sets(PLAIN, max_size=3)
            | st.dictionaries(keys, inner, max_size=4)
        )

    return st.recursive(SCALARS, more, max_leaves=8)


ZOO = list(Zoo.model_fields)
ZOOS = values([*ZOO, "name", "label", "lat", "children", "values"])


def bytes_or_input_error(encode: Callable[[], Any]) -> None:
    try:
        made = encode()
    except InputError as error:
        assert str(error)
    else:
        assert isinstance(made, bytes)


@fuzz(180)
@given(st.dictionaries(st.sampled_from(ZOO), ZOOS, min_size=1, max_size=3))
def test_any_fields_over_grpc(zoo: dict[str, Any]) -> None:
    bytes_or_input_error(lambda: ECHO.codec.encode("m", (zoo,), {"count": 1}))


@pytest.mark.parametrize("field", ZOO)
def test_odd_values_in_each_field_over_grpc(field: str) -> None:
    for value in ODD + HUGE:
        for each in (value, [value], {"a": value}):
            bytes_or_input_error(lambda each=each: ECHO.codec.encode("m", ({field: each},), {"count": 1}))


@fuzz(120)
@given(st.lists(ZOOS, max_size=4), st.dictionaries(st.sampled_from(["zoo", "note", "tags", "count"]) | TEXT, ZOOS))
def test_any_arguments_over_grpc(args: list[Any], kwargs: dict[str, Any]) -> None:
    bytes_or_input_error(lambda: ECHO.codec.encode("m", tuple(args), kwargs))


@fuzz(90)
@given(st.dictionaries(st.sampled_from(["zoo", "note", "tags", "count"]) | TEXT, ZOOS))
def test_any_streams_over_grpc(kwargs: dict[str, Any]) -> None:
    codec = library.METHODS["run_echo_stream_in"].codec
    try:
        constants, streams = codec.split((), kwargs)
    except InputError:
        return
    for name, stream in streams.items():
        item = next(iter(stream), None)
        bytes_or_input_error(lambda name=name, item=item: codec.frame(constants, {name: item}, 0))


def test_a_message_of_the_same_name_of_another_library() -> None:
    """Its bytes may be no message of this one."""
    file = library.library()
    for each in file.message_type:
        if each.name == "Person":
            each.field[0].type = each.field[0].TYPE_BYTES
    other = protobuf_services.describe({file.name: file}, ["caikit.runtime.Unit.UnitService"])
    codec = other.tasks["EchoTask"].methods[0].codec
    data = codec.encode("m", ({"thing": {"name": b"\xff"}},), {"count": 1})
    assert data
    person = type(codec.decode(b"", "proto").thing_person)(name=b"\xff")
    bytes_or_input_error(lambda: ECHO.codec.encode("m", ({"thing": person},), {"count": 1}))


WEB = openapi.describe(COMPLETE)
OPEN_ENDED = openapi.describe(DANGLING)
WEB_METHODS = [
    rpc
    for described in (WEB, OPEN_ENDED)
    for rpc in (
        *(method for task in described.tasks.values() for method in task.methods),
        *described.trainings.values(),
        *described.management.values(),
    )
]
WEB_NAMES = sorted({name for rpc in WEB_METHODS for name in rpc.signature.parameters})
WEB_VALUES = values([*WEB_NAMES, "name", "label", "data", "filename", "type", "data_stream", "values"])


def test_the_documents_have_methods() -> None:
    assert len(WEB_METHODS) > 30


@fuzz(240)
@given(st.sampled_from(WEB_METHODS), st.data())
def test_any_arguments_over_http(rpc: Any, data: Any) -> None:
    names = list(rpc.signature.parameters) or ["x"]
    args = data.draw(st.lists(WEB_VALUES, max_size=2))
    kwargs = data.draw(st.dictionaries(st.sampled_from(names) | TEXT, WEB_VALUES, max_size=4))
    bytes_or_input_error(lambda: rpc.codec.encode("m", tuple(args), kwargs))


@pytest.mark.parametrize("rpc", slow_but(WEB_METHODS[::4], WEB_METHODS), ids=lambda rpc: rpc.path)
def test_odd_values_in_each_argument_over_http(rpc: Any) -> None:
    required = [each for each in rpc.signature.parameters.values() if each.default is each.empty]
    for name, value in itertools.product(rpc.signature.parameters, ODD + HUGE):
        for each in (value, [value], {"name": value}):
            kwargs = {each.name: {} for each in required} | {name: each}
            bytes_or_input_error(lambda kwargs=kwargs: rpc.codec.encode("m", (), kwargs))


TRAININGS = [*WEB.trainings.values(), *OPEN_ENDED.trainings.values()]


@pytest.mark.parametrize("model", ["m", "\ud800", "", "a" * 100_000])
def test_any_model_name(model: str) -> None:
    for rpc in WEB_METHODS:
        kwargs = {each: {"name": "x"} for each in rpc.signature.parameters}
        bytes_or_input_error(lambda rpc=rpc, kwargs=kwargs: rpc.codec.encode(model, (), kwargs))


# -- answers ----------------------------------------------------------------------------------------------------------


def object_or_invalid_response(codec: Any, data: bytes, output: Any) -> None:
    try:
        codec.decode(data, output)
    except InvalidResponseError as error:
        assert str(error).isprintable()
        assert len(str(error)) < 5000


def cut_and_spoiled(seed: bytes) -> Any:
    """A good answer with some bytes gone, doubled or others."""

    def spoil(changes: list[tuple[int, bytes, int]]) -> bytes:
        data = bytearray(seed)
        for where, new, gone in changes:
            start = where % (len(data) + 1)
            data[start : start + gone] = new
        return bytes(data)

    return st.lists(st.tuples(st.integers(0, 10**6), st.binary(max_size=4), st.integers(0, 6)), max_size=5).map(spoil)


def good_zoo() -> bytes:
    zoo = {
        "a_int64": 5, "a_string": "é", "many_double": [1.5, float("nan")], "color": "BLUE", "settings": {"a": [None]},
        "when": datetime(2024, 1, 1, tzinfo=UTC), "span": timedelta(days=3), "thing": {"label": "x", "lat": 1.0},
        "times_by_name": {"x": datetime(1, 1, 1, tzinfo=UTC)}, "tree": {"name": "a", "children": [{"name": "b"}]},
        "sequence": [1, 2], "by_int": {1: "x"}, "many_string": ["x"], "maybe_int": 3, "mixed": "GREEN",
    }  # fmt: skip
    data: bytes = library.echo(zoo, "proto").SerializeToString()
    return data


OUTPUTS = ["pydantic", "dict", "proto", "numpy"]
ANSWERS = st.binary(max_size=60) | cut_and_spoiled(good_zoo())


@fuzz(360)
@given(ANSWERS, st.sampled_from(OUTPUTS))
@example(b"\x00" * 20, "pydantic")
@example(timestamp_pb2.Timestamp(seconds=2**62).SerializeToString(), "dict")
def test_any_answer_over_grpc(data: bytes, output: str) -> None:
    object_or_invalid_response(ECHO.codec, data, output)


NUMBERS = good_zoo() + library.echo({"many_double": [1.0] * 3, "many_float": [2.0]}, "proto").SerializeToString()


def lists(value: Any) -> Any:
    """The value with lists for arrays."""
    if isinstance(value, dict):
        return {name: lists(each) for name, each in value.items()}
    return value.tolist() if isinstance(value, numpy.ndarray) else value


@fuzz(360)
@given(cut_and_spoiled(NUMBERS))
def test_arrays_are_what_lists_are(data: bytes) -> None:
    told = []
    for output in ("dict", "numpy"):
        try:
            told.append(ECHO.codec.decode(data, output))
        except InvalidResponseError:
            told.append(None)
    plain, arrays = told
    assert (plain is None) == (arrays is None)
    assert repr(lists(arrays)) == repr(plain)


@pytest.mark.parametrize("output", OUTPUTS)
def test_odd_times_over_grpc(output: str) -> None:
    """What a message may say, and Python's times may not."""
    message = ECHO.codec.decode(b"", "proto")
    for seconds, nanos in itertools.product((-(2**63), -1, 0, 2**62, 253402300800), (-(2**31), -1, 10**9, 2**31 - 1)):
        for field in ("when", "span"):
            odd = type(message)()
            getattr(odd, field).seconds, getattr(odd, field).nanos = seconds, nanos
            object_or_invalid_response(ECHO.codec, odd.SerializeToString(), output)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6) | st.just(10**400),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(WEB_NAMES) | st.text(max_size=6), inner, max_size=4)
    ),
    max_leaves=10,
)
BODIES = (
    st.binary(max_size=60)
    | JSON.map(lambda value: json.dumps(value).encode())
    | JSON.map(lambda value: json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))
    | st.sampled_from([b"[" * 50_000, b'{"a":' * 50_000, b'{"values":' * 500 + b"1" + b"}" * 500, b"9" * 10_000])
)


@fuzz(360)
@given(st.sampled_from(WEB_METHODS), BODIES, st.sampled_from(OUTPUTS[:2]))
def test_any_answer_over_http(rpc: Any, data: bytes, output: str) -> None:
    object_or_invalid_response(rpc.codec, data, output)


ANSWER_MODELS = [rpc for rpc in WEB_METHODS if isinstance(rpc.codec._answer, type) and rpc.codec._answer.model_fields]


@fuzz(240)
@given(st.sampled_from(ANSWER_MODELS), st.data())
def test_answers_of_the_right_fields_and_any_values_over_http(rpc: Any, data: Any) -> None:
    fields = list(rpc.codec._answer.model_fields)
    told = data.draw(st.dictionaries(st.sampled_from(fields) | st.sampled_from(fields).map(lambda x: f"{x}_y"), JSON))
    object_or_invalid_response(rpc.codec, json.dumps(told).encode(), "pydantic")


@fuzz(180)
@given(st.none() | st.integers(100, 599), BODIES)
@example(422, json.dumps({"detail": [{"loc": [10**400, None, {}], "msg": ["x"]}]}).encode())
@example(None, b'{"code": 1e300, "details": ["x"], "id": 5}')
@example(400, b'{"additional_info": [null, {"loc": []}], "details": {"a": 1}}')
def test_any_error_body(status: int | None, body: bytes) -> None:
    call = Call("POST /x")
    failure = event_error(body, call, "h:1") if status is None else response_error(status, body, call, "h:1")
    assert isinstance(failure, RemoteCallError)
    assert str(failure).isprintable()
    assert len(str(failure)) < 5000


@fuzz(120)
@given(TEXT | st.integers().map(str) | st.datetimes().map(str) | st.sampled_from(["Wed, 99 Foo 99999 99:99:99 GMT"]))
@example("\u0663\u0664")
@example("9" * 5000)
@example("Mon, 01 Jan 99999 00:00:00 GMT")
@example("Mon, 01 Jan 2024 00:00:00 +9999")
def test_any_word_about_when_to_ask_again(value: str) -> None:
    for wait in (retry_after(value, 0.0), pushback_ms(value), pushback_ms(value.encode("utf-8", "replace"))):
        assert wait is None or isinstance(wait, float)


# -- events -----------------------------------------------------------------------------------------------------------


def one_by_one(stream: bytes) -> list[tuple[bytes, bytes]]:
    """What the standard says, for a whole stream, without any cleverness."""
    events, name, data = [], b"", None
    *lines, _ = stream.replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
    for line in lines:
        field, _, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if not line:
            if data is not None:
                events.append((name or b"message", b"\n".join(data)))
            name, data = b"", None
        elif field == b"event":
            name = value
        elif field == b"data":
            data = [*(data or []), value]
    return events


EVENT_PARTS = st.sampled_from(
    [b"data: ", b"data:", b"data", b"event: error", b"event", b"\r", b"\n", b"\r\n", b"\n\n", b": ping", b"id: 1", b"",
     "\u2028\u0085".encode(), b"\x00", b"\xff", b":", b" ", b"{}"]
)  # fmt: skip
EVENT_CHUNKS = st.lists((st.lists(EVENT_PARTS, max_size=4).map(b"".join) | st.binary(max_size=4)), max_size=12)


@fuzz(480)
@given(EVENT_CHUNKS)
@example([b"data: 1\r", b"", b"\ndata: 2\r\n\r\n"])
def test_events_however_they_are_cut(chunks: list[bytes]) -> None:
    expected = one_by_one(b"".join(chunks))
    for cut in (chunks, [b"".join(chunks)], [bytes([each]) for each in b"".join(chunks)]):
        reader = EventReader(1 << 20)
        assert [event for chunk in cut for event in reader.feed(chunk)] == expected


@fuzz(240)
@given(EVENT_CHUNKS, st.integers(0, 12))
def test_events_of_a_limited_size(chunks: list[bytes], limit: int) -> None:
    """What is too large is told by a flag, and what came before it is the beginning of the same events."""
    expected = one_by_one(b"".join(chunks))
    reader = EventReader(limit)
    found: list[tuple[bytes, bytes]] = []
    for chunk in chunks:
        found += reader.feed(chunk)
        if reader.too_large:
            break
    assert found == expected[: len(found)]
    assert reader.too_large or found == expected
    assert all(len(data) <= limit for _, data in found)


# -- targets, hosts, metadata -----------------------------------------------------------------------------------------

SECRET = "s3cr3t"
TARGET_PARTS = st.sampled_from(
    ["grpc://", "http://", "https://", "grpcs://", "unix:", "unix:///", "://", ":", "/", "//", "[", "]", "[::1]", "::1",
     "%", "%2f", "?", "#", "\\", " ", "\n", "\x00", "{}", "{0.__class__}", "host", "h.example", ".", "-", "80", "65536",
     "-1", "0", "\uff20", "\u2100", "\uff0f", "é", "xn--", "ftp://", "1" * 5000]
)  # fmt: skip
TARGETS = st.lists(TARGET_PARTS, max_size=6).map("".join) | st.text(max_size=20)


@fuzz(480)
@given(TARGETS)
def test_any_target(target: str) -> None:
    try:
        info, protocol = parse_target(target)
    except ConfigurationError as error:
        assert str(error)
        return
    assert isinstance(info, ConnectionInfo)
    assert protocol in ("grpc", "http")
    assert info.is_unix or not set(info.target.removesuffix(info.base_path)) & set("@/?#\\ \n\x00")
    assert not info.base_path or protocol == "http"
    assert_harmless(info.base_path)


def assert_harmless(path: str) -> None:
    """A path that no server and no proxy reads as another one than what is there to be seen."""
    assert path.isascii()
    assert path.isprintable()
    assert not set(path) & set("@?#\\ ")
    assert path == "".join(f"/{each}" for each in path.split("/")[1:] if each)
    assert not {".", ".."} & set(unquote(path).split("/")[1:])


@fuzz(240)
@given(
    st.text(max_size=12)
    | st.lists(TARGET_PARTS | st.sampled_from(["%2e", "%", "%41", "..", "a"]), max_size=6).map("".join)
)
def test_any_base_path(path: str) -> None:
    try:
        info = ConnectionInfo(hostname="h", port=5, base_path=path)
    except ConfigurationError:
        return
    assert_harmless(info.base_path)
    assert info.replace(base_path=info.base_path) == info


@fuzz(300)
@given(TARGETS, TARGETS)
def test_no_target_tells_its_user(before: str, after: str) -> None:
    for user in (f"user:{SECRET}@", f"{SECRET}@", f"user:{SECRET}@host/", f"{SECRET}:x@[::1]:", f"@{SECRET}:"):
        try:
            info, _ = parse_target(f"{before}{user}{after}")
        except ConfigurationError as error:
            assert "://" in f"{user}{after}" or SECRET not in str(error)  # see the next test
        else:
            assert info.is_unix


@pytest.mark.parametrize("target", [f"user:{SECRET}@h://x", f"http://{SECRET}\uff20host:80"])
def test_no_odd_target_tells_its_user(target: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse_target(target)
    assert SECRET not in str(caught.value)


def test_an_address_with_an_odd_zone() -> None:
    """`http://[fe80::1%]@evil.example#]:80` is another host, with a user in front."""
    with pytest.raises(ConfigurationError):
        ConnectionInfo(hostname="fe80::1%]@evil.example#", port=80)


@fuzz(300)
@given(st.sampled_from(["{}", "{}.svc", "a-{}.b"]), TEXT | TARGETS | st.from_regex(r"[a-z0-9-]{1,70}", fullmatch=True))
def test_any_model_in_a_host_name(template: str, model: str) -> None:
    template_info = ConnectionInfo(hostname=template, port=5)
    try:
        info = template_info.for_model(model)
    except InputError:
        return
    except ConfigurationError as error:
        raise AssertionError(f"{model!r}: {error}") from error
    assert info.target == f"{template.replace('{}', model)}:5"
    assert model.isascii()
    assert not set(model) - set("abcdefghijklmnopqrstuvwxyz0123456789-")


@fuzz(180)
@given(st.text(max_size=12) | TARGETS)
def test_any_host_name(hostname: str) -> None:
    try:
        info = ConnectionInfo(hostname=hostname, port=None if hostname.startswith("unix:") else 5)
    except ConfigurationError:
        return
    assert info.is_unix or not set(info.target) & set("@/?#\\ \n\x00")
    assert info.replace(timeout=5).hostname == info.hostname


@fuzz(240)
@given(st.dictionaries(TEXT | st.sampled_from(["a", "A", "a-bin", "host", "grpc-x", "x y"]), PLAIN, max_size=4))
def test_any_metadata(metadata: dict[str, Any]) -> None:
    async def resolve() -> None:
        try:
            made = await resolve_metadata((metadata, lambda: metadata), reserved="mm-model-id")
        except InputError:
            return
        for name, value in made:
            assert name.isascii()
            assert name == name.lower()
            assert isinstance(value, bytes) if name.endswith("-bin") else value.isascii() and value.isprintable()

    asyncio.run(resolve())


# -- what servers tell of themselves ----------------------------------------------------------------------------------


def description_or_schema_error(read: Callable[[], Any]) -> None:
    try:
        described = read()
    except SchemaError as error:
        assert str(error).isprintable()
        return
    assert isinstance(str(described), str)


def places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The ways to all parts of a document."""
    found = [path]
    if isinstance(value, dict):
        found += [each for key, inner in value.items() for each in places(inner, (*path, key))]
    elif isinstance(value, list):
        found += [each for index, inner in enumerate(value) for each in places(inner, (*path, index))]
    return found


def small_document() -> Any:
    """Of a real runtime's document the routes of a few tasks, a training and the management."""
    told = json.loads(COMPLETE)
    wanted = ("sample", "union", "training", "Train", "models", "multi")
    told["paths"] = {route: each for route, each in told["paths"].items() if any(word in route for word in wanted)}
    return told


DOCUMENT = small_document()
PLACES = places(DOCUMENT)[1:]
REPLACED = [
    None, [], {}, "x", 5, True, [None], {"$ref": 5}, {"$ref": "#/components/schemas/Nowhere"}, {"type": ["string", 5]},
    {"anyOf": [None, {}]}, {"type": "object", "properties": {"": {}, "a b": {"type": "string"}, "__init__": {}}},
    {"enum": [[], {}, None, 10**400]}, {"type": "object", "properties": []}, {"allOf": [{"type": "array"}]},
    {"$ref": "#/components/schemas/SampleInputType"}, {"type": "array", "items": 5}, {"title": "a.\ud800", "type": []},
    {"type": "object", "title": "..", "properties": {"model_config": {}, "1": {"default": []}}}, {"anyOf": "x"},
]  # fmt: skip


def changed(place: tuple[Any, ...], new: Any) -> Any:
    made = json.loads(json.dumps(DOCUMENT))
    inner = made
    for step in place[:-1]:
        inner = inner[step]
    inner[place[-1]] = new
    return made


@fuzz(90)
@given(st.sampled_from(PLACES), st.sampled_from(REPLACED) | JSON)
def test_a_document_with_anything_in_one_place(place: tuple[Any, ...], new: Any) -> None:
    description_or_schema_error(lambda: openapi.describe_parsed(changed(place, new)))


@fuzz(40)
@given(st.lists(st.tuples(st.sampled_from(PLACES), st.sampled_from(PLACES)), min_size=1, max_size=3))
def test_a_document_whose_parts_changed_places(moves: list[tuple[Any, Any]]) -> None:
    def part(place: tuple[Any, ...]) -> Any:
        inner = DOCUMENT
        for step in place:
            inner = inner[step]
        return inner

    where, what = moves[0]
    description_or_schema_error(lambda: openapi.describe_parsed(changed(where, part(what))))


@fuzz(180)
@given(BODIES)
def test_a_document_that_is_none(data: bytes) -> None:
    description_or_schema_error(lambda: openapi.describe(data))


SMALL_SCHEMAS = JSON | st.recursive(
    st.sampled_from(REPLACED),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "type": st.sampled_from(["object", "array", "string", "integer", "null", 5]),
            "properties": st.dictionaries(st.text(max_size=4), inner, max_size=3),
            "items": inner,
            "anyOf": st.lists(inner, max_size=3),
            "enum": st.lists(JSON, max_size=3),
            "title": st.text(max_size=8),
            "description": st.text(max_size=4),
            "format": st.sampled_from(["date-time", "binary", "x", []]),
            "additionalProperties": inner | st.booleans(),
            "default": JSON,
            "$ref": st.sampled_from(["A", "#/components/schemas/A", "", "B"]),
        },
    ),
    max_leaves=6,
)


@fuzz(240)
@given(SMALL_SCHEMAS, SMALL_SCHEMAS, SMALL_SCHEMAS, SMALL_SCHEMAS)
def test_a_small_document_of_any_types(answer: Any, inputs: Any, parameters: Any, shared: Any) -> None:
    request = {"properties": {"inputs": inputs, "parameters": parameters}, "title": "caikit.http.ATask.AHttpRequest"}
    operation = {
        "requestBody": {"content": {"application/json": {"schema": request}}},
        "responses": {"200": {"content": {"application/json": {"schema": answer}}}},
    }
    paths = {"/task/a": {"post": operation}, "/management/models": {"post": operation}}
    told = {"paths": paths, "components": {"schemas": {"A": shared, "B": answer}}}
    description_or_schema_error(lambda: openapi.describe_parsed(told))


LIBRARY = {name: file.SerializeToString() for name, file in library_files().items()} | {
    library.library().name: library.library().SerializeToString()
}
SERVICES = ["caikit.runtime.Test.TestService", "caikit.runtime.info.InfoService", "caikit.runtime.Unit.UnitService"]


def reflect(answers: list[bytes]) -> Any:
    reader = reflection.ReflectionReader()
    for data in answers:
        reader.requests()
        reader.feed(data)
    return protobuf_services.describe_files(reader.files.values(), [*reader.services])


def listing() -> bytes:
    answer = reflection._CLASSES["Response"]()
    for each in SERVICES:
        answer.list_services_response.service.add(name=each)
    data: bytes = answer.SerializeToString()
    return data


def answer_of(*files: bytes) -> bytes:
    answer = reflection._CLASSES["Response"]()
    answer.file_descriptor_response.file_descriptor_proto.extend(files)
    data: bytes = answer.SerializeToString()
    return data


@fuzz(120)
@given(st.data())
def test_reflection_with_spoiled_files(data: Any) -> None:
    spoiled = data.draw(st.sampled_from(sorted(LIBRARY)))
    files = [data.draw(cut_and_spoiled(each)) if name == spoiled else each for name, each in LIBRARY.items()]
    description_or_schema_error(lambda: reflect([listing(), answer_of(*files)]))


@fuzz(180)
@given(st.lists(st.binary(max_size=40) | cut_and_spoiled(listing()), min_size=1, max_size=3))
def test_reflection_with_spoiled_answers(answers: list[bytes]) -> None:
    description_or_schema_error(lambda: reflect(answers))


# -- configuration files ----------------------------------------------------------------------------------------------

GOOD_FILE = """
model_management:
    finders:
        remote:
            type: REMOTE
            config:
                connection: {hostname: "foo.{}.bar", port: 8085, tls: {enabled: false}, timeout: 5}
                remote_connections: [{hostname: other, port: 1}]
                supported_models: {foo: some-id}
"""
YAML_PARTS = st.sampled_from(
    ["model_management:", "finders:", "type: REMOTE", "config:", "connection:", " ", "    ", "\n", "- ", "? ", "&a ", "*a",  # noqa: E501
     "<<: *a", "{", "}", "[", "]", ": ", "'", '"', "|", ">", "!!python/object:os.system ", "!!timestamp x", "!!bool x", "!!int x", "2001-13-45",  # noqa: E501
     "0b_", "0x", ".inf", "1e999", "~", "%YAML 9.9", "---", "...", "\t", "\x00", "é", "5: 6", "null: 1", "#", "1:99:99"]
)  # fmt: skip
CONFIGURATIONS = (
    st.lists(YAML_PARTS, max_size=12).map("".join)
    | st.text(max_size=30)
    | st.tuples(st.integers(0, len(GOOD_FILE)), st.lists(YAML_PARTS, max_size=3).map("".join), st.integers(0, 12)).map(
        lambda change: GOOD_FILE[: change[0]] + change[1] + GOOD_FILE[change[0] + change[2] :]
    )
)
OVERRIDES = [
    "MODEL_MANAGEMENT_FINDERS_REMOTE_CONFIG_CONNECTION_HOSTNAME",
    "MODEL_MANAGEMENT_FINDERS_REMOTE_CONFIG_CONNECTION_PORT",
    "MODEL_MANAGEMENT_FINDERS_REMOTE_CONFIG_CONNECTION_TLS_ENABLED",
    "MODEL_MANAGEMENT_FINDERS_REMOTE_CONFIG_SUPPORTED_MODELS_FOO",
    "MODEL_MANAGEMENT_FINDERS_REMOTE_CONFIG_PROTOCOL",
]


def finders_or_configuration_error(config: Any, environment: dict[str, str]) -> None:
    try:
        found = remote_finders(config, environment)
    except ConfigurationError as error:
        assert str(error)
    else:
        assert found


@fuzz(240)
@given(CONFIGURATIONS)
@example("a: 2001-13-45")
@example("a: 0b_")
@example("5: 6")
@example("&a {x: *a}")
@example("finders: {1: {type: REMOTE, 2: 3}}")
@example("finders: {a: {type: REMOTE, config: &a {x: *a}}}")
@example("finders: {a: {type: REMOTE, config: {1: 2}}}")
@example("finders: {a: {type: REMOTE, config: {connection: {1: 2}}}}")
@example("finders: {a: {type: [], config: {}}}")
@example("[" * 5000)
@example("{a: " * 5000)
def test_any_configuration_file(tmp_path_factory: pytest.TempPathFactory, text: str) -> None:
    path = tmp_path_factory.getbasetemp() / "config.yml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    finders_or_configuration_error(path, {})


def test_a_configuration_that_multiplies(tmp_path: pathlib.Path) -> None:
    """A few lines of references to references: not as many as they stand for."""
    lines = ["finders: {a: {type: REMOTE, config: {hostname: x, a0: &a0 {x: 1},"]
    for level in range(1, 12):
        members = ", ".join(f"k{index}: *a{level - 1}" for index in range(10))
        lines.append(f"a{level}: &a{level} {{{members}}},")
    (tmp_path / "config.yml").write_text("\n".join([*lines, "}}}"]))
    finders_or_configuration_error(tmp_path / "config.yml", {})


@fuzz(180)
@given(st.dictionaries(st.sampled_from(OVERRIDES), CONFIGURATIONS | TEXT, max_size=3))
@example({OVERRIDES[1]: "2001-13-45"})
@example({OVERRIDES[1]: "[" * 5000})
def test_any_environment(environment: dict[str, str]) -> None:
    config = {"finders": {"remote": {"type": "REMOTE", "config": {
        "connection": {"hostname": "h", "port": 1}, "supported_models": {"foo": "id"}}}}}  # fmt: skip
    finders_or_configuration_error({"model_management": config}, environment)


@fuzz(120)
@given(st.recursive(SCALARS, lambda inner: st.dictionaries(
    st.sampled_from(["model_management", "finders", "type", "config", "connection", "tls", "hostname", "options",
                     "remote_connections", "supported_models", "retry_options"]) | PLAIN, inner | st.just("REMOTE"),
    max_size=4), max_leaves=12))  # fmt: skip
def test_any_mapping_as_configuration(config: Any) -> None:
    if isinstance(config, dict):
        finders_or_configuration_error(config, {})
