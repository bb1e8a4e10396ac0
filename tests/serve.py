"""`make serve`: a real caikit runtime with the sample library, on fixed ports, until Ctrl-C."""

from __future__ import annotations

import argparse
import contextlib
import signal
import socket
import sys
from collections.abc import Iterator
from typing import Any

from tests.support.runtime import SAMPLE_MODELS, TEXT_MODELS, Runtime


def main() -> int:
    """Start the runtime, say where it listens, and wait."""
    parser = argparse.ArgumentParser(prog="python -m tests.serve", description=__doc__)
    parser.add_argument("--grpc-port", type=int, default=8085, metavar="PORT")
    parser.add_argument("--http-port", type=int, default=8080, metavar="PORT")
    arguments = parser.parse_args()
    ports = (arguments.grpc_port, arguments.http_port)
    for port in ports:
        if is_taken(port):
            grpc, http = next(pair for pair in others(ports) if not any(map(is_taken, pair)))
            print(f"Port {port} is taken. Choose others: make serve GRPC_PORT={grpc} HTTP_PORT={http}", file=sys.stderr)
            return 1
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with contextlib.suppress(KeyboardInterrupt):
        return serve(ports)
    print("\nStopped.")
    return 0


def serve(ports: tuple[int, int]) -> int:
    """Serve until the runtime ends by itself."""
    print("Starting a caikit runtime with the sample library ...", flush=True)
    models = SAMPLE_MODELS | TEXT_MODELS
    spec: dict[str, Any] = {"also": ["sample_lib.texts"]}
    with Runtime(models=models, ports=ports, **spec) as runtime:
        print(f"gRPC at {runtime.target}, HTTP at {runtime.http_target}. Ctrl-C stops it.", flush=True)
        code = runtime.wait()
        print(
            f"The runtime ended by itself, with exit code {code}:\n{runtime.log.read_text()[-4000:]}", file=sys.stderr
        )
    return 1


def others(ports: tuple[int, int]) -> Iterator[tuple[int, int]]:
    """The same ports in other thousands."""
    grpc, http = (port % 1000 for port in ports)
    yield from ((thousands + grpc, thousands + http) for thousands in range(9000, 65000, 1000))


def is_taken(port: int) -> bool:
    """Whether somebody listens on a port: gRPC servers would share it silently."""
    with contextlib.suppress(OSError), socket.create_connection(("localhost", port), timeout=1):
        return True
    return False


if __name__ == "__main__":
    sys.exit(main())
