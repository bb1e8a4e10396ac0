"""Targets that need a network of their own: `python -m tests.interop.target_situations PROTOCOL FOLDER`.

Link-local addresses exist on a cable only, and the ports that schemes stand for are root's. Prints a line of JSON: the
target of each case, and what became of it.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from remote_client import RemoteClient
from remote_client.errors import RemoteClientError
from remote_client.sync import RemoteClient as BlockingClient
from tests.support.http_wire import HttpWire
from tests.support.wire import WireServer
from tests.wire.test_tls import Authority

LINK, ZONE = "fe80::77", "near0"
SCHEMES = {"grpc": ("", "grpcs://"), "http": ("http://", "https://")}


def cable() -> None:
    """Bring up the loopback and a cable, one end of which has a link-local address."""
    for command in (
        "link set lo up",
        f"link add {ZONE} type veth peer name far0",
        f"link set {ZONE} up",
        "link set far0 up",
        f"-6 address add {LINK}/64 dev {ZONE} nodad",
    ):
        subprocess.run(["ip", *command.split()], check=True)


async def outcome(target: str, **more: Any) -> str:
    """What becomes of a call."""
    try:
        async with RemoteClient(target, timeout=5, retries=0, **more) as client:
            return ", ".join(each.name for each in await client.models())
    except RemoteClientError as error:
        return str(error)


def blocking_outcome(target: str, **more: Any) -> str:
    with BlockingClient(target, timeout=5, retries=0, **more) as client:
        return ", ".join(each.name for each in client.models())


async def main(protocol: str, folder: Path) -> dict[str, str]:
    """Return what became of each target."""
    cable()
    kind: Any = WireServer if protocol == "grpc" else HttpWire
    plain, secure = SCHEMES[protocol]
    authority = Authority(folder, LINK, "::1", "127.0.0.1")
    tls = {"ca_file": authority.ca}
    told: dict[str, str] = {}
    with kind(host="::") as server, kind(host="::", tls=authority.tls()) as safe:
        for zone in (ZONE, f"25{ZONE}"):
            target = f"{plain}[{LINK}%{zone}]:{server.port}"
            told[target] = await outcome(target)
            told[f"blocking {target}"] = await asyncio.to_thread(blocking_outcome, target)
            target = f"{secure}[{LINK}%{zone}]:{safe.port}"
            told[target] = await outcome(target, tls=tls)
    with kind(port=80), kind(port=443, tls=authority.tls()):
        told[f"{plain}127.0.0.1"] = await outcome(f"{plain}127.0.0.1")
        told[f"{secure}127.0.0.1"] = await outcome(f"{secure}127.0.0.1", tls=tls)
        told["127.0.0.1 with tls="] = await outcome("127.0.0.1", protocol=protocol, tls=tls)
    return told


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(sys.argv[1], Path(sys.argv[2])))))
