"""Every type goes out and comes back equal, whatever form it is given in and whatever kind of call carries it."""

import inspect
import json
import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from remote_client import RemoteClient
from remote_client.errors import InputError

from .protocols import Protocol, named

PARIS = {"label": "Paris", "lat": 48.9, "lon": 2.4, "tags": ["capital", "river"]}
NAUTICAL = timezone(timedelta(hours=-3, minutes=-30))
NOON = datetime(2024, 2, 29, 12, 30, 15, 123456, tzinfo=UTC)

# One case a line: the field of `Zoo` and a value that returns equal. Messages are given as mappings here.
CASES: list[tuple[str, Any]] = [
    ("flag", True),
    ("flag", False),
    ("int64", 2**63 - 1),
    ("int64", -(2**63)),
    ("int32", 2**31 - 1),
    ("int32", -(2**31)),
    ("uint32", 2**32 - 1),
    ("uint64", 2**64 - 1),
    ("double", 1.7976931348623157e308),
    ("double", 5e-324),
    ("double", math.inf),
    ("double", -0.1),
    ("float32", 1.5),
    ("float32", -math.inf),
    ("text", ""),
    ("text", "zäöü \u2028 \x00 line\r\nend 🦓"),
    ("text", "long " * 60_000),
    ("blob", b""),
    ("blob", bytes(range(256)) * 1200),
    ("place", PARIS),
    ("place", {}),
    ("ints", [0, -1, 2**62]),
    ("doubles", [0.0, 1.5, -2.25, math.inf]),
    ("texts", ["", "a", "🦓"]),
    ("flags", [True, False, True]),
    ("places", [PARIS, {}, {"label": "x"}]),
    ("counts", {"a": 1, "": 0, "ü": -(2**63)}),
    ("when", NOON),
    ("when", NOON.astimezone(NAUTICAL)),
    ("moments", [NOON, NOON + timedelta(days=4000)]),
    ("settings", {}),
    ("scalar_union", True),
    ("scalar_union", 42),
    ("scalar_union", 42.0),
    ("scalar_union", "42"),
    ("message_union", {"name": "Ada"}),
    ("message_union", PARIS),
    ("optional_text", "given"),
    ("optional_int", -7),
    ("attachment", {"data": b"\x00\xff", "filename": "a.bin", "type": "application/octet-stream"}),
]
# Those whose values the protocols have in different forms, or that the runtime does not take over HTTP.
ONLY: dict[str, list[tuple[str, Any]]] = {
    "grpc": [
        ("color", "GREEN"),
        ("color", 7),
        ("colors", ["BLUE", "RED", "GREEN"]),
        ("names_by_number", {0: "zero", -5: "", 2**62: "large"}),
        ("places_by_name", {"home": PARIS, "nowhere": {}}),
        (
            "settings",
            {"text": "x", "number": 1.5, "yes": True, "none": None, "list": [1, {"deep": []}], "dict": {"a": {}}},
        ),
        ("sequence_union", {"values": ["a", "b"]}),
        ("sequence_union", {"values": [1, 2]}),
        ("sequence_union", {"values": [1.5, 2.5]}),
    ],
    "http": [
        ("names_by_number", {"0": "zero", "-5": "", f"{2**62}": "large"}),
        ("places_by_name", {}),
        (
            "settings",
            {"text": "x", "number": 1.5, "yes": True, "none": None, "list": [{"deep": []}], "dict": {"a": {}}},
        ),
        ("settings", {"large": 2**60, "lists": {"deep": [1, "a", [None]]}}),
        ("sequence_union", ["a", "b"]),
        ("sequence_union", [1, 2]),
        ("sequence_union", [1.5, 2.5]),
    ],
}


async def test_each_type_returns_equal(client: RemoteClient, protocol: Protocol, subtests: pytest.Subtests) -> None:
    for index, (field, value) in enumerate([*CASES, *ONLY[protocol]]):
        with subtests.test(field, index=index):
            await returns_equal(client, protocol, field, value)


