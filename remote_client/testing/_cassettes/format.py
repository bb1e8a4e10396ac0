"""The format of cassettes: JSON Lines, a header and a line for each call. They are read here; `writer` writes them."""

from __future__ import annotations

import base64
import json
import os
import zlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar, get_args

from ..._version import __version__
from ...errors import ConfigurationError
from ...settings import Protocol
from .secrets import Pairs

FORMAT = 1
"""The version of the format, which readers of others refuse."""
_LARGEST_PLAIN = 4096
"""Bytes of a message beyond which it is compressed: a runtime's description of itself is large."""


@dataclass(frozen=True, kw_only=True)
class Header:
    """The first line.

    Attributes:
        protocol: the protocol of the recorded server.
        model_key: the metadata key that names the model.
        schema: the gRPC server's `FileDescriptorSet`; None if it does not describe itself, and over HTTP.
    """

    protocol: Protocol
    model_key: str = "mm-model-id"
    schema: bytes | None = None


@dataclass(frozen=True)
class Answer:
    """A message of the server, or a part of an HTTP body.

    Attributes:
        data: its bytes.
        after: the number of the client's messages that had been sent on before it came; the end of the client's input
            counts as one more.
    """

    data: bytes
    after: int = 1


@dataclass(frozen=True, kw_only=True)
class RecordedCall:
    """A line: a call and its answers.

    Attributes:
        method: `/package.Service/Method`; over HTTP the verb and the route with its query.
        metadata: the request's metadata or headers, without secrets.
        requests: the client's messages; over HTTP the body.
        is_input_whole: whether the client had sent all of them when the call ended.
        status: the gRPC status by its name, or the HTTP status.
        details: the gRPC status' text.
        headers: the answer's metadata or headers.
        answers: the server's messages.
        trailers: the metadata at the end of a gRPC call.
        ended_after: `Answer.after` of the status.
        is_whole: whether the server ended the call. Otherwise its client left early, or the connection was lost.
    """

    method: str
    metadata: Pairs = ()
    requests: tuple[bytes, ...] = ()
    is_input_whole: bool = True
    status: str | int = "OK"
    details: str = ""
    headers: Pairs = ()
    answers: tuple[Answer, ...] = ()
    trailers: Pairs = ()
    ended_after: int = 0
    is_whole: bool = True

    def model(self, key: str) -> str:
        """Return the name of the model; empty if the metadata names none."""
        return model_of(self.metadata, key)


def model_of(metadata: Iterable[tuple[str, str | bytes]], key: str) -> str:
    """Return the name of the model in the metadata of a call; empty if it names none."""
    return next((str(value) for name, value in metadata if name.lower() == key), "")


T = TypeVar("T")
Shown = Callable[[str, bytes, bool], Any]
"""Returns a method's message, a request or an answer (True), as JSON can have it; None if it cannot be read."""


# -- lines ------------------------------------------------------------------------------------------------------------


def header_line(header: Header) -> bytes:
    """Return the first line of a cassette."""
    schema = None if header.schema is None else _packed(header.schema)
    written = {
        "cassette": FORMAT,
        "written_by": f"remote-client {__version__}",
        "protocol": header.protocol,
        "model_key": header.model_key,
        "schema": schema,
    }
    return _line(written)


def call_line(call: RecordedCall, shown: Shown) -> bytes:
    """Return the line of a call, with readable forms of its messages beside their bytes."""
    written = {
        "method": call.method,
        "metadata": _pairs(call.metadata),
        "requests": [_message(data, shown(call.method, data, False)) for data in call.requests],
        "status": call.status,
        "details": call.details,
        "headers": _pairs(call.headers),
        "answers": [
            _message(answer.data, shown(call.method, answer.data, True)) | {"after": answer.after}
            for answer in call.answers
        ],
        "trailers": _pairs(call.trailers),
        "ended_after": call.ended_after,
        "input_whole": call.is_input_whole,
        "whole": call.is_whole,
    }
    return _line(written)


def _line(written: Mapping[str, Any]) -> bytes:
    return json.dumps(written, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "backslashreplace") + b"\n"


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _packed(data: bytes) -> dict[str, str]:
    return {"zlib": _text(zlib.compress(data))} if len(data) > _LARGEST_PLAIN else {"data": _text(data)}


def _message(data: bytes, shown: Any) -> dict[str, Any]:
    return _packed(data) if shown is None else {"shown": shown} | _packed(data)


def _pairs(pairs: Pairs) -> list[list[str]]:
    return [[name, value if isinstance(value, str) else _text(value)] for name, value in pairs]


# -- reading ----------------------------------------------------------------------------------------------------------


def read_cassette(path: str | os.PathLike[str]) -> tuple[Header, list[RecordedCall]]:
    """Read a cassette. A last line that was torn, by a crash, is dropped.

    Raises:
        ConfigurationError: the file cannot be read, is no cassette, or is one of another version of the format.
    """
    try:
        lines = Path(path).read_bytes().splitlines(keepends=True)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigurationError(f"cassette: {os.fspath(path)} cannot be read: {reason}") from None
    if lines and not lines[-1].endswith(b"\n"):
        del lines[-1]
    return _read_header(lines, path), [_read(_call_of, line, path, at) for at, line in enumerate(lines[1:], 2)]


def _read_header(lines: list[bytes], path: str | os.PathLike[str]) -> Header:
    if not lines:
        raise ConfigurationError(f"cassette: {os.fspath(path)} is empty; record() writes cassettes")
    return _read(_header_of, lines[0], path, 1)


def _read(make: Callable[[dict[str, Any]], T], line: bytes, path: str | os.PathLike[str], number: int) -> T:
    try:
        return make(json.loads(line))
    except _OtherFormatError as error:
        raise ConfigurationError(
            f"cassette: {os.fspath(path)} has the format {error}, and this version reads {FORMAT}; record it anew"
        ) from None
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, zlib.error):
        raise ConfigurationError(f"cassette: {os.fspath(path)} is no cassette, see its line {number}") from None


class _OtherFormatError(Exception):
    """The version of another format."""


def _header_of(read: dict[str, Any]) -> Header:
    if read["cassette"] != FORMAT:
        raise _OtherFormatError(read["cassette"])
    if read["protocol"] not in get_args(Protocol):
        raise ValueError("the protocol")
    schema = read["schema"]
    return Header(
        protocol=read["protocol"], model_key=read["model_key"], schema=None if schema is None else _unpacked(schema)
    )


def _call_of(read: dict[str, Any]) -> RecordedCall:
    return RecordedCall(
        method=read["method"],
        metadata=_metadata(read["metadata"]),
        requests=tuple(map(_unpacked, read["requests"])),
        is_input_whole=read["input_whole"],
        status=read["status"],
        details=read["details"],
        headers=_metadata(read["headers"]),
        answers=tuple(Answer(_unpacked(each), each["after"]) for each in read["answers"]),
        trailers=_metadata(read["trailers"]),
        ended_after=read["ended_after"],
        is_whole=read["whole"],
    )


def _data(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


def _unpacked(packed: dict[str, str]) -> bytes:
    return zlib.decompress(_data(packed["zlib"])) if "zlib" in packed else _data(packed["data"])


def _metadata(pairs: list[list[str]]) -> Pairs:
    return tuple((name, _data(value) if _is_binary(name, value) else value) for name, value in pairs)


def _is_binary(name: str, value: str) -> bool:
    return name.endswith("-bin") and value != "[redacted]"
