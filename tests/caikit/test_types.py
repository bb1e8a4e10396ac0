"""Values of every type through remote modules: the answer is the local module's, over both protocols."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import grpc
import numpy as np
import pytest
from caikit.core.data_model import DataStream
from caikit.core.data_model.data_backends import DictBackend
from caikit.core.data_model.dataobject import make_dataobject
from caikit.interfaces.common.data_model import (
    ConnectionInfo,
    File,
    FloatSequence,
    IntSequence,
    StrSequence,
    Vector1D,
)
from caikit.interfaces.nlp.data_model import EmbeddingResult
from caikit.runtime.names import MODEL_MESH_MODEL_ID_KEY
from caikit.runtime.types.caikit_runtime_exception import CaikitRuntimeException
from sample_lib import modules
from sample_lib.data_model import Bundle, Color, Place, SampleInputType, Zoo

from remote_client.caikit import RemoteModuleConfig, construct_remote_module_class
from remote_client.errors import InputError

from ..support.runtime import Runtime
from .gateways import PROTOCOLS, Protocol, connection_of

Remote = Callable[..., Any]


@pytest.fixture(params=PROTOCOLS)
def protocol(request: pytest.FixtureRequest) -> Protocol:
    found: Protocol = request.param
    return found


def remote_module(runtime: Runtime, protocol: Protocol, name: str, kind: Any, **replaced: Any) -> Any:
    """The remote module of a model; `replaced` are fields of the descriptors of its methods."""
    connection = ConnectionInfo(**connection_of(runtime, protocol))
    config = RemoteModuleConfig.load_from_module(kind, connection, protocol, MODEL_MESH_MODEL_ID_KEY, name)
    for _, methods in config.task_methods:
        for method in methods:
            vars(method).update(replaced)
    made: Any = construct_remote_module_class(config)
    return made(connection, protocol, MODEL_MESH_MODEL_ID_KEY, name)


@pytest.fixture
def remote(runtime: Runtime, protocol: Protocol) -> Remote:
    return lambda name, kind, **replaced: remote_module(runtime, protocol, name, kind, **replaced)


def shown(answer: Any) -> str:
    """An answer as JSON, with the values that protobuf gives to unset fields."""
    text: str = type(answer).from_proto(answer.to_proto()).to_json(sort_keys=True, indent=1)
    return text


LOCAL = datetime(2024, 1, 2, 3, 4, 5, 678901)
ZOOS: dict[str, dict[str, Any]] = {
    "nothing": {},
    "zeros": {"flag": False, "int64": 0, "double": 0.0, "text": "", "blob": b"", "color": Color.RED},
    "greatest": {"int64": 2**63 - 1, "int32": 2**31 - 1, "uint32": 2**32 - 1, "uint64": 2**64 - 1, "double": 1e308},
    "least": {"int64": -(2**63), "int32": -(2**31), "uint32": 0, "uint64": 0, "double": 5e-324},
    "float32": {"float32": np.float32(0.1), "double": np.float64(0.1)},
    "numpy": {"int64": np.int64(5), "int32": np.int32(-5), "uint64": np.uint64(2**63), "flag": True},
    "not numbers": {"double": math.nan, "float32": math.nan, "doubles": [math.nan, math.inf, -math.inf]},
    "infinity": {"double": math.inf, "float32": -math.inf},
    "text": {"text": 'NaN, "Infinity"\n\0\u2028é', "texts": ["", "ü", "NaN"]},
    "bytes": {"blob": bytes(range(256))},
    "enum": {"color": Color.BLUE},
    "enum's number": {"color": 7},
    "nested": {"place": Place("a", 1.0, -2.5, ["b", ""])},
    "nested zeros": {"place": Place("", 0.0, 0.0, [])},
    "lists": {"ints": [0, -1, 2**62], "doubles": [0.0, -0.0, 1e-9], "flags": [False, True], "places": [Place("a")]},
    "arrays": {"ints": np.array([1, 2]), "doubles": np.array([0.1, 0.2])},
    "empty": {"ints": [], "texts": [], "places": [], "counts": {}, "settings": {}},
    "maps": {"counts": {"a": 0, "": -5}, "names_by_number": {0: "", -7: "b"}},
    "time": {"when": LOCAL, "moments": [LOCAL, datetime(2024, 7, 2)]},
    "time zone": {"when": LOCAL.replace(tzinfo=timezone(timedelta(hours=5))), "moments": [LOCAL.replace(tzinfo=UTC)]},
    "settings": {"settings": {"a": None, "b": {"c": {"d": 1.5}}, "e": False, "f": "", "g": 0, "h": [{"i": None}]}},
    **{
        f"union {value!r}": {"scalar_union": value} for value in (True, False, 0, 1, -5, 0.0, 2.0, 1.5, "", "1", "true")
    },
    "union's message": {"message_union": Place("a", 1.0, 2.0, ["b"])},
    "union's other message": {"message_union": SampleInputType("a")},
    "sequence of str": {"sequence_union": StrSequence(["a", ""])},
    "sequence of int": {"sequence_union": IntSequence([1, -2])},
    "sequence of float": {"sequence_union": FloatSequence([1.0, 2.5])},
    "list of str": {"sequence_union": ["a"]},
    "list of int": {"sequence_union": [1]},
    "list of float": {"sequence_union": [1.0]},
    "optional": {"optional_text": "a", "optional_int": 5},
    "optional zeros": {"optional_text": "", "optional_int": 0},
    "file": {"attachment": File(data=b"\0\xff", filename="a.bin", type="b/c")},
    "unnamed file": {"attachment": File(data=b"")},
}
GRPC_ZOOS: dict[str, dict[str, Any]] = {
    "enums": {"colors": [0, 7]},
    "map of messages": {"places_by_name": {"a": Place("b", 1.0, 2.0, ["c"])}},
    "lists in settings": {"settings": {"a": [1, 2.5, "b", None, True, [None], {"c": []}]}},
}
"""caikit's HTTP server answers the first two with an error, and does not read the third."""


