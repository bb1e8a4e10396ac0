"""OpenAPI documents of servers that are not trusted: each becomes a description, or a SchemaError, within a budget."""

from __future__ import annotations

import itertools
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from remote_client._schema.budget import MAX_NAME, Budget
from remote_client._schema.openapi.document import describe, describe_parsed
from remote_client._schema.openapi.value_types import bare
from remote_client._schema.rpc import ServiceDescription
from remote_client.errors import InputError, InvalidResponseError, SchemaError
from tests.support.growth import calls, exponent
from tests.support.large_documents import INTEGER, NULL, TEXT, Schema, any_of, array, mapping, model, ref
from tests.support.slow import slow_but
from tests.unit.documents import COMPLETE, document


def operation(answer: Any, **request: Any) -> Schema:
    return {
        "requestBody": {"content": {"application/json": {"schema": model("Request", **request)}}},
        "responses": {"200": {"content": {"application/json": {"schema": answer}}}},
    }


def described(paths: Any, schemas: Any = None) -> ServiceDescription:
    return describe_parsed(json.loads(json.dumps({"paths": paths, "components": {"schemas": schemas or {}}})))


def answer(schema: Schema, schemas: dict[str, Any] | None = None) -> type[BaseModel]:
    made: type[BaseModel] = describe(document(schema, schemas=schemas)).type("Answer")
    return made


# -- too much ---------------------------------------------------------------------------------------------------------


def laughs(levels: int, around: Callable[[Any], Schema]) -> dict[str, Schema]:
    """Schemas of a few letters each of which has the one below it twice."""
    return {f"L{i}": around(ref(f"L{i + 1}")) for i in range(levels)} | {f"L{levels}": TEXT}


def nested(levels: int, around: Callable[[Any], Schema]) -> Schema:
    schema = TEXT
    for _ in range(levels):
        schema = around(schema)
    return schema


def union_of(number: int) -> tuple[Schema, dict[str, Schema]]:
    schemas = {f"M{i}": model(f"made.up.M{i}", x=TEXT) for i in range(number)}
    return model(all=any_of(*map(ref, schemas))), schemas


TOO_MUCH: dict[str, tuple[Callable[[], bytes], str]] = {
    "unions of lists and maps": (
        lambda: document(model(x=ref("L0")), schemas=laughs(30, lambda inner: any_of(array(inner), mapping(inner)))),
        "more than 10,000 types inside of each other",
    ),
    "optional unions of lists": (
        lambda: document(
            model(x=ref("L0")),
            schemas=laughs(40, lambda inner: any_of(array(array(inner)), any_of(array(inner), NULL), NULL)),
        ),
        "inside of each other",
    ),
    "a large type in each of many fields": (
        lambda: document(
            model(**{f"f{i}": ref("L0") for i in range(100)}),
            schemas=laughs(11, lambda inner: any_of(array(inner), mapping(inner))),
        ),
        "more than 500,000 nodes",
    ),
    "lists inside of lists": (
        lambda: document(model(x=ref("L0")), schemas=laughs(60, array)),
        "more than 50 levels inside of each other",
    ),
    "a document of many bytes": (lambda: document(TEXT, title="x" * 17_000_000), "more than 16,777,216 bytes"),
    "a document of many values": (
        lambda: b'{"paths": [%s]}' % (b"[]," * 1_000_001).removesuffix(b","),
        "more than 1,000,000 parts",
    ),
    "routes": (
        lambda: json.dumps({"paths": {f"/{i}": {} for i in range(20_001)}}).encode(),
        "more than 20,000 names",
    ),
    "a long name of a field": (lambda: document(model(**{"x" * (MAX_NAME + 1): TEXT})), "1,001 letters"),
    "a long title": (lambda: document(model(f"a.{'x' * MAX_NAME}")), "letters"),
    "an object of many fields": (
        lambda: document(model(**{f"f{i}": TEXT for i in range(20_001)})),
        "20,001 fields; 20,000 are the most",
    ),
    "a union of many types": (lambda: document(union_of(5_001)[0], schemas=union_of(5_001)[1]), "5,000 are the most"),
}


@pytest.mark.parametrize("name", TOO_MUCH)
def test_a_limit_is_named(name: str) -> None:
    made, limit = TOO_MUCH[name]
    with pytest.raises(SchemaError, match=limit) as caught:
        describe(made(), Budget())
    assert len(str(caught.value)) < 500


