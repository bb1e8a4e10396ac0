"""The files of a model: what may be sent, and what would leave its folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from remote_client.deployment import check_name, checked_files, read_folder
from remote_client.errors import InputError

OUTSIDE = ["../x", "a/../../x", "/etc/x", "..", "", ".", "a\\..\\x", "c:x", "a\x00b", "a\nb"]


@pytest.mark.parametrize("name", [*OUTSIDE, "a/b", "ü", 5])
def test_names_of_models(name: Any) -> None:
    with pytest.raises(InputError):
        check_name(name)


def test_good_names() -> None:
    for name in ("foo", "foo-1.2_x", "Foo Bar", "..."):
        check_name(name)
    assert checked_files({"a": b"1", "b/c d.x": bytearray(b"2"), "ü": memoryview(b"3")}) == [
        {"filename": "a", "data": b"1"},
        {"filename": "b/c d.x", "data": b"2"},
        {"filename": "ü", "data": b"3"},
    ]


@pytest.mark.parametrize("files", [{}, *({name: b""} for name in OUTSIDE), {"a": "text"}, {5: b""}])
def test_bad_files(files: Any) -> None:
    with pytest.raises(InputError):
        checked_files(files)


def test_a_folder(tmp_path: Path) -> None:
    (tmp_path / "deep" / "empty").mkdir(parents=True)
    (tmp_path / "deep" / "b").write_bytes(b"2")
    (tmp_path / "a").write_bytes(b"1")
    (tmp_path / "link").symlink_to(tmp_path / "a")
    assert read_folder(tmp_path) == {"a": b"1", "deep/b": b"2", "link": b"1"}
    assert read_folder(str(tmp_path)) == read_folder(tmp_path)


def test_what_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is no folder"):
        read_folder(tmp_path / "missing")
    inner = tmp_path / "model"
    inner.mkdir()
    (tmp_path / "secret").write_bytes(b"")
    (inner / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(InputError, match="leads out of the folder"):
        read_folder(inner)
