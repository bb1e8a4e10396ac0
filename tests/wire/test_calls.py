"""The four kinds of call, as they should go."""

from __future__ import annotations

from typing import Any

from remote_client._client.client import RemoteClient
from tests.support.wire import WireServer


async def test_all_four_kinds_carry_bytes(module: Any) -> None:
    assert await module.echo(b"hello") == b"hello"
    assert [item async for item in module.count(n=3)] == [b"0", b"1", b"2"]
    assert await module.sum([b"1", b"2", b"3"]) == b"6"
    assert [item async for item in module.chat([b"a", b"b"])] == [b"a", b"b"]


async def test_a_client_discovers_and_calls_all_four_kinds(wire: WireServer) -> None:
    async with RemoteClient(wire.target) as client:
        assert await client.healthy()
        assert (await client.runtime_info()).runtime_version == "1.2.3"
        model = await client.model("foo", task="SampleTask")
        assert (await model.run({"name": "a"})).greeting == "Hello a"
        assert [each.greeting async for each in model.run_stream_out({"name": "b"})] == ["Hello b"] * 3
        assert (await model.run_stream_in([{"name": "c"}, {"name": "d"}])).greeting == "Hello d"
        assert [each.greeting async for each in model.run_bidi_stream([{"name": "e"}])] == ["Hello e"]