def much(kind: str, number: int = 50) -> bytes:
    """A document with much of something, which no other has."""
    salt = f"s{next(SALT)}"
    match kind:
        case "routes":
            paths = {f"/task/{salt}{i}": {"post": operation(TEXT)} for i in range(number)}
            return json.dumps({"paths": paths}).encode()
        case "fields":
            return document(model(**{f"{salt}{i}": TEXT for i in range(number)}))
        case "types":
            return document(model(**{f"f{i}": model(f"a.T{i}", **{salt: TEXT}) for i in range(number)}))
        case "a chain":
            chain = {f"M{i}": model(f"a.M{i}", **{salt: ref(f"M{i + 1}")}) for i in range(number)}
            return document(ref("M0"), schemas=chain)
        case "references":
            return document(ref("M0"), schemas={f"M{i}": ref(f"M{i + 1}") for i in range(number)})
        case _:
            fields = {f"M{i}": {f"f{k}{salt}": ref(f"M{i + 1}") for k in range(7)} for i in range(7)}
            schemas = {name: model(f"a.{name}", **each) for name, each in fields.items()}
            return document(TEXT, inputs=ref("M0"), schemas={**schemas, "M7": {"type": "string", "format": "binary"}})


SALT = itertools.count()


def test_no_runtime_has_a_route_of_thousands_of_letters() -> None:
    assert describe(document(TEXT, route=f"/task/{'x' * MAX_NAME}")).tasks == {}


MUCH = ["routes", "fields", "types", "a chain", "references", "files"]


@pytest.mark.parametrize("name", MUCH)
def test_building_ends_wherever_it_is_given_up(name: str) -> None:
    """No more is done than in between two looks at the budget."""
    looks = 0

    def clock() -> float:
        nonlocal looks
        looks += 1
        return 0.0

    describe(much(name), Budget(clock=clock))
    whole = looks
    assert whole > 50
    for share in (0.1, 0.5, 0.9):
        looks = 0
        budget = Budget(clock=lambda: clock() + 100 * (looks > share * whole))  # noqa: B023
        with pytest.raises(SchemaError, match="took more than"):
            describe(much(name), budget)
        assert looks < share * whole + 3


def test_the_ways_to_files_are_not_all_gone() -> None:
    codec = describe(much("files")).tasks["MadeUpTask"].methods[0].codec
    assert len(codec._multipart._paths) == 100  # type: ignore[attr-defined]


def test_a_default_that_takes_long_to_check_is_none() -> None:
    many = model("made.up.Many", **{f"f{i}": TEXT for i in range(200)})
    kinds = any_of(*(array(model(f"made.up.M{i}", **{f"x{i}": TEXT})) for i in range(50)))
    kind = answer(
        model(
            many=array(many) | {"default": [{}] * 100}, any=kinds | {"default": [{}] * 300}, few={**many, "default": {}}
        )
    )
    value = kind()
    assert value.many is None  # type: ignore[attr-defined]
    assert value.any is None  # type: ignore[attr-defined]
    assert value.few.f0 is None  # type: ignore[attr-defined]


def test_messages_have_the_first_of_many() -> None:
    codec = describe(document(TEXT, inputs={"type": "string", "enum": [f"value {i}" for i in range(10_000)]}))
    run = codec.tasks["MadeUpTask"].methods[0].codec.encode
    with pytest.raises(InputError, match=r"expected one of .value 0., .* \(10,000 in all\)") as caught:
        run("m", ("other",), {})
    assert len(str(caught.value)) < 500
    kinds = any_of(*(array(model(f"made.up.Model{i}", **{f"x{i}": TEXT})) for i in range(300)))
    run = describe(document(TEXT, inputs=kinds)).tasks["MadeUpTask"].methods[0].codec.encode
    with pytest.raises(InputError, match=r"expected one of list.*Model0.* \(300 in all\)") as caught:
        run("m", (5,), {})
    assert len(str(caught.value)) < 500


# -- much, and legal --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [200, 1_000])
def test_a_chain_of_objects(number: int) -> None:
    schemas = {f"M{i}": model(f"made.up.M{i}", next=ref(f"M{i + 1}"), at=INTEGER) for i in range(number)}
    kind = answer(model(first=ref("M0")), schemas)
    value = kind.model_validate_json('{"first": {"next": {"next": {"at": 2}}}}')
    assert value.first.next.next.at == 2  # type: ignore[attr-defined]
    assert pickle.loads(pickle.dumps(value)) == value


