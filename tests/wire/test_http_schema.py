"""OpenAPI documents that are odd, wrong or malicious: a SchemaError, or it works."""

from __future__ import annotations

import asyncio
import copy
import inspect
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest

from remote_client._client.client import RemoteClient
from remote_client._schema.openapi import document as openapi
from remote_client.errors import InputError, InvalidResponseError, RemoteClientError, SchemaError
from tests.support import http_server
from tests.support.clock import Stopwatch
from tests.support.http_wire import HttpWire as Wire

ROUTE = "/api/v1/task/echo"
TEXT = {"type": "string"}
INTEGER = {"type": "integer"}


def ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def thing(title: Any = "odd.Odd", /, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "title": title, "properties": properties}


def document(answer: Any = None, parameters: Any = None, **components: Any) -> dict[str, Any]:
    """The scripted runtime's own, where its unary method has other types."""
    made = http_server.openapi()
    schemas = made["components"]["schemas"]
    schemas |= components
    if answer is not None:
        made["paths"][ROUTE]["post"]["responses"]["200"]["content"]["application/json"]["schema"] = answer
    if parameters is not None:
        schemas["EchoTaskRequestParameters"] = parameters
    return made


def method_of(body: Any) -> Any:
    """The unary method, as a client sees it."""
    return _method(openapi.describe(json.dumps(body).encode()))


def _method(described: Any) -> Any:
    assert str(described)
    return next(each for each in described.tasks["EchoTask"].methods if each.name == "run_echo")


async def describe(wire: Wire, body: Any, within: float = 10) -> Any:
    """What the client makes of a server with this document."""
    await wire.faults({"GET /openapi.json": {"body": body if isinstance(body, str) else json.dumps(body)}})
    async with RemoteClient(wire.target) as client:
        watch = Stopwatch()
        try:
            described = await client.describe()
        finally:
            assert watch.seconds < within
        model = await client.model("raw") if described.tasks else None
        for each in (each for task in described.tasks.values() for each in task.methods):
            assert inspect.signature(getattr(model, each.name)).parameters
        return described


def round_trip(method: Any, values: dict[str, Any]) -> None:
    """The same values as parameters and in an answer, by attribute and by name on the wire."""
    answer = method.codec.decode(json.dumps(values).encode(), "pydantic")
    assert json.loads(answer.model_dump_json()) == values
    assert type(answer).model_validate_json(answer.model_dump_json()) == answer
    attributes = vars(answer)
    assert list(method.signature.parameters) == ["inputs", *attributes]
    assert list(attributes.values()) == list(values.values())
    sent = json.loads(method.codec.encode("raw", ("text",), attributes))
    assert sent == {"model_id": "raw", "inputs": "text", "parameters": values}
    assert json.loads(method.codec.encode("raw", ("text", *attributes.values()), {})) == sent


# -- broken documents -------------------------------------------------------------------------------------------------

DEEP = 200_000
BROKEN: dict[str, str] = {
    "empty": "",
    "cut": '{"paths": {',
    "HTML": "<!DOCTYPE html><html></html>",
    "null": "null",
    "list": "[]",
    "text": '"paths"',
    "number": "1",
    "NaN": "NaN",
    "no paths": "{}",
    "paths: null": '{"paths": null}',
    "paths: list": '{"paths": []}',
    "paths: text": '{"paths": "x"}',
    "deep": "[" * DEEP + "]" * DEEP,
    "deep and cut": '{"paths":' * DEEP,
    "half of a pair": r'{"\ud800": 1}',
}


@pytest.mark.parametrize("body", BROKEN.values(), ids=BROKEN)
async def test_what_is_no_document(http_wire: Wire, body: str) -> None:
    with pytest.raises(SchemaError) as caught:
        await describe(http_wire, body)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 5000


def test_bytes_that_are_no_text() -> None:
    for body in (b'{"paths": {"\xff": 1}}', '{"paths": {}}'.encode("utf-16"), bytes(100)):
        with pytest.raises(SchemaError):
            openapi.describe(body)


async def test_a_runtime_that_offers_nothing(http_wire: Wire) -> None:
    assert not (await describe(http_wire, {"paths": {}})).tasks