@pytest.mark.parametrize("name", ZOOS)
def test_a_message_comes_back_as_from_the_local_module(remote: Remote, name: str) -> None:
    zoo = Zoo(**ZOOS[name])
    assert shown(remote("zoo", modules.ZooModule).run(zoo)) == shown(modules.ZooModule().run(zoo))


@pytest.mark.parametrize("name", GRPC_ZOOS)
def test_a_message_that_http_does_not_take_comes_back_over_grpc(runtime: Runtime, name: str) -> None:
    zoo = Zoo(**GRPC_ZOOS[name])
    answer = remote_module(runtime, "grpc", "zoo", modules.ZooModule).run(zoo)
    assert shown(answer) == shown(modules.ZooModule().run(zoo))


def random_zoo(random: random.Random, protocol: Protocol) -> Zoo:
    def text() -> str:
        return "".join(random.choices('ab"\\\n\0é€😀', k=random.randrange(4)))

    def place() -> Place:
        return Place(text(), random.uniform(-90, 90), 0.0, [text() for _ in range(random.randrange(3))])

    def some(make: Callable[[], Any]) -> list[Any]:
        return [make() for _ in range(random.randrange(4))]

    def whole() -> int:
        return random.randrange(-(2**63), 2**63)

    def number() -> float:
        return random.choice([0.0, -0.0, 1e300, math.inf, random.random()])

    kinds: dict[str, Callable[[], Any]] = {
        "flag": lambda: random.random() < 0.5,
        "int64": whole,
        "int32": lambda: random.randrange(-(2**31), 2**31),
        "uint32": lambda: random.randrange(2**32),
        "uint64": lambda: random.randrange(2**64),
        "double": number,
        "float32": lambda: np.float32(random.random()),
        "text": text,
        "blob": lambda: random.randbytes(random.randrange(9)),
        "color": lambda: random.choice(list(Color)),
        "place": place,
        "ints": lambda: some(whole),
        "doubles": lambda: some(number),
        "texts": lambda: some(text),
        "flags": lambda: some(kinds["flag"]),
        "places": lambda: some(place),
        "counts": lambda: {text(): whole() for _ in range(3)},
        "names_by_number": lambda: {whole(): text() for _ in range(3)},
        "when": lambda: datetime.fromtimestamp(random.randrange(2**31), UTC),
        "settings": lambda: {text(): random.choice([None, True, 5, 0.5, text(), {text(): {}}]) for _ in range(3)},
        "scalar_union": lambda: random.choice([True, whole(), number(), text()]),
        "message_union": lambda: random.choice([place(), SampleInputType(text())]),
        "sequence_union": lambda: random.choice([StrSequence, list])([text(), text()]),
        "optional_text": text,
        "optional_int": whole,
        "attachment": lambda: File(random.randbytes(9), text(), text()),
    }
    if protocol == "grpc":
        kinds["colors"] = lambda: [color.value for color in some(kinds["color"])]
        kinds["places_by_name"] = lambda: {text() + "a": place() for _ in range(2)}
    given = [name for name in kinds if random.random() < 0.5]
    return Zoo(**{name: kinds[name]() for name in given})