async def returns_equal(client: RemoteClient, protocol: Protocol, field: str, value: Any) -> None:
    zoo = await client.model("zoo", task="ZooTask")
    sent = (await client.describe()).type("Zoo")(**{field: value})
    expected = getattr(sent, field)

    from_mapping = await zoo.run(**{named(protocol, "zoo"): {field: value}})
    from_object = await zoo.run(sent)
    answers = [from_mapping, from_object]
    answers += [item async for item in zoo.run_stream_out(sent, count=2)]
    if protocol == "grpc":
        answers.append(await zoo.run(await zoo.with_options(output="proto").run(sent)))
        answers += [item async for item in zoo.run_bidi_stream([sent, {field: value}])]
    assert len(answers) == {"grpc": 7, "http": 4}[protocol]

    for answer in answers:
        got = getattr(answer, field)
        assert got == expected
        assert type(got) is type(expected)
        # An answer is an input again, without loss.
        assert answer == await zoo.run(answer)
    plain = await zoo.with_options(output="dict").run(sent)
    # Over HTTP that is the answer's JSON as it came.
    read = type(sent)(**plain) if protocol == "grpc" else type(sent).model_validate_json(json.dumps(plain))
    assert read == from_object
    assert await zoo.run(plain) == from_object


async def test_nan_stays_nan(client: RemoteClient) -> None:
    zoo = await client.model("zoo", task="ZooTask")
    answer = await zoo.run({"double": math.nan, "doubles": [math.nan], "float32": math.nan})
    assert math.isnan(answer.double)
    assert math.isnan(answer.doubles[0])
    assert math.isnan(answer.float32)


async def test_all_at_once(client: RemoteClient, protocol: Protocol) -> None:
    zoo = await client.model("zoo", task="ZooTask")
    everything = dict(reversed([*CASES, *ONLY[protocol]]))  # the first case of each field
    sent = (await client.describe()).type("Zoo")(**everything)
    assert await zoo.run(everything) == sent
    assert await zoo.run(sent) == sent


async def test_union_members_keep_their_type(client: RemoteClient) -> None:
    zoo = await client.model("zoo", task="ZooTask")
    for value in (True, 1, 1.0, "1"):
        assert type((await zoo.run({"scalar_union": value})).scalar_union) is type(value)


async def test_a_plain_list_is_meant_for_the_sequence_that_has_its_items_type(grpc_client: RemoteClient) -> None:
    zoo = await grpc_client.model("zoo", task="ZooTask")
    for values, kind in ((["a"], "StrSequence"), ([1], "IntSequence"), ([1.5], "FloatSequence")):
        answer = (await zoo.run({"sequence_union": values})).sequence_union
        assert (type(answer).__name__, answer.values) == (kind, values)


PARAMETERS: dict[str, Any] = {
    "text": "x",
    "number": 5,
    "ratio": 0.5,
    "flag": True,
    "blob": b"\x00\x01",
    "place": PARIS,
    "when": NOON,
    "settings": {"a": 1.0, "b": None},
    "words": ["a", "b"],
    "places": [PARIS, {"label": "x"}],
    "weights": {"a": 0.5},
    "names": {5: "five"},
    "choice": 7,
    "values": [1, 2],
}


def parameters(protocol: Protocol) -> dict[str, Any]:
    """`PARAMETERS`, with the required input by its name."""
    return {named(protocol, name) if name == "text" else name: value for name, value in PARAMETERS.items()}


async def received(client: RemoteClient, text: str, **more: Any) -> dict[str, Any]:
    """What reached the module. `text` is its required input."""
    model = await client.model("parameters", task="ParametersTask")
    answer: dict[str, Any] = json.loads((await model.run(text, **more)).received)
    return answer


