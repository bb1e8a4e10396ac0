"""A runtime that is deployed anew with another interface is noticed, and old modules say so."""

from __future__ import annotations

import gc

import pytest

from remote_client import RemoteClient
from remote_client.errors import RemoteCallError, UnimplementedError
from tests.support.wire import WireServer


async def test_the_schema_is_read_anew(wire: WireServer) -> None:
    async with RemoteClient(wire.target) as client:
        model = await client.model("foo", task="SampleTask")
        descriptors = dict(model.config.task_methods)["SampleTask"]
        gone = next(each for each in descriptors if each.name == "run_sample")
        object.__setattr__(gone, "path", "/caikit.runtime.Gone.GoneService/SampleTaskPredict")
        before = (await wire.stats())["started"]["ServerReflectionInfo"]
        with pytest.raises(UnimplementedError, match="get the model again"):
            await model.run({"name": "Ada"})
        assert (await wire.stats())["started"]["ServerReflectionInfo"] == before  # nothing is asked that nobody needs
        gc.collect()  # other tests' garbage may hold the description that was changed here
        fresh = await client.model("foo", task="SampleTask")
        assert (await fresh.run({"name": "Ada"})).greeting == "Hello Ada"
        await client.model("foo")
        assert (await wire.stats())["started"]["ServerReflectionInfo"] > before


async def test_an_error_of_another_kind_says_nothing_of_it(wire: WireServer) -> None:
    async with RemoteClient(wire.target) as client:
        with pytest.raises(RemoteCallError) as caught:
            await client.model("no-such-model")
        assert "anew" not in str(caught.value)
