"""The arguments of `call`: words such as `name=text`, JSON, and the items of streamed inputs."""

from __future__ import annotations

import json
import mimetypes
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

from .._bulk.kinds import JSON, Kind, kind_of
from .._schema.declared.mismatches import stream_item
from .._schema.rpc import RemoteRPCDescriptor
from .arguments import value_of_json, value_of_text
from .hints import hint
from .streamed_input import STANDARD, ItemFile, read_file
from .usage import UsageError

_WORD = re.compile(r"([^=:@]+)(:=@|:=|=@|=|@)(.*)", re.DOTALL)
_FILE_FIELDS = {"data", "filename", "type"}
"""The fields of caikit's `File`."""


@dataclass(frozen=True)
class _Place:
    """Where a word puts its value.

    Attributes:
        word: the word.
        path: the argument and its fields, as keys.
        kind: what the value becomes.
        is_stream: whether the argument is a streamed input.
    """

    word: str
    path: tuple[Any, ...]
    kind: Kind
    is_stream: bool


class CallArguments:
    """Makes the arguments of a method.

    Args:
        rpc: the method.
        read: reads the file of `--input`.
    """

    def __init__(self, rpc: RemoteRPCDescriptor, read: Callable[[str, str], bytes] = read_file) -> None:
        self._method = rpc.name
        self._read = read
        annotations = {name: each.annotation for name, each in rpc.signature.parameters.items()}
        self._kinds = {name: kind_of(stream_item(annotation)) for name, annotation in annotations.items()}
        is_streamed = rpc.input_streaming
        self._streams = [name for name, each in annotations.items() if is_streamed and stream_item(each) is not each]

    def of(self, words: Sequence[str], input: str | None) -> dict[str, Any]:
        """Return the arguments of a call.

        Args:
            words: such as `name=text`.
            input: the file of `--input`.

        Raises:
            UsageError: a word, or the file, is for no argument, or has a wrong value.
        """
        places = [self._place(word) for word in words]
        missing = [name for name in self._streams if all(place.path[0] != name for place in places)]
        found = self._document(input) if input is not None and not self._streams else {}
        if input is not None and self._streams and not missing:
            raise UsageError(f"--input: {self._method} takes {', '.join(self._streams)} already")
        given: set[tuple[Any, ...]] = set()
        for place in places:
            if any(place.path[: len(path)] == path or path[: len(place.path)] == place.path for path in given):
                raise UsageError(f"{place.word}: {'.'.join(map(str, place.path))} is given twice")
            given.add(place.path)
            _put(found, place, self._value(place))
        if missing:
            kinds = {name: self._kinds[name] for name in missing}
            is_standard = input in (None, STANDARD)
            found |= ItemFile(input or STANDARD, "standard input" if is_standard else "--input", kinds).streams
        return found

    # -- words --------------------------------------------------------------------------------------------------------

    def _place(self, word: str) -> _Place:
        match = _WORD.fullmatch(word)
        if match is None:
            raise UsageError(f"{word}: expected name=text, name:=json or name@file; {self._known}")
        name, *fields = match[1].split(".")
        if name not in self._kinds:
            raise UsageError(f"{word}: {self._no_argument(name)}")
        kind, path = self._kinds[name], [name]
        for field in fields:
            key, kind = _field(kind, field, word)
            path.append(key)
        return _Place(word, tuple(path), kind, name in self._streams)

    def _value(self, place: _Place) -> Any:
        match = _WORD.fullmatch(place.word)
        assert match is not None
        return _READERS[match[2]](place, match[3])

    @property
    def _known(self) -> str:
        return f"{self._method} has {', '.join(self._kinds) or 'no arguments'}"

    def _no_argument(self, name: str) -> str:
        inside = next((argument for argument, kind in self._kinds.items() if name in kind.fields), None)
        told = hint(name, self._kinds) if inside is None else f"did you mean {inside}.{name}?"
        return f"{self._method} has no argument {name!r}; {told}"

    # -- JSON ---------------------------------------------------------------------------------------------------------

    def _document(self, file: str) -> dict[str, Any]:
        value = _json(self._read(file, "--input"), f"--input {file}")
        if not isinstance(value, dict):
            value = dict.fromkeys(list(self._kinds)[:1], value)
        if unknown := [name for name in value if name not in self._kinds]:
            raise UsageError(f"--input {file}: {self._no_argument(unknown[0])}")
        return {name: _converted(value_of_json, self._kinds[name], each, name) for name, each in value.items()}


