"""What a training may be given as data (caikit's `DataStreamSource`): rows, or files where the server finds them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePath
from typing import Any

from .._concurrency.iterators import collect
from .foreign_values import table_rows

DATA_STREAM = "data_stream"
"""The one field of such a message, a union."""


def data_stream_source(value: Any, files: Callable[[list[str]], Any], rows: Callable[[list[Any]], Any]) -> Any:
    """A training's data as the message it is sent in.

    A text or a path with a suffix is a file, a path without one a directory, a list of paths a list of files. A table
    of pandas, polars or Arrow has the rows, and so has any other iterable. Messages and mappings stay
    (`{"dirname", "extension"}`, or S3's `{"bucket", "files", ...}`).

    Args:
        value: what was given.
        files: makes the message of a list of files.
        rows: makes the message of rows.
    """
    if isinstance(value, str):
        return {DATA_STREAM: {"filename": value}}
    if isinstance(value, PurePath):
        return {DATA_STREAM: {"filename": str(value)} if value.suffix else {"dirname": str(value)}}
    if isinstance(value, Mapping):
        return value if DATA_STREAM in value else {DATA_STREAM: value}
    if (table := table_rows(value)) is not None:
        return {DATA_STREAM: rows(table)}
    if isinstance(value, (bytes, bytearray)) or not isinstance(value, Iterable):
        return value  # refused where it is converted
    if hasattr(type(value), "model_fields") or hasattr(value, "DESCRIPTOR"):
        return value if hasattr(value, DATA_STREAM) else {DATA_STREAM: value}
    items = collect(value)
    if items and all(isinstance(each, PurePath) for each in items):
        return {DATA_STREAM: files([str(each) for each in items])}
    return {DATA_STREAM: rows(items)}