def test_random_messages_come_back_as_from_the_local_module(remote: Remote, protocol: Protocol) -> None:
    generator = random.Random(23)
    module, local = remote("zoo", modules.ZooModule), modules.ZooModule()
    for _ in range(60):
        zoo = random_zoo(generator, protocol)
        assert shown(module.run(zoo)) == shown(local.run(zoo))


PARAMETERS: dict[str, Any] = {
    "text": "a",
    "number": -5,
    "ratio": 0.5,
    "flag": True,
    "blob": b"\0\xff",
    "place": Place("a", 1.0, 2.0, ["b"]),
    "words": ["a", ""],
    "places": [Place("a", 1.0, 2.0, ["b"])],
    "weights": {"a": 0.5},
    "names": {-1: "a"},
    "when": LOCAL,
    "settings": {"a": {"b": None}},
    "choice": "a",
    "values": ["a"],
}
CHANGES: dict[str, dict[str, Any]] = {
    "as they are": {},
    "zeros": {"number": 0, "ratio": 0.0, "flag": False, "blob": b""},
    "optional zeros": {
        "optional_text": "",
        "optional_number": 0,
        "optional_ratio": 0.0,
        "optional_flag": False,
        "optional_blob": b"",
        "optional_choice": "",
    },
    "optional": {
        "optional_text": "a",
        "optional_number": 1,
        "optional_ratio": 0.5,
        "optional_flag": True,
        "optional_blob": b"a",
        "optional_place": Place("a", 1.0, 2.0, ["b"]),
        "optional_words": ["a"],
        "optional_choice": "a",
    },
    "an int of a union": {"choice": 0},
    "a message of a union": {"choice": Place("a", 1.0, 2.0, ["b"])},
    "a list of int": {"values": [1, 2]},
    "a list of float": {"values": [1.0, 2.5]},
}


@pytest.mark.parametrize("change", CHANGES)
def test_parameters_arrive_as_at_the_local_module(remote: Remote, change: str) -> None:
    given = PARAMETERS | CHANGES[change]
    answer = remote("parameters", modules.ParametersModule).run(**given)
    want = modules.ParametersModule().run(**given)
    assert reported(answer) == reported(want)


def reported(answer: Any) -> dict[str, Any]:
    """The parameters that a module received, without the zone of a time, which depends on the protocol."""
    received: dict[str, Any] = json.loads(answer.received)
    received["when"]["datetime"] = datetime.fromisoformat(received["when"]["datetime"]).timestamp()
    received["optional_words"] = received["optional_words"] or None
    return received


@pytest.mark.parametrize(
    ("given", "want"),
    [
        ((1, 2), [1, 2]),
        (np.array([0.5, 1.5]), [0.5, 1.5]),
        ([np.float32(0.5)], [0.5]),
        ([np.int64(5)], [5]),
        (StrSequence(["a"]), ["a"]),
        (IntSequence([1]), [1]),
        (FloatSequence([2.0]), [2.0]),
    ],
    ids=repr,
)
def test_a_union_of_lists_takes_other_sequences(remote: Remote, given: Any, want: list[Any]) -> None:
    answer = remote("parameters", modules.ParametersModule).run(**PARAMETERS | {"values": given})
    assert reported(answer)["values"] == want


