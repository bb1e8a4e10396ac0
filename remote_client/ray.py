"""A model inside Ray Data: `Predictor`, an actor that calls it for the rows of batches.

```python
scored = ds.map_batches(
    Predictor,
    fn_constructor_kwargs={"model": model, "method": "run_embedding", "input": "text", "output": "vector"},
    compute=ActorPoolStrategy(size=4),
    batch_size=256,
    batch_format="pyarrow",
    num_cpus=0.25,
)
```

Actors mostly wait for answers, so a part of a CPU is enough. If they take all CPUs, by default one each, none is left
to read the data set, and Ray waits for one for ever.

Ray gives batches as they are finished: rows lose their order, unless
`ray.data.DataContext.get_current().execution_options.preserve_order = True` is set before the data set is made.

A row alone needs no actor: a model of `remote_client.sync` is pickled with a function,
`ds.map(lambda row: row | {"vector": model.run_embedding(row["text"]).vector})`.

Needs the extra `ray`: `pip install 'remote-client[ray]'`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Literal

from ._bulk.batches import Split
from ._bulk.extras import needed
from ._bulk.frames import map_frame
from ._client.module import RemoteModuleBase
from ._settings.durations import Duration
from .errors import InputError
from .sync import RemoteModuleBase as _BlockingModule

__all__ = ["Predictor"]


class Predictor:
    """Calls a method for every row of a batch; an actor for `map_batches`.

    A failed row has no output, and its error's text in the error column; the others are answered. A server that is
    away loses no rows: they wait for it. When Ray starts an actor again, it gives the actor's batches to it once more.

    An actor has one client, made by its first call, and answers one batch after another though Ray gives it several:
    actors * `concurrency` calls run at most.

    Args:
        model: a model of either client. It is pickled, so its client may not have static metadata.
        method: the name of a unary method, such as `"run_embedding"`.
        input: the column of the method's first argument, or the columns of arguments by their names.
        output: the column for the answers, or for each of several columns the part of the answer.
        error_column: the column for the errors' texts, with no value for other rows; None to end the data set with the
            first failed row.
        concurrency: the calls of an actor that run at a time; `"auto"` begins with 64 and finds the best number.
        batch_size: rows of one call, for a method that takes lists; it is not `map_batches`' own `batch_size`.
        split: the answer's list with a value per row; with `batch_size`.
        outage: the seconds for which the server may be away; then the data set ends with the error.

    Raises:
        ConfigurationError: the extra is not installed.
        InputError: the model has no such method.
    """

    def __init__(
        self,
        model: Any,
        method: str,
        *,
        input: str | Mapping[str, str],
        output: str | Mapping[str, str] = "output",
        error_column: str | None = "error",
        concurrency: int | Literal["auto"] = "auto",
        batch_size: int | None = None,
        split: Split | None = None,
        outage: Duration | None = 300.0,
    ) -> None:
        for library in ("narwhals", "pyarrow"):
            needed(library, "ray")
        self._method = _method_of(model, method)
        self._turn = asyncio.Lock()
        self._options: Any = {
            "input": input,
            "output": output,
            "on_error": "raise" if error_column is None else "return",
            "error_column": error_column,
            "concurrency": concurrency,
            "batch_size": batch_size,
            "split": split,
            "outage": outage,
        }

    async def __call__(self, batch: Any) -> Any:
        """Return a batch (Arrow's, pandas' or NumPy's) as an Arrow table with the answers' columns.

        Ray calls this in its actor's loop, where the model's client connects: `__init__` runs outside of it.
        """
        async with self._turn:  # four batches at a time would be four times as many calls
            return await map_frame(self._method, _table(batch), **self._options)


def _table(batch: Any) -> Any:
    arrow = needed("pyarrow", "ray")
    if isinstance(batch, arrow.Table):
        return batch
    if isinstance(batch, Mapping):  # of NumPy's arrays, which have more dimensions than Arrow's
        return arrow.table({name: arrow.array(column.tolist()) for name, column in batch.items()})
    return arrow.Table.from_pandas(batch, preserve_index=False)


def _method_of(model: Any, name: str) -> Any:
    if isinstance(model, _BlockingModule):
        model = model._twin
    if not isinstance(model, RemoteModuleBase):
        raise InputError(f"model: expected a model of a client, not {model!r}")
    return getattr(model, name)
