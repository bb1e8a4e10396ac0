"""Servers whose OpenAPI documents are hostile or odd, as both clients see them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from remote_client import sync
from remote_client._client.client import RemoteClient
from remote_client.errors import RemoteClientError, SchemaError
from tests.support.http_server import plain
from tests.support.http_wire import CLOSE, HttpWire, repeat, send
from tests.support.large_documents import SHAPES, any_of, array, document, mapping, model, ref

TEXT = {"type": "string"}


def doubled(levels: int, around: Callable[[Any], Any]) -> bytes:
    """A document of a few kilobytes whose type is very large."""
    schemas = {f"L{i}": around(ref(f"L{i + 1}")) for i in range(levels)}
    return document(model("made.up.Answer", x=ref("L0")), {**schemas, f"L{levels}": TEXT})


REFUSED: dict[str, tuple[bytes, str]] = {
    "laughs": (doubled(30, lambda inner: any_of(array(inner), mapping(inner))), "inside of each other"),
    "references in a circle": (document(ref("A"), {"A": ref("B"), "B": ref("A")}), "refers to itself"),
    "a long title": (document(model("x" * 5_000)), "letters"),
    "many routes": (SHAPES["routes"](20_001), "names"),
}
READ: dict[str, bytes] = {
    "no schema": document({"type": "string", "format": ["x"]}, inputs={"anyOf": 5}),
    "nothing as it should be": document({"type": "object", "properties": {"a": 5}}, inputs=5, parameters=[None]),
    "an input called parameters": document(
        TEXT,
        {"MadeUpTaskRequestInputs": model("In", parameters=TEXT, other=TEXT)},
        inputs=ref("MadeUpTaskRequestInputs"),
        parameters=ref("Lost"),
    ),
    "lists of themselves": document(ref("A"), {"A": array(ref("A"))}),
    "a long chain": SHAPES["chain"](200),
}


async def described(target: str, blocking: bool) -> Any:
    """What a client tells of its server; which works on afterwards."""
    if not blocking:
        async with RemoteClient(target) as client:
            try:
                return await client.describe()
            finally:
                assert await client.healthy()

    def in_a_thread() -> Any:
        with sync.RemoteClient(target) as client:
            try:
                return client.describe()
            finally:
                assert client.healthy()

    return await asyncio.to_thread(in_a_thread)


@pytest.mark.parametrize("blocking", [False, True], ids=["asyncio", "blocking"])
@pytest.mark.parametrize("name", REFUSED)
async def test_a_hostile_document_is_an_error_that_names_the_limit(
    http_wire: HttpWire, name: str, blocking: bool
) -> None:
    body, limit = REFUSED[name]
    await http_wire.faults({"GET /openapi.json": {"body": body.decode()}})
    with pytest.raises(SchemaError, match=limit):
        await described(http_wire.target, blocking)


@pytest.mark.parametrize("blocking", [False, True], ids=["asyncio", "blocking"])
async def test_a_document_without_end_is_not_read_to_it(http_wire: HttpWire, blocking: bool) -> None:
    size = 42 * 1024 * 1024
    head = plain(b"", 200, {"content-length": size})
    steps = [send(head + b'{"paths": {'), repeat(b'"/x": {}, ' * 100, size // 1_000), CLOSE]
    await http_wire.faults({"GET /openapi.json": {"steps": steps}})
    with pytest.raises(SchemaError, match="larger than 16777216 bytes"):
        await described(http_wire.target, blocking)


@pytest.mark.parametrize("blocking", [False, True], ids=["asyncio", "blocking"])
@pytest.mark.parametrize("name", READ)
async def test_an_odd_document_is_read(http_wire: HttpWire, name: str, blocking: bool) -> None:
    await http_wire.faults({"GET /openapi.json": {"body": READ[name].decode()}})
    description = await described(http_wire.target, blocking)
    assert "MadeUpTask" in str(description)


@pytest.mark.parametrize("name", ["types", "properties", "paths"])
async def test_what_is_no_schema_at_all(http_wire: HttpWire, name: str) -> None:
    odd = {"types": {"paths": {"/task/x": {"post": []}}}, "properties": {"paths": {"/x": 5}}, "paths": {"paths": 5}}
    await http_wire.faults({"GET /openapi.json": {"body": odd[name]}})
    try:
        description = await described(http_wire.target, blocking=False)
    except RemoteClientError as error:
        assert isinstance(error, SchemaError)
    else:
        assert description.tasks == {}
