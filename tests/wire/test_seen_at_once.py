"""A poll that began before this client deployed or undeployed a model does not hide that it did."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from remote_client import RemoteClient
from remote_client.errors import ModelNotFoundError, OutcomeUnknownError
from tests.support import http_server
from tests.support.http_wire import RESET, HttpWire, models

MODELS, MANAGE = "GET /info/models", "/management/models"
FILES = {"config.yml": b"module_id: m"}


async def manage(http_wire: HttpWire, listed: Any, **answers: Any) -> None:
    """Let the server deploy and undeploy, and answer so; its lists of models come in this order."""
    document = http_server.openapi()
    answer = {"responses": {"200": {"content": {"application/json": {"schema": {}}}}}}
    document["paths"][MANAGE] = {"post": answer, "delete": answer}
    faults = {f"{verb} {MANAGE}": fault for verb, fault in answers.items()}
    await http_wire.faults({"GET /openapi.json": {"body": document}, MODELS: listed, **faults})


async def test_deployed_while_a_poll_is_under_way(http_wire: HttpWire) -> None:
    old, new = {"delay": 0.5} | models("raw"), models("raw", "new")
    await manage(http_wire, [old, new], POST={"body": {"name": "new"}})
    async with RemoteClient(http_wire.target) as client:
        poll = asyncio.ensure_future(client.model("new"))
        await http_wire.until(lambda seen: MODELS in seen["running"])
        await client.deploy_model("new", FILES)
        assert (await poll).config.model_path == "new"
    assert (await http_wire.stats())["started"][MODELS] == 2


async def test_undeployed_while_a_poll_is_under_way(http_wire: HttpWire) -> None:
    old, new = {"delay": 0.5} | models("raw", "old"), models("raw")
    await manage(http_wire, [models("raw", "old"), old, new], DELETE={"body": {}})
    async with RemoteClient(http_wire.target) as client:
        assert len(await client.models()) == 2
        poll = asyncio.ensure_future(client.models())
        await http_wire.until(lambda seen: MODELS in seen["running"])
        await client.undeploy_model("old")
        assert [each.name for each in await poll] == ["raw"]
        with pytest.raises(ModelNotFoundError):
            await client.model("old")


async def test_a_deployment_of_unknown_outcome_is_looked_for(http_wire: HttpWire) -> None:
    await manage(http_wire, [models("raw"), models("raw", "new")], POST={"steps": [RESET]})
    async with RemoteClient(http_wire.target) as client:
        with pytest.raises(ModelNotFoundError):
            await client.model("new")
        with pytest.raises(OutcomeUnknownError):
            await client.deploy_model("new", FILES)
        assert (await client.model("new")).config.model_path == "new"
