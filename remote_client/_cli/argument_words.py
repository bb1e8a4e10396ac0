"""The beginnings of words such as `name=text` that shells are offered for arguments."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from .._bulk.kinds import Kind
from .completion_scripts import FILES

_FILE = re.compile(r"([^=:@]+(?:@|=@|:=@))(.*)", re.DOTALL)
_FILE_FIELDS = {"data", "filename", "type"}


def argument_words(kinds: Mapping[str, Kind], word: str, given: set[str]) -> Iterator[tuple[str, str]]:
    """Yield words, and their descriptions.

    Args:
        kinds: argument -> its kind. A streamed input and training data are lists.
        word: the word that is completed.
        given: the arguments, and the fields of some, that have a value.
    """
    if (file := _FILE.fullmatch(word)) is not None:
        yield f"{word}{FILES}", file[1]
        return
    for name, kind in kinds.items():
        yield from (each for each in _words(name, kind, word) if _path(each[0]) not in given)


def given_paths(words: Iterator[str] | tuple[str, ...]) -> set[str]:
    """Return what words give a value to."""
    return {_path(word) for word in words}


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
        if kind.name == "list" or kind.name == "json":
            yield f"{path}@", "file"