@pytest.mark.parametrize("number", [2, 30, 200])
def test_a_circle_of_objects(number: int) -> None:
    schemas = {
        f"M{i}": model(f"made.up.M{i}", next=ref(f"M{(i + 1) % number}"), all=array(ref("Any")), at=INTEGER)
        for i in range(number)
    }
    schemas["Any"] = any_of(ref("M0"), ref("M1"), TEXT)
    kind = answer(model(first=ref("M0")), schemas)
    value: Any = kind.model_validate_json('{"first": {"next": {"next": {"at": 2}, "all": [{"at": 3}, "x"]}}}')
    assert value.first.next.next.at == 2
    assert value.first.next.all[0].at == 3
    assert value.first.next.all[1] == "x"
    assert pickle.loads(pickle.dumps(value)) == value


JSON = any_of(TEXT, INTEGER, NULL, array(ref("Json")), mapping(ref("Json")))
CIRCLES: dict[str, tuple[dict[str, Schema], Any, str]] = {
    "a list": ({"Json": array(ref("Json"))}, [[], [[1]]], "list[typing.Any]"),
    "a map": ({"Json": mapping(ref("Json"))}, {"a": {"b": {}}}, "dict[str, typing.Any]"),
    "a list of maps": (
        {"Json": array(ref("Map")), "Map": mapping(ref("Json"))},
        [{"a": [5]}],
        "list[dict[str, typing.Any]]",
    ),
    "any JSON": ({"Json": JSON}, {"a": [1, None, "x", {"b": [[]]}]}, "typing.Any"),
    "itself or text": ({"Json": any_of(ref("Json"), TEXT)}, "x", "typing.Any"),
}


@pytest.mark.parametrize("name", CIRCLES)
def test_json_that_holds_itself(name: str) -> None:
    schemas, value, _ = CIRCLES[name]
    kind = answer(model(x=ref("Json")), schemas)
    read = kind.model_validate_json(json.dumps({"x": value}))
    assert read.x == value  # type: ignore[attr-defined]
    assert json.loads(read.model_dump_json()) == {"x": value}


def test_json_that_holds_itself_and_objects() -> None:
    schemas = {
        "Json": array(any_of(ref("Json"), ref("Node"))),
        "Node": model("made.up.Node", all=ref("Json"), at=INTEGER),
    }
    kind = answer(model(x=ref("Json"), node=ref("Node")), schemas)
    value: Any = kind.model_validate_json('{"x": [[{"at": 1}], {"at": 2}], "node": {"all": [], "at": 3}}')
    assert value.node.at == 3
    assert json.loads(value.model_dump_json(exclude_none=True))["x"] == [[{"at": 1}], {"at": 2}]


@pytest.mark.parametrize(
    "schemas",
    [
        {"A": ref("B"), "B": {"allOf": [ref("A")]}},
        {f"{'A' if i == 0 else i}": ref(str(i + 1)) for i in range(40)} | {"40": ref("1")},
    ],
)
def test_references_of_nothing_but_references(schemas: dict[str, Any]) -> None:
    with pytest.raises(SchemaError, match="refers to itself"):
        answer(model(x=ref("A")), schemas=schemas)


def test_a_long_way_to_a_type() -> None:
    schemas = {f"A{i}": ref(f"A{i + 1}") for i in range(1_000)} | {"A1000": TEXT}
    assert str(bare(answer(model(x=ref("A0")), schemas).model_fields["x"].annotation)) == "str | None"


def test_many_types_of_one_name_have_names_of_their_own() -> None:
    types = describe(document(model(**{f"f{i}": model("a.T", **{f"x{i}": TEXT}) for i in range(500)}))).types
    assert sum(each.__name__.startswith("T") for each in types.values()) == 500
    assert {"a.T", "a.T_", "a.T_2", "a.T_499"} <= types.keys()


def test_a_union_of_the_same_again_and_again_is_no_union() -> None:
    kind = answer(model(x=ref("L0")), laughs(30, lambda inner: any_of(inner, inner)))
    assert str(bare(kind.model_fields["x"].annotation)) == "str | None"


def test_what_repeats_is_made_once() -> None:
    inner = model("a.T", x=any_of(INTEGER, NULL))
    description = describe(document(model(**{f"f{i}": inner for i in range(500)})))
    assert len(description.types) == 2


def test_a_field_called_as_what_describes_a_schema() -> None:
    one = answer(model(title=TEXT, description=INTEGER, default=TEXT))
    other = answer(model(title=INTEGER))
    assert [*one.model_fields] == ["title", "description", "default"]
    assert [*other.model_fields] == ["title"]
    assert str(bare(other.model_fields["title"].annotation)) == "int | None"


