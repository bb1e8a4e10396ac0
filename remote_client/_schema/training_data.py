"""Training data, caikit's `DataStreamSource`: rows, or files that the server reads."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import PurePath
from typing import Any

from .._concurrency.iterators import collect
from .foreign_values import table_rows

DATA_STREAM = "data_stream"
"""The single field of such a message, a oneof."""


def data_stream_source(value: Any, files: Callable[[list[str]], Any], rows: Callable[[list[Any]], Any]) -> Any:
    """Return training data as the message to send.

    A str or a path with a suffix is a file, a path without one a directory, a list of paths a list of files. Tables of
    pandas, polars or Arrow and other iterables are rows. Messages and mappings stay as they are
    (`{"dirname", "extension"}`, or S3's `{"bucket", "files", ...}`). `files` and `rows` make messages.
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
        return value  # the conversion refuses it
    if hasattr(type(value), "model_fields") or hasattr(value, "DESCRIPTOR"):
        return value if hasattr(value, DATA_STREAM) else {DATA_STREAM: value}
    items = collect(value)
    if items and all(isinstance(item, PurePath) for item in items):
        return {DATA_STREAM: files([str(item) for item in items])}
    return {DATA_STREAM: rows(items)}
