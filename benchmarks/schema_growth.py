"""What types of a server's schema cost in time and memory, by the schema's size.

`python -m benchmarks.schema_growth [SHAPE ...] [--sizes 10,100,1000,10000]` prints a table. Each cell is measured in a
process of its own: CPU seconds, and megabytes at the peak beyond what was in use before. The exponent is that of the
last two sizes: 1 where ten times the size costs ten times as much. Python's garbage collector is off, as it looks at
the more objects the more there are, whatever they are for.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from remote_client._schema.budget import Budget
from tests.support import large_documents, large_schemas

SIZES = (10, 100, 1_000, 10_000)
Case = Callable[[int], Callable[[], object]]
"""Makes a schema of a size, and returns what describes it."""


def _over_grpc(shape: large_schemas.Shape, size: int) -> Callable[[], object]:
    return partial(large_schemas.describe, shape(size), Budget(math.inf, limits=large_schemas.NO_LIMITS))


def _over_http(shape: large_documents.Shape, size: int) -> Callable[[], object]:
    return partial(large_documents.describe, shape(size), Budget(math.inf, limits=large_schemas.NO_LIMITS))


CASES: dict[str, Case] = {
    **{name: partial(_over_grpc, shape) for name, shape in large_schemas.SHAPES.items()},
    **{f"http_{name}": partial(_over_http, shape) for name, shape in large_documents.SHAPES.items()},
}


def measure(case: Case, size: int) -> tuple[float, float]:
    """Return seconds and megabytes, in this process."""
    case(3)()  # what is done once for all
    describe = case(size)
    gc.collect()
    gc.disable()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins here
    before, start = _memory("VmRSS"), time.process_time()
    described = describe()
    seconds = time.process_time() - start
    del described
    return seconds, _memory("VmHWM") - before


def _memory(kind: str) -> float:
    line = next(each for each in Path("/proc/self/status").read_text().splitlines() if each.startswith(f"{kind}:"))
    return int(line.split()[1]) / 1024


def row(name: str, sizes: Sequence[int]) -> str:
    """Return a line of the table."""
    cells = []
    for size in sizes:
        command = [sys.executable, "-m", "benchmarks.schema_growth", "--cell", name, str(size)]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=False)
        cells.append(tuple(json.loads(done.stdout)) if done.returncode == 0 else (math.nan, math.nan))
    exponents = [math.log(cells[-1][i] / cells[-2][i], sizes[-1] / sizes[-2]) for i in (0, 1)]
    told = [f"{seconds:.3f} s, {megabytes:.1f} MB" for seconds, megabytes in cells]
    return " | ".join([name, *told, *(f"{each:.2f}" for each in exponents)])


def main() -> None:
    """Print the table, or measure one cell of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("shapes", nargs="*", metavar="SHAPE", help=", ".join(CASES))
    parser.add_argument("--sizes", type=lambda text: [int(each) for each in text.split(",")], default=SIZES)
    parser.add_argument("--cell", nargs=2, metavar=("SHAPE", "SIZE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.cell:
        print(json.dumps(measure(CASES[options.cell[0]], int(options.cell[1]))))
        return
    head = ["shape", *map(str, options.sizes), "time's exponent", "memory's exponent"]
    print("| " + " | ".join(head) + " |")
    print("|---" * len(head) + "|")
    for name in options.shapes or CASES:
        print(f"| {row(name, options.sizes)} |", flush=True)


if __name__ == "__main__":
    main()
