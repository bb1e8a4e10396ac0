"""Which field of a stream's items is their text."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypedDict

import pytest
from pydantic import BaseModel, Field

from remote_client._calls.text_field import TextField
from remote_client._schema.codec import UnboundCodec
from remote_client._schema.rpc import RemoteRPCDescriptor, TypeName
from remote_client.errors import InputError


class Reason(Enum):
    STOP = 1


class Token(BaseModel):
    """As a text generation streams them."""

    generated_text: str | None = None
    tokens: list[str] = []
    reason: Reason = Reason.STOP
    count: int = 0


class Renamed(BaseModel):
    from_: str = Field(default="", alias="from")


class Typed(TypedDict):
    text: str


@dataclass
class Data:
    text: str
    size: int = 0


class Number(BaseModel):
    number: float


def method(kind: Any) -> RemoteRPCDescriptor:
    signature = inspect.Signature(return_annotation=kind)
    return RemoteRPCDescriptor(signature, "", "", "", codec=UnboundCodec("run", signature))


def read(kind: Any, item: Any, field: str | None = None) -> str:
    rpc = method(kind)
    return TextField(field, rpc).of(item, rpc)


@pytest.mark.parametrize(
    ("kind", "item"),
    [
        (Token, Token(generated_text="a")),
        (Token, {"generated_text": "a", "count": 1}),
        (Renamed, Renamed(**{"from": "a"})),
        (Renamed, {"from": "a"}),
        (Typed, {"text": "a"}),
        (Data, Data("a")),
    ],
    ids=["model", "dict", "renamed", "renamed dict", "typed dict", "dataclass"],
)
def test_the_only_text_field_is_read(kind: Any, item: Any) -> None:
    assert read(AsyncIterator[kind], item) == "a"
    assert read(TypeName("AsyncIterator[Unknown]"), item) == "a"  # known with the item only


def test_an_unset_text_is_empty() -> None:
    assert read(AsyncIterator[Token], Token()) == ""
    assert read(AsyncIterator[Token], {"generated_text": None}) == ""
    assert read(AsyncIterator[Token], {}) == ""


def test_a_field_has_two_names() -> None:
    for name in ("from_", "from"):
        assert read(AsyncIterator[Renamed], {"from": "a"}, name) == "a"


@pytest.mark.parametrize(
    ("kind", "field", "message"),
    [
        (Number, None, "Number has no text field: read the items themselves, or collect()"),
        (Number, "number", "Number has no text field: read the items themselves, or collect()"),
        (Token, "count", "Token has no text field 'count'; it has generated_text"),
    ],
)
def test_what_has_no_such_text_is_refused_at_once(kind: Any, field: str | None, message: str) -> None:
    with pytest.raises(InputError) as refused:
        TextField(field, method(AsyncIterator[kind]))
    assert str(refused.value) == message


def test_an_unknown_type_is_refused_at_its_first_item() -> None:
    rpc = method(TypeName("AsyncIterator[Unknown]"))
    with pytest.raises(InputError, match=r"^dict has several text fields: name one of a, b, as in text"):
        TextField(None, rpc).of({"a": "1", "b": "2"}, rpc)
    with pytest.raises(InputError, match=r"^Number has no text field: "):
        TextField(None, rpc).of(Number(number=1), rpc)
