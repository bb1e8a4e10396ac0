"""Names of a schema as identifiers: which stay, which change, and that no two become one."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remote_client._schema.identifiers import Identifiers, attributes_of, is_identifier, is_name
from remote_client._schema.openapi.document import describe

from .documents import document


@pytest.mark.parametrize("name", ["a", "A1", "_", "_x", "__init__", "match", "type", "print", "a" * 1000])
def test_an_identifier(name: str) -> None:
    assert is_identifier(name)


@pytest.mark.parametrize("name", ["", "1", "a b", "a.b", "ü", "µ", "a\n", "a\x00", "x(print(1))", "\ud800"])
def test_what_is_no_name(name: str) -> None:
    assert not is_name(name)
    assert not is_identifier(name)


@pytest.mark.parametrize("name", ["class", "None", "in", "async"])
def test_a_keyword_is_a_name_and_no_identifier(name: str) -> None:
    assert is_name(name)
    assert not is_identifier(name)


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("a", "b_", "camelCase"), ("a", "b_", "camelCase")),
        (("_x",), ("x",)),
        (("_x", "x"), ("x_", "x")),
        (("_a", "__a", "a"), ("a_", "a_2", "a")),
        (("from", "json", "self", "__class__"), ("from_", "json_", "self_", "class__")),
        (("Config", "model_config"), ("Config_", "model_config_")),
        (("from", "from_"), ("from_2", "from_")),
        (("inputs", "inputs_"), ("inputs", "inputs_")),
        (("a b", "a-b", "a.b"), ("a_b", "a_b_", "a_b_2")),
        (("", "_", " ", "1", "9a"), ("field", "field_", "field_2", "field_1", "field_9a")),
        (("µ_score", "μ_score", "score"), ("score_", "score_2", "score")),
        (("größe",), ("gr_e",)),
        (("x(print(1)or object)",), ("x_print_1_or_object_",)),
        (("a", "a"), ("a",)),
    ],
)
def test_the_attributes_of_names(names: tuple[str, ...], expected: tuple[str, ...]) -> None:
    assert tuple(attributes_of(names).values()) == expected


def test_identifiers_beside_taken_and_reserved_ones() -> None:
    members = Identifiers({"RED"}, reserved={"mro", "RED_"}.__contains__, fallback="member")
    assert members.of_all(["RED", "mro", "1", "in"]) == {"RED": "RED_2", "mro": "mro_", "1": "member_1", "in": "in_"}
    assert members.of("in") == "in_2"


odd_names = st.text(st.sampled_from("a1_ .-µüfield\x00")) | st.sampled_from(["from", "from_", "json", "field_2", "a_2"])


@given(st.lists(odd_names, unique=True, max_size=40))
def test_no_two_names_become_one(names: list[str]) -> None:
    attributes = attributes_of(names)
    assert list(attributes) == names
    assert len(set(attributes.values())) == len(names)
    assert all(is_identifier(each) and not each.startswith("_") for each in attributes.values())
    assert attributes_of(attributes.values()) == {each: each for each in attributes.values()}


@pytest.mark.parametrize("make", [lambda i: f"{chr(0x4E00 + i)}", lambda i: "_" * i + "a", lambda i: f"a_{i}"])
@pytest.mark.parametrize("extra", [(), ("class", "a!")])
def test_names_cost_as_much_as_they_are_many(make: Callable[[int], str], extra: tuple[str, ...]) -> None:
    looked_at: list[str] = []

    def reserved(name: str) -> bool:
        looked_at.append(name)
        return False

    names = [*map(make, range(1, 2000)), *extra]
    identifiers = Identifiers(reserved=reserved).of_all(names)
    assert len(looked_at) <= 4 * len(names)
    assert sum(map(len, identifiers.values())) <= sum(map(len, names)) + 12 * len(names)


@pytest.mark.parametrize("names", [("µ_score", "μ_score", "score"), ("_a", "a"), ("ﬁeld", "field"), ("a b", "a\x00b")])
def test_a_document_keeps_the_values_of_all_names(names: tuple[str, ...]) -> None:
    properties = {name: {"type": "string"} for name in names}
    thing = {"type": "object", "title": "made.up.Thing", "properties": properties}
    method = describe(document(thing)).tasks["MadeUpTask"].methods[0]
    values = {name: name for name in names}
    answer = method.codec.decode(json.dumps(values).encode(), "pydantic")
    attributes = attributes_of(names)
    assert {name: eval(f"it.{attributes[name]}", {"it": answer}) for name in names} == values  # as users type it
    assert json.loads(answer.model_dump_json(by_alias=True)) == values


def test_a_property_called_as_what_models_of_unions_have() -> None:
    lists = [{"type": "array", "items": {"type": kind}} for kind in ("string", "integer")]
    thing = {
        "type": "object",
        "title": "made.up.Thing",
        "properties": {"untag": {"type": "string"}, "u": {"anyOf": lists}},
    }
    method = describe(document(thing)).tasks["MadeUpTask"].methods[0]
    answer = method.codec.decode(b'{"untag": "x", "u": {"values": [1]}}', "pydantic")
    assert (answer.untag, answer.u) == ("x", [1])
