"""What happens to names and addresses between a client and its servers, run as `python -m tests.interop.name_situations
<JSON of a wish>` in namespaces of its own. Prints as JSON what became of the calls.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any

from remote_client.errors import RemoteCallError
from remote_client.settings import ConnectionInfo
from remote_client.sync._modules import wrapped
from tests.support.http_wire import http_module
from tests.support.network import NAME, PORT, REFUSING, SILENT, V4, V6, Network, network
from tests.support.wire import raw_module

ONE, OTHER, DEAD, MUTE = (V4.format(each) for each in (2, 3, REFUSING, SILENT))
ONE6, DEAD6, MUTE6 = (V6.format(each) for each in (2, REFUSING, SILENT))
WORKERS = 4
Run = Callable[[Network, dict[str, Any]], Coroutine[Any, Any, dict[str, Any]]]
"""What is done in a situation, and what comes of it."""
Prepare = Callable[[Network, str], None]


class Client:
    """A module whose calls go to one target, through the asyncio client or the blocking one."""

    def __init__(self, wish: dict[str, Any], host: str = NAME) -> None:
        self.protocol, self.blocking = wish["protocol"], wish.get("blocking", False)
        self._wish, self.host = wish, host

    def info(self, **changes: Any) -> ConnectionInfo:
        wish: dict[str, Any] = {"hostname": self.host, "port": PORT, "timeout": 30, "retries": 5, **changes}
        return ConnectionInfo(**wish)

    def module(self, **changes: Any) -> Any:
        return (http_module if self.protocol == "http" else raw_module)(self.info(**changes))

    async def __aenter__(self) -> Client:
        self._module = self.module(**self._wish.get("info", {}))
        self._blocking = wrapped(self._module) if self.blocking else None
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._blocking is None:
            await self._module.aclose()
        else:
            await asyncio.to_thread(self._blocking.close)

    async def call(self, method: str = "echo", *args: Any, **kwargs: Any) -> Any:
        if self._blocking is None:
            return await getattr(self._module, method)(*args, **kwargs)
        return await asyncio.to_thread(getattr(self._blocking, method), *args, **kwargs)


class Load:
    """Calls one after another by some workers, and what became of them."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.lost: list[str] = []
        self.event = float("inf")
        self.first: float | None = None
        self._recovered: set[int] = set()
        self.last = 0.0
        self.done = asyncio.Event()

    async def worker(self, number: int) -> None:
        while not self.done.is_set():
            begun = time.monotonic()
            try:
                await self.client.call("echo", b"x")
            except RemoteCallError as error:
                self.lost.append(f"{time.monotonic() - self.event:.1f}s {error}"[:200])
                await asyncio.sleep(0.05)
                continue
            if begun >= self.event and number not in self._recovered:
                self._recovered.add(number)
                self.last = time.monotonic() - self.event
                self.first = self.last if self.first is None else self.first
            if len(self._recovered) == WORKERS:
                self.done.set()
            await asyncio.sleep(0.01)

    async def run(self, happen: Callable[[], None], warm: float = 1.0) -> dict[str, Any]:
        workers = [asyncio.ensure_future(self.worker(each)) for each in range(WORKERS)]
        await asyncio.sleep(warm)
        await asyncio.to_thread(happen)
        self.event = time.monotonic()
        try:
            await asyncio.wait_for(self.done.wait(), 45)
        except TimeoutError:
            self.done.set()
        await asyncio.gather(*workers)
        return {"first": self.first, "all": self.last, "lost": self.lost, "recovered": len(self._recovered)}


def first_call(host: str = NAME) -> Run:
    """One call of a new client, and then some at once."""

    async def run(net: Network, wish: dict[str, Any]) -> dict[str, Any]:
        begun = time.monotonic()
        async with Client(wish, host) as client:
            calls = [client.call("echo", b"x")]
            results = await asyncio.gather(*calls, return_exceptions=True)
            first = time.monotonic() - begun
            results += await asyncio.gather(*(client.call("echo", b"x") for _ in range(20)), return_exceptions=True)
            return {"first": first, "lost": [str(each)[:300] for each in results if each != b"x"]}

    return run


def after(happen: Callable[[Network], None]) -> Run:
    """Calls run while something happens."""

    async def run(net: Network, wish: dict[str, Any]) -> dict[str, Any]:
        async with Client(wish) as client:
            return await Load(client).run(lambda: happen(net))

    return run


async def return_of_one(net: Network, wish: dict[str, Any]) -> dict[str, Any]:
    """Nobody is there; then one is. Measured is the time of the first answer from then."""
    async with Client({**wish, "info": {"timeout": 1, "retries": 0}}) as client:
        for _ in range(10):
            with contextlib.suppress(RemoteCallError):
                await client.call("echo", b"x")
                raise AssertionError("nobody is there, and answers")
        await asyncio.to_thread(net.serve, wish["protocol"], ONE)
        begun = time.monotonic()
        while time.monotonic() < begun + 30:
            with contextlib.suppress(RemoteCallError):
                await client.call("echo", b"x")
                return {"first": time.monotonic() - begun}
            await asyncio.sleep(0.05)
        return {"first": None}


