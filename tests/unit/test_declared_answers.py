"""Answers of declared methods: the declared type checks them itself, whatever the server's own types let pass."""

from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import BaseModel, field_validator

from remote_client import RemoteModuleBase
from remote_client._schema.declaration import declaration_of
from remote_client._schema.declared.matching import match
from remote_client.declare import module, task, taskmethod
from remote_client.errors import InvalidResponseError

from .library import DESCRIPTION, ECHO


class Checked(BaseModel):
    a_string: str
    a_int32: int

    @field_validator("a_string")
    @classmethod
    def shout(cls, value: str) -> str:
        return value.upper()

    @field_validator("a_int32")
    @classmethod
    def positive(cls, value: int) -> int:
        if value < 0:
            raise ValueError("must not be negative")
        return value


@task
class EchoTask:
    """As the library's."""


@module("11110203-0405-0607-0809-0a0b02dd0e0f", "Echo", "0.1.0", task=EchoTask)
class Echo(RemoteModuleBase):
    @taskmethod()
    async def echo(self, zoo: Any, count: int) -> Checked:
        raise NotImplementedError


def answer(declared: type = Echo, **fields: Any) -> Any:
    (_, methods), *_ = match(declaration_of(declared), DESCRIPTION, "grpc")[0]
    message = ECHO.codec.decode(b"", "proto")
    for name, value in fields.items():
        setattr(message, name, value)
    return methods[0].codec.decode(message.SerializeToString(), "pydantic")


@dataclass
class Placed:
    a_string: str
    place: dict[str, Any] | None


@module("11110203-0405-0607-0809-0a0b02dd0e10", "Placing", "0.1.0", task=EchoTask)
class Placing(RemoteModuleBase):
    @taskmethod()
    async def echo(self, zoo: Any, count: int) -> Placed:
        raise NotImplementedError


def test_a_required_field_of_a_dataclass_may_be_unset() -> None:
    assert answer(Placing, a_string="x") == Placed("x", None)


def test_the_users_validators_run() -> None:
    assert answer(a_string="x", a_int32=5) == Checked(a_string="X", a_int32=5)
    with pytest.raises(InvalidResponseError, match=r"a_int32: .*must not be negative"):
        answer(a_string="x", a_int32=-1)
