"""The code of converters: no name of a server's is part of it, whatever the types are called."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import pytest
from google.protobuf.descriptor import Descriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from pydantic import BaseModel

from remote_client._schema.protobuf.descriptor_pools import pool_of
from remote_client._schema.protobuf.generated_converters import Converters
from remote_client._schema.protobuf.services import describe
from tests.support.protobuf import can_be_field

from .library import add_field


def method_of(file: FileDescriptorProto) -> Any:
    (method,) = describe({file.name: file}, ["odd.OddService"]).tasks["OddTask"].methods
    return method


def odd_file() -> FileDescriptorProto:
    """`OddTaskPredict` from `Odd` to `Odd`, which is yet to be filled."""
    file = FileDescriptorProto(name="odd.proto", package="odd", syntax="proto3")
    file.message_type.add(name="Odd")
    method = file.service.add(name="OddService").method.add(name="OddTaskPredict")
    method.input_type = method.output_type = ".odd.Odd"
    return file


def test_types_whose_names_differ_in_underscores_and_dots() -> None:
    """`a_.b` and `a._b`."""
    file = odd_file()
    for outer, inner, member in (("a_", "b", "OF_B"), ("a", "_b", "OF_UNDERSCORE")):
        enum = file.message_type.add(name=outer).enum_type.add(name=inner)
        enum.value.add(name=f"NONE_{member}")
        enum.value.add(name=member, number=1)
    add_field(file.message_type[0], "one", "enum odd.a_.b")
    add_field(file.message_type[0], "other", "enum odd.a._b")
    codec = method_of(file).codec
    values = {"one": "OF_B", "other": "OF_UNDERSCORE"}
    data = codec.encode("", (), values)
    assert codec.decode(data, "dict") == values
    assert codec.decode(data, "pydantic").model_dump(mode="json") == values


def converters_of(file: FileDescriptorProto) -> tuple[Converters, Descriptor]:
    types = Converters(lambda descriptor: BaseModel, lambda descriptor: IntEnum)
    return types, pool_of({file.name: file}).FindMessageTypeByName("odd.Odd")


@pytest.mark.parametrize("form", ["model", "dict", "numpy"])
def test_names_that_generated_code_has(form: Any) -> None:
    """Attributes that are identifiers, and text; nothing of types."""
    file = odd_file()
    for name in filter(can_be_field, ("plain", "class", "__debug__", "print")):
        add_field(file.message_type[0], name, "odd.Odd", repeated=True)
    types, odd = converters_of(file)
    for code in (types.encoder(odd).__code__, types.decoder(odd, form).__code__):
        names = {*code.co_names, *code.co_varnames, code.co_name, code.co_filename}
        assert {"plain", "print"} <= names
        assert not any("odd" in each.lower() or each in ("class", "__debug__") for each in names)


def test_converters_of_a_long_chain_of_types() -> None:
    """Each is generated on its own, so the depth of Python's stack is no limit."""
    file = odd_file()
    for number in range(1, 2001):
        file.message_type.add(name=f"T{number}")
        add_field(file.message_type[number - 1], "inner", f"odd.T{number}")
    types, odd = converters_of(file)
    assert types.encoder(odd)(object(), {}) is None
    assert callable(types.decoder(odd, "make"))