async def long_call(net: Network, wish: dict[str, Any]) -> dict[str, Any]:
    """The server works on a call when the hole opens; measured is when the other one gets the call."""
    async with Client(wish) as client:
        call = asyncio.ensure_future(client.call("sleep", seconds=60))
        await net.servers[ONE].until_running(1)
        await asyncio.sleep(0.5)  # everything is acknowledged by then
        await asyncio.to_thread(moved_silent, net)
        begun = time.monotonic()
        stats = await net.servers[OTHER].until(lambda seen: sum(seen["running"].values()) == 1, 20)
        took = time.monotonic() - begun
        lost = [] if sum(stats["running"].values()) == 1 else ["the other server never got the call"]
        call.cancel()
        await asyncio.gather(call, return_exceptions=True)
        return {"first": took, "lost": lost}


def idle(body: bytes) -> Run:
    """Connections lie idle as the name moves and its old address falls silent; the next calls come then."""

    async def run(net: Network, wish: dict[str, Any]) -> dict[str, Any]:
        async with Client(wish) as client:
            await asyncio.gather(*(client.call("echo", b"x") for _ in range(WORKERS)))
            await asyncio.to_thread(moved_silent, net)
            begun = time.monotonic()
            calls = (client.call("echo", body) for _ in range(WORKERS))
            results = await asyncio.gather(*calls, return_exceptions=True)
            lost = [str(each)[:300] for each in results if each != body]
            return {"first": time.monotonic() - begun, "lost": lost}

    return run


def at(
    *families: str, serve: tuple[str, ...] = (), names: tuple[str, ...] = (), ipv6: bool = True, far: bool = True
) -> Prepare:
    """This machine has an address of these families; there are servers, and `NAME` means something."""

    def prepare(net: Network, protocol: str) -> None:
        if not ipv6:
            net.without_ipv6()
        for family in families:
            net.address(family)
        for each in serve:
            net.serve(protocol, each, far=far)
        net.names(*names)

    return prepare


def moved_refused(net: Network) -> None:
    net.names(OTHER)
    net.stop(ONE)


def moved_silent(net: Network) -> None:
    net.names(OTHER)
    net.vanish(ONE)


def hole(net: Network) -> None:
    net.vanish(ONE)


def local(addresses: tuple[str, ...], serve: str, *, ipv6: bool = True) -> Prepare:
    def prepare(net: Network, p: str) -> None:
        if not ipv6:
            net.without_ipv6()
        net.localhost(*addresses)
        net.serve(p, serve, far=False)

    return prepare


TWO = at(V4, serve=(ONE, OTHER), names=(ONE,))
"""There are two servers, and the name means the first."""
SITUATIONS: dict[str, tuple[Prepare, Run]] = {
    "moved, refused": (TWO, after(moved_refused)),
    "moved, silent": (TWO, after(moved_silent)),
    "moved, silent, idle": (TWO, idle(b"x")),
    "moved, silent, idle, large": (TWO, idle(bytes(2_000_000))),
    "one of two black-holed": (at(V4, serve=(ONE, OTHER), names=(ONE, OTHER)), after(hole)),
    "hole under a long call": (TWO, long_call),
    "first address refuses": (at(V4, serve=(ONE,), names=(DEAD, ONE)), first_call()),
    "first address silent": (at(V4, serve=(ONE,), names=(MUTE, ONE)), first_call()),
    "all refuse, one returns": (at(V4, names=(ONE, DEAD)), return_of_one),
    "all silent, one returns": (at(V4, names=(ONE, MUTE)), return_of_one),
    "AAAA only": (at(V6, serve=(ONE6,), names=(ONE6,)), first_call()),
    "A only, IPv6 off": (at(V4, serve=(ONE,), names=(ONE,), ipv6=False), first_call()),
    "both, v6 unroutable": (at(V4, serve=(ONE,), names=(ONE6, ONE)), first_call()),
    "both, IPv6 off": (at(V4, serve=(ONE,), names=(ONE6, ONE), ipv6=False), first_call()),
    "both, v6 silent": (at(V4, V6, serve=(ONE,), names=(MUTE6, ONE)), first_call()),
    "both, v6 refuses": (at(V4, V6, serve=(ONE,), names=(DEAD6, ONE)), first_call()),
    "both, v4 silent": (at(V4, V6, serve=(ONE6,), names=(MUTE, ONE6)), first_call()),
    "both, v4 unroutable": (at(V6, serve=(ONE6,), names=(ONE, ONE6)), first_call()),
    "localhost ::1 first, server 127.0.0.1": (local((), "127.0.0.1"), first_call("localhost")),
    "localhost 127.0.0.1 first, server ::1": (local(("127.0.0.1", "::1"), "::1"), first_call("localhost")),
    "localhost ::1 first, IPv6 off": (local((), "127.0.0.1", ipv6=False), first_call("localhost")),
    "localhost ::1 only, server 127.0.0.1": (local(("::1",), "127.0.0.1"), first_call("localhost")),
    "127.0.0.1, no v4 elsewhere": (at(V6, serve=("127.0.0.1",), far=False), first_call("127.0.0.1")),
    "::1, no v6 elsewhere": (at(V4, serve=("::1",), far=False), first_call("::1")),
    "mapped": (at(V4, serve=(ONE,)), first_call("::ffff:" + ONE)),
}


def main(wish: dict[str, Any]) -> None:
    prepare, run = SITUATIONS[wish["situation"]]
    with network() as net:
        prepare(net, wish["protocol"])
        print(json.dumps(asyncio.run(run(net, wish))), flush=True)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
