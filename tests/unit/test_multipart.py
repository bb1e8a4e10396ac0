"""Requests with files: what becomes a part of a form, and what stays JSON."""

from __future__ import annotations

import email
import email.policy
import json
from typing import Any

import pytest

from remote_client._objects.content import Body
from remote_client._schema.openapi.document import describe
from remote_client._schema.openapi.multipart import LARGE
from tests.unit.documents import COMPLETE

DESCRIPTION = describe(COMPLETE)


def encode(task: str, *args: Any, **kwargs: Any) -> bytes:
    return DESCRIPTION.tasks[task].methods[0].codec.encode("m", args, kwargs)


def parts(body: bytes) -> dict[str, tuple[str | None, str | None, bytes]]:
    """Key -> file name, type and content, read by another parser than the runtime's."""
    assert isinstance(body, Body)
    head = f"Content-Type: {body.content_type}\r\n\r\n".encode()
    message = email.message_from_bytes(head + body, policy=email.policy.HTTP)
    found = {}
    for part in message.iter_parts():  # type: ignore[attr-defined]
        kind = part.get_content_type() if part["content-type"] else None
        name = part.get_param("name", header="content-disposition")
        found[name] = (part.get_filename(), kind, part.get_payload(decode=True))
    return found


def test_a_single_file_is_the_input() -> None:
    body = encode("FileTask", {"data": b"\x00\xff\r\n--", "filename": "a.zip", "type": "application/zip"})
    assert parts(body) == {
        "model_id": (None, None, b"m"),
        "inputs": ("a.zip", "application/zip", b"\x00\xff\r\n--"),
    }


def test_a_file_inside_of_a_message_has_a_dotted_key() -> None:
    body = encode("ZooTask", {"text": "t", "blob": b"12", "attachment": {"data": b"", "filename": "ü b.txt"}})
    found = parts(body)
    assert found["inputs.attachment"] == ("ü b.txt", None, b"")
    assert json.loads(found["inputs"][2]) == {"text": "t", "blob": "MTI="}


def test_large_bytes_are_a_file() -> None:
    blob = bytes(range(256)) * (LARGE // 256)
    found = parts(encode("ParametersTask", "t", blob=blob, optional_blob=b"small", number=0))
    assert found["parameters.blob"] == ("bytes", None, blob)
    assert json.loads(found["parameters"][2]) == {"optional_blob": "c21hbGw=", "number": 0}
    assert found["inputs"] == (None, None, b"t")


@pytest.mark.parametrize(
    ("task", "args", "kwargs"),
    [
        ("FileTask", ({"data": b"1"},), {}),
        ("FileTask", ({"filename": "a"},), {}),
        ("FileTask", ({"data": b"1", "filename": ""},), {}),
        ("FileTask", ({"data": b"1", "filename": 'a"b'},), {}),
        ("FileTask", ({"data": b"1", "filename": "a\\b"},), {}),
        ("FileTask", ({"data": b"1", "filename": "a\r\nb: c"},), {}),
        ("FileTask", ({"data": b"1", "filename": "a", "type": "text/plain\r\nx: y"},), {}),
        ("ParametersTask", ("",), {"blob": bytes(LARGE)}),
        ("ParametersTask", ("t" * 1_000_001,), {"blob": bytes(LARGE)}),
        ("ZooTask", ({"blob": b"1"},), {}),
    ],
)
def test_what_a_form_cannot_say_is_json(task: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    body = encode(task, *args, **kwargs)
    assert not isinstance(body, Body)
    assert json.loads(body)["model_id"] == "m"