def _nodes(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in items:
        yield (*path, key)
        yield from _nodes(each, (*path, key))


@pytest.mark.parametrize("odd", [None, 1, [], {}, [None], {"$ref": 1}], ids=repr)
def test_every_part_of_a_document_may_be_odd(odd: Any) -> None:
    whole = http_server.openapi()
    paths = list(_nodes(whole))
    assert len(paths) > 150
    for path in paths:
        changed = copy.deepcopy(whole)
        place = changed
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = odd
        try:
            described = openapi.describe(json.dumps(changed).encode())
        except SchemaError:
            continue
        for each in (each for task in described.tasks.values() for each in task.methods):
            try:
                each.codec.encode("raw", ("a",), {})
                each.codec.decode(b'{"text": "a"}', "pydantic")
                each.codec.decode(b"1", "pydantic")
            except (InputError, InvalidResponseError):
                continue


# -- types that refer to each other -----------------------------------------------------------------------------------

CHAIN = {f"M{index}": thing(f"a.M{index}", next=ref(f"M{index + 1}")) for index in range(1000)}
RECURSIVE: dict[str, dict[str, Any]] = {
    "itself": document(ref("A"), A=ref("A")),
    "a circle": document(ref("A"), A=ref("B"), B=ref("C"), C=ref("A")),
    "a union of itself": document(ref("A"), A={"anyOf": [ref("A"), TEXT]}),
    "a list of itself": document(ref("A"), A={"type": "array", "items": ref("A")}),
    "a map of itself": document(ref("A"), A={"type": "object", "additionalProperties": ref("A")}),
    "a chain": document(ref("M0"), **CHAIN),
    "a ring": document(ref("M0"), **CHAIN, M1000=ref("M0")),
    "an unknown": document(ref("Nowhere")),
    "an address": document({"$ref": "http://127.0.0.1:1/evil.json"}),
    "a path": document({"$ref": "../../../etc/passwd"}),
}


@pytest.mark.parametrize("body", RECURSIVE.values(), ids=RECURSIVE)
async def test_types_that_refer_oddly(http_wire: Wire, body: dict[str, Any]) -> None:
    try:
        method = _method(await describe(http_wire, body))
    except SchemaError as error:
        assert str(error).isprintable()
        return
    assert json.loads(method.codec.encode("raw", ("a",), {}))["inputs"] == "a"


async def test_a_tree(http_wire: Wire) -> None:
    many, by_name = {"type": "array", "items": ref("Tree")}, {"type": "object", "additionalProperties": ref("Tree")}
    tree = thing("a.Tree", label=TEXT, children=many, by=by_name)
    method = _method(await describe(http_wire, document(ref("Tree"), thing(tree=ref("Tree")), Tree=tree)))
    value = {"label": "leaf"}
    for index in range(40):
        value = {"label": str(index), "children": [value, {"label": "side"}], "by": {"x": {"label": "y"}}}
    answer = method.codec.decode(json.dumps(value).encode(), "pydantic")
    assert json.loads(answer.model_dump_json(exclude_none=True)) == value
    sent = json.loads(method.codec.encode("raw", ("a",), {"tree": answer}))
    assert sent["parameters"]["tree"] == value
    for depth in (300, 20_000):
        for _ in range(depth):
            value = {"label": "x", "children": [value]}
        with pytest.raises(InputError):
            method.codec.encode("raw", ("a",), {"tree": value})
    with pytest.raises(InvalidResponseError):
        method.codec.decode(b'{"children":[' * DEEP, "pydantic")


async def test_types_that_know_each_other(http_wire: Wire) -> None:
    """Each has fields of all types."""
    fields = {f"m{index}": ref(f"M{index}") for index in range(30)}
    mesh = {f"M{index}": thing(f"a.M{index}", text=TEXT, **fields) for index in range(30)}
    method = _method(await describe(http_wire, document(ref("M0"), **mesh)))
    answer = method.codec.decode(b'{"m7": {"m3": {"m0": {"text": "x"}}}}', "pydantic")
    assert answer.m7.m3.m0.text == "x"


MANY = {f"M{index}": thing(f"a.M{index}", x=TEXT) for index in range(5000)}
# Each step doubles what a careless reader does.
UNIONS = {f"D{index}": {"anyOf": [ref(f"D{index + 1}")] * 2} for index in range(16)}
OBJECTS = {f"D{index}": thing(f"a.D{index}", a=ref(f"D{index + 1}"), b=ref(f"D{index + 1}")) for index in range(16)}
LARGE: dict[str, dict[str, Any]] = {
    "5000 schemas": document(thing(**{f"m{index}": ref(f"M{index}") for index in range(5000)}), **MANY),
    "5000 unused schemas": document(**MANY),
    "5000 properties": document(thing(**{f"p{index}": TEXT for index in range(5000)})),
    "5000 values": document(thing(x={"enum": [f"v{index}" for index in range(5000)]})),
    "500 members": document(thing(x={"anyOf": [thing(f"a.M{each}", **{f"p{each}": TEXT}) for each in range(500)]})),
    "doubling unions": document(ref("D0"), **UNIONS, D16=TEXT),
    "doubling objects": document(ref("D0"), **OBJECTS, D16=TEXT),
    "a long description": document({**thing(x=TEXT), "description": "x" * 5_000_000}),
}


@pytest.mark.parametrize("name", LARGE)
async def test_large_documents(http_wire: Wire, no_gc: None, name: str) -> None:
    """In time, and nothing else has to wait for long. A collection of a process of thousands of tests takes 0.5 s."""
    describing = asyncio.ensure_future(describe(http_wire, LARGE[name], within=1.5 if "doubling" in name else 10))
    before = time.thread_time()  # of the loop's thread alone, however busy the machine is
    await describing
    assert time.thread_time() - before < 0.5
    assert _method(describing.result()).codec.encode("raw", ("a",), {})


async def test_many_routes(http_wire: Wire) -> None:
    body = http_server.openapi()
    body["paths"] |= {f"/api/v1/task/t-{index}": body["paths"][ROUTE] for index in range(500)}
    assert len((await describe(http_wire, body)).tasks) == 501


# -- names ------------------------------------------------------------------------------------------------------------

FIELDS = [
    *(
        "json",
        "copy",
        "dict",
        "schema",
        "construct",
        "validate",
        "model_dump",
        "model_fields",
        "model_config",
        "model_x",
    ),
    *("from", "self", "cls", "class", "None", "True", "import", "lambda", "async", "match", "type", "print", "mro"),
    *("_x", "__x", "__class__", "__init__", "__dict__", "__slots__", "__annotations__", "__pydantic_fields__", "_"),
    *(
        "parameters",
        "model_id",
        "model_x",
        "name",
        "args",
        "kwargs",
        "values",
        "field",
        "timeout",
        "root",
        "untag",
        "__root__",
    ),
    *("list", "str", "int", "__builtins__", "__debug__", "_abc_impl", "X", "_type_0"),
    *("", " ", "a b", "a.b", "a-b", "1a", "é", "日本", "🦓", "a\nb", "'\"", "$ref", "\0", "{}", "{0.__class__}", "%s"),
    *("ﬁ", "\u202e", "x" * 1_000, "a\x1b[31m"),
]


@pytest.mark.parametrize("name", FIELDS, ids=lambda name: ascii(name)[:20])
def test_a_field(name: str) -> None:
    odd = thing(**{name: TEXT, "other": INTEGER})
    round_trip(method_of(document(odd, odd)), {name: "a", "other": 1})


def test_all_of_them_at_once() -> None:
    """Names that had to be changed do not run into each other."""
    odd = thing(**dict.fromkeys(FIELDS, INTEGER))
    round_trip(method_of(document(odd, odd)), {name: index for index, name in enumerate(FIELDS)})


@pytest.mark.parametrize(
    "names",
    [
        ("_x", "x"),
        ("x", "_x", "__x"),
        ("from", "from_"),
        ("from_", "from"),
        ("json", "json_", "json__"),
        ("a b", "a-b"),
        ("", "field", " "),
    ],
)
def test_names_that_become_alike(names: tuple[str, ...]) -> None:
    odd = thing(**dict.fromkeys(names, TEXT))
    round_trip(method_of(document(odd, odd)), {name: name for name in names})


@pytest.mark.parametrize("name", ["from", "a-b", "_x"])
def test_a_parameter_may_be_given_by_its_name_on_the_wire(name: str) -> None:
    """As over gRPC."""
    method = method_of(document(parameters=thing(**{name: TEXT})))
    assert json.loads(method.codec.encode("raw", ("a",), {name: "b"}))["parameters"] == {name: "b"}


def test_a_parameter_called_like_the_input() -> None:
    try:
        method = method_of(document(parameters=thing(inputs=TEXT, other=TEXT)))
    except SchemaError:
        return
    assert json.loads(method.codec.encode("raw", ("a",), {"other": "b"}))["parameters"] == {"other": "b"}


TITLES = [
    *(1, None, [], {}, True, "", " ", ".", "..", "a.", ".a", "a b.c d", "a\nb", "\0", "a.\0", "\x1b[31m.red", "é.ü"),
    *("__class__", "x.__init__", "builtins.int", "os.path", "typing.Any", "remote_client.errors.SchemaError"),
    *("x" * 100_000, "x." * 5000, "class", "None", "BaseModel", "{0}", "%s", "\u202e", "../..", "<script>"),
]


@pytest.mark.parametrize("title", TITLES, ids=lambda title: ascii(title)[:20])
def test_a_title(title: Any) -> None:
    odd = thing(title, x=TEXT, inner=ref("Inner"))
    try:
        method = method_of(document(odd, odd, Inner=thing(title, y=TEXT)))
    except SchemaError as error:
        assert str(error).isprintable()
        return
    answer = method.codec.decode(b'{"x": "a", "inner": {"y": "b"}}', "pydantic")
    assert (answer.x, answer.inner.y) == ("a", "b")
    assert json.loads(method.codec.encode("raw", ("a",), {"inner": answer.inner}))["parameters"] == {
        "inner": {"y": "b"}
    }
    assert repr(answer)


@pytest.mark.parametrize("title", ["", "Same", "a.Same"])
def test_two_types_of_one_title(title: str) -> None:
    """Also where their fields have the same names."""
    for one, other in (({"x": INTEGER}, {"y": TEXT}), ({"x": INTEGER}, {"x": TEXT})):
        odd = thing(a=thing(title, **one), b=thing(title, **other))
        method = method_of(document(odd))
        values = {"a": {"x": 1}, "b": dict.fromkeys(other, "text")}
        assert json.loads(method.codec.decode(json.dumps(values).encode(), "pydantic").model_dump_json()) == values


# -- values -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "members",
    [
        [],
        [None],
        [1, "a"],
        [{}],
        [[1]],
        [1.5],
        [True],
        [10**400],
        ["a", "a"],
        [""],
        [1, None],
        ["\x1b[31m"],
        ["x" * 100_000],
    ],
    ids=lambda members: ascii(members)[:20],
)
def test_an_enum(members: list[Any]) -> None:
    odd = thing(x={"enum": members})
    method = method_of(document(odd, odd))
    for value in (*members, "other", 7, None, 1.5, [], {}):
        try:
            sent = json.loads(method.codec.encode("raw", ("a",), {"x": value}))
            assert value is None or sent["parameters"] == {"x": value}
        except InputError as error:
            assert len(str(error)) < 5000
        try:
            assert method.codec.decode(json.dumps({"x": value}).encode(), "pydantic").x == value
        except InvalidResponseError as error:
            assert len(str(error)) < 5000