# -- not what belongs there -------------------------------------------------------------------------------------------

JUNK: list[Any] = [
    None, True, 0, -1.5, 10**30, "", "x", "\x00\u202e", [], [None], [[]], {}, {"": None}, ["x", 5], [{"$ref": 5}],
    {"$ref": ["x"]}, {"type": {}}, {"type": [["object"], {}]}, {"anyOf": 5}, {"anyOf": [5, None, []]}, {"oneOf": {}},
    {"type": "object", "properties": {"a": 5, "b": None, "c": ["x"]}}, {"type": "array", "items": [5]},
    {"type": "string", "format": ["x"]}, {"type": "string", "format": {}}, {"type": "string", "contentMediaType": []},
    {"type": "object", "additionalProperties": 5}, {"enum": [[], {}, None, True, 1.5]}, {"enum": 5}, {"enum": []},
    {"allOf": 5}, {"allOf": [5]}, {"type": "integer", "default": "x"}, {"type": "string", "default": [{}]},
]  # fmt: skip
PLACES = (
    "type", "format", "properties", "items", "anyOf", "oneOf", "allOf", "enum", "title", "description", "default",
    "additionalProperties", "$ref", "contentMediaType", "required", "const", "examples",
)  # fmt: skip
BASES: dict[str, Schema] = {
    "object": model(x=TEXT),
    "list": array(TEXT),
    "map": mapping(INTEGER),
    "union": any_of(TEXT, model("made.up.Other", y=INTEGER), NULL),
    "text": {"type": "string", "format": "date-time", "default": "2026-01-02T00:00:00Z"},
    "enum": {"type": "integer", "enum": [1, 2]},
}


@pytest.mark.parametrize("base", slow_but(["object", "union"], BASES))
@pytest.mark.parametrize("place", PLACES)
def test_anything_may_stand_in_a_schema(base: str, place: str) -> None:
    for junk in JUNK:
        schema = {**BASES[base], place: junk}
        around = model(a=schema, b=array(schema), c=any_of(schema, TEXT))
        parameters = model("MadeUpTaskRequestParameters", p=schema)
        try:
            description = describe(document(around, inputs=schema, parameters=parameters, schemas={"x": schema}))
        except SchemaError:
            continue
        str(description)


