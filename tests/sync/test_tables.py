"""Rows and tables as arguments of the blocking client."""

from __future__ import annotations

import pandas
import polars
import pyarrow
import pytest

from remote_client.sync import RemoteClient

from ..live.protocols import PROTOCOLS, Protocol, target_of
from ..live.test_jobs import trained, unique
from ..support.runtime import Runtime

ROWS = [{"name": "a"}, {"name": "b"}]
FRAME = pandas.DataFrame(ROWS)
TABLES = {
    "pandas": lambda: FRAME,
    "polars": lambda: polars.DataFrame(ROWS),
    "Arrow": lambda: pyarrow.Table.from_pylist(ROWS),
    "rows": lambda: FRAME.itertuples(),
    "Arrow scalars": lambda: pyarrow.array(ROWS),
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_rows_are_arguments(runtime: Runtime, protocol: Protocol) -> None:
    with RemoteClient(target_of(runtime, protocol)) as client:
        model = client.model("foo")
        assert [model.run_sample(row).greeting for row in FRAME.itertuples()] == ["Hello a", "Hello b"]
        assert model.run_sample(FRAME.iloc[0]).greeting == "Hello a"
        assert [each.greeting for each in model.run_sample_stream_out(FRAME.iloc[0], count=1)] == ["Hello a 0"]


def test_rows_are_a_streams_items_and_columns_are_streams(runtime: Runtime) -> None:
    with RemoteClient(runtime.target) as client:
        model = client.model("foo")
        assert model.run_sample_stream_in(FRAME.itertuples(), greeting="Hi ").greeting == "Hi a,b"
        assert model.run_sample_stream_in(FRAME, greeting="Hi ").greeting == "Hi a,b"
        lats = pandas.Series([1.5, 2.5])
        places = client.model("geo").run_geo_spatial_bidi_stream(lats=lats, lons=lats.to_numpy())
        assert [each.lat for each in places] == [1.5, 2.5]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("kind", TABLES)
def test_a_table_is_a_trainings_data(runtime: Runtime, protocol: Protocol, kind: str) -> None:
    name = unique("trained")
    with RemoteClient(target_of(runtime, protocol)) as client:
        client.model("foo").train(TABLES[kind](), ["x"], model_name=name, module="SampleModule").wait()
    assert trained(runtime, name)["rows"] == ["a", "b"]