DEFAULTS = [
    ({**INTEGER, "default": "x"}, int),
    ({**INTEGER, "default": {}}, int),
    ({**INTEGER, "default": True}, int),
    ({**TEXT, "default": []}, str),
    ({**TEXT, "format": "binary", "default": 1}, bytes),
    ({**TEXT, "format": "date-time", "default": "now"}, object),
    ({"type": "array", "items": TEXT, "default": "x"}, list),
    ({"type": "boolean", "default": 3}, bool),
    ({"anyOf": [TEXT, INTEGER], "default": {}}, (str, int)),
    ({**ref("EchoOutput"), "default": "x"}, object),
]


@pytest.mark.parametrize(("schema", "kind"), DEFAULTS, ids=lambda each: ascii(each)[:60])
def test_a_default_of_a_wrong_type(schema: dict[str, Any], kind: Any) -> None:
    odd = thing(x=schema, y=TEXT)
    try:
        method = method_of(document(odd, odd))
    except SchemaError:
        return
    assert json.loads(method.codec.encode("raw", ("a",), {"y": "b"}))["parameters"].keys() == {"y"}
    answer = method.codec.decode(b'{"y": "b"}', "pydantic")
    assert type(answer).model_validate_json(answer.model_dump_json()).y == "b"
    assert answer.x is None or (isinstance(answer.x, kind) and not (kind is int and answer.x is True))


