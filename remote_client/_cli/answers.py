"""The answers of `call`: JSON, Python's dicts, text, or the bytes of a file."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Callable
from enum import Enum
from pathlib import Path
from pprint import pformat
from typing import Any, Literal, get_args

from .._bulk.kinds import Kind, Name, answer_kind, kind_at, value_at
from .._concurrency.threads import run_in_thread
from .._schema.declared.types import core, fields_of
from .._schema.plain_values import json_text, plain, text_of
from .._schema.rpc import RemoteRPCDescriptor
from ..errors import InputError
from .output import STANDARD_OUTPUT, writing
from .usage import UsageError

Format = Literal["dict", "json", "file"]
Render = Callable[[Any], bytes]


def answer_writer(
    rpc: RemoteRPCDescriptor, format: Format | None, *, text: bool, field: str | None, output: Path | None
) -> AnswerWriter:
    """Return the writer of a method's answers.

    Args:
        rpc: the method.
        format: the form of an answer; default JSON.
        text: whether to write the text of answers alone.
        field: the field to write alone, or in which the text or the file is.
        output: the file; default standard output.

    Raises:
        UsageError: the answers have no such field, no text or no file; or a file would go to a terminal.
    """
    if text and format is not None:
        raise UsageError("--text and --format: give one of them")
    if format == "file" and output is None and sys.stdout.isatty():
        raise UsageError("--format file: the answer is binary: name a file with -o, or redirect the output")
    kind = _kind_at(answer_kind(rpc.signature), field)
    if text or format == "file":
        option = "--text" if text else "--format file"
        names = _fields(kind, "bytes") if format == "file" else _text_fields(rpc, kind) if field is None else []
        render = _at(_only_field(kind, field, names, option), _raw(option))
        return AnswerWriter(output, render, render, b"\n" if text else b"")
    is_indented = output is None and sys.stdout.isatty()
    if format == "dict":
        return AnswerWriter(output, _at(field, _pretty_dict if is_indented else _dict), _at(field, _dict))
    return AnswerWriter(output, _at(field, _pretty_json if is_indented else _json), _at(field, _json))


class AnswerWriter:
    """Writes answers as they come.

    Args:
        output: the file, which is opened for the first answer; None for standard output.
        only: renders the answer that is not one of a stream.
        item: renders an answer of a stream.
        end: written after the last one.
    """

    def __init__(self, output: Path | None, only: Render, item: Render, end: bytes = b"") -> None:
        self._output = output
        self._descriptor = 1 if output is None else None
        self._only = only
        self._item = item
        self._end = end

    async def write_only(self, answer: Any) -> None:
        """Write the only answer. Raises an OSError."""
        await self._write(self._only(answer) + self._end)

    async def write_stream(self, answers: AsyncIterator[Any]) -> None:
        """Write the answers of a stream. Raises an OSError."""
        async for answer in answers:
            await self._write(self._item(answer))
        await self._write(self._end)

    async def _write(self, data: bytes) -> None:
        # In a thread, as a pipe may be full: Ctrl-C abandons it, and leaves the descriptor to the end of the process.
        await run_in_thread(self._write_all, data)

    def _write_all(self, data: bytes) -> None:
        with writing(self._output or STANDARD_OUTPUT):
            if self._descriptor is None:
                assert self._output is not None
                self._descriptor = os.open(self._output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]


# -- fields -----------------------------------------------------------------------------------------------------------


def _kind_at(kind: Kind, field: str | None) -> Kind:
    try:
        return kind if field is None else kind_at(kind, field)
    except InputError as error:
        raise UsageError(f"--field {error}") from None


def _fields(kind: Kind, wanted: Name) -> list[str]:
    return [name for name, (_, each) in kind.fields.items() if each.name == wanted]


def _text_fields(rpc: RemoteRPCDescriptor, kind: Kind) -> list[str]:
    """Return the fields of an answer that are texts, as `RemoteStream.text` finds them: enums are none."""
    result = rpc.signature.return_annotation
    types = fields_of(core(get_args(result)[0] if rpc.output_streaming else result)) or {}
    return [name for name in _fields(kind, "text") if core(types.get(kind.fields[name][0])) is str]


def _only_field(kind: Kind, field: str | None, names: list[str], option: str) -> str | None:
    """Return the path of the text or the bytes: the field itself, or the only one in it."""
    wanted = "text" if option == "--text" else "bytes"
    if kind.name in (wanted, "json"):
        return field
    if len(names) == 1:
        return names[0] if field is None else f"{field}.{names[0]}"
    where = "the answer" if field is None else field
    if names:
        raise UsageError(f"{option}: {where} has several such fields: choose one with --field: {', '.join(names)}")
    known = f"; its fields are {', '.join(kind.fields)}" if kind.fields else f"; its kind is {kind.name}"
    raise UsageError(f"{option}: {where} has no field of {wanted}{known}")


def _at(field: str | None, render: Render) -> Render:
    return render if field is None else lambda answer: render(value_at(answer, field))


# -- forms ------------------------------------------------------------------------------------------------------------


def _json(value: Any) -> bytes:
    return f"{json_text(value)}\n".encode("utf-8", "backslashreplace")


def _pretty_json(value: Any) -> bytes:
    return f"{json_text(value, indent=2)}\n".encode("utf-8", "backslashreplace")


def _dict(value: Any) -> bytes:
    return f"{plain(value)!r}\n".encode("utf-8", "backslashreplace")


def _pretty_dict(value: Any) -> bytes:
    return f"{pformat(plain(value), sort_dicts=False)}\n".encode("utf-8", "backslashreplace")


def _raw(option: str) -> Render:
    def raw(value: Any) -> bytes:
        if value is None:
            return b""
        if isinstance(value, (str, Enum)):
            return text_of(value).encode("utf-8", "backslashreplace")
        if isinstance(value, bytes):
            return value
        raise UsageError(f"{option}: the answer has no such value; choose one with --field")

    return raw
