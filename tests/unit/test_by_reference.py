"""Models of a server refer to each other, in their core schemas too."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import BaseModel

from remote_client._schema import openapi
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
