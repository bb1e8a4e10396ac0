"""`make demo`: runs the README's examples against a real caikit runtime, showing each and what it prints."""

from __future__ import annotations

import asyncio
import sys
import time
from typing import Any

from tests.support import readme
from tests.support.runtime import Runtime


async def show(runtime: Runtime) -> None:
    """Every example and its output."""
    names: dict[str, Any] = {"asyncio": asyncio}
    for heading, code in readme.examples():
        title = f"== {heading} =="
        print(f"\n\033[1m{title}\033[0m\n" if sys.stdout.isatty() else f"\n{title}\n")
        print("\n".join(f"    {line}" for line in code.splitlines()), flush=True)
        print()
        await readme.run(code, runtime, names)


def main() -> None:
    """Start the runtime, show, stop it."""
    started = time.monotonic()
    print("Starting a caikit runtime with the sample library ...", flush=True)
    with Runtime() as runtime:
        served = f"gRPC at {runtime.target} and HTTP at {runtime.http_target}"
        print(f"It serves {served} after {time.monotonic() - started:.1f} s.")
        print("The examples' ports, 8085 and 8080, stand for these.", flush=True)
        asyncio.run(show(runtime))
    print(f"\nDone in {time.monotonic() - started:.1f} s.")


if __name__ == "__main__":
    main()
