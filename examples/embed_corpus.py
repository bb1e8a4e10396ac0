"""Embed a corpus, JSON Lines to Parquet: `python embed_corpus.py localhost:8085 MODEL corpus.jsonl vectors.parquet`.

Stopped and started again, by Ctrl-C, a crash or a power cut, it goes on: finished rows are in `vectors.parquet.done`,
and are not called again. Memory does not grow with the corpus. Needs pyarrow, and `remote-client[progress]`.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator
from itertools import islice
from operator import attrgetter
from typing import Any

import pyarrow
from pyarrow import parquet

from remote_client.sync import RemoteClient
from remote_client.sync.bulk import map_rows

ROW_GROUP = 1000


def lines(corpus: str) -> Iterator[dict[str, Any]]:
    """Yield the objects of a file of JSON Lines."""
    with open(corpus, encoding="utf-8") as file:
        yield from map(json.loads, file)


def embed(target: str, model: str, corpus: str, result: str, method: str, field: str, part: str) -> None:
    """Write the corpus' objects with a column `vector`: a part of the answer for their field."""
    checkpoint, unfinished = f"{result}.done", f"{result}.part"
    vector_of = attrgetter(part)
    with RemoteClient(target) as client:
        call = getattr(client.model(model), method)
        texts = ((line[field],) for line in lines(corpus))  # by position: over HTTP arguments have other names
        answers = map_rows(call, texts, checkpoint=checkpoint, progress=True)
        rows = (line | {"vector": vector_of(done.value)} for line, done in zip(lines(corpus), answers, strict=True))
        write(rows, unfinished)
    os.replace(unfinished, result)  # whoever finds the file finds all of it
    os.unlink(checkpoint)


def write(rows: Iterator[dict[str, Any]], path: str) -> None:
    """Write rows to a Parquet file, group by group."""
    writer = None
    while group := list(islice(rows, ROW_GROUP)):
        table = pyarrow.Table.from_pylist(group, schema=writer and writer.schema)
        writer = writer or parquet.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer:
        writer.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Embed a corpus.")
    parser.add_argument("target", help="the runtime, such as localhost:8085")
    parser.add_argument("model")
    parser.add_argument("corpus", help="JSON Lines")
    parser.add_argument("result", help="a Parquet file")
    parser.add_argument("--method", default="run_embedding")
    parser.add_argument("--field", default="text", help="the field to embed, the method's first argument")
    parser.add_argument("--part", default="result.data.values", help="the part of the answer that is the vector")
    embed(**vars(parser.parse_args()))
