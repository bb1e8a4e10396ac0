"""The same calls over both protocols: equal answers, object by object, but for the differences that are listed."""

import asyncio
import math
from typing import Any

import numpy
import pytest

from remote_client import FileResponse, RemoteClient, errors

from .protocols import DIFFERENCES, differences
from .test_zoo import CASES, EMPTY, NASTY, NOON, ONLY, PARAMETERS, PARIS, received

# The model and its method; the arguments; the differences to expect, besides fields that are unset.
CALLS: list[tuple[str, tuple[Any, ...], dict[str, Any], set[str]]] = [
    ("foo.run_sample", ({"name": "World"},), {}, set()),
    ("foo.run_sample_stream_out", ({"name": "World"},), {"count": 3}, set()),
    ("primitive.run_sample", ({"name": "World"},), {"prefix": "Dear"}, set()),
    ("prefix.run_bidi_streaming", ("a",), {}, set()),
    ("file.run_file", ({"data": b"\x00\xff", "filename": "a.bin", "type": "x/y"},), {}, set()),
    ("file.run_file", ({"data": b"\x00\xff"},), {}, set()),
    ("bundle.run_bundle", ("a.zip",), {"size": 100_000}, {"file"}),
    ("bundle.run_bundle", ("ä ö.zip",), {"size": 0}, {"file"}),
    ("pair.run_pair", ("", PARIS), {"note": ""}, set()),
    ("pair.run_pair_stream_out", ("x", PARIS), {"count": 3}, set()),
    ("tagged.run_tagged", ("x",), {"note": "n"}, set()),
    ("tagged.run_tagged_stream_out", ("x",), {"count": 3, "label": "l"}, set()),
    ("text.run_text", ("".join(NASTY),), {}, set()),
    ("text.run_text_stream_out", ("x",), {"pieces": NASTY}, set()),
    ("text.run_text_stream_out", ("x",), {}, set()),
    ("numbers.run_numbers", ([1.0, -0.0, 5e-324, 1e308, 1e308],), {}, set()),
    ("numbers.run_numbers", ([math.nan, math.inf, -math.inf],), {}, set()),
    *[("zoo.run_zoo", ({field: value},), {}, set()) for field, value in CASES],
    ("zoo.run_zoo_stream_out", (dict(CASES),), {"count": 3}, set()),
    ("zoo.run_zoo", ({"color": 7},), {}, {"enum"}),
    ("zoo.run_zoo", ({"names_by_number": {0: "zero", -5: ""}},), {}, {"keys"}),
    *[("zoo.run_zoo", ({"sequence_union": values},), {}, {"sequence"}) for values in (["a"], [1, 2], [1.5])],
    ("zoo.run_zoo", ({"settings": {"a": {"b": [1, [2]]}}},), {}, {"number"}),
]


async def call(client: RemoteClient, method: str, args: Any, kwargs: Any) -> list[Any]:
    """All answers of a call, however many it has."""
    model, _, name = method.partition(".")
    answer = getattr(await client.model(model), name)(*args, **kwargs)
    return [item async for item in answer] if name.endswith("stream_out") else [await answer]


async def test_answers_are_equal(
    grpc_client: RemoteClient, http_client: RemoteClient, subtests: pytest.Subtests
) -> None:
    for index, (method, args, kwargs, expected) in enumerate(CALLS):
        with subtests.test(method, index=index):
            over_grpc, over_http = [await call(client, method, args, kwargs) for client in (grpc_client, http_client)]
            assert differences(over_grpc, over_http) - {"unset"} == expected


def test_all_differences_are_met() -> None:
    assert set.union(*(expected for *_, expected in CALLS)) == DIFFERENCES.keys() - {"unset"}


# What the runtime itself does not take, or loses, over HTTP: the method, its argument, and what comes of it.
REFUSED: list[tuple[str, Any, type[errors.RemoteCallError], str]] = [
    ("text.run_text", "", errors.InvalidArgumentError, "missing 1 required positional argument: 'text'"),
    ("slow.run_slow", 0.0, errors.InvalidArgumentError, "missing 1 required positional argument: 'seconds'"),
    ("zoo.run_zoo", {"colors": [7, 0]}, errors.InternalError, "Color.BLUE"),
    ("zoo.run_zoo", {"places_by_name": {"a": PARIS}}, errors.InternalError, "not JSON serializable"),
    ("zoo.run_zoo", {"settings": {"a": [1]}}, errors.InvalidArgumentError, "inputs.settings.a.int: Input should be"),
    ("bundle.run_bundle", "line\r\nbreak", errors.UnavailableError, "server closed the connection"),
]


@pytest.mark.parametrize(("method", "argument", "expected", "told"), REFUSED)
async def test_what_only_grpc_takes(
    grpc_client: RemoteClient,
    http_client: RemoteClient,
    method: str,
    argument: Any,
    expected: type[errors.RemoteCallError],
    told: str,
) -> None:
    await call(grpc_client, method, (argument,), {})
    with pytest.raises(expected, match=told) as caught:
        await call(http_client, method, (argument,), {})
    assert type(caught.value) is expected


