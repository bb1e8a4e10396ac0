"""`remote-client map`: calls a model for every row of a file, and writes the answers to another."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from .completers import files
from .methods import method_to_map
from .parameters import AllOptions, FileName, Flag, Model, Task
from .usage import UsageError

if TYPE_CHECKING:
    from .._bulk.kinds import Kind
    from .._schema.rpc import RemoteRPCDescriptor

_NAMES = re.compile(r"\b(?:batch_size|split|concurrency|checkpoint|outage|ordered=False)(?=:|,| and | are )")
_RENAMED = {"ordered=False": "unordered"}
"""Arguments of `map_rows` at the places where its messages name them, and options of other names."""


async def map(
    model: Model,
    task: Task,
    /,
    *,
    input: Annotated[str, Parameter(["--input", "-i"], allow_leading_hyphen=True, completer=files)] = "-",
    output: Annotated[str, Parameter(["--output", "-o"], allow_leading_hyphen=True, completer=files)] = "-",
    column: list[str] | None = None,
    on_error: Literal["raise", "return", "skip"] = "raise",
    concurrency: int | Literal["auto"] = "auto",
    unordered: Flag = False,
    batch_size: int | None = None,
    split: str | None = None,
    checkpoint: FileName | None = None,
    outage: float = 300.0,
    options: AllOptions,
) -> int:
    """Call a model for every row of a file, and write the answers.

    A row's columns are the arguments. In JSON Lines and CSV bytes are base64 and times ISO 8601; a cell of CSV that is
    not for a text is JSON, and an empty one is left out. Answers have the index of their row, and an answer or an
    error. The exit code is 1 if a row failed.

    Args:
        model: The model's name.
        task: The task's class, such as SampleTask, or the method's name, such as run_sample.
        input: The rows: a .jsonl, .csv or .parquet file, or - for JSON Lines from standard input.
        output: The answers: a .jsonl or .parquet file, or - for JSON Lines to standard output.
        column: ARGUMENT=COLUMN, or COLUMN for the only argument; ARGUMENT may be a field of one: input.name=who.
        on_error: What a failed row does: end the map, or take the place of its answer, or be left out.
        concurrency: The calls that run at a time; auto finds the number at which the server is fastest.
        unordered: Write answers as they come.
        batch_size: The rows of one call, for a method that takes lists.
        split: With --batch-size, the answer's list with a value per row.
        checkpoint: A file for the finished rows. The same command goes on where it was stopped.
        outage: The seconds for which the server may be away; inf for no limit.
        options: Name the runtime.
    """
    from .._bulk.iterator import map_rows
    from .answer_writing import Writing
    from .arguments import Arguments
    from .row_files import check_answers, open_answers, open_rows

    _check_names(input, output, checkpoint)
    check_answers(output)  # before the server is asked
    with closing(open_rows(input)) as rows:
        async with options.client() as client:
            method = await method_to_map(client, model, task)
            arguments = Arguments(method.rpc.signature, column or [], batched=batch_size is not None)
            with _as_typed():
                kind = _kind(method.rpc, split)
                answered = map_rows(
                    method,
                    rows.read(arguments),
                    concurrency=concurrency,
                    ordered=not unordered,
                    on_error="return",  # so that the row's line can be told, too
                    batch_size=batch_size,
                    split=split,
                    checkpoint=checkpoint,
                    progress=_shows_progress(output),
                    total=rows.total,
                    outage=outage,
                )
                async with answered:
                    writing = Writing(answered, partial(open_answers, output, kind), on_error, checkpoint, output)
                    return await writing.run()


@contextmanager
def _as_typed() -> Iterator[None]:
    """Raise errors of `map_rows` about its arguments as UsageErrors, which name the options."""
    from ..errors import ConfigurationError, InputError

    try:
        yield
    except (ConfigurationError, InputError) as error:
        message = _NAMES.sub(lambda name: f"--{_RENAMED.get(name[0], name[0]).replace('_', '-')}", str(error))
        raise UsageError(message) from error


def _kind(rpc: RemoteRPCDescriptor, split: str | None) -> Kind | None:
    """Return the kind of a row's answer. Raises a UsageError."""
    from .._bulk.frames import row_kind
    from ..errors import InputError

    try:
        return row_kind(rpc, split)
    except InputError as error:
        raise UsageError(f"--split {error}") from None


def _check_names(*names: str | None) -> None:
    """Raise a UsageError if two options name the same file, which one of them would overwrite."""
    files = [os.path.realpath(name) for name in names if name not in (None, "-")]
    if len(set(files)) < len(files):
        raise UsageError("--input, --output and --checkpoint name the same file: give different ones")


def _shows_progress(output: str) -> bool:
    return sys.stderr.isatty() and not (output == "-" and sys.stdout.isatty())
