"""Score a Parquet file with Ray Data: `python ray_score.py localhost:8085 MODEL rows.parquet scored/`.

Needs `pip install 'remote-client[ray]'`. Ray starts on this machine, or `RAY_ADDRESS` names a cluster; its nodes need
remote-client, too, and reach the runtime at the same address.
"""

from __future__ import annotations

import argparse

import ray
from ray.data import ActorPoolStrategy

from remote_client.ray import Predictor
from remote_client.sync import RemoteClient

# What to call: the method's name, the column of its argument, and the part of its answer for a new column.
METHOD, INPUT, OUTPUT = "run_text", "text", {"label": "greeting"}


def score(target: str, model: str, source: str, result: str, actors: int) -> None:
    """Write the rows of a Parquet file with the answers, and a column of errors for the rows that failed."""
    with RemoteClient(target) as client:  # only to find the model: every actor makes a client of its own
        found = client.model(model)
    rows = ray.data.read_parquet(source)
    scored = rows.map_batches(
        Predictor,
        fn_constructor_kwargs={"model": found, "method": METHOD, "input": INPUT, "output": OUTPUT},
        compute=ActorPoolStrategy(size=actors),
        batch_size=256,
        batch_format="pyarrow",
        num_cpus=0.25,  # actors mostly wait; if they take all CPUs, Ray has none to read with, and waits for ever
    )
    scored.write_parquet(result)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Score a Parquet file with Ray Data.")
    parser.add_argument("target", help="the runtime, such as localhost:8085")
    parser.add_argument("model")
    parser.add_argument("source", help="a Parquet file, or a folder of them")
    parser.add_argument("result", help="a folder")
    parser.add_argument("--actors", type=int, default=4)
    score(**vars(parser.parse_args()))
