"""Models of a server refer to each other, in their core schemas too."""

from __future__ import annotations

import json
from typing import Any, ForwardRef, Optional

import pytest
from pydantic import BaseModel, ValidationError, create_model

from remote_client._schema import model_references
from remote_client._schema.budget import Budget
from remote_client._schema.model_references import ByReference, complete
from remote_client._schema.openapi import document as openapi
from tests.unit.documents import document

TEXT = {"type": "string"}


def ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def model(name: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "title": f"made.up.{name}", "properties": properties}


SCHEMAS = {
    "Leaf": model("Leaf", at={"type": "string", "format": "date-time"}, _data={"type": "string", "format": "binary"}),
    "Pair": model("Pair", one=ref("Leaf"), other=ref("Leaf"), either={"anyOf": [ref("Leaf"), TEXT]}),
    "Node": model("Node", pair=ref("Pair"), next=ref("Node"), all={"type": "array", "items": ref("Leaf")}),
}
LEAF = {"at": "2026-01-02T00:00:00Z", "_data": "YWI="}
NODE = {"pair": {"one": LEAF, "either": "x"}, "next": {"all": [LEAF, {}], "more": 5}}
KINDS = openapi.describe(document(ref("Node"), schemas=SCHEMAS)).types


def of_a_users(kind: Any) -> type[BaseModel]:
    class Theirs(BaseModel):
        node: kind

    return Theirs


def test_a_core_schema_does_not_grow_with_the_models_around() -> None:
    chain = {f"M{i}": model(f"M{i}", next=ref(f"M{i + 1}"), text=TEXT) for i in range(50)}
    types = openapi.describe(document(ref("M0"), schemas=chain)).types
    sizes = [len(str(types[f"made.up.M{i}"].__pydantic_core_schema__)) for i in (1, 48)]
    assert sizes[0] < 1.1 * sizes[1]


def test_a_json_schema_has_all_definitions() -> None:
    told = KINDS["made.up.Node"].model_json_schema()
    assert set(told["$defs"]) == {"Node", "Pair", "Leaf"}
    assert set(told["$defs"]["Pair"]["properties"]) == {"one", "other", "either"}
    assert "Leaf" in of_a_users(KINDS["made.up.Pair"]).model_json_schema()["$defs"]


@pytest.mark.parametrize("force", [False, True])
def test_a_users_model_has_one_as_a_field(force: bool) -> None:
    theirs = of_a_users(KINDS["made.up.Node"])
    theirs.model_rebuild(force=force)
    value: Any = theirs.model_validate_json(json.dumps({"node": NODE}))
    assert value.node == KINDS["made.up.Node"].model_validate_json(json.dumps(NODE))
    assert type(value.node.pair.one) is KINDS["made.up.Leaf"]
    assert theirs.model_validate(value) == value
    assert json.loads(value.model_dump_json(exclude_unset=True)) == {"node": NODE}
    assert value.model_dump(exclude_unset=True) == {"node": value.node.model_dump(exclude_unset=True)}


def circle(size: int) -> list[type[BaseModel]]:
    """Models of which each has one of the next and several of its own kind."""
    made: list[type[BaseModel]] = []
    for i in range(size):
        following: Any = (Optional[ForwardRef(f"_{(i + 1) % size}")], None)  # noqa: UP045 - forward references have no |
        own: Any = (list[ForwardRef(f"_{i}")], [])  # type: ignore[misc]
        fields: Any = {"data": (bytes, b""), "next": following, "own": own}
        config: Any = {"extra": "forbid", "val_json_bytes": "base64", "ser_json_bytes": "base64"}
        base = type("Base", (ByReference,), {"model_config": config, "__module__": __name__})
        made.append(create_model(f"M{i}", __base__=base, __module__=__name__, **fields))
    complete(made, {f"_{i}": kind for i, kind in enumerate(made)}, Budget())
    return made


def test_many_models_that_refer_to_each_other_are_completed_one_by_one() -> None:
    made = circle(200)
    assert all(kind.__pydantic_complete__ for kind in made)
    sizes = [len(str(made[i].__pydantic_core_schema__)) for i in (10, 150)]
    assert sizes[0] < 1.1 * sizes[1]


CIRCLE = circle(3)
with pytest.MonkeyPatch.context() as patched:
    patched.setattr(model_references, "_MOST_MODELS", 2)
    CIRCLE += circle(3)  # these do not have copies of each other's core schemas


@pytest.mark.parametrize("kind", CIRCLE)
def test_a_circle_of_models_takes_and_gives_what_each_does(kind: Any) -> None:
    told = {"data": "YQ==", "next": {"own": [{}, {"data": "Yg=="}], "next": {"next": {"next": {"data": "Yw=="}}}}}
    value = kind.model_validate_json(json.dumps(told))
    assert value.next.own[1].data == b"b"
    assert type(value.next.next.next) is kind
    assert json.loads(value.model_dump_json(exclude_unset=True)) == told
    assert kind.model_validate(value.model_dump()) == value


@pytest.mark.parametrize("kind", CIRCLE)
def test_an_error_in_a_circle_of_models_has_the_whole_path(kind: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        kind.model_validate({"next": {"next": {"next": {"own": [{"wrong": 1}]}}}})
    assert [each["loc"] for each in caught.value.errors()] == [("next", "next", "next", "own", 0, "wrong")]


@pytest.mark.parametrize("kind", [*CIRCLE, of_a_users(CIRCLE[0]), of_a_users(CIRCLE[3])])
@pytest.mark.parametrize("mode", ["validation", "serialization"])
def test_a_json_schema_of_a_circle_has_each_model_once(kind: Any, mode: Any) -> None:
    told = kind.model_json_schema(mode=mode)["$defs"]
    assert told.keys() == {"M0", "M1", "M2"}
    assert all(each["properties"].keys() >= {"data", "next", "own"} for each in told.values())