def places(value: Any) -> list[tuple[Any, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [(), *((key, *rest) for key, each in inner for rest in places(each))]


def small() -> Any:
    """Of a runtime's document a few routes."""
    told = json.loads(COMPLETE)
    wanted = ("task/pair", "SampleTaskSampleModuleTrain", "management/models", "info/version")
    told["paths"] = {route: each for route, each in told["paths"].items() if any(word in route for word in wanted)}
    return told


@pytest.mark.sampled(3)
@pytest.mark.parametrize("junk", [None, 5, "x", [5], {"x": 5}, {"$ref": "x"}, {"anyOf": 5}], ids=json.dumps)
def test_anything_may_stand_in_a_document(junk: Any) -> None:
    told = small()
    for place in places(told["paths"])[1:]:
        *way, last = place
        inner = told["paths"]
        for step in way:
            inner = inner[step]
        kept, inner[last] = inner[last], junk
        try:
            describe_parsed(told)
        except SchemaError:
            pass
        finally:
            inner[last] = kept


@pytest.mark.parametrize(
    "told", [{"paths": {"/task/x": {"post": operation(TEXT)}}, "components": junk} for junk in JUNK[:16]]
)
def test_anything_may_stand_for_components(told: Any) -> None:
    assert describe_parsed(told).tasks["XTask"].methods


# -- names of parameters ----------------------------------------------------------------------------------------------


def body(description: ServiceDescription, *args: Any, **kwargs: Any) -> Any:
    (method,) = (each for task in description.tasks.values() for each in task.methods)
    return json.loads(method.codec.encode("m", args, kwargs))


def test_an_input_called_parameters() -> None:
    schemas = {"MadeUpTaskRequestInputs": model("In", parameters=TEXT, other=TEXT)}
    made = describe(document(TEXT, inputs=ref("MadeUpTaskRequestInputs"), parameters=ref("Lost"), schemas=schemas))
    (method,) = made.tasks["MadeUpTask"].methods
    assert str(method.signature) == "(parameters: str, other: str, **parameters_: Any) -> str"
    assert body(made, "a", "b", more=1) == {
        "model_id": "m",
        "inputs": {"parameters": "a", "other": "b"},
        "parameters": {"more": 1},
    }


def test_inputs_beside_inputs_with_an_underscore() -> None:
    parameters = model("MadeUpTaskRequestParameters", inputs=INTEGER, inputs_=TEXT)
    made = describe(document(TEXT, inputs=TEXT, parameters=parameters))
    (method,) = made.tasks["MadeUpTask"].methods
    assert [*method.signature.parameters] == ["inputs", "inputs_2", "inputs_"]
    sent = body(made, "a", inputs_2=5, inputs_="b")
    assert sent == {"model_id": "m", "inputs": "a", "parameters": {"inputs": 5, "inputs_": "b"}}


def test_a_parameter_called_inputs_where_there_are_none() -> None:
    made = describe(document(TEXT, parameters=model("MadeUpTaskRequestParameters", inputs=INTEGER)))
    assert body(made, inputs=5) == {"model_id": "m", "parameters": {"inputs": 5}}


def test_defaults_of_trainings_have_the_parameters_types() -> None:
    parameters = model(
        "Parameters",
        rows=INTEGER | {"default": "many"},
        size=INTEGER | {"default": 8},
        names=array(TEXT) | {"default": [5]},
        odd=INTEGER | {"default": {"a": []}},
        parameters=any_of(TEXT, NULL),
    )
    made = described({
        "/management/trainings": {"get": {}, "delete": {}},
        "/api/v1/SampleTaskSampleModuleTrain": {"post": operation(TEXT, parameters=parameters)},
    })  # fmt: skip
    (training,) = made.trainings.values()
    defaults = {name: each.default for name, each in training.signature.parameters.items()}
    assert defaults == {"rows": None, "size": 8, "names": None, "odd": None, "parameters": None}


# -- texts ------------------------------------------------------------------------------------------------------------

HOSTILE = 'x\x00\x1b[2J\u202e\r"""\\' + "y" * 100_000


def test_what_a_server_says_can_be_printed() -> None:
    title = "made.up.An\x00swer\x1b[2J\u202e"
    field = {**TEXT, "description": HOSTILE}
    description = describe(document({**model(title, x=field), "description": HOSTILE}))
    (kind,) = description.types.values()
    (name,) = description.types
    shown = kind.model_fields["x"].description
    for text in (name, kind.__name__, kind.__module__, kind.__qualname__, kind.__doc__, shown):
        assert text
        assert all(each.isprintable() or each == "\n" for each in text)
        assert len(text) < 5_000


def test_errors_of_a_server_can_be_printed() -> None:
    name = f"A{HOSTILE}"
    with pytest.raises(SchemaError, match="refers to itself") as caught:
        answer(model(x=ref(name)), {name: ref(name)})
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


# -- answers ----------------------------------------------------------------------------------------------------------

MANY = 20_001
WRONG: dict[str, tuple[bytes, str]] = {
    "items": (b'{"list": [%s]}' % b",".join([b"1"] * MANY), r"list\[0\]: expected str, not int"),
    "values": (
        b'{"map": {%s}}' % b",".join(b'"%d": 1' % i for i in range(MANY)),
        "map.0: expected str, not int|20,001",
    ),
    "fields": (b"{%s}" % b",".join(b'"f%d": 1' % i for i in range(MANY)), "20,001 values are invalid"),
    "objects": (b'{"all": [%s]}' % b",".join([b'{"y": 1}'] * MANY), r"all\[0\].y: no such field"),
}


@pytest.mark.parametrize("name", WRONG)
def test_no_object_is_made_of_each_error_in_an_answer(name: str) -> None:
    data, told = WRONG[name]
    inner = {**model("made.up.Inner", x=TEXT), "additionalProperties": False}
    shape = model(list=array(TEXT), map=mapping(TEXT), all=array(inner))
    codec = describe(document({**shape, "additionalProperties": False})).tasks["MadeUpTask"].methods[0].codec

    def decode() -> None:
        with pytest.raises(InvalidResponseError, match=told):
            codec.decode(data, "pydantic")

    assert calls(decode) < 1_000


def test_looking_for_the_unions_of_many_names_takes_as_long_as_there_are_names() -> None:
    unions = {f"u_{i}": any_of(TEXT, INTEGER) for i in range(100)}
    codec = describe(document(model(**unions))).tasks["MadeUpTask"].methods[0].codec

    def cost(size: int) -> int:
        data = json.dumps({f"x_{i}_y": 1 for i in range(size)}).encode()
        return calls(lambda: codec.decode(data, "pydantic"))

    assert exponent(cost, 200) < 1.1
    assert cost(1_000) < 20 * 1_000
