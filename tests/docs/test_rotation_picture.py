"""docs/pictures/rotation.py: what it records of rotation is what docs/rotation.md says, and it draws that."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from docs.pictures.rotation import PALETTES, RECORD, Record, draw, record

from ..support.runtime import Runtime

DELAY = 0.3
"""Seconds that a connection may stay open after its last call, on a busy machine."""


@pytest.fixture(scope="module")
def happened(runtime: Runtime) -> Record:
    return asyncio.run(record(runtime.port, age=0.4, length=1.3))


def test_calls_use_the_newest_connection_and_old_ones_close_after_their_last_call(happened: Record) -> None:
    connections = happened.connections
    assert len(connections) > 2
    assert {call.status for call in happened.calls} == {"OK"}
    for number, connection in enumerate(connections):
        own = [call for call in happened.calls if call.connection == number]
        replaced = connections[number + 1].opened if number + 1 < len(connections) else connection.closed
        # A call begins a moment before the connection that it opens.
        assert all(connection.opened - DELAY < call.began <= replaced for call in own)
        ended = max(call.ended for call in own)
        assert ended - 0.01 < connection.closed < max(ended, replaced) + DELAY


def test_a_stream_keeps_its_connection_beyond_two_rotations(happened: Record) -> None:
    (stream,) = (call for call in happened.calls if call.kind == "stream")
    assert stream.ended > happened.connections[stream.connection + 1].opened


@pytest.mark.parametrize("variant", PALETTES)
def test_the_picture_in_the_project_is_text_without_a_date(variant: str) -> None:
    picture = Path(RECORD.parent, f"rotation-{variant}.svg").read_text()
    assert all(text in picture for text in ("connection 1</text>", "closes with its stream</text>", "sans-serif"))
    assert "<dc:date>" not in picture


def test_the_record_is_drawn(happened: Record, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    files = [tmp_path / name for name in ("one.svg", "two.svg")]
    for file in files:
        draw(happened, PALETTES["light"], file)
    assert files[0].read_bytes() == files[1].read_bytes()
    assert f"connection {len(happened.connections)}</text>" in files[0].read_text()