# What a module is called with. Other than equal are: a parameter, what is given for it, and what arrives.
ARRIVES: list[tuple[str, Any, Any, Any]] = [
    # What an input does not set is empty over gRPC, and None over HTTP.
    (
        "optional_place",
        {"label": "y"},
        {"Place": {"label": "y", "lat": 0.0, "lon": 0.0, "tags": []}},
        {"Place": {"label": "y", "lat": None, "lon": None, "tags": None}},
    ),
    # gRPC cannot send an empty list.
    ("optional_words", [], None, []),
    # caikit drops the time zone over gRPC.
    (
        "when",
        NOON,
        {"datetime": NOON.astimezone().replace(tzinfo=None).isoformat()},
        {"datetime": "2024-02-29T12:30:15.123456+00:00"},
    ),
]


async def test_what_reaches_the_module(grpc_client: RemoteClient, http_client: RemoteClient) -> None:
    special = {name: given for name, given, *_ in ARRIVES}
    given = {**PARAMETERS, **EMPTY, "places": [PARIS, PARIS], **special}
    over_grpc, over_http = [await received(client, **given) for client in (grpc_client, http_client)]
    for name, _, arrives_over_grpc, arrives_over_http in ARRIVES:
        assert over_grpc.pop(name) == arrives_over_grpc
        assert over_http.pop(name) == arrives_over_http
    assert over_grpc == over_http


async def test_enums_are_answered_by_name(http_client: RemoteClient) -> None:
    zoo = await http_client.model("zoo")
    answer = await zoo.run_zoo({"color": 7})
    assert answer.color == "BLUE"
    with pytest.raises(errors.InputError, match=r"inputs\.color: expected one of 0, 1, 7, not 'BLUE'"):
        await zoo.run_zoo(answer)  # the server's document tells no names, so that answer is no input again


@pytest.mark.parametrize("name", ["run_sample_stream_in", "run_sample_bidi_stream"])
async def test_http_has_no_streamed_inputs(http_client: RemoteClient, name: str) -> None:
    for model in (await http_client.model("foo"), await http_client.model("foo", task="SampleTask")):
        assert not hasattr(model, name)
        assert name not in dir(model)
        with pytest.raises(errors.UnsupportedError, match="connect to the runtime's gRPC port"):
            getattr(model, name)
    with pytest.raises(errors.UnsupportedError):
        (await http_client.model("foo", task="SampleTask")).run_stream_in
    with pytest.raises(errors.InputError, match="has no task 'GeoSpatialTask'"):
        await http_client.model("geo", task="GeoSpatialTask")


@pytest.mark.parametrize("output", ["proto", "numpy"])
async def test_http_has_no_protobuf_messages(http_client: RemoteClient, output: Any) -> None:
    model = await http_client.model("foo")
    with pytest.raises(errors.UnsupportedError, match="gRPC port"):
        model.with_options(output=output)


async def test_arrays_of_numpy(grpc_client: RemoteClient) -> None:
    model = (await grpc_client.model("numbers")).with_options(output="numpy")
    for given in (numpy.random.default_rng(1).normal(size=200_000), numpy.array([math.nan, -0.0]), numpy.arange(5)):
        answer = await model.run_numbers(given)
        assert answer["numbers"].tobytes() == given.astype("f8").tobytes()


async def test_large_arguments_encoded_by_another_thread(client: RemoteClient) -> None:
    model = await client.model("numbers")
    given = [each / 7 for each in range(100_000)]
    assert (await (await asyncio.to_thread(model.run_numbers, given))).numbers == given


async def test_a_file_as_a_dict(http_client: RemoteClient) -> None:
    model = await http_client.model("bundle")
    assert isinstance(await model.run_bundle("a.zip", size=3), FileResponse)
    answer = await model.with_options(output="dict").run_bundle("a.zip", size=3)
    assert answer == {"filename": "a.zip", "content_type": "application/zip", "data": b"\x00\x01\x02"}


async def test_both_protocols_tell_the_same_of_models(grpc_client: RemoteClient, http_client: RemoteClient) -> None:
    for _ in range(20):  # what other tests have trained may come or go between the two
        over_grpc, over_http = [
            sorted(await client.models(), key=lambda info: info.name) for client in (grpc_client, http_client)
        ]
        if over_grpc == over_http:
            break
        await asyncio.sleep(0.1)
    else:
        assert over_grpc == over_http
    assert await grpc_client.runtime_info() == await http_client.runtime_info()
    for client in (grpc_client, http_client):
        assert await client.healthy() is True


async def test_the_tasks_that_both_have_differ_in_their_single_input_only(
    grpc_client: RemoteClient, http_client: RemoteClient
) -> None:
    over_grpc, over_http = [(await client.describe()).tasks for client in (grpc_client, http_client)]
    assert over_grpc.keys() - over_http.keys() == {"GeoSpatialTask"}
    for name, task in over_http.items():
        methods = {each.name: each for each in over_grpc[name].methods if not each.input_streaming}
        assert {each.name for each in task.methods} == methods.keys()
        for method in task.methods:
            first, *others = method.signature.parameters
            same = methods[method.name]
            assert same.rpc_name == method.rpc_name
            theirs = list(same.signature.parameters)
            if name == "RerankTask":  # over gRPC nothing tells that a list is required: it comes last
                assert {first, *others} == {*theirs}
                continue
            assert first == (theirs[0] if name == "PairTask" else "inputs")
            assert sorted(others) == sorted(theirs[1:])


ONLY_HTTP_FIELDS = {field for field, _ in ONLY["http"]}


def test_no_field_is_left_out() -> None:
    """Every field that has cases has some over HTTP, but for enums, which do not return as they were sent."""
    tested = {field for field, _ in CASES} | ONLY_HTTP_FIELDS
    assert {field for field, _ in ONLY["grpc"]} - tested == {"color", "colors"}
