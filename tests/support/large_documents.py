"""OpenAPI documents of any size, by what they have much of."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from itertools import count
from typing import Any

from remote_client._schema.budget import Budget
from remote_client._schema.openapi import document as openapi
from remote_client._schema.rpc import ServiceDescription

from .large_schemas import NO_LIMITS

Schema = dict[str, Any]
Shape = Callable[[int], bytes]
TEXT: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}
NULL: Schema = {"type": "null"}
TRAININGS = "/management/trainings"
_DESCRIBED = count()


def describe(data: bytes, budget: Budget | None = None) -> ServiceDescription:
    """Describe a document, with types that no description before had."""
    own = data.replace(b'"large.', b'"large_%d.' % next(_DESCRIBED))
    return openapi.describe(own, budget or Budget(limits=NO_LIMITS))


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def array(items: Any) -> Schema:
    return {"type": "array", "items": items}


def mapping(values: Any) -> Schema:
    return {"type": "object", "additionalProperties": values}


def any_of(*members: Any) -> Schema:
    return {"anyOf": list(members)}


def model(title: str = "made.up.Answer", /, **properties: Any) -> Schema:
    return {"type": "object", "title": title, "properties": properties}


def operation(answer: Any, **request: Any) -> Schema:
    """What a document says of a method."""
    return {
        "requestBody": {"content": {"application/json": {"schema": model("Request", **request)}}},
        "responses": {"200": {"content": {"application/json": {"schema": answer}}}},
    }


def document(answer: Any, schemas: dict[str, Any] | None = None, **request: Any) -> bytes:
    """A document with one task."""
    paths = {"/api/v1/task/made-up": {"post": operation(answer, **request)}}
    return json.dumps({"paths": paths, "components": {"schemas": schemas or {}}}).encode()


def _routes(size: int) -> bytes:
    return json.dumps({"paths": {f"/task/t{i}": {"post": operation(TEXT, inputs=TEXT)} for i in range(size)}}).encode()


def _trainings(size: int) -> bytes:
    operations = operation(TEXT, parameters=model("Parameters", rows=INTEGER, size=INTEGER))
    paths = {f"/api/v1/SampleTaskModule{i}Train": {"post": operations} for i in range(size)}
    return json.dumps({"paths": paths | {TRAININGS: {"get": {}, "delete": {}}}}).encode()


def _parameters(size: int) -> bytes:
    fields = {f"p{i}": {**any_of(INTEGER, NULL), "default": i} for i in range(size)}
    name = "MadeUpTaskRequestParameters"
    return document(TEXT, {name: model("large.Parameters", **fields)}, inputs=TEXT, parameters=ref(name))


def _answer(size: int, field: Callable[[int], tuple[str, Any]]) -> bytes:
    return document(model("large.Answer", **dict(map(field, range(size)))))


def _types(size: int, references: Callable[[int], list[int]]) -> bytes:
    """Objects that refer to others by their numbers."""
    fields = [{f"f{at}": ref(f"M{other}") for at, other in enumerate(references(i))} for i in range(size)]
    schemas = {f"M{i}": model(f"large.M{i}", x=TEXT, **each) for i, each in enumerate(fields)}
    return document(model("large.Answer", **{f"f{i}": ref(f"M{i}") for i in range(size)}), schemas)


def _of_earlier_types(size: int) -> bytes:
    draw = random.Random(1)
    return _types(size, lambda i: [draw.randrange(i) for _ in range(3)] if i else [])


def _nested(size: int) -> bytes:
    """Types inside of each other, nine levels each."""
    inner = TEXT
    for _ in range(3):
        inner = array(mapping(any_of(INTEGER, inner)))
    return _answer(size, lambda i: (f"f{i}", inner))


def _union(size: int) -> bytes:
    schemas = {f"M{i}": model(f"large.M{i}", x=TEXT) for i in range(size)}
    return document(model("large.Answer", any=any_of(*map(ref, schemas))), schemas)


def _aliases(size: int) -> bytes:
    return document(ref("A0"), {f"A{i}": ref(f"A{i + 1}") for i in range(size)} | {f"A{size}": TEXT})


SHAPES: dict[str, Shape] = {
    "routes": _routes,
    "trainings": _trainings,
    "parameters": _parameters,
    "fields": lambda size: _answer(size, lambda i: (f"f{i}", TEXT)),
    "fields_that_are_no_identifiers": lambda size: _answer(size, lambda i: (f"{i} x", TEXT)),
    "fields_with_defaults": lambda size: _answer(size, lambda i: (f"f{i}", {**array(INTEGER), "default": [1, 2]})),
    "values_of_an_enum": lambda size: _answer(1, lambda _: ("e", {**TEXT, "enum": [f"v{i}" for i in range(size)]})),
    "objects": lambda size: _types(size, lambda _: []),
    "objects_of_one_title": lambda size: _answer(size, lambda i: (f"f{i}", model("large.T", **{f"x{i}": TEXT}))),
    "objects_that_repeat": lambda size: _answer(size, lambda i: (f"f{i}", model("large.T", x=TEXT))),
    "chain": lambda size: _types(size, lambda i: [i + 1] if i + 1 < size else []),
    "circle": lambda size: _types(size, lambda i: [(i + 1) % size]),
    "chain_in_both_directions": lambda size: _types(size, lambda i: [max(i - 1, 0), min(i + 1, size - 1)]),
    "objects_of_earlier_objects": _of_earlier_types,
    "nested_schemas": _nested,
    "members_of_a_union": _union,
    "references_to_references": _aliases,
}
