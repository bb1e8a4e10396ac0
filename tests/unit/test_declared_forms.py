"""Which types declarations take, as arguments and as answers, over both protocols."""

from __future__ import annotations

import enum
import json
import typing
from collections.abc import AsyncIterable, AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NewType

import pytest
import typing_extensions
from pydantic import BaseModel, ConfigDict, Field

from remote_client import RemoteModuleBase
from remote_client._schema.declaration import declaration_of
from remote_client._schema.declared.document import description_of
from remote_client._schema.declared.matching import match
from remote_client._schema.openapi.document import describe
from remote_client.declare import module, taskmethod
from remote_client.errors import InvalidResponseError, SchemaError

from .documents import COMPLETE
from .library import DESCRIPTION, REQUEST, echo

HTTP = describe(COMPLETE)
Name = NewType("Name", str)
Alias = typing_extensions.TypeAliasType("Alias", Annotated[Name, Field(min_length=1)])
T = typing_extensions.TypeVar("T")
Many = typing_extensions.TypeAliasType("Many", Sequence[T], type_params=(T,))


def declared(zoo: Any, result: Any, note: Any = None | str, **more: Any) -> Any:
    """A declaration of the unit library's method, with these types."""

    async def run(self: Any, zoo: Any, count: int = 1, note: Any = None) -> Any:
        raise NotImplementedError

    run.__annotations__ = {"zoo": zoo, "count": int, "note": note, "return": result}

    @module(task="EchoTask", **more)
    class Echo(RemoteModuleBase):
        pass

    Echo.run = taskmethod()(run)  # type: ignore[attr-defined]
    return declaration_of(Echo)


def codec(zoo: Any, result: Any, note: Any = None | str) -> Any:
    (_, methods), *_ = match(declared(zoo, result, note), DESCRIPTION, "grpc")[0]
    return methods[0].codec


def sent(codec: Any, *args: Any, **kwargs: Any) -> Any:
    return REQUEST.FromString(codec.encode("", args, kwargs))


def answer(codec: Any, **fields: Any) -> Any:
    return codec.decode(echo(fields, "proto").SerializeToString(), "pydantic")


# -- over HTTP, of what a server says of itself -----------------------------------------------------------------------


def http_codec(zoo: Any, result: Any) -> Any:
    async def run(self: Any, zoo: Any) -> Any:
        raise NotImplementedError

    run.__annotations__ = {"zoo": zoo, "return": result}

    @module(task="ZooTask")
    class Zoos(RemoteModuleBase):
        pass

    Zoos.run = taskmethod()(run)  # type: ignore[attr-defined]
    (_, methods), *_ = match(declaration_of(Zoos), HTTP, "http")[0]
    return methods[0].codec


FORMS = {
    "Literal": Literal["x", "y"],
    "NewType": Name,
    "Annotated": Annotated[str, Field(max_length=3)],
    "alias": Alias,
    "optional Literal": Literal["x"] | None,
    "Annotated optional": Annotated[Name | None, "mark"],
    "Literal with None": Literal["x", None],
}
EACH_FORM = pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)


@EACH_FORM
def test_a_parameters_form(form: Any) -> None:
    assert sent(codec(Any, Any, form), {}, note="x").note == "x"


@EACH_FORM
def test_a_fields_form(form: Any) -> None:
    class Mine(BaseModel):
        model_config = ConfigDict(arbitrary_types_allowed=False)

        a_string: form
        many_string: Sequence[form] = ()
        times: Many[Any] = ()
        colors_by_name: Mapping[Name, Any] = {}
        by_int: Mapping[int, form] = {}

    Over = typing.TypedDict("Over", {"text": form, "texts": Many[form]})  # noqa: UP013 - the form is a value
    grpc = codec(Mine, Mine)
    got = answer(grpc, a_string="x", many_string=["x", "x"], by_int={1: "x"})
    assert got == Mine(a_string="x", many_string=["x", "x"], times=[], by_int={1: "x"})
    assert sent(grpc, got).zoo.many_string == ["x", "x"]
    http = http_codec(Over, Over)
    over = http.decode(b'{"text": "x", "texts": ["x"]}', "pydantic")
    assert over == {"text": "x", "texts": ["x"]}
    assert json.loads(http.encode("m", (over,), {}))["inputs"] == over


