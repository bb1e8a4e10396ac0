"""The command of schemas on file: classes, comparisons and compiled files without a server, and what is overwritten."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from remote_client._cli.main import main
from remote_client._schema.differences import Difference
from tests.support.contracts import FILES, changed, set_of
from tests.support.stubs import imported

from .test_http_differences import DOCUMENT, GONE
from .test_http_differences import changed as changed_document

OTHER = "rpc OtherTaskPredict (OtherTaskRequest) returns (caikit_data_model.test.Output);"


class Schemas(NamedTuple):
    """A schema, and one that has a task less."""

    suffix: str
    old: bytes
    new: bytes

    @property
    def lost(self) -> str:
        return "OtherTask.run_other" if self.suffix == ".binpb" else "SampleTask"


SCHEMAS = {
    "grpc": Schemas(".binpb", set_of(FILES), set_of(changed((OTHER, "")))),
    "http": Schemas(
        ".json",
        json.dumps(DOCUMENT).encode(),
        json.dumps(changed_document((("paths", "/api/v1/task/sample"), GONE))).encode(),
    ),
}


@pytest.fixture(params=SCHEMAS)
def schemas(request: pytest.FixtureRequest) -> Schemas:
    return SCHEMAS[request.param]


@pytest.fixture
def folder(schemas: Schemas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with both schemas."""
    monkeypatch.chdir(tmp_path)
    Path(f"old{schemas.suffix}").write_bytes(schemas.old)
    Path(f"new{schemas.suffix}").write_bytes(schemas.new)
    return tmp_path


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(arguments)
    return code, *capsys.readouterr()


# -- classes


