"""Clients made of caikit's configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from remote_client import RemoteClient
from remote_client.errors import ModelNotFoundError, UnsupportedError

from ..support.runtime import Runtime


async def test_finders_in_their_order(runtime: Runtime, other_runtime: Runtime, tmp_path: Path) -> None:
    """Three, of two protocols; the first does not answer, and its models are found where the next has them."""
    (tmp_path / "config.yml").write_text(f"""
model_management:
    finders:
        dead: {{type: REMOTE, config: {{connection: {{hostname: localhost, port: 1}}}}}}
        other: {{type: REMOTE, config: {{connection: {{hostname: localhost, port: {other_runtime.port}}}}}}}
        web:
            type: REMOTE
            config: {{connection: {{hostname: localhost, port: {runtime.http_port}}}, protocol: http}}
""")
    async with RemoteClient.from_config(tmp_path / "config.yml") as client:
        assert (await client.model("foo")).config.connection.port == other_runtime.port
        bar = await client.model("bar")
        assert bar.config.protocol == "http"
        assert (await bar.run_sample({"name": "World"})).greeting == "Hello World"
        names = {each.name for each in await client.models()}
        assert {"foo", "bar", runtime.marker, other_runtime.marker} <= names
        assert await client.healthy() is False
        with pytest.raises(ModelNotFoundError):
            await client.model("nope")


async def test_a_server_for_each_model(runtime: Runtime) -> None:
    config = {"connection": {"hostname": "{}", "port": runtime.port}, "supported_models": {"localhost": "id"}}
    async with RemoteClient.from_config({"finders": {"a": {"type": "REMOTE", "config": config}}}) as client:
        with pytest.raises(UnsupportedError, match="no server is known"):
            await client.runtime_info()
        assert (await client.model("localhost")).config.connection.hostname == "localhost"
        assert (await client.runtime_info()).python_packages["caikit"]
