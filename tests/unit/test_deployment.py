"""The files of a model: what may be sent, what would leave its folder, and folders read whole or not at all."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from remote_client._client import deployment
from remote_client._client.deployment import check_links, check_name, checked_files, read_folder
from remote_client.errors import InputError

OUTSIDE = ["../x", "a/../../x", "/etc/x", "..", "", ".", "a\\..\\x", "c:x", "a\x00b", "a\nb"]
CHANGED = ["a/", "a ", " a", "a\udcff", "a\u00a0", "\u202ea"]
"""Names that the runtime would change, or that cannot be sent or shown."""


@pytest.mark.parametrize("name", [*OUTSIDE, "a/b", "ü", 5])
def test_names_of_models(name: Any) -> None:
    with pytest.raises(InputError):
        check_name(name)


def test_good_names() -> None:
    for name in ("foo", "foo-1.2_x", "Foo Bar", "..."):
        check_name(name)
    files: Any = {"a": b"1", "b/c d.x": bytearray(b"2"), "ü": memoryview(b"3"), "A": b"4"}
    assert checked_files(files) == [
        {"filename": "a", "data": b"1"},
        {"filename": "b/c d.x", "data": b"2"},
        {"filename": "ü", "data": b"3"},
        {"filename": "A", "data": b"4"},
    ]
    assert checked_files({"./a//b": b"1"}) == [{"filename": "a/b", "data": b"1"}]


@pytest.mark.parametrize("files", [{}, *({name: b""} for name in OUTSIDE + CHANGED), {"a": "text"}, {5: b""}])
def test_bad_files(files: Any) -> None:
    with pytest.raises(InputError):
        checked_files(files)


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"a": b"", "./a": b""}, "'a' is given twice"),
        ({"a": b"", "a/b/c": b""}, "'a' is a file and the folder of 'a/b/c'"),
        ({"a": b"123", "b": b"456"}, "6 bytes are more than a message of gRPC can have"),
    ],
    ids=["twice", "a file and a folder", "too large"],
)
def test_files_that_cannot_be_in_one_model(files: Any, told: str) -> None:
    with pytest.raises(InputError, match=told):
        checked_files(files, limit=5)


@pytest.mark.parametrize("links", ["Follow", True, "", 0, []])
def test_what_links_may_be(links: Any) -> None:
    check_links(None)
    check_links("follow")
    with pytest.raises(InputError, match="links: expected None or 'follow', not"):
        check_links(links)


# -- folders ----------------------------------------------------------------------------------------------------------


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A folder with a file, and another beside it that is none of the model's."""
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "a").write_bytes(b"1")
    (tmp_path / "outside" / "deep").mkdir(parents=True)
    (tmp_path / "outside" / "deep" / "b").write_bytes(b"2")
    return folder


def test_a_folder(tmp_path: Path) -> None:
    (tmp_path / "deep" / "empty").mkdir(parents=True)
    (tmp_path / "deep" / "b").write_bytes(b"2")
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / ".hidden").write_bytes(b"3")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert read_folder(tmp_path) == {".hidden": b"3", "a": b"1", "deep/b": b"2", "link": b"1"}
    others: Any = str(tmp_path), os.fsencode(tmp_path), f"{tmp_path}/deep/../"
    for same in others:
        assert read_folder(same) == read_folder(tmp_path)


def test_what_is_no_folder(model: Path) -> None:
    for wrong in (model / "missing", model / "a", "", "a\x00b", model / "a" / "b"):
        with pytest.raises(InputError, match="is no folder"):
            read_folder(wrong)
    for odd in (5, 2**20, None, [("config.yml", b"")]):
        with pytest.raises(InputError, match="files: expected a mapping or the path of a folder, not"):
            read_folder(odd)  # type: ignore[arg-type]
    (model / "link").symlink_to(model.parent / "outside" / "deep" / "b")
    with pytest.raises(InputError, match=r"'link' is a link that leads out of the folder.* links=\"follow\""):
        read_folder(model)


def test_links_that_stay_inside_are_followed(model: Path) -> None:
    (model / "real" / "deep").mkdir(parents=True)
    (model / "real" / "deep" / "b").write_bytes(b"2")
    (model / "folder").symlink_to("real", target_is_directory=True)
    (model / "absolute").symlink_to(model / "real" / "deep", target_is_directory=True)
    (model / "chain").symlink_to("folder/deep/b")
    (model / "real" / "sibling").symlink_to("../a")
    assert read_folder(model) == {
        "a": b"1",
        "absolute/b": b"2",
        "chain": b"2",
        "folder/deep/b": b"2",
        "folder/sibling": b"1",
        "real/deep/b": b"2",
        "real/sibling": b"1",
    }


def test_a_folder_that_is_a_link_itself(model: Path) -> None:
    (model / "inner").symlink_to("a")
    link = model.parent / "link"
    link.symlink_to(model)
    assert read_folder(link) == {"a": b"1", "inner": b"1"}


