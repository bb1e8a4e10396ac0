"""Names that move, dead and silent addresses, one family without the other, and packets that vanish: in a network of
the tests' own, where root is to be had. See `name_situations`.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.network import in_namespace, missing

from .name_situations import SITUATIONS

KINDS = ("grpc", "grpcio", "http")
MOVED = {"moved, refused": 3, "moved, silent": 3, "moved, silent, idle": 3, "moved, silent, idle, large": 3}
HOLES = {"one of two black-holed": 6}
"""Seconds until calls are answered again."""
SLOWER_ON_GRPCIO = 6
"""Seconds that the same may take on grpcio, which doubts no connection before it gives it up."""
FIRST_CALLS = [name for name, (_, run) in SITUATIONS.items() if run.__qualname__.startswith("first_call")]
BLOCKING = ("moved, refused", "moved, silent", "one of two black-holed", "localhost ::1 first, server 127.0.0.1")


@pytest.fixture(scope="module", autouse=True)
def root() -> None:
    if why := missing():
        pytest.skip(why)


def seen(situation: str, kind: str, *, blocking: bool = False) -> dict[str, Any]:
    wish = {"situation": situation, "protocol": "http" if kind == "http" else "grpc", "blocking": blocking}
    engine = {"REMOTE_CLIENT_ENGINE": "grpcio" if kind == "grpcio" else ""}
    told: dict[str, Any] = json.loads(in_namespace("tests.interop.name_situations", json.dumps(wish), env=engine))
    return told


def cases(names: Any) -> list[Any]:
    every = [(name, kind, False) for name in names for kind in KINDS]
    every += [(name, kind, True) for name in names if name in BLOCKING for kind in ("grpc", "http")]
    return [pytest.param(*case, id="-".join((*case[:2], *(["blocking"] if case[2] else [])))) for case in every]


@pytest.mark.parametrize(("situation", "kind", "blocking"), cases({**MOVED, **HOLES}))
def test_calls_go_elsewhere_in_time_and_none_is_lost(situation: str, kind: str, blocking: bool) -> None:
    told = seen(situation, kind, blocking=blocking)
    within = {**MOVED, **HOLES}[situation]
    assert told["lost"] == []
    assert max(told["first"], told.get("all", 0)) < (max(within, SLOWER_ON_GRPCIO) if kind == "grpcio" else within)


@pytest.mark.parametrize("kind", ["grpc", "http"])
def test_a_hole_under_a_call_that_the_server_works_on(kind: str) -> None:
    """Nothing is under way then: the system's probes find it, of which the server knows nothing."""
    told = seen("hole under a long call", kind)
    assert told["lost"] == []
    assert told["first"] < 6


@pytest.mark.parametrize(("situation", "kind", "blocking"), cases(FIRST_CALLS))
def test_the_first_call_finds_the_server(situation: str, kind: str, blocking: bool) -> None:
    told = seen(situation, kind, blocking=blocking)
    assert told["lost"] == []
    assert told["first"] < 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("situation", ["all refuse, one returns", "all silent, one returns"])
def test_a_server_that_comes_back_is_found(situation: str, kind: str) -> None:
    told = seen(situation, kind)
    assert told["first"] is not None
    assert told["first"] < 3