def _field(kind: Kind, name: str, word: str) -> tuple[Any, Kind]:
    """Return the key and the kind of a part of a value."""
    if kind.name == "json":
        return name, JSON
    if kind.name == "map":
        key, item = kind.items
        return (int(name) if key.name == "integer" and name.lstrip("-").isdecimal() else name), item
    for wire, (attribute, each) in kind.fields.items():
        if name in (wire, attribute):
            return wire, each
    known = hint(name, kind.fields) if kind.fields else f"its kind is {kind.name}"
    raise UsageError(f"{word}: there is no field {name!r}; {known}")


def _put(found: dict[str, Any], place: _Place, value: Any) -> None:
    *outer, last = place.path
    inside: Any = found
    for key in outer:
        inside = inside.setdefault(key, {})
        if not isinstance(inside, dict):
            raise UsageError(f"{place.word}: {key} has no fields in --input")
    inside[last] = value


def _converted(convert: Callable[[Kind, Any], Any], kind: Kind, value: Any, where: str) -> Any:
    try:
        return convert(kind, value)
    except ValueError as error:
        raise UsageError(f"{where}: {error}") from None


def _json(data: bytes, where: str) -> Any:
    if not data.strip():
        raise UsageError(f"{where}: expected JSON, but it is empty")
    try:
        return json.loads(data.decode("utf-8-sig"))
    except ValueError as error:
        raise UsageError(f"{where}: not JSON: {error}") from None


def _utf8(data: bytes, where: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except ValueError:
        raise UsageError(f"{where}: the file is no text in UTF-8") from None


# -- the values of words ----------------------------------------------------------------------------------------------


def _text(place: _Place, text: str) -> Any:
    if place.is_stream:
        name = place.path[0]
        raise UsageError(f"{place.word}: {name} is a stream: give its items as {name}:='[...]' or {name}@rows.jsonl")
    value = _converted(value_of_text, place.kind, text, place.word)
    if place.kind.name == "message" and isinstance(value, str):
        raise UsageError(f"{place.word}: {_how_to_give(place)}")
    return value


def _how_to_give(place: _Place) -> str:
    name, fields = ".".join(map(str, place.path)), place.kind.fields
    if fields.keys() >= _FILE_FIELDS:
        return f"{name} is a file: give it as {name}@FILE"
    return f"{name} has fields: give {name}.{next(iter(fields))}=... or {name}:='{{...}}'; {hint('', fields)}"


def _text_of_file(place: _Place, file: str) -> Any:
    return _text(place, _utf8(read_file(file, place.word), place.word))


def _json_value(place: _Place, text: str | bytes) -> Any:
    value = _json(text.encode() if isinstance(text, str) else text, place.word)
    if not place.is_stream:
        return _converted(value_of_json, place.kind, value, place.word)
    if not isinstance(value, list):
        raise UsageError(f"{place.word}: {place.path[0]} is a stream: expected a list of its items")
    return [_converted(value_of_json, place.kind, item, place.word) for item in value]


def _json_of_file(place: _Place, file: str) -> Any:
    return _json_value(place, read_file(file, place.word))


def _file(place: _Place, file: str) -> Any:
    """Return the content of a file as what the argument takes."""
    kind = place.kind
    if place.is_stream:
        return ItemFile(file, place.word, {place.path[0]: kind}).streams[place.path[0]]
    if kind.name == "text":
        return _text_of_file(place, file)
    if kind.name == "bytes":
        return read_file(file, place.word)
    if not kind.fields.keys() >= _FILE_FIELDS:
        return _json_of_file(place, file)
    media_type, _ = mimetypes.guess_type(file)
    name = "" if file == STANDARD else PurePath(file).name
    return {"data": read_file(file, place.word), "filename": name, "type": media_type or ""}


_READERS: dict[str, Callable[[_Place, str], Any]] = {
    "=": _text,
    ":=": _json_value,
    "@": _file,
    "=@": _text_of_file,
    ":=@": _json_of_file,
}
