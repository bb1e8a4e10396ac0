"""The generated converters: what fits comes back equal, what does not fit is told with its path."""

import copy
import math
import random
import re
from array import array
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from pydantic import BaseModel

from remote_client._schema.protobuf.services import describe
from remote_client._schema.rpc import RemoteRPCDescriptor
from remote_client.errors import InputError, InvalidResponseError

from .library import DESCRIPTION, ECHO, INTEGERS, SCALARS, Zoo, described, echo, encode

OTHER = described("caikit.runtime.Other")


def refused(field: str, value: Any) -> str:
    """The message that a value is refused with."""
    with pytest.raises(InputError) as caught:
        encode({field: value})
    prefix = f"run_echo(): zoo.{field}"
    assert str(caught.value).startswith(prefix), str(caught.value)
    return str(caught.value).removeprefix(prefix)


class Index:
    """An integer of another library, as numpy's are."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __index__(self) -> int:
        return self.value


class Floating:
    """A float of another library."""

    def __float__(self) -> float:
        return 1.5


@pytest.mark.parametrize("kind", INTEGERS)
def test_integers(kind: str) -> None:
    low, high = INTEGERS[kind]
    for value in (low, high, 0, 1):
        got = echo({f"a_{kind}": value, f"many_{kind}": [value, value], f"opt_{kind}": value})
        assert (got.model_dump()[f"a_{kind}"], getattr(got, f"many_{kind}")) == (value, [value, value])
        assert getattr(got, f"opt_{kind}") == value
    assert getattr(echo({f"a_{kind}": Index(7), f"many_{kind}": [Index(7), 1]}), f"many_{kind}") == [7, 1]
    for value in (low - 1, high + 1, 10**30):
        assert "out of the range" in refused(f"a_{kind}", value)
        assert refused(f"many_{kind}", [0, value]).startswith(f"[1]: {value} is out of the")
        assert "out of the range" in refused(f"opt_{kind}", value)
    for value in (True, 1.0, "1", b"1", [1], {}):
        assert f"expected int, not {type(value).__name__}" in refused(f"a_{kind}", value)
        assert f"[0]: expected int, not {type(value).__name__}" in refused(f"many_{kind}", [value])


WRONG = {
    "double": (True, "1", b"1", [1.0], {}, 1j),
    "float": (True, "1", b"1", [1.0], {}),
    "bool": (1, 0, "true", 1.0, []),
    "string": (b"x", 5, ["x"], True),
    "bytes": ("x", 5, [b"x"], bytearray),
}


@pytest.mark.parametrize("kind", WRONG)
def test_wrong_types(kind: str) -> None:
    for value in WRONG[kind]:
        assert ": expected " in refused(f"a_{kind}", value)
        assert refused(f"many_{kind}", [value]).startswith("[0]: expected ")
        assert ": expected " in refused(f"opt_{kind}", value)


def test_floats() -> None:
    for value in (0.0, -0.0, 1e308, 5e-324, math.inf, -math.inf):
        assert echo({"a_double": value}).a_double == value
    assert math.isnan(echo({"a_double": math.nan}).a_double)
    assert echo({"a_double": 3, "many_double": [1, Floating()]}).many_double == [1.0, 1.5]
    assert "too large" in refused("a_double", 10**400)
    assert echo({"a_float": 1.5, "many_float": [0.25, math.inf]}).many_float == [0.25, math.inf]
    assert echo({"a_float": 3.4028234663852886e38}).a_float == 3.4028234663852886e38
    assert "out of the range of float32" in refused("a_float", 3.5e38)
    assert refused("many_float", [0.0, -1e300]).startswith("[1]: -1e+300 is out of the range of float32")


def test_bytes() -> None:
    for value in (b"", b"\x00\xff", bytearray(b"x"), memoryview(b"xy")):
        got = echo({"a_bytes": value, "many_bytes": [value]})
        assert (got.a_bytes, got.many_bytes) == (bytes(value), [bytes(value)])


def test_text_without_utf8() -> None:
    bad = "a\ud800"
    assert "not valid Unicode" in refused("a_string", bad)
    assert refused("many_string", ["ok", bad]).startswith("[1]: is not valid Unicode")
    assert "not valid Unicode" in refused("by_str", {bad: 1})
    assert "not valid Unicode" in refused("by_int", {1: bad})
    assert "not valid Unicode" in refused("settings", {"a": [bad]})


def test_lists_in_other_forms() -> None:
    for value in ([1, 2], (1, 2), iter([1, 2]), {1: 0, 2: 0}.keys()):
        assert echo({"many_int32": value}).many_int32 == [1, 2]
    for value in ("12", b"12", {1: 2}, 5):
        assert f"expected a list, not {type(value).__name__}" in refused("many_int32", value)
    assert "expected a list" in refused("places", {"label": "x"})


def test_arrays_go_out_as_they_are_in_memory() -> None:
    doubles = [1.5, -0.0, math.inf, 5e-324]
    assert encode({"many_double": array("d", doubles)}) == encode({"many_double": doubles})
    assert encode({"many_double": memoryview(array("d", doubles))}) == encode({"many_double": doubles})
    assert encode({"many_float": array("f", [1.5, 2.5])}) == encode({"many_float": [1.5, 2.5]})
    large = [float(each) for each in range(100_000)]
    assert echo({"many_double": array("d", large)}).many_double == large
    assert encode({"many_double": array("d")}) == encode({"many_double": []})
    # Of another kind or shape: one by one.
    assert echo({"many_double": array("f", [1.5])}).many_double == [1.5]
    assert echo({"many_double": array("i", [1, 2])}).many_double == [1.0, 2.0]
    assert echo({"many_double": memoryview(array("d", doubles))[::2]}).many_double == [1.5, math.inf]
    assert "expected a list, not bytes" in refused("many_double", b"12345678")


def test_optional_fields_know_nothing_from_zero() -> None:
    for kind in SCALARS:
        assert getattr(echo({}), f"opt_{kind}") is None
    zeros = {"opt_int32": 0, "opt_string": "", "opt_bool": False, "opt_bytes": b"", "opt_double": 0.0}
    got = echo(zeros)
    assert {name: getattr(got, name) for name in zeros} == zeros


def test_enums() -> None:
    color = type(echo({}).color)
    for value in ("BLUE", 7, color.BLUE):
        got = echo({"color": value, "colors": [value, "RED"], "colors_by_name": {"x": value}})
        assert got.color is color.BLUE
        assert got.colors == [color.BLUE, color.RED]
        assert got.colors_by_name == {"x": color.BLUE}
    assert Zoo(color="GREEN").color is color.GREEN
    assert '"color":"GREEN"' in Zoo(color="GREEN").model_dump_json()
    for value in ("PURPLE", 5, True, 1.0, []):
        assert "expected one of RED, GREEN, BLUE" in refused("color", value)
    assert refused("colors", ["RED", 5]).startswith("[1]: expected one of")


def test_enum_numbers_of_a_newer_server_are_kept() -> None:
    message = echo({}, "proto")
    message.color = 99
    answer = ECHO.codec.decode(message.SerializeToString(), "pydantic")
    assert int(answer.color) == 99
    assert echo(answer).color == 99


def test_nested_messages_and_their_paths() -> None:
    assert echo({"place": {}}).place is not None
    assert echo({}).place is None
    got = echo({"places": [{"label": "x"}, {}], "places_by_name": {"a": {"lat": 1.0}}})
    assert [place.label for place in got.places] == ["x", ""]
    assert got.places_by_name["a"].lat == 1.0
    assert refused("places", [{}, {}, {}, {"label": 5}]) == "[3].label: expected str, not int"
    assert refused("places", [5]) == "[0]: expected Place or a mapping, not int"
    assert refused("places_by_name", {"a b": {"label": 5}}) == "['a b'].label: expected str, not int"
    assert refused("by_int", {"1": "x"}) == "['1']: expected int, not str"
    assert refused("by_int", {2**31: "x"}).startswith("[2147483648]: ")
    assert refused("by_str", [1]) == ": expected a mapping, not list"
    assert refused("place", {"lable": "x"}) == ".lable: Place has no such field; it has label, lat"
    assert (
        refused("tree", {"children": [{"children": [{"name": 1}]}]})
        == ".children[0].children[0].name: expected str, not int"
    )


def test_maps() -> None:
    values = {"by_str": {"": 0, "ü": -5}, "by_int": {-1: "x"}, "by_bool": {True: 0.5, False: 1.0}}
    got = echo(values)
    assert {name: getattr(got, name) for name in values} == values


def test_objects_of_other_origin() -> None:
    theirs = OTHER.type("Place")(label="x", lat=1.0)
    assert echo({"place": theirs}).place.label == "x"
    ours = echo({"place": {"label": "x"}})
    assert echo(ours) == ours
    assert echo(echo(ours, "proto")) == ours
    # A message of the same name from another pool, as a generated module would have it.
    twin = described().tasks["EchoTask"].methods[0].codec.decode(b"", "proto")
    twin.place.label = "twin"
    assert echo(twin).place.label == "twin"
    assert "expected caikit.runtime.Unit.Place, not the message caikit.runtime.Unit.Zoo" in refused("place", twin)


def test_unions_of_scalars() -> None:
    for value in (True, False, 1, 0, 1.0, "1", "", b"1"):
        got = echo({"scalar": value}).scalar
        assert (got, type(got)) == (value, type(value))
    assert echo({"scalar": Index(5)}).scalar == 5
    assert echo({}).scalar is None
    assert refused("scalar", [1]) == ": expected one of bool, int, float, str, bytes, not list"
    assert "out of the range" in refused("scalar", 2**63)


def test_unions_of_messages() -> None:
    assert echo({"thing": {"label": "x"}}).thing.label == "x"
    assert echo({"thing": {"a": [1]}}).thing == {"a": [1]}  # no type has that field, so it is JSON
    assert "fits Person and Pet: give an object" in refused("thing", {"name": "x"})
    assert ": expected one of Place, Person, Pet, dict" in refused("thing", 5)


def test_unions_take_objects_exactly() -> None:
    for name in ("Person", "Pet"):
        thing = DESCRIPTION.type(name)(name="x")
        got = echo({"thing": thing}).thing
        assert type(got) is type(thing)
        assert got == thing


def test_unions_of_sequences() -> None:
    for values, kind in ((["a"], "Strs"), ([1, 2], "Ints"), ([1.5], "Floats"), ([1, 2.5], "Floats"), ((1,), "Ints")):
        for given in (values, {"values": values}):
            got = echo({"sequence": given}).sequence
            assert (type(got).__name__, got.values) == (kind, list(values))
    assert echo({"sequence": []}).sequence.values == []
    assert "expected one of" in refused("sequence", ["a", 1])
    assert "expected one of" in refused("sequence", "text")


@pytest.mark.parametrize("items", [["a", "b"], [1, 2], [1.5, 2.5], []], ids=str)
def test_an_iterator_for_a_union_of_sequences_loses_no_item(items: list[Any]) -> None:
    for given in (iter(items), {"values": iter(items)}):
        assert encode({"sequence": given}) == encode({"sequence": items})


def test_union_of_enum_and_time() -> None:
    now = datetime.now(UTC)
    assert echo({"mixed": now}).mixed == now
    assert echo({"mixed": "GREEN"}).mixed.name == "GREEN"


def test_dict_output_has_names_of_the_wire() -> None:
    plain = echo({"scalar": 1, "odd": {"from": "x", "json": "y"}, "thing": {"label": "z"}}, "dict")
    assert plain["scalar"] == 1
    assert (plain["odd"]["from"], plain["odd"]["json"]) == ("x", "y")
    assert plain["thing"] == {"label": "z", "lat": 0.0}
    assert echo(plain, "dict") == plain


def test_names_that_python_or_pydantic_use() -> None:
    names = ["from", "json", "copy", "model_dump", "self", "_x", "class", "schema", "model_fields"]
    values = {name: f"value of {name}" for name in names}
    odd = echo({"odd": values}).odd
    assert odd.model_dump(by_alias=True) == values
    assert (odd.from_, odd.class_, odd.self_, odd.x) == tuple(values[name] for name in ("from", "class", "self", "_x"))
    assert echo({"odd": odd}).odd == odd
    assert callable(odd.model_dump)


def test_recursive_types() -> None:
    tree = {
        "name": "a",
        "children": [{"name": "b", "children": [{"name": "c"}]}],
        "left": {"name": "l", "left": "leaf"},
    }
    got = echo({"tree": tree}).tree
    assert got.children[0].children[0].name == "c"
    assert got.left.left == "leaf"
    assert echo({"tree": got}).tree == got
    deep: dict[str, Any] = {}
    for _ in range(100_000):
        deep = {"children": [deep]}
    assert "nested too deeply" in refused("tree", deep)
    while deep:  # taken apart by hand: freeing it in one go is deep, too
        deep = deep["children"][0]


def test_json() -> None:
    value = {"a": None, "b": [True, 1.5, "x", [], {}], "c": {"d": {"e": [None]}}, "n": math.inf}
    assert echo({"settings": value, "anything": value, "list": [value]}).settings == value
    assert echo({"anything": 5}).anything == 5
    assert echo({"settings": {"large": 2**53}}).settings == {"large": 2**53}
    assert "is not exact as a JSON number" in refused("settings", {"large": 2**53 + 1})
    assert "expected str keys in JSON, not int" in refused("settings", {1: 2})
    assert "expected a JSON value, not set" in refused("settings", {"a": {1}})
    deep: Any = None
    for _ in range(100_000):
        deep = [deep]
    assert "nested too deeply" in refused("settings", {"a": deep})
    while deep:
        deep = deep[0]


def test_times() -> None:
    zone = timezone(timedelta(hours=5, minutes=30))
    for value in (
        datetime(2024, 2, 29, 23, 59, 59, 999999, UTC),
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999999, UTC),
        datetime(1969, 12, 31, 23, 59, 59, 1, UTC),
        datetime(2024, 1, 1, tzinfo=zone),
    ):
        got = echo({"when": value, "times": [value], "times_by_name": {"x": value}})
        assert got.when == value
        assert got.when.tzinfo is not None
        assert (got.times, got.times_by_name) == ([value], {"x": value})
    assert "with a time zone" in refused("when", datetime(2024, 1, 1))
    assert "expected datetime, not str" in refused("when", "2024-01-01")
    assert echo({"span": timedelta(days=-3, microseconds=5)}).span == timedelta(days=-3, microseconds=5)


def test_wrappers_and_other_well_known_types() -> None:
    assert echo({"maybe_int": 0, "maybe_str": "", "maybe_bool": False}).maybe_int == 0
    assert echo({}).maybe_int is None
    assert "expected int, not str" in refused("maybe_int", "x")
    assert "out of the range" in refused("maybe_int", 2**31)
    got = echo({"any": {"type_url": "x/y", "value": b"z"}, "mask": {"paths": ["a"]}, "empty": {}})
    assert (got.any.type_url, got.any.value, got.mask.paths) == ("x/y", b"z", ["a"])
    assert got.empty is not None


@pytest.mark.parametrize("data", [b"\xff\xff\xff", b"\x0a\x05abc", b"\x07"])
def test_answers_that_are_none(data: bytes) -> None:
    for output in ("pydantic", "dict", "numpy", "proto"):
        with pytest.raises(InvalidResponseError, match="the answer is not a valid Zoo"):
            ECHO.codec.decode(data, output)  # type: ignore[arg-type]


def test_a_time_no_calendar_has() -> None:
    message = echo({}, "proto")
    message.when.seconds = 2**62
    with pytest.raises(InvalidResponseError):
        ECHO.codec.decode(message.SerializeToString(), "pydantic")


def random_zoo(rng: random.Random) -> dict[str, Any]:
    text = lambda: "".join(rng.choice("aü🦓\x00 ") for _ in range(rng.randrange(5)))  # noqa: E731
    place = lambda: {"label": text(), "lat": rng.uniform(-90, 90)}  # noqa: E731
    makers: dict[str, Any] = {
        **{f"a_{kind}": (lambda pair=pair: rng.randint(*pair)) for kind, pair in INTEGERS.items()},
        **{
            f"opt_{kind}": (lambda pair=pair: rng.choice([None, rng.randint(*pair)])) for kind, pair in INTEGERS.items()
        },
        **{
            f"many_{kind}": (lambda pair=pair: [rng.randint(*pair) for _ in range(3)])
            for kind, pair in INTEGERS.items()
        },
        "a_double": lambda: rng.uniform(-1e300, 1e300),
        "a_string": text,
        "a_bytes": lambda: rng.randbytes(rng.randrange(5)),
        "a_bool": lambda: rng.random() < 0.5,
        "color": lambda: rng.choice([0, 1, 7]),
        "place": place,
        "places": lambda: [place() for _ in range(rng.randrange(4))],
        "by_str": lambda: {text(): rng.randint(-9, 9) for _ in range(3)},
        "by_int": lambda: {rng.randint(-9, 9): text() for _ in range(3)},
        "places_by_name": lambda: {text(): place() for _ in range(2)},
        "when": lambda: datetime(2000, 1, 1, tzinfo=UTC) + timedelta(microseconds=rng.randrange(10**15)),
        "settings": lambda: {text(): rng.choice([None, True, 1.5, "x", [1.0], {"a": {}}])},
        "scalar": lambda: rng.choice([True, 5, 1.5, "x", b"y"]),
        "thing": lambda: place() | {"lat": 1.0},
        "sequence": lambda: rng.choice([["a"], [1], [1.5]]),
        "tree": lambda: {"name": text(), "children": [{"left": text()}, {"left": {"name": "x"}}]},
    }
    chosen = rng.sample(sorted(makers), rng.randrange(len(makers)))
    return {name: makers[name]() for name in chosen}


def test_whatever_fits_comes_back_equal() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    for _ in range(500):
        once = echo(random_zoo(rng))
        assert echo(once) == once
        assert echo(once.model_dump(by_alias=True, exclude={"thing", "sequence"})) == once.model_copy(
            update={"thing": None, "sequence": None}
        )


class Hostile:
    """Raises at every turn."""

    def __iter__(self) -> Any:
        raise ValueError("no")

    def __index__(self) -> int:
        raise TypeError("no")

    def __float__(self) -> float:
        raise ValueError("no")


def test_whatever_does_not_fit_is_an_input_error() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    junk: list[Any] = [
        None, 0, -1, 2**70, 1.5, math.nan, math.inf, 1e300, True, "", "x", "\ud800", b"", b"\xff", [], [None], [[]], {},
        {"x": 1}, {1: 2}, {None: None}, (), set(), object(), Hostile(), Index, datetime(2024, 1, 1), timedelta.max, 1j,
        range(3), lambda: None, type, ..., {"values": [None]}, {"values": ["a", 1]}, [{}], {"a": {}}, Zoo(), [Zoo()],
    ]  # fmt: skip
    names = [*Zoo.model_fields, "nothing"]
    for _ in range(3000):
        name, value = rng.choice(names), rng.choice(junk)
        try:
            encode({name: value})
        except InputError as error:
            assert f"zoo.{name}" in str(error)
    for value in (0, "x", [], object(), Zoo):
        with pytest.raises(InputError, match=r"zoo: expected Zoo or a mapping"):
            encode(value)


def assert_alike(one: Any, other: Any) -> None:
    """Both are the same inside and out, whatever `==` thinks of it."""
    assert type(one) is type(other)
    if isinstance(one, BaseModel):
        assert list(vars(one)) == list(vars(other))
        assert one.model_fields_set == other.model_fields_set
        assert (one.__pydantic_extra__, one.__pydantic_private__) == (
            other.__pydantic_extra__,
            other.__pydantic_private__,
        )
        for name, value in vars(one).items():
            assert_alike(value, vars(other)[name])
    elif isinstance(one, (list, dict)):
        assert len(one) == len(other)
        for left, right in zip(one, other, strict=True):
            assert_alike(left, right)
            if isinstance(one, dict):
                assert_alike(one[left], other[right])
    else:
        assert repr(one) == repr(other)


def test_models_are_made_as_pydantic_makes_them() -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    rng = random.Random(seed)
    full = {
        "mixed": "GREEN",
        "thing": {"name": "x"},
        "odd": {"from": "a"},
        "any": {"type_url": "x"},
        "a_double": math.nan,
    }
    for given in ({}, full | {"thing": OTHER.type("Pet")(name="x")}, *(random_zoo(rng) for _ in range(300))):
        made, plain = echo(given), echo(given, "dict")
        if isinstance(made.thing, BaseModel):
            plain["thing"] = made.thing  # pydantic would guess which one it is
        assert_alike(made, Zoo.model_validate(plain))


def test_a_made_model_is_its_own() -> None:
    data = ECHO.codec.decode(b"", "proto").SerializeToString()
    one, other = ECHO.codec.decode(data, "pydantic"), ECHO.codec.decode(data, "pydantic")
    one.model_fields_set.discard("a_int32")
    one.many_int32.append(5)
    one.a_string = "x"
    assert "a_int32" in other.model_fields_set
    assert (other.many_int32, other.a_string) == ([], "")
    for copied in (one.model_copy(), copy.deepcopy(one)):
        assert_alike(copied, one)
    assert one.model_copy(update={"a_string": "y"}).a_string == "y"
    with pytest.raises(ValueError, match="no field"):
        one.nothing = 1
    assert Zoo.model_validate(one) is one
    assert Zoo.model_validate_json(one.model_dump_json(exclude={"thing", "sequence"})).a_string == "x"


MUST: dict[str, Any] = {"name": "must", "number": 2, "label": 2, "type": 9}


def odd(syntax: str, *fields: dict[str, Any]) -> RemoteRPCDescriptor:
    """`OddTaskPredict` from and to a message with these fields."""
    file = FileDescriptorProto(name="odd.proto", package="odd", syntax=syntax)
    file.message_type.add(name="Odd", field=[FieldDescriptorProto(**each) for each in fields])
    method = file.service.add(name="OddService").method.add(name="OddTaskPredict")
    method.input_type = method.output_type = ".odd.Odd"
    (found,) = describe({file.name: file}, ["odd.OddService"]).tasks["OddTask"].methods
    return found


def test_a_required_field_of_proto2_that_is_not_given() -> None:
    method = odd("proto2", {"name": "inner", "number": 1, "label": 1, "type": 11, "type_name": ".odd.Odd"}, MUST)
    with pytest.raises(InputError, match="must"):
        method.codec.encode("", (), {"inner": {}, "must": "a"})


@pytest.mark.parametrize("data", [b"\x11\x01", b"\x0d", b"\x08", b"\x0a\x05a", b"\x13", b"\x0f\x00"])
def test_an_answer_of_another_type_that_is_cut_off(data: bytes) -> None:
    for output in ("pydantic", "dict", "numpy", "proto"):
        with pytest.raises(InvalidResponseError):
            odd("proto3", MUST | {"number": 7, "label": 1}).codec.decode(data, output)


def test_errors_list_some_of_many_names() -> None:
    fields: list[dict[str, Any]] = [
        {"name": f"field{number}", "number": number, "label": 1, "type": 9} for number in range(1, 1001)
    ]
    fields.append({"name": "odd", "number": 1001, "label": 1, "type": 11, "type_name": ".odd.Odd"})
    given = {each["name"]: "a" for each in fields} | {"odd": {"other": "a"}}
    with pytest.raises(InputError, match=r"no such field; it has field1, field2, .*, \.\.\. \(1,001 in all\)"):
        odd("proto3", *fields).codec.encode("", (), given)


def test_maps_are_sent_in_the_order_of_their_keys() -> None:
    # In protobuf's own order the same request would have other bytes in another process.
    names = [f"place {number:03}" for number in range(200)]
    data = encode({"places_by_name": {name: {} for name in reversed(names)}})
    assert re.findall(rb"place \d+", data) == [name.encode() for name in names]