async def test_parameters_arrive(client: RemoteClient) -> None:
    got = await received(client, **PARAMETERS)
    assert got["text"] == "x"
    assert (got["number"], got["ratio"], got["flag"]) == (5, 0.5, True)
    assert got["blob"] == {"bytes": "0001"}
    assert got["place"]["Place"]["label"] == "Paris"
    assert got["words"] == ["a", "b"]
    assert [place["Place"]["label"] for place in got["places"]] == ["Paris", "x"]
    assert got["weights"] == {"a": 0.5}
    assert got["names"] == {"5": "five"}
    assert got["settings"] == {"a": 1.0, "b": None}
    # caikit hands the module local time without a zone.
    assert datetime.fromisoformat(got["when"]["datetime"]).astimezone(UTC) == NOON


@pytest.mark.parametrize(
    ("choice", "arrives"),
    [("s", "s"), (0, 0), (PARIS, "Paris")],
)
async def test_union_parameters(client: RemoteClient, choice: Any, arrives: Any) -> None:
    got = (await received(client, **{**PARAMETERS, "choice": choice}))["choice"]
    assert (got["Place"]["label"] if isinstance(got, dict) else got) == arrives


@pytest.mark.parametrize("values", [["a", "b"], [1, 2], [1.5]], ids=["str", "int", "float"])
async def test_sequence_unions_take_plain_lists(client: RemoteClient, values: list[Any]) -> None:
    got = (await received(client, **{**PARAMETERS, "values": values}))["values"]
    (arrived,) = got.values() if isinstance(got, dict) else (got,)
    assert arrived == values
    assert [type(each) for each in arrived] == [type(each) for each in values]


async def test_lists_of_scalars_in_json_arrive(grpc_client: RemoteClient) -> None:
    got = await received(grpc_client, **{**PARAMETERS, "settings": {"a": [1.0, None]}})
    assert got["settings"] == {"a": [1.0, None]}


async def test_positional_is_the_same_as_keyword(client: RemoteClient, protocol: Protocol) -> None:
    model = await client.model("parameters", task="ParametersTask")
    given = parameters(protocol)
    order = list(inspect.signature(model.run).parameters)[: len(given)]
    assert order[0] == next(iter(given))
    assert order == list(given) if protocol == "grpc" else set(order) == given.keys()  # the others' order may differ
    assert await model.run(*[given[name] for name in order]) == await model.run(**given)


async def test_a_list_of_json_objects_is_one_of_two_inputs(client: RemoteClient) -> None:
    model = await client.model("rerank")
    documents = [{"text": "a", "tags": [{"n": 1.0}]}, {}]
    answer = await model.run_rerank(documents=documents, query="q", top_n=0)
    assert json.loads(answer.received) == {"documents": documents, "query": "q", "top_n": 0}


EMPTY: dict[str, Any] = {
    "optional_text": "",
    "optional_number": 0,
    "optional_ratio": 0.0,
    "optional_flag": False,
    "optional_blob": b"",
}


async def test_optional_zero_is_not_missing(client: RemoteClient) -> None:
    without = await received(client, **PARAMETERS)
    given = await received(client, **PARAMETERS, **EMPTY)
    for name, value in EMPTY.items():
        assert without[name] is None
        assert given[name] == ({"bytes": ""} if value == b"" else value)


@pytest.mark.parametrize("form", ["multipart", "json"])
async def test_file_of_a_megabyte(client: RemoteClient, protocol: Protocol, form: str) -> None:
    data = bytes(range(256)) * 4096
    told = {"filename": "a.bin", "type": "x/y"} if form == "multipart" else {}  # without a name it is no file in a form
    model = await client.model("file", task="FileTask")
    answer = await model.run(**{named(protocol, "document"): {"data": data, **told}})
    assert answer.size == len(data)
    assert answer.file.data == data
    assert (answer.file.filename or "", answer.file.type or "") == (told.get("filename", ""), told.get("type", ""))


