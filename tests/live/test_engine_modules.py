"""`remote_client.ray` and `remote_client.spark` without their engines, which are in tests/engines."""

from __future__ import annotations

import asyncio
import pickle
import re
import sys
from typing import Any

import numpy
import pandas
import pyarrow
import pytest

from remote_client import RemoteClient
from remote_client import sync as blocking
from remote_client._client import shared_connections
from remote_client.errors import ConfigurationError, InputError, InternalError, InvalidArgumentError
from remote_client.ray import Predictor
from remote_client.spark import predictor

from ..support.clock import Stopwatch
from ..support.runtime import Runtime
from .protocols import Protocol, target_of

SECONDS = [0.002, -1.0, 0.001]


@pytest.fixture
def model(runtime: Runtime, protocol: Protocol) -> Any:
    """A model that sleeps, of the blocking client, as it comes out of a pickle."""
    with blocking.RemoteClient(target_of(runtime, protocol)) as client:
        return pickle.loads(pickle.dumps(client.model("slow")))


async def called(predict: Predictor, batch: Any) -> Any:
    """What an actor gives, whose loop ends with it."""
    try:
        return await predict(batch)
    finally:
        for server in list(shared_connections._servers.values()):
            await server.aclose()


@pytest.mark.parametrize("kind", ["arrow", "pandas", "numpy"])
def test_a_batch_becomes_an_arrow_table_with_answers(model: Any, kind: str) -> None:
    table = pyarrow.table({"seconds": SECONDS, "grid": [[[1, 2], [3, 4]]] * 3})
    batches = {
        "arrow": table,
        "pandas": pandas.DataFrame({"seconds": SECONDS, "grid": table["grid"].to_pylist()}),
        "numpy": {"seconds": numpy.array(SECONDS), "grid": numpy.array(table["grid"].to_pylist())},
    }
    predict = Predictor(model, "run_slow", input="seconds", output={"answer": "greeting"})  # in no loop
    for _ in range(2):  # in any
        found = asyncio.run(called(predict, batches[kind]))
        assert found.column_names == ["seconds", "grid", "answer", "error"]
        assert found.select(["seconds", "grid"]) == table
        assert found["answer"].to_pylist() == ["slept 0.002", None, "slept 0.001"]
        (none, error, also_none) = found["error"].to_pylist()
        assert none is also_none is None
        assert "sleep length must be non-negative" in error


def test_batches_without_errors_have_the_same_types(model: Any) -> None:
    predict = Predictor(model, "run_slow", input="seconds")
    whole, failed = (
        asyncio.run(called(predict, pyarrow.table({"seconds": [seconds]}))).schema for seconds in (0.002, -1.0)
    )
    assert whole == failed
    assert whole.field("error").type in (pyarrow.string(), pyarrow.large_string())


async def test_batches_wait_for_their_turn(client: RemoteClient) -> None:
    predict = Predictor(await client.model("slow"), "run_slow", input="seconds", concurrency=1)
    batch = pyarrow.table({"seconds": [0.2]})
    watch = Stopwatch()
    await asyncio.gather(predict(batch), predict(batch))
    assert watch.wall >= 0.4


async def test_a_failed_row_is_raised_without_an_error_column(client: RemoteClient) -> None:
    predict = Predictor(await client.model("slow"), "run_slow", input="seconds", error_column=None)
    with pytest.raises((InternalError, InvalidArgumentError)) as caught:
        await predict(pyarrow.table({"seconds": SECONDS}))
    assert caught.value.__notes__ == ["row 1"]


async def test_a_wrong_method_is_told_at_once(client: RemoteClient) -> None:
    model = await client.model("slow")
    with pytest.raises(AttributeError, match="did you mean run_slow"):
        Predictor(model, "run_slw", input="seconds")
    with pytest.raises(InputError, match=r"^model: expected a model of a client, not <RemoteClient"):
        Predictor(client, "run_slow", input="seconds")


@pytest.mark.parametrize("library", ["narwhals", "pyarrow"])
def test_ray_names_its_extra(monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    message = f"remote_client.ray needs {library}: pip install 'remote-client[ray]'"
    with pytest.raises(ConfigurationError, match=f"^{re.escape(message)}$"):
        Predictor(None, "run_slow", input="seconds")


@pytest.mark.parametrize("library", ["narwhals", "pandas", "pyarrow", "pyspark"])
def test_spark_names_its_extra(monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    monkeypatch.setitem(sys.modules, library, None)
    message = f"remote_client.spark needs {library}"
    with pytest.raises(ConfigurationError, match=rf"^{message}[.a-z]*: pip install 'remote-client\[spark\]'$"):
        predictor(None, "run_slow", "output string", input="seconds")
