"""The schema file that a declared class names is found beside the class's Python file, however that was imported."""

from __future__ import annotations

import functools
import gc
import importlib
import importlib.util
import subprocess
import sys
import types
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from remote_client import ConnectionInfo, RemoteClient, RemoteModuleConfig
from remote_client._schema.declaration import declaration_of
from remote_client._schema.declared.schemas import schema_for
from remote_client._schema.protobuf import services as protobuf_services
from remote_client._schema.schema_file import SchemaFile
from remote_client.errors import ConfigurationError
from remote_client.settings import Protocol
from tests.support.wire_schema import descriptor_set, document

SET, DOCUMENT = descriptor_set(), document()
TEXT = """
from remote_client import RemoteModuleBase
from remote_client.declare import module, taskmethod

@module(task="SampleTask", schema={schema!r})
class Sample(RemoteModuleBase):
    @taskmethod()
    async def run(self, sample_input: dict) -> dict:
        raise NotImplementedError

@module(task="OtherTask", schema={schema!r})
class Other(Sample):
    pass
"""
Import = Callable[..., types.ModuleType]


@pytest.fixture
def imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Import]:
    """Imports what was written into the test's folder, or into a zip file there."""
    before = {*sys.modules}

    def do(name: str, *more: str) -> types.ModuleType:
        monkeypatch.syspath_prepend(str(Path(tmp_path, *more)))
        return importlib.import_module(name)

    yield do
    for name in {*sys.modules} - before:
        del sys.modules[name]


def write(
    folder: Path, name: str = "stubs.py", schema: str = "runtime.binpb", data: bytes | None = SET, text: str = TEXT
) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text.format(schema=schema))
    if data is not None:
        (folder / schema).parent.mkdir(exist_ok=True)
        (folder / schema).write_bytes(data)


def schema_of(declared: Any) -> SchemaFile | None:
    return schema_for(declaration_of(declared), "grpc")


def test_beside_a_module(tmp_path: Path, imported: Import) -> None:
    write(tmp_path)
    schema = schema_of(imported("stubs").Sample)
    assert schema is not None
    assert (schema.data, schema.name, schema.protocol) == (SET, str(tmp_path / "runtime.binpb"), "grpc")


@pytest.mark.parametrize("name", ["parts/runtime.binpb", "../runtime.binpb"])
def test_in_another_folder(name: str, tmp_path: Path, imported: Import) -> None:
    write(tmp_path / "stubs_package", "__init__.py", name)
    schema = schema_of(imported("stubs_package").Sample)
    assert schema is not None
    assert schema.data == SET


def test_in_a_package(tmp_path: Path, imported: Import) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").touch()
    write(tmp_path / "package" / "inner", "stubs.py")
    assert schema_of(imported("package.inner.stubs").Sample)


@pytest.mark.parametrize("name", ["stubs", "package.stubs"])
def test_in_a_zip_file(name: str, tmp_path: Path, imported: Import) -> None:
    folder = Path(*name.split(".")[:-1])
    with zipfile.ZipFile(tmp_path / "app.zip", "w") as file:
        file.writestr("package/__init__.py", "")
        file.writestr(str(folder / "stubs.py"), TEXT.format(schema="runtime.binpb"))
        file.writestr(str(folder / "runtime.binpb"), SET)
    schema = schema_of(imported(name, "app.zip").Sample)
    assert schema is not None
    assert schema.data == SET
    assert schema.name == str(tmp_path / "app.zip" / folder / "runtime.binpb")


def test_missing_in_a_zip_file(tmp_path: Path, imported: Import) -> None:
    with zipfile.ZipFile(tmp_path / "app.zip", "w") as file:
        file.writestr("stubs.py", TEXT.format(schema="runtime.binpb"))
    with pytest.raises(
        ConfigurationError, match=r"Sample: schema: .*app\.zip/runtime\.binpb cannot be read: .*no such"
    ):
        schema_of(imported("stubs", "app.zip").Sample)


@pytest.mark.parametrize(("schema", "protocol"), [("runtime.binpb", "grpc"), ("runtime.json", "http")])
@pytest.mark.parametrize("more", [(), ("app.zip",)], ids=["folder", "zip"])
def test_a_file_that_was_not_packaged_is_told(
    schema: str, protocol: Protocol, more: tuple[str, ...], tmp_path: Path, imported: Import
) -> None:
    write(tmp_path, schema=schema, data=None)
    with zipfile.ZipFile(tmp_path / "app.zip", "w") as file:
        file.write(tmp_path / "stubs.py", "stubs.py")
    declaration = declaration_of(imported("stubs", *more).Sample)
    with pytest.raises(
        ConfigurationError, match=rf"/{schema} .*beside the Python file, and into a wheel as package data$"
    ):
        schema_for(declaration, protocol)
    other: Protocol = "http" if protocol == "grpc" else "grpc"
    assert schema_for(declaration, other) is None  # which would have no use for the file


@pytest.mark.parametrize(
    ("schema", "data", "told"),
    [
        ("missing.binpb", None, r"/missing\.binpb cannot be read: No such file or directory"),
        ("runtime.binpb", b"GIF89a", r"/runtime\.binpb is not a schema"),
        ("runtime.binpb", b"", r"/runtime\.binpb is not a schema"),
        (".", None, " cannot be read: Is a directory"),
        ("nul\0", None, " cannot be read"),
    ],
)
def test_a_file_that_is_none_is_told_when_it_is_needed(
    schema: str, data: bytes | None, told: str, tmp_path: Path, imported: Import
) -> None:
    write(tmp_path, schema=schema, data=data)
    declared = imported("stubs").Sample
    with pytest.raises(ConfigurationError, match="^Sample: schema: .*" + told):
        schema_of(declared)
    with pytest.raises(ConfigurationError, match="^Sample: schema: .*" + told):
        RemoteModuleConfig.load_from_module(
            declared, ConnectionInfo(hostname="h", port=1), "grpc", "mm-model-id", "foo"
        )
    if data is None and schema == "missing.binpb":
        (tmp_path / schema).write_bytes(SET)
        assert schema_of(declared)


