"""The file of examples/ that needs no engine and no kernel: a corpus that is embedded in two goes."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from pyarrow import parquet

from ..support.clock import Stopwatch
from ..support.runtime import Runtime

EXAMPLES = Path(__file__).parents[2] / "examples"
ROWS = 1500


def finished(checkpoint: Path) -> list[dict[str, Any]]:
    """The records of a checkpoint, but a torn last one."""
    lines = checkpoint.read_bytes().split(b"\n")[:-1] if checkpoint.exists() else []
    return [json.loads(line) for line in lines]


def test_a_corpus_is_embedded_in_two_goes(runtime: Runtime, tmp_path: Path) -> None:
    corpus, result = tmp_path / "corpus.jsonl", tmp_path / "vectors.parquet"
    checkpoint = tmp_path / "vectors.parquet.done"
    rows = [{"id": number, "numbers": [number / 2, float(number)]} for number in range(ROWS)]
    corpus.write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = [runtime.target, "numbers", corpus, result, "--method=run_numbers", "--field=numbers", "--part=numbers"]
    command = [sys.executable, EXAMPLES / "embed_corpus.py", *arguments]

    with subprocess.Popen(command, stderr=subprocess.PIPE) as first:
        watch = Stopwatch()
        while len(finished(checkpoint)) < 200:
            assert watch.seconds < 30
            assert first.poll() is None
        first.send_signal(signal.SIGKILL)
    kept = finished(checkpoint)
    assert len(kept) < ROWS
    assert not result.exists()

    one, two = kept[:2]  # answers that only the file has show that their rows are not called again
    one["answer"], two["answer"] = two["answer"], one["answer"]
    checkpoint.write_text("".join(json.dumps(each, separators=(",", ":")) + "\n" for each in kept))
    vectors = [row["numbers"] for row in rows]
    vectors[one["row"]], vectors[two["row"]] = vectors[two["row"]], vectors[one["row"]]

    second = subprocess.run(command, capture_output=True, text=True, timeout=50)
    assert second.returncode == 0, second.stderr
    assert f"{ROWS:,} rows" in second.stderr
    assert not checkpoint.exists()
    assert parquet.read_table(result).to_pylist() == [
        {**row, "vector": vector} for row, vector in zip(rows, vectors, strict=True)
    ]
