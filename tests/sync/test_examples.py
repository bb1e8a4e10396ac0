"""The files of examples/ that need no engine: a corpus that is embedded in two goes, and a notebook."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
from jupyter_client.manager import AsyncKernelManager
from pyarrow import parquet

from ..support.clock import Stopwatch
from ..support.runtime import Runtime
from .test_notebook import executed, kernel

__all__ = ["kernel"]

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


async def test_the_notebook(kernel: AsyncKernelManager) -> None:
    notebook = nbformat.read(EXAMPLES / "score_dataframe.ipynb", as_version=4)
    nbformat.validate(notebook)
    assert not any(cell.get("outputs") or cell.get("execution_count") for cell in notebook.cells)
    cells = await executed(kernel, notebook)
    (bar,) = [cell for cell in notebook.cells if cell.source.startswith("scored = map_frame")]
    (shown,) = bar.outputs
    assert re.fullmatch(r"2,000 of 2,000 rows, [\d,]+/s, 0 in flight, 1 failed, 0:00 left", shown.data["text/plain"])
    (failed,) = [html for source, _, html in cells if source.startswith("scored[")]
    assert "INVALID_ARGUMENT: sleep length" in failed  # as much as pandas shows
    (head,) = [html for source, _, html in cells if source == "scored.head(3)"]
    assert head.count("slept 0.005") == 3
