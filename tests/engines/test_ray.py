"""Ray Data: actors, and functions that hold a model."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from pyarrow import parquet
from ray.data import ActorPoolStrategy, DataContext

from remote_client import RemoteClient as AsyncClient
from remote_client.ray import Predictor
from remote_client.sync import RemoteClient

from ..support.runtime import Runtime
from .conftest import Report
from .scoring import FEW, ROWS, SLOW, check_texts, check_waits, killing, run_example, texts, waits


@pytest.fixture(scope="module", autouse=True)
def address() -> Iterator[str]:
    """Ray on this machine."""
    context = ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    DataContext.get_current().enable_progress_bars = False
    yield context.address_info["address"]
    ray.shutdown()


def scored(rows: Any, model: Any, method: str, column: str, output: str, **options: Any) -> Any:
    """The rows, with a column of answers that two actors made."""
    format = options.pop("batch_format", "pyarrow")
    return rows.map_batches(
        Predictor,
        fn_constructor_kwargs={
            "model": model,
            "method": method,
            "input": column,
            "output": {output: "greeting"},
            **options,
        },
        compute=ActorPoolStrategy(size=2),
        batch_size=256,
        batch_format=format,
        num_cpus=0.25,
    )


def test_an_actor_that_is_killed_is_repeated(client: RemoteClient, runtime: Runtime, report: Report) -> None:
    rows = ray.data.from_arrow(waits()).repartition(20)
    begun = time.monotonic()
    with killing(runtime.port) as killed:
        found = scored(rows, client.model("slow"), "run_slow", "seconds", "answer", concurrency=8).take_all()
    ended = time.monotonic()
    assert killed.result().at < ended - 1
    assert "MapWorker" in killed.result().name
    check_waits(found)
    report("ray", SLOW, ended - begun, "one of two actors killed with SIGKILL meanwhile: answers whole")


@pytest.fixture
def in_order() -> Iterator[None]:
    """Data sets that are made from now on keep the order of their rows."""
    options = DataContext.get_current().execution_options
    options.preserve_order = True
    yield
    options.preserve_order = False


async def test_rows_keep_their_order_if_ray_is_told(runtime: Runtime, in_order: None, report: Report) -> None:
    async with AsyncClient(runtime.target) as client:  # its loop is not the actors'
        model = await client.model("text")
    rows = ray.data.from_arrow(texts()).repartition(20)
    begun = time.monotonic()
    found = scored(rows, model, "run_text", "text", "label").take_all()
    report("ray", ROWS, time.monotonic() - begun, "with the start of two actors")
    assert [row["id"] for row in found] == list(range(ROWS))
    check_texts(found)


@pytest.mark.parametrize("format", ["default", "pandas"])
def test_other_batches_are_taken(client: RemoteClient, format: str) -> None:
    rows = ray.data.from_arrow(waits(100))
    found = scored(rows, client.model("slow"), "run_slow", "seconds", "answer", batch_format=format).take_all()
    check_waits(found, 100)


def test_without_an_error_column_a_failed_row_ends_the_data_set(client: RemoteClient) -> None:
    rows = ray.data.from_arrow(waits(100))
    failing = scored(rows, client.model("slow"), "run_slow", "seconds", "answer", error_column=None)
    with pytest.raises(Exception, match="sleep length must be non-negative"):
        failing.take_all()


def test_a_function_holds_a_model(client: RemoteClient) -> None:
    model: Any = client.model("text")
    rows = ray.data.from_arrow(texts(FEW)).repartition(4)
    found = rows.map(lambda row: {**row, "label": model.run_text(row["text"]).greeting, "error": None}).take_all()
    check_texts(found, FEW)


def test_the_example(runtime: Runtime, address: str, tmp_path: Path) -> None:
    parquet.write_table(texts(), tmp_path / "rows.parquet")
    arguments = (runtime.target, "text", tmp_path / "rows.parquet", tmp_path / "scored", "--actors=4")
    run_example("ray_score.py", *arguments, env={"RAY_ADDRESS": address})
    assert len(os.listdir(tmp_path / "scored"))
    check_texts(parquet.read_table(tmp_path / "scored").to_pylist())