class Checked(typing.TypedDict):
    label: typing.Required[Literal["x"]]
    lat: typing.NotRequired[float]


class Extended(typing_extensions.TypedDict, total=False):
    label: typing_extensions.Required[Literal["x"]]
    lat: float


class Outer(typing.TypedDict, total=False):
    place: Checked | None
    places: list[Checked]
    places_by_name: dict[str, Checked]


class OuterExtended(typing_extensions.TypedDict, total=False):
    place: Extended | None
    places: list[Extended]
    places_by_name: dict[str, Extended]


@pytest.mark.parametrize("kind", [Outer, OuterExtended], ids=["typing", "typing_extensions"])
def test_typed_dicts(kind: Any) -> None:
    place = {"label": "x", "lat": 1.5}
    zoo = {"place": place, "places": [place], "places_by_name": {"a": place}}
    grpc = codec(kind, kind)
    assert sent(grpc, zoo).zoo.places_by_name["a"].label == "x"
    assert answer(grpc, **zoo) == zoo
    with pytest.raises(InvalidResponseError, match=r"places\.0\.label"):
        answer(grpc, places=[{"label": "z"}])
    http = http_codec(kind, kind)
    assert json.loads(http.encode("m", (zoo,), {}))["inputs"] == zoo
    assert http.decode(json.dumps(zoo | {"text": None}).encode(), "pydantic") == zoo
    alone = description_of(declared(kind, kind)).tasks["EchoTask"].methods[0].codec
    assert json.loads(alone.encode("m", (zoo,), {}))["inputs"] == zoo


def test_a_field_that_must_be_there_may_be_none() -> None:
    class Place(BaseModel):
        label: str

    class Mine(BaseModel):
        place: Place | None
        opt_string: str | None

    class Dict(typing.TypedDict):
        place: Checked | None

    assert answer(codec(Any, Mine)) == Mine(place=None, opt_string=None)
    assert answer(codec(Any, Dict)) == {"place": None}
    assert http_codec(Any, Dict).decode(b'{"place": null}', "pydantic") == {"place": None}


def test_mappings_for_messages() -> None:
    grpc = codec(Mapping[str, Any], Mapping[str, Any])
    assert sent(grpc, {"a_string": "x"}).zoo.a_string == "x"
    assert answer(grpc, a_string="x")["a_string"] == "x"


Words = typing_extensions.TypeAliasType("Words", AsyncIterable[str])
Answers = typing_extensions.TypeAliasType("Answers", AsyncIterator[str])


def test_streams_by_another_name() -> None:
    @module(task="EchoTask")
    class Streams(RemoteModuleBase):
        @taskmethod()
        def run(self, words: Words, more: Annotated[AsyncIterable[int], "mark"]) -> Answers:
            raise NotImplementedError

    (method,) = declaration_of(Streams).methods
    assert (method.streams, method.result, method.output_streaming) == ({"words": str, "more": int}, str, True)


class Odd:
    pass


@dataclass
class Inside:
    odd: Odd


UNUSABLE = {
    "class": (Odd, "Odd"),
    "list": (list[Odd], "Odd"),
    "union": (Odd | int, "Odd"),
    "dataclass": (list[Inside], "Odd|Inside"),
    "callable": (Callable[[], int], "Callable"),
}


@pytest.mark.parametrize(("kind", "named"), UNUSABLE.values(), ids=UNUSABLE)
def test_what_cannot_be_used_is_named(kind: Any, named: str) -> None:
    for use in (
        lambda: codec(Any, kind),
        lambda: http_codec(Any, kind),
        lambda: description_of(declared(Any, kind)),
        lambda: description_of(declared(kind, Any)),
    ):
        with pytest.raises(SchemaError, match=named) as caught:
            use()
        assert "pydantic" not in str(caught.value)


def test_differences_are_told_behind_other_names() -> None:
    for kind in (Literal[1], NewType("Number", int), typing_extensions.TypeAliasType("Int", int)):
        with pytest.raises(SchemaError, match="note is str on the server, not"):
            codec(Any, Any, kind)
    with pytest.raises(SchemaError, match=r"zoo has no field nothing"):
        codec(typing.TypedDict("Nothing", {"nothing": int}), Any)
    with pytest.raises(SchemaError, match=r"zoo\.many_string\[\] is str on the server, not int"):
        codec(typing.TypedDict("Wrong", {"many_string": Sequence[int]}), Any)


