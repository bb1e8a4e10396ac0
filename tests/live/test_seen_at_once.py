"""What this client deployed, trained or undeployed it sees at once, though it looked for it in vain just before."""

from __future__ import annotations

import uuid

import pytest

from remote_client import RemoteClient
from remote_client.errors import ModelNotFoundError

from ..support.runtime import SAMPLE_MODELS

CONFIG = f"module_id: {SAMPLE_MODELS['foo']}\n".encode()
ROWS = [{"name": "a"}, {"name": "b"}]


@pytest.fixture
def name() -> str:
    return f"own-{uuid.uuid4().hex[:12]}"


async def look_in_vain(client: RemoteClient, name: str) -> None:
    with pytest.raises(ModelNotFoundError):
        await client.model(name)


async def greet(client: RemoteClient, name: str) -> str:
    answer = await (await client.model(name)).run_sample({"name": "World"})
    greeting: str = answer.greeting
    return greeting


async def test_deployed_and_undeployed(client: RemoteClient, name: str) -> None:
    await look_in_vain(client, name)
    await client.deploy_model(name, {"config.yml": CONFIG})
    assert await greet(client, name) == "Hello World"
    assert name in {each.name for each in await client.models()}
    await client.undeploy_model(name)
    await look_in_vain(client, name)
    assert name not in {each.name for each in await client.models()}
    await client.deploy_model(name, {"config.yml": CONFIG})
    assert await greet(client, name) == "Hello World"
    await client.undeploy_model(name)


async def test_trained(client: RemoteClient, name: str) -> None:
    model = await client.model("foo")
    await look_in_vain(client, name)
    training = await model.train(training_data=ROWS, union_list=["x"], model_name=name)
    await training.wait()
    assert await greet(client, name) == "Hello World"
    assert name in {each.name for each in await client.models()}


async def test_trained_and_called_by_its_job(client: RemoteClient, name: str) -> None:
    model = await client.model("foo")
    await look_in_vain(client, name)
    training = await model.train(training_data=ROWS, union_list=["x"], model_name=name)
    await training.model()
    assert await greet(client, name) == "Hello World"


async def test_a_training_that_fails_makes_no_model(client: RemoteClient, name: str) -> None:
    training = await (await client.model("foo")).train(training_data=ROWS, union_list=["x"], model_name=name, fail=True)
    await look_in_vain(client, name)
    with pytest.raises(Exception, match="asked to fail"):
        await training.wait()
    await look_in_vain(client, name)