def test_positional_arguments_are_in_the_order_of_the_module(remote: Remote) -> None:
    answer = remote("parameters", modules.ParametersModule).run(*PARAMETERS.values(), optional_text="b")
    want = modules.ParametersModule().run(**PARAMETERS, optional_text="b")
    assert reported(answer) == reported(want)


def test_a_data_object_without_values_arrives(remote: Remote) -> None:
    module = remote("parameters", modules.ParametersModule)
    received = reported(module.run(**PARAMETERS | {"place": Place(), "choice": Place(), "optional_place": Place()}))
    assert [[*received[name]] for name in ("place", "choice", "optional_place")] == [["Place"]] * 3
    assert remote("zoo", modules.ZooModule).run(Zoo()).int64 == 0


def test_a_time_without_a_zone_is_local(remote: Remote) -> None:
    received = reported(remote("parameters", modules.ParametersModule).run(**PARAMETERS))
    assert received["when"]["datetime"] == LOCAL.timestamp()


UNARY: list[tuple[str, Any, str, tuple[Any, ...], dict[str, Any]]] = [
    ("foo", modules.SampleModule, "run", (SampleInputType("a"),), {"throw": False}),
    ("primitive", modules.SamplePrimitiveModule, "run", (SampleInputType("a"),), {"prefix": ""}),
    ("prefix", modules.PrefixModule, "run_streaming", ("a",), {}),
    ("prefix", modules.PrefixModule, "run_bidi", ("a",), {}),
    ("slow", modules.SlowModule, "run", (0.001,), {}),
    ("file", modules.FileModule, "run", (File(data=b"\0\xff", filename="a.bin", type="b/c"),), {}),
    ("file", modules.FileModule, "run", (File(data=b""),), {}),
    ("pair", modules.PairModule, "run", ("", Place("a", 1.0, 2.0, ["b"])), {"note": ""}),
    ("tagged", modules.TaggedModule, "run", ("a",), {"note": "b"}),
    ("text", modules.TextModule, "run", ('NaN "\n\0\u2028é😀',), {}),
    ("numbers", modules.NumbersModule, "run", ([1.5, math.nan, math.inf, -math.inf],), {}),
    ("rerank", modules.RerankModule, "run", ([{"a": {"b": None}}, {}], "q"), {"top_n": 0}),
    ("embedding", modules.EmbeddingModule, "run", (Vector1D.from_vector([0.5, 1.5]),), {}),
]