def test_a_file_is_read_once_and_not_before_it_is_needed(tmp_path: Path, imported: Import) -> None:
    write(tmp_path, data=None)
    stubs = imported("stubs")
    (tmp_path / "runtime.binpb").write_bytes(SET)
    first = schema_of(stubs.Sample)
    (tmp_path / "runtime.binpb").unlink()
    assert schema_of(stubs.Sample) is schema_of(stubs.Other) is first


async def test_a_file_is_parsed_once_for_models_that_come_and_go(
    tmp_path: Path, imported: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, text=TEXT.replace("-> dict", "-> object"))
    declared = imported("stubs").Sample
    parsed: list[bytes] = []

    @functools.wraps(protobuf_services.describe_set)
    def describe(data: bytes, *more: Any) -> Any:
        parsed.append(data)
        return describe_set(data, *more)

    describe_set = protobuf_services.describe_set
    monkeypatch.setattr(protobuf_services, "describe_set", describe)
    gc.collect()  # drops descriptions of earlier tests, which are shared
    async with RemoteClient("localhost:1") as client:
        for name in ("a", "b"):
            await client.model(name, declared)
            gc.collect()
    assert parsed == [SET]


def test_a_reloaded_module_reads_its_file_anew(tmp_path: Path, imported: Import) -> None:
    write(tmp_path)
    stubs = imported("stubs")
    assert schema_of(stubs.Sample)
    (tmp_path / "runtime.binpb").unlink()
    with pytest.raises(ConfigurationError, match="cannot be read"):
        schema_of(importlib.reload(stubs).Sample)


def test_classes_derived_elsewhere_have_it_too(tmp_path: Path, imported: Import) -> None:
    write(tmp_path / "written")
    text = "from written.stubs import Sample\nfrom remote_client.declare import module\n"
    text += "class Plain(Sample):\n    pass\n"
    text += "@module('an-id', task='SampleTask')\nclass Named(Sample):\n    pass\n"
    text += "@module(task='SampleTask', schema='own.binpb')\nclass Own(Sample):\n    pass\n"
    (tmp_path / "mine.py").write_text(text)
    (tmp_path / "own.binpb").write_bytes(SET)
    mine = imported("mine")
    assert schema_of(mine.Plain) is schema_of(mine.Named) is schema_of(mine.Sample)
    own = schema_of(mine.Own)
    assert own is not None
    assert own.name == str(tmp_path / "own.binpb")


def test_a_schema_of_the_other_protocol_is_none(tmp_path: Path, imported: Import) -> None:
    write(tmp_path, schema="runtime.json", data=DOCUMENT)
    declaration = declaration_of(imported("stubs").Sample)
    assert schema_for(declaration, "grpc") is None
    document = schema_for(declaration, "http")
    assert document is not None
    assert document.data == DOCUMENT


def test_a_class_without_a_schema_has_none(tmp_path: Path, imported: Import) -> None:
    (tmp_path / "stubs.py").write_text(TEXT.replace(", schema={schema!r}", ""))
    assert schema_of(imported("stubs").Sample) is None


def test_a_class_of_no_file_wants_the_whole_path(tmp_path: Path) -> None:
    made = types.ModuleType("made_here")
    sys.modules["made_here"] = made
    try:
        exec(TEXT.format(schema="runtime.binpb"), vars(made))
        with pytest.raises(ConfigurationError, match=r"runtime\.binpb .* made_here has none: give an absolute path"):
            schema_of(made.Sample)
        assert schema_for(declaration_of(made.Sample), "http") is None
        whole = tmp_path / "whole.binpb"
        whole.write_bytes(SET)
        exec(TEXT.format(schema=str(whole)), vars(made))
        assert schema_of(made.Sample)
    finally:
        del sys.modules["made_here"]


def test_a_loader_that_reads_no_data(tmp_path: Path) -> None:
    write(tmp_path)
    made = types.ModuleType("made_here")
    made.__file__ = str(tmp_path / "stubs.py")
    sys.modules["made_here"] = made
    try:
        exec(TEXT.format(schema="runtime.binpb"), vars(made))
        assert schema_of(made.Sample)
    finally:
        del sys.modules["made_here"]


@pytest.mark.parametrize("start", [["stubs.py"], ["-m", "stubs"], ["app.pyz"]], ids=["script", "-m", "zipapp"])
def test_of_a_program(start: list[str], tmp_path: Path) -> None:
    write(tmp_path)
    text = (tmp_path / "stubs.py").read_text()
    text += "from remote_client._schema.declared.schemas import schema_for\n"
    text += "from remote_client._schema.declaration import declaration_of\n"
    text += "print(len(schema_for(declaration_of(Sample), 'grpc').data))\n"
    (tmp_path / "stubs.py").write_text(text)
    with zipfile.ZipFile(tmp_path / "app.pyz", "w") as file:
        file.writestr("__main__.py", text)
        file.writestr("runtime.binpb", SET)
    ended = subprocess.run(
        [sys.executable, *start], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.stdout, ended.stderr) == (f"{len(SET)}\n", "")
