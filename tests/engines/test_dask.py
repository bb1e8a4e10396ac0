"""Dask: `map_frame` in partitions, and functions that hold a model."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from dask import bag, dataframe
from dask.distributed import Client, LocalCluster
from pyarrow import parquet

from remote_client.sync import RemoteClient
from remote_client.sync.bulk import map_frame

from ..support.clock import Stopwatch
from ..support.runtime import Runtime
from .conftest import Report
from .scoring import FEW, ROWS, SLOW, callers, check_texts, check_waits, killing, run_example, texts, waits


@pytest.fixture
def workers() -> Iterator[Client]:
    """Two worker processes of two threads on this machine."""
    with LocalCluster(n_workers=2, threads_per_worker=2, dashboard_address=None) as cluster, Client(cluster) as client:
        yield client


def scored(table: Any, method: Any, column: str, output: str, **options: Any) -> Any:
    """The rows of a table in twenty partitions, with a column of answers."""
    rows = dataframe.from_pandas(table.to_pandas(), npartitions=20)
    meta = {**rows.dtypes, output: "string", "error": "string"}
    answer = partial(
        map_frame,
        method,
        input=column,
        output={output: "greeting"},
        on_error="return",
        error_column="error",
        **options,
    )
    return rows.map_partitions(answer, meta=meta)


def records(frame: Any) -> list[dict[str, Any]]:
    """The rows of a frame, with None for what is missing."""
    frame = frame.astype(object)
    found: list[dict[str, Any]] = frame.where(frame.notna(), None).to_dict("records")
    return found


def test_a_worker_that_is_killed_is_repeated(
    client: RemoteClient, runtime: Runtime, workers: Client, report: Report
) -> None:
    frame = scored(waits(), client.model("slow").run_slow, "seconds", "answer", concurrency=8)
    begun = time.monotonic()
    with killing(runtime.port) as killed:
        found = frame.compute()
    ended = time.monotonic()
    assert killed.result().at < ended - 1
    assert "multiprocessing" in killed.result().name
    check_waits(records(found))
    report("dask", SLOW, ended - begun, "one of two workers killed with SIGKILL meanwhile: answers whole")


def test_a_worker_has_one_connection_and_closes_it(
    client: RemoteClient, runtime: Runtime, workers: Client, report: Report
) -> None:
    frame = scored(texts(), client.model("text").run_text, "text", "label")
    begun = time.monotonic()
    found = frame.compute()
    report("dask", ROWS, time.monotonic() - begun, "with two workers of two threads")
    check_texts(records(found))
    assert list(callers(runtime.port).values()) == [1, 1]
    workers.cluster.close()
    watch = Stopwatch()
    while callers(runtime.port):
        assert watch.seconds < 10
        time.sleep(0.1)


def test_a_function_holds_a_model(client: RemoteClient, workers: Client) -> None:
    model: Any = client.model("text")
    rows = bag.from_sequence(texts(FEW).to_pylist(), npartitions=4)
    found = rows.map(lambda row: {**row, "label": model.run_text(row["text"]).greeting, "error": None}).compute()
    check_texts(found, FEW)


def test_the_example(runtime: Runtime, workers: Client, tmp_path: Path) -> None:
    (tmp_path / "rows").mkdir()
    for number in range(4):
        parquet.write_table(texts().slice(number * ROWS // 4, ROWS // 4), tmp_path / "rows" / f"{number}.parquet")
    address = workers.scheduler.address
    run_example("dask_score.py", runtime.target, "text", tmp_path / "rows", tmp_path / "scored", address)
    check_texts(parquet.read_table(tmp_path / "scored").to_pylist())