# -- routes -----------------------------------------------------------------------------------------------------------

ROUTES = [
    *("/task/x", "/a/b/c/d/task/x", "//evil.invalid/task/x", "/@evil.invalid/task/x", "/x:y@evil.invalid/task/x"),
    *(
        "/../../task/x",
        "/%2e%2e/task/x",
        "/?a=/task/x",
        "/#/task/x",
        "/a b/task/x",
        "/é/task/x",
        "/\\evil.invalid/task/x",
    ),
    *("/task/", "/task/ ", "/task/a b", "/task/{x}", "/task/__class__", "/task/class", "/task/aclose", "/task/x?y=z"),
    *("/task/x#y", "/task/x%00", "/task/x\r\nx-evil: y", "http://evil.invalid/task/x", "task/x", "", "/task/💥"),
    "/task/" + "x" * 5000,
]


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: ascii(route)[:30])
async def test_a_route(http_wire: Wire, route: str) -> None:
    """Wherever it leads, it leads to the same server, in one request."""
    body = http_server.openapi()
    body["paths"] = {route: body["paths"][ROUTE], "/info/models": body["paths"]["/info/models"]}
    described = await describe(http_wire, body)
    async with RemoteClient(http_wire.info(timeout=2), protocol="http", metadata={"x-api-key": "secret"}) as client:
        for task in described.tasks.values():
            model = await client.model("raw", task=task.name)
            for each in task.methods:
                try:
                    call = getattr(model, each.name)("a")
                    await (anext(call, None) if each.output_streaming else call)
                except RemoteClientError as error:
                    assert "secret" not in str(error)
                    assert str(error).isprintable()
    stats = await http_wire.stats()
    assert sum(stats["started"].values()) <= 7
    assert "x-evil" not in {name.lower() for name, _ in stats["last"]["headers"]}