@pytest.mark.parametrize("target", ["../outside", "../outside/deep/b", "../model-2/x"])
def test_links_that_lead_out(model: Path, target: str) -> None:
    (model.parent / "model-2").mkdir()  # a name that begins as the folder's does
    (model.parent / "model-2" / "x").write_bytes(b"3")
    (model / "sub").mkdir()
    (model / "sub" / "link").symlink_to(model / target)
    with pytest.raises(InputError, match="'sub/link' is a link that leads out of the folder"):
        read_folder(model)
    found = read_folder(model, "follow")
    assert len(found) == 2
    assert list(found)[1].startswith("sub/link")


def test_a_cache_of_hugging_face(tmp_path: Path) -> None:
    """Its snapshots are links to blobs; a followed folder may have links of its own."""
    cache = tmp_path / "models--org--name"
    snapshot = cache / "snapshots" / "4f2c"
    (snapshot / "onnx").mkdir(parents=True)
    (cache / "blobs").mkdir()
    for name, content in (("config.json", b"{}"), ("onnx/model.onnx", b"onnx")):
        blob = cache / "blobs" / f"blob-of-{len(content)}"
        blob.write_bytes(content)
        (snapshot / name).symlink_to(os.path.relpath(blob, (snapshot / name).parent))
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "again").symlink_to(snapshot / "config.json")
    (snapshot / "more").symlink_to(tmp_path / "more")
    assert read_folder(snapshot, "follow") == {
        "config.json": b"{}",
        "more/again": b"{}",
        "onnx/model.onnx": b"onnx",
    }
    with pytest.raises(InputError, match=r"'config\.json' is a link that leads out of the folder"):
        read_folder(snapshot)


def fifo(folder: Path) -> None:
    os.mkfifo(folder / "entry")


def unix_socket(folder: Path) -> None:
    here = Path.cwd()
    os.chdir(folder)  # a socket's path is at most 107 bytes long
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind("entry")
    finally:
        os.chdir(here)


def link(target: str) -> Callable[[Path], None]:
    return lambda folder: (folder / "entry").symlink_to(target)


def link_in_a_folder(target: str) -> Callable[[Path], None]:
    def make(folder: Path) -> None:
        (folder / "sub").mkdir()
        (folder / "sub" / "entry").symlink_to(target)

    return make


def two_links(folder: Path) -> None:
    (folder / "one").mkdir()
    (folder / "two").mkdir()
    (folder / "one" / "entry").symlink_to("../two")
    (folder / "two" / "entry").symlink_to("../one")


def in_the_way(folder: Path) -> None:
    (folder / "entry").symlink_to("a/b")


@pytest.mark.parametrize("links", [None, "follow"])
@pytest.mark.parametrize(
    ("make", "told"),
    [
        (fifo, "'entry' is a FIFO, not a file"),
        (unix_socket, "'entry' is a socket, not a file"),
        (link("missing"), "'entry' is a link that leads nowhere"),
        (link("entry"), "'entry' is a link that leads back to itself"),
        (link("."), "'entry' is a link that leads back to a folder it is in"),
        (link_in_a_folder(".."), "'sub/entry' is a link that leads back to a folder it is in"),
        (link_in_a_folder("../sub"), "'sub/entry' is a link that leads back to a folder it is in"),
        (two_links, r"'(one|two)/entry/entry' is a link that leads back to a folder it is in"),
        (in_the_way, "'entry' cannot be read: Not a directory"),
        (lambda folder: (folder / "entry ").write_bytes(b""), "'entry ' .* white space"),
        (lambda folder: (folder / "ent\\ry").write_bytes(b""), r"'ent\\\\ry' would not be a file"),
        (lambda folder: (folder / "ent\nry").write_bytes(b""), r"'ent\\nry' would not be a file"),
        (lambda folder: Path(os.fsdecode(b"%b/ent\xffry" % bytes(folder))).write_bytes(b""), r"'ent\\udcffry' would"),
        (lambda folder: Path(os.fsdecode(b"%b/ent\xffry" % bytes(folder))).mkdir(), r"'ent\\udcffry' would"),
    ],
    ids=[
        "FIFO",
        "socket",
        "dangling",
        "itself",
        "the folder",
        "its parent",
        "its folder",
        "in turn",
        "through a file",
        "white space",
        "backslash",
        "line break",
        "no UTF-8",
        "no UTF-8, empty",
    ],
)
def test_nothing_is_left_out_silently(
    model: Path, make: Callable[[Path], None], told: str, links: deployment.Links
) -> None:
    make(model)
    with pytest.raises(InputError, match=f"^files: {told}"):
        read_folder(model, links)


@pytest.mark.parametrize("target", ["/dev/zero", "/dev/null"])
def test_devices(model: Path, target: str) -> None:
    (model / "entry").symlink_to(target)
    with pytest.raises(InputError, match="'entry' is a device, not a file"):
        read_folder(model, "follow")
    with pytest.raises(InputError, match="'entry' is a link that leads out of the folder"):
        read_folder(model)


def test_a_link_that_leads_back_from_outside(model: Path) -> None:
    (model / "there").symlink_to(model.parent / "outside")
    (model.parent / "outside" / "back").symlink_to(model)
    with pytest.raises(InputError, match="'there/back' is a link that leads back to a folder it is in"):
        read_folder(model, "follow")


