"""Spark: `predictor` with Arrow and with pandas, and functions that hold a model."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql.functions import udf
from pyspark.sql.types import ArrayType, FloatType, LongType, StringType, StructField, StructType

from remote_client import RemoteClient as AsyncClient
from remote_client.errors import InputError
from remote_client.spark import predictor
from remote_client.sync import RemoteClient

from ..support.runtime import Runtime
from .conftest import Report
from .scoring import FEW, ROWS, SLOW, callers, check_texts, check_waits, killing, texts, waits

ANSWERS = "id long, seconds double, answer string, error string"
LABELS = "id long, text string, label string, error string"


@pytest.fixture(scope="module")
def spark() -> Iterator[SparkSession]:
    """Spark on this machine: two threads, and every task may be tried four times."""
    settings = {"spark.ui.enabled": "false", "spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    builder = SparkSession.builder.master("local[2, 4]").config(map=settings)
    session = builder.config("spark.log.level", "ERROR").getOrCreate()
    yield session
    session.stop()


def rows_of(spark: SparkSession, table: Any) -> Any:
    return spark.createDataFrame(table.to_pandas()).repartition(20)


def records(frame: Any) -> list[dict[str, Any]]:
    return [row.asDict(recursive=True) for row in frame.collect()]


def test_a_worker_that_is_killed_is_repeated(
    client: RemoteClient, runtime: Runtime, spark: SparkSession, report: Report
) -> None:
    score = predictor(
        client.model("slow"), "run_slow", ANSWERS, input="seconds", output={"answer": "greeting"}, concurrency=16
    )
    begun = time.monotonic()
    with killing(runtime.port) as killed:
        found = records(rows_of(spark, waits()).mapInArrow(score, ANSWERS))
    ended = time.monotonic()
    assert killed.result().at < ended - 1
    assert "pyspark" in killed.result().name
    check_waits(found)
    report("spark", SLOW, ended - begun, "one of two Python workers killed with SIGKILL meanwhile: answers whole")


def test_a_worker_has_one_connection_for_its_tasks(
    client: RemoteClient, runtime: Runtime, spark: SparkSession, report: Report
) -> None:
    score = predictor(client.model("text"), "run_text", LABELS, input="text", output={"label": "greeting"})
    begun = time.monotonic()
    found = records(rows_of(spark, texts()).mapInArrow(score, LABELS))
    report("spark", ROWS, time.monotonic() - begun, "with two workers")
    check_texts(found)
    connections = callers(runtime.port)
    assert connections
    assert set(connections.values()) == {1}


async def test_pandas_and_a_model_of_the_other_client(runtime: Runtime, spark: SparkSession) -> None:
    async with AsyncClient(runtime.target) as client:
        model = await client.model("slow")
    score = predictor(model, "run_slow", ANSWERS, input="seconds", output={"answer": "greeting"})
    check_waits(records(rows_of(spark, waits(100)).mapInPandas(score, ANSWERS)), 100)


def test_answers_get_the_schemas_types(client: RemoteClient, spark: SparkSession) -> None:
    rows = spark.createDataFrame([(1, [1.0, 2.5])], "id long, numbers array<double>")
    schema = StructType(
        [
            StructField("error", StringType()),
            StructField("vector", ArrayType(FloatType())),
            StructField("id", LongType()),
        ]
    )
    score = predictor(client.model("numbers"), "run_numbers", schema, input="numbers", output={"vector": "numbers"})
    for found in (rows.mapInArrow(score, schema), rows.mapInPandas(score, schema)):
        assert records(found) == [{"error": None, "vector": [1.0, 2.5], "id": 1}]


def test_without_an_error_column_a_failed_row_ends_the_task(client: RemoteClient, spark: SparkSession) -> None:
    schema = "id long, answer string"
    options: dict[str, Any] = {"input": "seconds", "output": {"answer": "greeting"}}
    score = predictor(client.model("slow"), "run_slow", schema, error_column=None, **options)
    with pytest.raises(Exception, match="sleep length must be non-negative"):
        rows_of(spark, waits(20)).mapInArrow(score, schema).collect()


def test_a_schema_without_a_column_is_refused(client: RemoteClient, spark: SparkSession) -> None:
    model = client.model("slow")
    with pytest.raises(InputError, match=r"^schema: it has no column 'error'; it has id, output$"):
        predictor(model, "run_slow", "id long, output string", input="seconds")
    with pytest.raises(InputError, match=r"^schema: it has no column 'output'; it has id$"):
        predictor(model, "run_slow", "id long", input="seconds")
    for wrong in (5, "long"):
        with pytest.raises(InputError, match=rf"^schema: expected a StructType or its DDL, not {wrong!r}$"):
            predictor(model, "run_slow", wrong, input="seconds")


def test_a_function_holds_a_model(client: RemoteClient, spark: SparkSession) -> None:
    model: Any = client.model("text")
    label = udf(lambda text: model.run_text(text).greeting, "string")
    frame = rows_of(spark, texts(FEW))
    found = records(frame.withColumn("label", label(frame.text)))
    check_texts([{**row, "error": None} for row in found], FEW)