# -- enums ------------------------------------------------------------------------------------------------------------


class Shade(enum.Enum):
    RED = 0
    GREEN = 1
    BLUE = 7


class Numbered(enum.IntEnum):
    RED = 0
    GREEN = 1
    BLUE = 7


class Named(enum.StrEnum):
    RED = "RED"
    GREEN = "GREEN"
    BLUE = "BLUE"


class Lower(str, enum.Enum):  # noqa: UP042 - as many write it
    RED = "red"
    GREEN = "green"
    BLUE = "blue"


class Words_(enum.Enum):
    """Its values are the server's names."""

    first = "RED"
    second = "GREEN"
    third = "BLUE"


def zoo_of(kind: Any) -> Any:
    class Mine(BaseModel):
        color: kind
        colors: list[kind] = []

    return Mine


@pytest.mark.parametrize("kind", [Shade, Numbered, Named, Lower, Words_])
def test_ones_own_enum_is_given_and_taken_back(kind: Any) -> None:
    red, green, blue = kind
    Mine = zoo_of(kind)
    grpc = codec(Mine, Mine)
    got = answer(grpc, color="GREEN", colors=["BLUE", "RED"])
    assert got == Mine(color=green, colors=[blue, red])
    again = sent(grpc, got).zoo
    assert (again.color, list(again.colors)) == (1, [7, 0])
    http = http_codec(Mine, Mine)
    over = http.decode(b'{"color": "GREEN", "colors": ["BLUE", "RED"]}', "pydantic")
    assert over == got
    if kind in (Shade, Numbered):  # the document tells numbers only
        assert json.loads(http.encode("m", (over,), {}))["inputs"] == {"color": 1, "colors": [7, 0]}


def test_enums_in_unions_maps_and_typed_dicts() -> None:
    class Mine(typing.TypedDict, total=False):
        color: Shade | None
        mixed: Shade | Any
        colors_by_name: Mapping[str, Shade]

    grpc = codec(Mine, Mine)
    got = answer(grpc, color="BLUE", mixed="GREEN", colors_by_name={"a": "RED"})
    assert got == {"color": Shade.BLUE, "mixed": Shade.GREEN, "colors_by_name": {"a": Shade.RED}}
    assert sent(grpc, got).zoo.mixed_color == 1


def test_an_enum_as_text_is_its_name_on_both() -> None:
    class Mine(BaseModel):
        color: str
        colors: list[Literal["RED", "BLUE"]]

    grpc, http = codec(Any, Mine), http_codec(Any, Mine)
    assert answer(grpc, color="BLUE", colors=["RED"]) == Mine(color="BLUE", colors=["RED"])
    assert http.decode(b'{"color": "BLUE", "colors": ["RED"]}', "pydantic") == Mine(color="BLUE", colors=["RED"])


def test_a_tree_with_enums_and_itself() -> None:
    class Tree(BaseModel):
        name: Named | Literal["x"]
        children: list[Tree] = []

    Tree.model_rebuild(_types_namespace={"Tree": Tree})

    class Mine(BaseModel):
        tree: Tree

    tree = {"name": "RED", "children": [{"name": "x", "children": [{"name": "BLUE"}]}]}
    got = answer(codec(Mine, Mine), tree=tree)
    assert got.tree.children[0].children[0].name is Named.BLUE


def test_extra_fields_and_enums_in_arguments_are_sent() -> None:
    class Mine(BaseModel):
        model_config = ConfigDict(extra="allow")

    mine = Mine(a_string=Lower.GREEN, color=Lower.GREEN, by_str={Named.RED: 1})
    zoo = sent(codec(Any, Any), mine).zoo
    assert (zoo.a_string, zoo.color, dict(zoo.by_str)) == ("green", 1, {"RED": 1})


class Trains:
    """No module itself."""

    async def train(self, training_data: list[str]) -> Any:
        raise NotImplementedError


@module(task="SampleTask")
class Trained(Trains, RemoteModuleBase):
    pass


class Derived(Trained):
    pass


@module(task="SampleTask")
class Another(Trained):
    pass


@pytest.mark.parametrize(("declared", "trains"), [(Trained, True), (Derived, True), (Another, False)])
def test_a_training_is_that_of_the_nearest_declared_class(declared: type, trains: bool) -> None:
    assert (declaration_of(declared).train is not None) == trains
