"""A model inside Spark: `predictor`, a function for `mapInArrow` and `mapInPandas` that calls it for every row.

```python
schema = "id long, text string, vector array<float>, error string"
score = predictor(model, "run_embedding", schema, input="text", output={"vector": "result.data.values"})
scored = frame.mapInArrow(score, schema)
```

A worker process has one client for all of its tasks. Spark repeats the tasks of a worker that was killed, as often as
`spark.task.maxFailures` says; a local master does it only as `local[4, 3]`: four threads, two repetitions.

Needs the extra `spark`: `pip install 'remote-client[spark]'`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Literal

from ._bulk.batches import Split
from ._bulk.extras import needed
from ._client.module import RemoteModuleBase
from ._settings.durations import Duration
from .errors import InputError
from .sync import RemoteModuleBase as _BlockingModule
from .sync._modules import wrapped
from .sync.bulk import map_frame

__all__ = ["predictor"]


def predictor(
    model: Any,
    method: str,
    schema: Any,
    *,
    input: str | Mapping[str, str],
    output: str | Mapping[str, str] = "output",
    error_column: str | None = "error",
    concurrency: int | Literal["auto"] = "auto",
    batch_size: int | None = None,
    split: Split | None = None,
    outage: Duration | None = 300.0,
) -> Callable[[Iterable[Any]], Iterator[Any]]:
    """Return a function for `mapInArrow` or `mapInPandas` that calls a method for every row.

    A failed row has no output, and its error's text in the error column; the others are answered. A server that is
    away loses no rows: they wait for it.

    Args:
        model: a model of either client. It is pickled, so its client may not have static metadata.
        method: the name of a unary method, such as `"run_embedding"`.
        schema: the columns of the result: a `StructType`, or its DDL, such as `"text string, vector array<float>"`, for
            which there must be a session. Answers are converted to its types. `mapInArrow` needs it a second time.
        input: the column of the method's first argument, or the columns of arguments by their names.
        output: the column for the answers, or for each of several columns the part of the answer.
        error_column: the column for the errors' texts, with no value for other rows; None to fail the task with the
            first failed row.
        concurrency: the calls of a task that run at a time; `"auto"` begins with 64 and finds the best number.
        batch_size: rows of one call, for a method that takes lists.
        split: the answer's list with a value per row; with `batch_size`.
        outage: the seconds for which the server may be away; then the task fails.

    Raises:
        ConfigurationError: the extra is not installed.
        InputError: the model has no such method; or the schema lacks a column of the output.
    """
    for library in ("narwhals", "pandas", "pyarrow"):
        needed(library, "spark")
    struct = _struct(schema)
    made = [output] if isinstance(output, str) else [*output]
    missing = [name for name in (*made, error_column) if name is not None and name not in struct.names]
    if missing:
        raise InputError(f"schema: it has no column {missing[0]!r}; it has {', '.join(struct.names)}")
    options = {
        "input": input,
        "output": output,
        "on_error": "raise" if error_column is None else "return",
        "error_column": error_column,
        "concurrency": concurrency,
        "batch_size": batch_size,
        "split": split,
        "outage": outage,
    }
    return _Predictor(_method_of(model, method), _arrow_schema(struct), options)


class _Predictor:
    """Scores the batches of a partition, in a worker of Spark's."""

    def __init__(self, method: Callable[..., Any], schema: Any, options: Any) -> None:
        self._method, self._schema, self._options = method, schema, options

    def __call__(self, batches: Iterable[Any]) -> Iterator[Any]:
        arrow = needed("pyarrow", "spark")
        for batch in batches:
            if isinstance(batch, arrow.RecordBatch):
                table = map_frame(self._method, arrow.Table.from_batches([batch]), **self._options)
                yield from table.select(self._schema.names).cast(self._schema).combine_chunks().to_batches()
            else:
                yield map_frame(self._method, batch, **self._options)[self._schema.names]


def _method_of(model: Any, name: str) -> Any:
    if isinstance(model, RemoteModuleBase):
        model = wrapped(model)
    if not isinstance(model, _BlockingModule):
        raise InputError(f"model: expected a model of a client, not {model!r}")
    return getattr(model, name)


def _struct(schema: Any) -> Any:
    types = needed("pyspark.sql.types", "spark")
    struct = types.StructType.fromDDL(schema) if isinstance(schema, str) else schema
    if not isinstance(struct, types.StructType):  # the DDL of one type is another type
        raise InputError(f"schema: expected a StructType or its DDL, not {schema!r}")
    return struct


def _arrow_schema(struct: Any) -> Any:
    return needed("pyspark.sql.pandas.types", "spark").to_arrow_schema(struct)
