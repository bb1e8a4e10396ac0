"""The beginnings of words such as `name=text` that shells are offered for arguments."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping

from .._bulk.kinds import Kind

_FILE_FIELDS = {"data", "filename", "type"}
"""The fields of caikit's `File`."""


def argument_words(kinds: Mapping[str, Kind], word: str, given: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield words, and their descriptions.

    Args:
        kinds: argument -> its kind. A streamed input and training data are lists.
        word: the word that is completed.
        given: the words that are there; what they give a value to is left out.
    """
    paths = set(map(_path, given))
    for name, kind in kinds.items():
        yield from (each for each in _words(name, kind, word) if _path(each[0]) not in paths)


def _path(word: str) -> str:
    return re.split("[=:@]", word, maxsplit=1)[0]


def _words(path: str, kind: Kind, word: str) -> Iterator[tuple[str, str]]:
    if kind.name == "text":
        yield f"{path}=", kind.name
    elif kind.name == "boolean":
        yield from ((f"{path}:={value}", kind.name) for value in ("true", "false"))
    elif kind.name == "bytes" or kind.fields.keys() >= _FILE_FIELDS:
        yield f"{path}@", "file"
    elif kind.fields and word.startswith(f"{path}."):
        for name, (_, field) in kind.fields.items():
            yield from _words(f"{path}.{name}", field, word)
    else:
        if kind.fields:
            yield f"{path}.", "fields"
        yield f"{path}:=", "JSON" if kind.fields else kind.name
        if kind.name in ("list", "json"):
            yield f"{path}@", "file"
