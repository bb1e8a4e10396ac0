"""Score a Parquet file with Dask: `python dask_score.py localhost:8085 MODEL rows.parquet scored/ tcp://scheduler:8786`.

Needs `pip install 'remote-client[dask]'`, on the workers, too. A worker process has one client for all partitions,
which is closed when the process ends.
"""

from __future__ import annotations

import argparse
from functools import partial

from dask import dataframe
from dask.distributed import Client

from remote_client.sync import RemoteClient
from remote_client.sync.bulk import map_frame

# What to call: the method's name, the column of its argument, and the part of its answer for a new column.
METHOD, INPUT, OUTPUT = "run_text", "text", {"label": "greeting"}


def score(target: str, model: str, source: str, result: str, scheduler: str) -> None:
    """Write the rows of a Parquet file with the answers, and a column of errors for the rows that failed."""
    with RemoteClient(target) as client:  # only to find the model: every worker makes a client of its own
        found = client.model(model)
    answer = partial(
        map_frame, getattr(found, METHOD), input=INPUT, output=OUTPUT, on_error="return", error_column="error"
    )
    with Client(scheduler):
        rows = dataframe.read_parquet(source)
        # Dask would call the method with made-up rows to learn the types, without `meta`.
        meta = {**rows.dtypes, **dict.fromkeys(OUTPUT, "string"), "error": "string"}
        rows.map_partitions(answer, meta=meta).to_parquet(result)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Score a Parquet file with Dask.")
    parser.add_argument("target", help="the runtime, such as localhost:8085")
    parser.add_argument("model")
    parser.add_argument("source", help="a Parquet file, or a folder of them: a partition for each")
    parser.add_argument("result", help="a folder")
    parser.add_argument("scheduler", help="the cluster's address, such as tcp://scheduler:8786")
    score(**vars(parser.parse_args()))
