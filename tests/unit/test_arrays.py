"""Repeated numbers as numpy's arrays, out and in."""

from __future__ import annotations

import math
import subprocess
import sys
from collections.abc import Iterable
from typing import Any

import numpy
import pytest
from google.protobuf.internal import encoder

from remote_client._schema.protobuf.arrays import extract_arrays
from remote_client.errors import ConfigurationError, InputError, InvalidResponseError
from remote_client.settings import CallOptions

from .library import ECHO, echo

KINDS = {
    "many_int32": "int32",
    "many_sint64": "int64",
    "many_fixed32": "uint32",
    "many_uint64": "uint64",
    "many_double": "float64",
    "many_float": "float32",
    "many_bool": "bool",
}
DOUBLE = next(each for each in ECHO.codec._packed if ECHO.codec._packed[each][0] == "many_double")  # type: ignore[attr-defined]


def _zoo(values: dict[str, Any]) -> bytes:
    data: bytes = echo(values, "proto").SerializeToString()
    return data


def _varint(number: int) -> bytes:
    return encoder._VarintBytes(number)  # type: ignore[attr-defined,no-any-return]  # pyright: ignore


def _packed(numbers: Iterable[int]) -> bytes:
    doubles = numpy.array([float(each) for each in numbers])
    return _varint(DOUBLE) + _varint(doubles.nbytes) + doubles.tobytes()


@pytest.mark.parametrize(("name", "kind"), KINDS.items())
def test_arrays_out_and_in(name: str, kind: str) -> None:
    given = numpy.array([0, 1, 1, 0, 1], kind)
    got = echo({name: given, "a_string": "x"}, "numpy")
    assert got[name].dtype == kind
    assert got[name].tolist() == given.tolist()
    assert got[name].flags.writeable
    assert got["a_string"] == "x"
    assert echo({}, "numpy")[name].dtype == kind
    assert echo({}, "numpy")[name].shape == (0,)


def test_arrays_of_nested_messages_and_everything_else_as_in_dicts() -> None:
    given = {
        "sequence": [1, 2],
        "many_string": ["a"],
        "colors": ["BLUE"],
        "tree": {"name": "a", "children": [{"name": "b"}]},
        "places_by_name": {"x": {"lat": 0.5}},
    }
    told, plain = echo(given, "numpy"), echo(given, "dict")
    for name in [name for name in told if name.startswith("many_") and name not in ("many_string", "many_bytes")]:
        assert told.pop(name).tolist() == plain.pop(name)
    assert told.pop("sequence")["values"].tolist() == plain.pop("sequence")["values"] == [1, 2]
    assert told == plain


def test_odd_floats_arrive_as_they_are() -> None:
    odd = [0.0, -0.0, math.inf, -math.inf, math.nan, 5e-324]
    got = echo({"many_double": numpy.array(odd)}, "numpy")["many_double"]
    assert got.tobytes() == numpy.array(odd).tobytes()


@pytest.mark.parametrize(("name", "kind"), [("many_double", "float64"), ("many_float", "float32")])
@pytest.mark.parametrize("size", [127, 128, 4096, 10_000])
def test_lists_of_floats_go_out_as_arrays_do(name: str, kind: str, size: int) -> None:
    given = [each / 7 for each in range(size - 4)] + [math.inf, -math.inf, -0.0, 5e-324]
    assert _zoo({name: given}) == _zoo({name: numpy.array(given, kind)})
    whole = [float(each) for each in range(size)]
    assert _zoo({name: [*whole[:-1], size - 1]}) == _zoo({name: whole})  # one of them is an int


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        ("many_double", True, "expected float, not bool"),
        ("many_double", "1", "expected float, not str"),
        ("many_double", 2**53 + 1, "is not exact as a double"),
        ("many_float", True, "expected float, not bool"),
        ("many_float", 1e39, "is out of the range of float32"),
    ],
)
def test_a_wrong_number_among_many_is_named(name: str, wrong: Any, message: str) -> None:
    given: list[Any] = [0.5] * 10_000
    given[7_000] = wrong
    with pytest.raises(InputError, match=rf"{name}\[7000\]: .*{message}"):
        echo({name: given})


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 1_000_000])
def test_bytes_go_out_as_they_are(size: int) -> None:
    given = bytes(each % 251 for each in range(size))
    for value in (given, bytearray(given), memoryview(given)):
        assert echo({"a_bytes": value, "a_string": "x"}, "dict")["a_bytes"] == given
        assert _zoo({"a_bytes": value, "a_string": "x"}) == _zoo({"a_bytes": given, "a_string": "x"})


def test_a_strange_memoryview_of_bytes_is_taken_or_refused_as_ever() -> None:
    given = bytes(range(250)) * 40
    assert echo({"a_bytes": memoryview(given)[::-1]}, "dict")["a_bytes"] == given[::-1]
    gone = memoryview(given)
    gone.release()
    with pytest.raises(InputError, match="a_bytes"):
        echo({"a_bytes": gone})


@pytest.mark.parametrize("pieces", [(3,), (2, 1), (1, 1, 1)])
def test_packed_numbers_may_come_in_pieces(pieces: tuple[int, ...]) -> None:
    data = b"".join(_packed(range(size)) for size in pieces)
    assert ECHO.codec.decode(data, "numpy")["many_double"].tolist() == [
        float(number) for size in pieces for number in range(size)
    ]


def test_single_numbers_beside_packed_ones() -> None:
    single = _varint(DOUBLE & ~7 | 1) + numpy.float64(9.0).tobytes()
    for data in (_packed(range(2)) + single, single + _packed(range(2))):
        got = ECHO.codec.decode(data, "numpy")["many_double"].tolist()
        assert sorted(got) == [0.0, 1.0, 9.0]


def test_what_is_taken_out_is_copied_once_and_the_rest_stays() -> None:
    rest = _zoo({"a_string": "x", "a_int64": -1, "a_double": 1.0, "a_float": 1.0})
    left, arrays = extract_arrays(rest + _packed(range(5)) + rest, ECHO.codec._packed)  # type: ignore[attr-defined]
    assert left == rest + rest
    assert arrays["many_double"].tolist() == [0, 1, 2, 3, 4]
    assert arrays["many_double"].flags.owndata


@pytest.mark.parametrize(
    "data",
    [
        b"\x80" * 1_000_000,  # a varint without end
        b"\x0b\x0c",  # a group
        b"\x0a\xff\xff\xff\xff\x0f",  # longer than there is
        b"\x08",
    ],
)
def test_what_is_no_message_is_left_to_protobuf(data: bytes) -> None:
    assert extract_arrays(data, ECHO.codec._packed) == (data, {})  # type: ignore[attr-defined]


def test_numbers_that_are_cut_off_are_refused() -> None:
    whole = _packed(range(5))
    for end in range(1, len(whole)):
        with pytest.raises(InvalidResponseError):
            ECHO.codec.decode(whole[:end], "numpy")
    with pytest.raises(InvalidResponseError):
        ECHO.codec.decode(_varint(DOUBLE) + b"\x07" + bytes(7), "numpy")


def test_without_numpy_it_is_told() -> None:
    code = (
        "import importlib.util as u; found = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'numpy' else found(name, *a)\n"
        "from remote_client.settings import CallOptions\n"
        "try: CallOptions(output='numpy')\n"
        "except ValueError as error: print(error)"
    )
    told = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout
    assert told.strip() == 'output: "numpy" needs numpy: pip install remote-client[numpy]'
    assert CallOptions(output="numpy").output == "numpy"
    with pytest.raises(ConfigurationError, match="must be one of"):
        CallOptions(output="numpi")  # type: ignore[arg-type]
