"""Files written of odd schemas: they import, do nothing, and declare what the server has."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from remote_client._client.introspection import parse_schema
from remote_client._schema.declaration import declaration_of, is_declared
from remote_client._schema.declared.schemas import schema_for
from remote_client._schema.openapi import document as openapi
from remote_client._schema.protobuf import services as protobuf_services
from remote_client._schema.protobuf.oneofs import OneofDict
from remote_client._stubs.source import docstring_text, literal
from remote_client._stubs.writer import render
from tests.support.odd_schemas import SCHEMAS, Schema
from tests.support.packages import needs
from tests.support.slow import slow_if
from tests.support.stubs import check_declarations, check_only_defines, imported

NAMES = ["runtime.binpb", "ü 'a'.json", "\\n\u202e.binpb", f"{'x' * 100}.binpb", f"{'x' * 200}.json"]
SOME = ["grpc trainings", "http trainings that are code"]


@pytest.mark.sampled(9)
@pytest.mark.parametrize(
    ("schema", "blocking"),
    [
        pytest.param(schema, blocking, id=f"{name}-{'blocking' if blocking else 'asyncio'}", marks=slow_if(is_slow))
        for name, schema in SCHEMAS.items()
        for blocking, is_slow in ((False, False), (True, name not in SOME))
    ],
)
def test_a_file_of_an_odd_schema(
    schema: Schema, blocking: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    description = schema.describe()
    text = render(description, "a\nserver", blocking=blocking)
    check_only_defines(text)
    with imported(text, tmp_path) as module:
        check_declarations(module, description, schema.protocol)
    assert capsys.readouterr() == ("", "")
    assert render(description, "a\nserver", blocking=blocking) == text


def bytes_of(schema: Schema) -> bytes:
    """The file of an odd schema."""
    given: list[Any] = []
    with (
        mock.patch.object(protobuf_services, "describe", lambda files, *_: given.append(files)),
        mock.patch.object(openapi, "describe", lambda document, _: given.append(document)),
    ):
        schema.describe()
    (told,) = given
    return told if isinstance(told, bytes) else FileDescriptorSet(file=told.values()).SerializeToString()


@pytest.mark.sampled(8)
@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
async def test_the_classes_of_an_odd_schema_fit_its_file(schema: Schema, tmp_path: Path) -> None:
    (tmp_path / "odd.schema").write_bytes(bytes_of(schema))
    with imported(render(schema.describe(), "a server", schema="odd.schema"), tmp_path) as module:
        first = next(each for each in vars(module).values() if is_declared(each))
        found = schema_for(declaration_of(first), schema.protocol)
        assert found is not None
        check_declarations(module, await parse_schema(found), schema.protocol)


@pytest.mark.parametrize(
    ("value", "source"),
    [
        (None, "None"),
        (True, "True"),
        (-5, "-5"),
        (1e300, "1e300"),
        (float("nan"), 'float("nan")'),
        (float("-inf"), 'float("-inf")'),
        ("a, b", '"a, b"'),
        ('say "x"', "'say \"x\"'"),
        ("\\", '"\\\\"'),
        ("\u202e\x00é", '"\\u202e\\x00é"'),
        (b"\x00'", 'b"\\x00\'"'),
        ([1, {"a": [None]}], '[1, {"a": [None]}]'),
        ({}, "{}"),
    ],
)
def test_the_literal_of_a_value(value: Any, source: str) -> None:
    assert literal(value) == source
    assert repr(eval(source)) == repr(value)


def test_what_has_no_literal() -> None:
    for value in (object(), (1,), [object()], {"a": {1}}, 10**400, Path(), OneofDict("a", {})):
        assert literal(value) is None


def test_no_value_is_nested_too_deeply_for_python() -> None:
    value: Any = []
    for _ in range(1000):
        value = [value]
    assert literal(value) is None


def test_what_a_docstring_says() -> None:
    assert docstring_text('a"""\n\tb\\ \u202e\x00\u2028é', 100) == "a''' b/ ?? é"
    assert docstring_text(" " * 5, 100) == ""
    assert docstring_text("a" * 50, 10) == "a" * 10


def test_a_comment_tells_what_the_server_calls_a_name(tmp_path: Path) -> None:
    text = render(SCHEMAS["grpc members of enums"].describe(), "a server")
    assert "    class_ = 1  # 'class' on the server\n" in text
    text = render(SCHEMAS["grpc names of parameters"].describe(), "a server")
    assert "        dict_: _str,  # 'dict' on the server\n" in text
    text = render(SCHEMAS["http names of fields"].describe(), "a server")
    assert '    score_: _float | None = _Field(default=0.5, alias="µ_score")\n' in text
    with imported(text, tmp_path) as module:
        assert module.Odd.model_validate({"µ_score": 1.0, "score": 2.0}).model_dump(by_alias=True)["µ_score"] == 1.0


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("schema", SOME)
def test_classes_name_the_schema_beside_them(schema: str, name: str, tmp_path: Path) -> None:
    text = render(SCHEMAS[schema].describe(), "a server", schema=name)
    check_only_defines(text)
    with imported(text, tmp_path) as module:
        declared = [each for each in vars(module).values() if is_declared(each) and each.__module__ == module.__name__]
        assert declared
        paths = [declaration_of(each).schema for each in declared]
        assert [each and each.name for each in paths] == [name] * len(declared)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("schema", SOME)
def test_ruff_leaves_a_file_as_it_is(schema: str, name: str) -> None:
    needs("ruff")
    text = render(SCHEMAS[schema].describe(), "a server", schema=name)
    formatted = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--isolated", "--line-length=120", "-"],
        input=text.encode(),
        capture_output=True,
        timeout=60,
        check=True,
    )
    assert formatted.stdout.decode() == text


def test_defaults_keep_their_text() -> None:
    text = render(SCHEMAS["http a long signature"].describe(), "a server")
    assert text.count('str | None = "a, b",\n') == 12