async def test_two_routes_of_one_method(http_wire: Wire) -> None:
    body = http_server.openapi()
    body["paths"]["/v2/task/echo"] = body["paths"][ROUTE]
    await http_wire.faults({"GET /openapi.json": {"body": body}, "POST /v2/task/echo": {"body": {"text": "a"}}})
    async with RemoteClient(http_wire.target) as client:
        with pytest.raises(InputError, match=r"several tasks 'EchoTask'; choose one: .* task='/v2/task/echo'"):
            await client.model("raw", task="EchoTask")
        assert (await (await client.model("raw", task="/v2/task/echo")).run("a")).text == "a"


async def test_a_document_that_changes_is_read_once(http_wire: Wire) -> None:
    async with RemoteClient(http_wire.target) as client:
        await asyncio.gather(*(client.model("raw") for _ in range(10)), client.describe(), client.models())
        await http_wire.faults({"GET /openapi.json": {"status": 500}})
        await client.model("raw")
    assert (await http_wire.stats())["started"]["GET /openapi.json"] == 1


async def test_a_document_that_cannot_be_had_is_asked_for_again(http_wire: Wire) -> None:
    async with RemoteClient(http_wire.target) as client:
        for fault in ({"status": 503}, {"body": "<html>"}, {"body": document(ref("A"), A=ref("A"))}):
            await http_wire.faults({"GET /openapi.json": fault})
            with pytest.raises(RemoteClientError):
                await client.describe()
        await http_wire.faults({"GET /openapi.json": None})
        assert list((await client.describe()).tasks) == ["EchoTask"]