@pytest.mark.usefixtures("extra")
def test_classes_of_a_file_name_it(schemas: Schemas, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert call(capsys, "stubs", "--schema", f"old{schemas.suffix}", "-o", "t.py") == (0, "", "")
    written = (folder / f"t{schemas.suffix}").read_bytes()
    assert written == schemas.old or json.loads(written) == json.loads(schemas.old)
    with imported(Path("t.py").read_text(), folder) as module:
        assert f'schema="t{schemas.suffix}"' in Path("t.py").read_text()
        assert module.SampleTask


@pytest.mark.usefixtures("extra")
def test_classes_of_a_file_go_to_standard_output(
    schemas: Schemas, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = call(capsys, "stubs", "--sync", "--schema", f"old{schemas.suffix}")
    assert (code, err) == (0, "")
    assert "from remote_client.sync import" in out
    assert "schema=" not in out


@pytest.mark.usefixtures("extra", "folder")
@pytest.mark.parametrize(
    "named", [("-t", "a:1"), ("--proxy", "env"), ("a:1",)], ids=["a target", "a proxy", "a target alone"]
)
def test_a_file_and_a_server_are_not_both_asked(
    named: tuple[str, ...], schemas: Schemas, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REMOTE_CLIENT_TARGET", "b:1")
    code, out, err = call(capsys, "stubs", *named, "--schema", f"old{schemas.suffix}")
    assert (code, out) == (2, "")
    assert "--schema asks no server" in err
    assert call(capsys, "stubs", "--schema", f"old{schemas.suffix}")[0] == 0


# -- what is overwritten


def write(schemas: Schemas, which: str, *more: str) -> int:
    return main(["stubs", "--schema", f"{which}{schemas.suffix}", "-o", "t.py", *more])


@pytest.mark.usefixtures("extra", "folder")
@pytest.mark.parametrize("sync", [(), ("--sync",)])
def test_an_unedited_file_is_written_anew(sync: tuple[str, ...], schemas: Schemas) -> None:
    assert write(schemas, "old", *sync) == 0
    before = Path("t.py").read_text()
    assert write(schemas, "old", *sync) == 0
    assert Path("t.py").read_text() == before
    assert write(schemas, "new") == 0
    assert Path("t.py").read_text() != before


@pytest.mark.usefixtures("extra", "folder")
@pytest.mark.parametrize("text", ["{}# mine\n", "answer = 42\n", "\xff"], ids=["edited", "foreign", "bytes"])
def test_what_stubs_did_not_write_is_not_overwritten(
    text: str, schemas: Schemas, capsys: pytest.CaptureFixture[str]
) -> None:
    assert write(schemas, "old") == 0
    file, beside = Path("t.py"), Path(f"t{schemas.suffix}")
    held = text.format(file.read_text()).encode("latin-1"), beside.read_bytes()
    file.write_bytes(held[0])
    assert write(schemas, "new") == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "-o t.py: " in err
    assert "--force" in err
    assert f"remote-client schema -o t{schemas.suffix}" in err
    assert (file.read_bytes(), beside.read_bytes()) == held
    assert write(schemas, "new", "--force") == 0
    assert file.read_bytes() != held[0]
    assert beside.read_bytes() != held[1]


@pytest.mark.usefixtures("extra", "folder")
@pytest.mark.parametrize("held", [b'{"name": "a package"}', b"no schema", b"\xff"])
def test_a_file_beside_that_is_no_schema_is_not_overwritten(
    held: bytes, schemas: Schemas, capsys: pytest.CaptureFixture[str]
) -> None:
    beside = Path(f"t{schemas.suffix}")
    beside.write_bytes(held)
    assert write(schemas, "old") == 2
    assert f"t{schemas.suffix} exists and is no schema" in capsys.readouterr().err
    assert (beside.read_bytes(), Path("t.py").exists()) == (held, False)
    assert write(schemas, "old", "--force") == 0
    assert beside.read_bytes() != held


@pytest.mark.usefixtures("extra", "folder")
def test_an_empty_file_holds_nothing(schemas: Schemas) -> None:
    Path("t.py").touch()
    assert write(schemas, "old") == 0


@pytest.mark.usefixtures("extra", "folder")
@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("nowhere/t.py", "nowhere/t{} cannot be written: No such file or directory"),
        ("folder.py", "folder.py cannot be read: Is a directory"),
    ],
)
def test_a_file_that_cannot_be_written_is_told(
    path: str, told: str, schemas: Schemas, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("folder.py").mkdir()
    code, out, err = call(capsys, "stubs", "--schema", f"old{schemas.suffix}", "-o", path)
    assert (code, out, err) == (1, "", f"remote-client: {told.format(schemas.suffix)}\n")


# -- comparisons


@pytest.mark.usefixtures("folder")
def test_two_files_are_compared(schemas: Schemas, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = (f"{which}{schemas.suffix}" for which in ("old", "new"))
    assert call(capsys, "schema", "--schema", old, "--check", old) == (0, "", "")
    code, out, err = call(capsys, "schema", "--schema", new, "--check", old)
    assert (code, err) == (1, "")
    assert out.startswith(f"breaking: {schemas.lost}: ")
    code, out, err = call(capsys, "schema", "--schema", old, "--check", new)
    assert (code, err) == (0, "")
    assert out.startswith(f"compatible: {schemas.lost.partition('.')[0]}")


@pytest.mark.usefixtures("folder")
def test_differences_are_told_as_json(schemas: Schemas, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = (f"{which}{schemas.suffix}" for which in ("old", "new"))
    assert call(capsys, "schema", "--schema", old, "--check", old, "--json") == (0, "[]\n", "")
    code, out, _ = call(capsys, "schema", "--schema", new, "--check", old, "--json")
    assert code == 1
    told = json.loads(out)
    assert (told[0]["path"], told[0]["breaking"]) == (schemas.lost, True)
    plain = call(capsys, "schema", "--schema", new, "--check", old)[1].splitlines()
    assert plain == [str(Difference(**each)) for each in told]


def broken(schemas: Schemas) -> list[bytes]:
    """Schemas that look like one."""
    if schemas.suffix == ".json":
        return [b"{}", b'{"paths": 5}', b"{"]
    files = FileDescriptorSet.FromString(schemas.old).file
    lacking = [each for each in files if each.name != "data.proto"]
    return [FileDescriptorSet(file=lacking).SerializeToString(), b"\x0a\x03abc"]


@pytest.mark.usefixtures("folder")
@pytest.mark.parametrize("option", ["--check", "--schema"])
def test_a_file_of_no_use_is_wrong_use(option: str, schemas: Schemas, capsys: pytest.CaptureFixture[str]) -> None:
    good, bad = f"old{schemas.suffix}", f"bad{schemas.suffix}"
    used = {"--check": good, "--schema": good, option: bad}
    arguments = ["schema", "--json", *(word for pair in used.items() for word in pair)]
    for data in (None, b"no schema", *broken(schemas)):
        if data is not None:
            Path(bad).write_bytes(data)
        code, out, err = call(capsys, *arguments)
        assert (code, out, err.count("\n")) == (2, "", 1), (data, err)
        assert bad in err


@pytest.mark.usefixtures("extra", "folder")
def test_classes_of_a_broken_file_are_wrong_use(schemas: Schemas, capsys: pytest.CaptureFixture[str]) -> None:
    for data in broken(schemas):
        Path("bad").write_bytes(data)
        code, out, err = call(capsys, "stubs", "--schema", "bad", "-o", "t.py")
        assert (code, out) == (2, "")
        assert "--schema: bad: " in err
        assert not Path("t.py").exists()


def test_the_files_must_be_of_one_protocol(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, schemas in SCHEMAS.items():
        Path(name).write_bytes(schemas.old)
    code, out, err = call(capsys, "schema", "--schema", "grpc", "--check", "http")
    assert (code, out) == (2, "")
    assert "--check: http has an OpenAPI document; over grpc it takes descriptors of protobuf" in err


def test_proto_files_are_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("protos").mkdir()
    for name, text in FILES.items():
        Path("protos", name).write_text(text)
    assert call(capsys, "schema", "--schema", "protos", "-o", "a.binpb") == (0, "", "")
    assert {*FILES} < {each.name for each in FileDescriptorSet.FromString(Path("a.binpb").read_bytes()).file}
    assert call(capsys, "schema", "--schema", "a.binpb", "--check", "protos") == (0, "", "")
    assert call(capsys, "stubs", "--schema", "protos", "-o", "t.py") == (0, "", "")
    assert Path("t.binpb").exists()