@pytest.mark.parametrize(("model", "kind", "method", "args", "kwargs"), UNARY)
def test_a_module_answers_as_the_local_one(
    remote: Remote, model: str, kind: Any, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    answer = getattr(remote(model, kind), method)(*args, **kwargs)
    want = getattr(kind(), method)(*args, **kwargs)
    assert type(answer) is type(want)
    assert shown(answer) == shown(want)


ZOO = Zoo(int64=5, place=Place("a"), when=LOCAL, scalar_union=1.5)
STREAMED: list[tuple[str, Any, str, tuple[Any, ...], dict[str, Any]]] = [
    ("foo", modules.SampleModule, "run_stream_out", (SampleInputType("a"),), {"count": 3}),
    ("zoo", modules.ZooModule, "run_stream_out", (ZOO,), {"count": 3}),
    ("slow", modules.SlowModule, "run_stream_out", (0.001,), {}),
    ("pair", modules.PairModule, "run_stream_out", ("a", Place("b", 1.0, 2.0, ["c"])), {"count": 1}),
    ("tagged", modules.TaggedModule, "run_stream_out", ("a",), {"label": ""}),
    ("text", modules.TextModule, "run_stream_out", ("a",), {"pieces": ["", "data: b\n\n", "\r", "é"]}),
    ("bundles", modules.BundlesModule, "run_stream_out", ("a",), {"count": 2}),
]


@pytest.mark.parametrize(("model", "kind", "method", "args", "kwargs"), STREAMED)
def test_a_module_streams_as_the_local_one(
    remote: Remote, model: str, kind: Any, method: str, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> None:
    answers = [*getattr(remote(model, kind), method)(*args, **kwargs)]
    assert [*map(shown, answers)] == [*map(shown, getattr(kind(), method)(*args, **kwargs))]


INPUTS: list[tuple[str, Any, str, Callable[[], dict[str, Any]]]] = [
    ("foo", modules.SampleModule, "run_bidi_stream", lambda: {"sample_inputs": [SampleInputType("a")] * 3}),
    ("zoo", modules.ZooModule, "run_bidi_stream", lambda: {"zoos": DataStream.from_iterable([ZOO, Zoo(), ZOO])}),
    ("geo", modules.GeoModule, "run_bidi_stream", lambda: {"lats": iter([0.5, 0.0]), "lons": [1.0, 2.0], "label": ""}),
    ("prefix", modules.PrefixModule, "run_bidi_bidi", lambda: {"texts": (text for text in ["a", "", "b"])}),
]


@pytest.mark.parametrize(("model", "kind", "method", "given"), INPUTS)
def test_a_module_takes_streams_as_the_local_one(
    runtime: Runtime, model: str, kind: Any, method: str, given: Callable[[], dict[str, Any]]
) -> None:
    answers = [*getattr(remote_module(runtime, "grpc", model, kind), method)(**given())]
    assert [*map(shown, answers)] == [*map(shown, getattr(kind(), method)(**given()))]


def test_a_stream_of_inputs_has_one_answer_as_the_local_one(runtime: Runtime) -> None:
    given = [SampleInputType("a"), SampleInputType(""), SampleInputType("b")]
    module = remote_module(runtime, "grpc", "foo", modules.SampleModule)
    assert shown(module.run_stream_in(iter(given), "")) == shown(modules.SampleModule().run_stream_in(given, ""))


def test_an_answer_with_file_operations_is_read_from_its_file(runtime: Runtime, protocol: Protocol) -> None:
    answer = remote_module(runtime, protocol, "bundle", modules.BundleModule).run("a.zip", size=1000)
    assert isinstance(answer, Bundle)
    assert answer.data == modules.BundleModule().run("a.zip", size=1000).data
    assert answer.name == ("a.zip" if protocol == "grpc" else "")  # a file object has no name


make_dataobject(
    name="WriteOnly",
    package="caikit_data_model.test_types",
    annotations={"data": bytes},
    attrs={"to_file": lambda self, file: file.write(self.data)},
)
"""HTTP answers with its file, and nothing reads it."""


def test_a_file_that_its_type_does_not_read_is_not_asked_for(runtime: Runtime) -> None:
    module = remote_module(runtime, "http", "foo", modules.SampleModule, response_dm_name="WriteOnly")
    with pytest.raises(CaikitRuntimeException, match="connect to the runtime's gRPC port") as caught:
        module.run(SampleInputType("a"))
    assert caught.value.status_code is grpc.StatusCode.UNIMPLEMENTED


def test_a_list_of_answers_makes_one_call(runtime: Runtime, protocol: Protocol) -> None:
    stream = remote_module(runtime, protocol, "text", modules.TextModule).run_stream_out("a", ["b", "c"])
    assert isinstance(stream, DataStream)
    assert [answer.greeting for answer in list(stream)] == ["b", "c"]
    assert len(stream) == 2
    if protocol == "grpc":  # `list` asks a stream for its length, and a second call would find the input consumed
        module = remote_module(runtime, protocol, "prefix", modules.PrefixModule)
        assert len(list(module.run_bidi_bidi(iter(["a", "b"])))) == 2


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_vector_stays_an_array_over_grpc(runtime: Runtime, dtype: Any) -> None:
    vector = np.array([0.1, -2.5, math.nan], dtype=dtype)
    answer = remote_module(runtime, "grpc", "embedding", modules.EmbeddingModule).run(Vector1D.from_vector(vector))
    found = answer.result.data.values
    assert isinstance(found, np.ndarray)
    assert found.dtype == dtype
    np.testing.assert_array_equal(found, vector)


@pytest.mark.parametrize("vector", [[0.1, -2.5, math.nan], np.array([0.1, math.inf], np.float32), np.array([1e300])])
def test_a_vector_is_floats_over_http(runtime: Runtime, vector: Any) -> None:
    answer = remote_module(runtime, "http", "embedding", modules.EmbeddingModule).run(Vector1D.from_vector(vector))
    assert isinstance(answer, EmbeddingResult)
    assert answer.result.data.values == pytest.approx([*map(float, vector)], nan_ok=True)


def test_parameters_may_have_the_names_that_the_client_uses(remote: Remote) -> None:
    given = {"method": "a", "cls": "b", "service_type": "c"}
    answer = remote("embedding", modules.EmbeddingModule).run(Vector1D.from_vector([1.0]), **given)
    assert (answer.producer_id.name, answer.producer_id.version) == ("a", "b c")


class Watched(DictBackend):
    """A backend that counts what is read of it."""

    def __init__(self, values: dict[str, Any]) -> None:
        super().__init__(values)
        self.reads: list[str] = []

    def get_attribute(self, data_model_class: Any, name: str) -> Any:
        self.reads.append(name)
        return super().get_attribute(data_model_class, name)


def test_an_argument_may_have_a_backend(remote: Remote) -> None:
    values = {"int64": 5, "texts": ["a"], "place": {"label": "b", "lat": 1.0}, "scalar_union": 1.5}
    backend = Watched(values)
    zoo = Zoo.from_backend(backend)
    module = remote("zoo", modules.ZooModule)
    assert backend.reads == []
    want = Zoo.from_backend(DictBackend(values))
    assert shown(module.run(zoo)) == shown(want)
    assert backend.reads.count("int64") == 1  # what is read stays in the data object, as its backend wants


def test_a_streamed_argument_with_a_backend_is_read_when_it_is_sent(runtime: Runtime) -> None:
    first, second = Watched({"name": "a"}), Watched({"name": "b"})
    seen = []

    def inputs() -> Any:
        yield SampleInputType.from_backend(first)
        seen.append((len(first.reads), len(second.reads)))
        yield SampleInputType.from_backend(second)

    answers = remote_module(runtime, "grpc", "foo", modules.SampleModule).run_bidi_stream(inputs())
    assert (first.reads, second.reads) == ([], [])
    assert [answer.greeting for answer in answers] == ["Hello a", "Hello b"]
    assert seen == [(1, 0)]


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "scalar": ({"number": "a"}, "run(): number: expected int, got str ('a')"),
    "bytes": ({"blob": 5}, "run(): blob: expected bytes, got int (5)"),
    "out of range": ({"number": 2**64}, "run(): number: Value out of range: 18446744073709551616, got int (1844"),
    "data object": ({"place": {"label": "a"}}, "run(): place: expected Place, got dict"),
    "other data object": ({"place": SampleInputType("a")}, "run(): place: expected Place, got SampleInputType"),
    "field": ({"place": Place(lat="a")}, "run(): place.lat: expected float, got str ('a')"),
    "field of an item": ({"places": [Place(), Place(tags=5)]}, "run(): places[1].tags: expected a list of str, got in"),
    "list": ({"words": 5}, "run(): words: expected a list of str, got int (5)"),
    "map": ({"weights": [1.0]}, "run(): weights: expected dict, got list"),
    "map's value": ({"weights": {"a": "b"}}, "run(): weights['a']: expected float, got str ('b')"),
    "item": ({"words": ["a", 5]}, "run(): words[1]: expected str, got int (5)"),
    "item of data objects": ({"places": [Place(), "a"]}, "run(): places[1]: expected Place, got str ('a')"),
    "time": ({"when": "now"}, "run(): when: expected datetime, got str ('now')"),
    "settings": ({"settings": {"a": object()}}, "run(): settings['a']: Unsupported value type: <class 'object'>, "),
    "union": ({"choice": 1.5}, "run(): choice: expected str or int or Place, got float (1.5)"),
    "union of lists": ({"values": [1, "a"]}, "run(): values: expected a list of str or a list of int or a list of fl"),
    "unknown": ({"other": 5}, "run(): got an unexpected keyword argument 'other'"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_argument_is_named_before_anything_is_sent(protocol: Protocol, name: str) -> None:
    connection = ConnectionInfo(hostname="localhost", port=1)  # where nobody listens
    config = RemoteModuleConfig.load_from_module(modules.ParametersModule, connection, protocol, "key", "a")
    made: Any = construct_remote_module_class(config)
    given, message = WRONG[name]
    with pytest.raises(InputError) as caught:
        made(connection, protocol, "key", "a").run(**PARAMETERS | given)
    assert str(caught.value).startswith(message)
    assert isinstance(caught.value, TypeError)
    assert isinstance(caught.value, ValueError)


NESTED: dict[str, tuple[Any, str]] = {
    "union": (Zoo(scalar_union=Place()), "zoo.scalar_union: expected bool or int or float or str, got Place"),
    "union of messages": (Zoo(message_union=5), "zoo.message_union: expected Place or SampleInputType, got int (5)"),
    "list of a union": (
        Zoo(sequence_union=np.array([0.5])),
        "zoo.sequence_union: expected a list of str or a list of int or a list of float, got ndarray",
    ),
    "map": (Zoo(places_by_name={"a": Place(lat="b")}), "zoo.places_by_name['a'].lat: expected float, got str ('b')"),
    "enum": (Zoo(colors=[Color.RED]), "zoo.colors[0]: expected Color's number, got Color"),
}


@pytest.mark.parametrize("name", NESTED)
def test_a_wrong_field_is_named(remote: Remote, name: str) -> None:
    zoo, message = NESTED[name]
    with pytest.raises(InputError) as caught:
        remote("zoo", modules.ZooModule).run(zoo)
    assert str(caught.value) == f"run(): {message}"


def test_a_field_with_a_data_object_without_values_arrives(remote: Remote) -> None:
    answer = remote("zoo", modules.ZooModule).run(Zoo(place=Place(), places=[Place()], attachment=File()))
    assert isinstance(answer.place, Place)
    assert isinstance(answer.attachment, File)
    assert len(answer.places) == 1


def test_a_missing_argument_is_named(remote: Remote) -> None:
    with pytest.raises(InputError, match=r"run\(\): missing a required argument: 'place'"):
        remote("pair", modules.PairModule).run("a")


def test_an_argument_that_only_the_local_module_takes_is_named(remote: Remote) -> None:
    with pytest.raises(InputError, match=r"run\(\): event: there is no such parameter"):
        remote("embedding", modules.EmbeddingModule).run(Vector1D.from_vector([1.0]), event=5)


def test_a_wrong_item_of_a_stream_is_named(runtime: Runtime) -> None:
    module = remote_module(runtime, "grpc", "foo", modules.SampleModule)
    with pytest.raises(
        InputError, match=r"run_bidi_stream\(\): sample_inputs: expected SampleInputType, got int \(5\)"
    ):
        list(module.run_bidi_stream([SampleInputType("a"), 5]))


@pytest.mark.parametrize(("method", "expected"), [("run", "FileReport"), ("run_stream_out", "FileReport")])
def test_an_answer_of_another_type_is_an_internal_error(remote: Remote, method: str, expected: str) -> None:
    module = remote("foo", modules.SampleModule, response_dm_name=expected)
    with pytest.raises(CaikitRuntimeException) as caught:
        answer = getattr(module, method)(SampleInputType("a"))
        next(iter(answer))
    assert caught.value.status_code is grpc.StatusCode.INTERNAL
    assert caught.value.message.startswith(f"the answer is not a valid {expected}: ")