@pytest.fixture
def forbidden() -> Iterator[Path]:
    """A folder of which only the superuser may read everything, read by somebody else."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    user = os.geteuid()
    yield folder
    os.seteuid(user)
    for each in folder.rglob("*"):
        each.chmod(0o700)
    shutil.rmtree(folder)


@pytest.mark.parametrize("kind", ["file", "folder", "itself", "no way in"])
def test_what_may_not_be_read(forbidden: Path, kind: str) -> None:
    (forbidden / "sub").mkdir()
    (forbidden / "sub" / "file").write_bytes(b"1")
    chosen, mode, told = {
        "file": ("sub/file", 0o000, "'sub/file' cannot be read: Permission denied"),
        "folder": ("sub", 0o000, "'sub' cannot be read: Permission denied"),
        "itself": (".", 0o300, f"'{forbidden}' cannot be read: Permission denied"),
        "no way in": ("sub", 0o444, "'sub/file' cannot be read: Permission denied"),
    }[kind]
    (forbidden / chosen).chmod(mode)
    if os.geteuid() == 0:
        os.seteuid(65534)  # the superuser may read everything
    with pytest.raises(InputError, match=f"^files: {told}"):
        read_folder(forbidden)


def when_opened(monkeypatch: pytest.MonkeyPatch, path: Path, change: Callable[[], Any]) -> None:
    """Change something the moment a file is opened."""

    def changed(file: Any, *args: Any, **options: Any) -> Any:
        if Path(file) == path:
            change()
        return open(file, *args, **options)

    monkeypatch.setattr(deployment, "open", changed, raising=False)


def become(path: Path, make: Callable[[Path], Any]) -> None:
    path.unlink()
    make(path)


@pytest.mark.parametrize(
    ("opened", "change", "told"),
    [
        ("b", lambda folder: (folder / "a").write_bytes(b"longer"), "'a' changed while the folder was read"),
        ("a", lambda folder: (folder / "a").write_bytes(b"longer"), "'a' changed while the folder was read"),
        ("a", lambda folder: os.truncate(folder / "a", 0), "'a' changed while the folder was read"),
        ("a", lambda folder: become(folder / "a", os.mkfifo), "'a' changed while the folder was read"),
        ("a", lambda folder: become(folder / "a", os.mkdir), "'a' cannot be read: Is a directory"),
        ("a", lambda folder: become(folder / "a", lambda a: os.symlink("/dev/zero", a)), "'a' changed while"),
        ("b", lambda folder: os.utime(folder / "b", ns=(5, 5)), "'b' changed while the folder was read"),
        ("b", lambda folder: os.replace(folder.parent / "new", folder / "sub" / "c"), "'sub/c' changed while"),
        ("a", lambda folder: (folder / "b").unlink(), "'b' vanished while the folder was read"),
        ("b", lambda folder: (folder / "a").unlink(), "'a' vanished while the folder was read"),
        ("b", lambda folder: shutil.rmtree(folder / "sub"), "'sub/c' vanished while the folder was read"),
        ("b", lambda folder: (folder / "sub" / "more").write_bytes(b""), "'sub' changed while the folder was read"),
    ],
    ids=[
        "grown",
        "growing",
        "shrunk",
        "a FIFO now",
        "a folder now",
        "a device now",
        "touched",
        "replaced",
        "gone before",
        "gone after",
        "folder gone",
        "one more",
    ],
)
def test_what_changes_while_it_is_read(
    model: Path, monkeypatch: pytest.MonkeyPatch, opened: str, change: Callable[[Path], Any], told: str
) -> None:
    (model / "b").write_bytes(b"2")
    (model / "sub").mkdir()
    (model / "sub" / "c").write_bytes(b"3")
    (model.parent / "new").write_bytes(b"4")
    long_ago = 1_000_000_000_000_000_000  # a file system's clock may tick as slowly as 250 times a second
    for each in model.parent.rglob("*"):
        os.utime(each, ns=(long_ago, long_ago))
    when_opened(monkeypatch, model / opened, lambda: change(model))
    with pytest.raises(InputError, match=told):
        read_folder(model)


def test_too_much_is_told_before_it_is_read(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.truncate(model / "a", 3 << 30)  # it takes no space
    when_opened(monkeypatch, model / "a", lambda: pytest.fail("it was opened"))
    with pytest.raises(InputError, match="files: 3221225472 bytes are more than a message of gRPC can have"):
        read_folder(model, limit=deployment.GRPC_LIMIT)


@pytest.fixture
def deep() -> Iterator[Path]:
    """A folder that is removed by what goes as deep as it may be, which pytest's own folders are not."""
    folder = tempfile.mkdtemp()
    yield Path(folder)
    subprocess.run(["rm", "-rf", folder], check=True)


def test_folders_deeper_than_recursion_may_go(deep: Path) -> None:
    name = "/".join("d" for _ in range(1500))
    (deep / name[:1499]).mkdir(parents=True)
    (deep / name).mkdir(parents=True)
    (deep / name / "b").write_bytes(b"2")
    assert read_folder(deep) == {f"{name}/b": b"2"}