async def test_a_file_that_was_an_answer_is_an_argument(http_client: RemoteClient) -> None:
    bundle = await (await http_client.model("bundle")).run_bundle("a.zip", size=100_000)
    answer = await (await http_client.model("file")).run_file(bundle)
    assert (answer.size, answer.file.data, answer.file.filename) == (100_000, bundle.data, "a.zip")


# The runtime escapes what is not ASCII in its JSON, so U+2028 as such comes in tests/wire only.
NASTY = [
    "data: x",
    "a\rb\nc\r\nd\n\ne\r\r",
    "line\u2028separated\u2029and\u0085next",
    "🦓 \U0010ffff \ud7ff\ue000",
    "",
    " leading and trailing ",
    "event: error\r\ndata: {}\r\n\r\n",
    "\ufeffid: 5\nretry: 1\n: comment",
    '\x00\x1b\x7f\\"{}',
    "x" * 200_000,
]


async def test_nasty_text_arrives_unchanged(client: RemoteClient) -> None:
    model = await client.model("text")
    assert [(await model.run_text(text)).greeting for text in NASTY if text] == list(filter(None, NASTY))
    pieces = [*NASTY, "".join(NASTY), *"\r\n\u2028\u0085🦓"]
    assert [item.greeting async for item in model.run_text_stream_out("x", pieces=pieces)] == pieces


TIMES_64 = "is out of the range of 64-bit integers"
MISFITS: list[tuple[Any, str, str | None]] = [
    # what is given for `zoo`, and what is told of it over gRPC and over HTTP; None where HTTP takes it
    ({"int32": 2**31}, "zoo.int32: 2147483648 is out of the range of int32", None),
    ({"uint64": -1}, "zoo.uint64: -1 is out of the range of uint64", None),
    ({"uint64": 2**64}, f"zoo.uint64: {2**64} is out of the range of uint64", f"inputs.uint64: {2**64} {TIMES_64}"),
    ({"text": 5}, "zoo.text: expected str, not int", "inputs.text: expected str, not int"),
    ({"flag": 1}, "zoo.flag: expected bool, not int", "inputs.flag: expected bool, not int"),
    ({"int64": True}, "zoo.int64: expected int, not bool", "inputs.int64: expected int, not bool"),
    (
        {"places": [{}, {"label": 5}]},
        "zoo.places[1].label: expected str, not int",
        "inputs.places[1].label: expected str, not int",
    ),
    (
        {"places_by_name": {"a": {"lat": "x"}}},
        "zoo.places_by_name['a'].lat: expected float, not str",
        "inputs.places_by_name.a.lat: expected float, not str",
    ),
    ({"text": "\ud800"}, "zoo.text: is not valid Unicode", "surrogates not allowed"),
    ({"unknown": 1}, "zoo.unknown: Zoo has no such field", "inputs.unknown: no such field"),
    (
        {"color": "PURPLE"},
        "zoo.color: expected one of RED, GREEN, BLUE, not 'PURPLE'",
        "inputs.color: expected one of 0, 1, 7, not 'PURPLE'",
    ),
    (
        {"when": NOON.replace(tzinfo=None)},
        "zoo.when: expected a datetime with a time zone",
        "inputs.when: expected a datetime with a time zone",
    ),
    ({"settings": {"a": 2**60}}, "zoo.settings: 1152921504606846976 is not exact", None),
]


async def test_what_does_not_fit_is_told_with_its_path(
    client: RemoteClient, protocol: Protocol, subtests: pytest.Subtests
) -> None:
    model = await client.model("zoo", task="ZooTask")
    for zoo, over_grpc, over_http in MISFITS:
        told = over_grpc if protocol == "grpc" else over_http
        with subtests.test(over_grpc):
            if told is None:
                assert (await model.with_options(output="dict").run(zoo)).items() >= zoo.items()
                continue
            with pytest.raises(InputError) as caught:
                model.run(**{named(protocol, "zoo"): zoo})  # not awaited: the call itself refuses
            assert told in str(caught.value)
