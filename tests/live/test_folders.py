"""Folders as models, over both protocols: what arrives, what is refused before anything is sent."""

from __future__ import annotations

import asyncio
import os
import threading
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from remote_client import RemoteClient
from remote_client.errors import InputError, ModelNotFoundError, ResourceExhaustedError

from ..support.runtime import SAMPLE_MODELS, Runtime
from .protocols import Protocol, undeploy

CONFIG = f"module_id: {SAMPLE_MODELS['foo']}\n".encode()


def unique() -> str:
    return f"folder-{uuid.uuid4().hex[:8]}"


def linked(tmp_path: Path) -> Path:
    """A model whose configuration is a link that stays inside, as is one of its folders."""
    model = tmp_path / "model"
    (model / "real" / "deep").mkdir(parents=True)
    (model / "real" / "config.yml").write_bytes(CONFIG)
    (model / "real" / "deep" / ".weights").write_bytes(bytes(range(256)))
    (model / "config.yml").symlink_to("real/config.yml")
    (model / "linked").symlink_to("real/deep")
    return model


def arrived(runtime: Runtime, name: str) -> dict[str, bytes]:
    """What the runtime has of a model."""
    (found,) = (each for each in runtime.log.parent.rglob(name) if each.is_dir())
    return {each.relative_to(found).as_posix(): each.read_bytes() for each in found.rglob("*") if each.is_file()}


async def test_links_inside_arrive_as_files(runtime: Runtime, client: RemoteClient, tmp_path: Path) -> None:
    name = unique()
    assert (await client.deploy_model(name, linked(tmp_path))).name == name
    assert (await (await client.model(name)).run_sample({"name": "World"})).greeting == "Hello World"
    weights = bytes(range(256))
    assert arrived(runtime, name) == {
        "config.yml": CONFIG,
        "real/config.yml": CONFIG,
        "real/deep/.weights": weights,
        "linked/.weights": weights,
    }
    await undeploy(client, name)


async def test_a_cache_of_hugging_face(runtime: Runtime, client: RemoteClient, tmp_path: Path) -> None:
    name = unique()
    snapshot = tmp_path / "models--org--name" / "snapshots" / "4f2c"
    blobs = tmp_path / "models--org--name" / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    for file, content in (("config.yml", CONFIG), ("model.safetensors", b"weights")):
        (blobs / file.upper()).write_bytes(content)
        (snapshot / file).symlink_to(f"../../blobs/{file.upper()}")
    with pytest.raises(InputError, match=r"^files: 'config\.yml' is a link that leads out of the folder; links="):
        await client.deploy_model(name, snapshot)
    await client.deploy_model(name, str(snapshot), links="follow")
    assert (await (await client.model(name)).run_sample({"name": "World"})).greeting == "Hello World"
    assert arrived(runtime, name) == {"config.yml": CONFIG, "model.safetensors": b"weights"}
    await undeploy(client, name)


async def test_what_cannot_be_whole_is_not_sent(client: RemoteClient, tmp_path: Path) -> None:
    name, folder = unique(), linked(tmp_path)
    entry = folder / "real" / "entry"
    deeds: list[tuple[Callable[[], None], str]] = [
        (lambda: entry.symlink_to("missing"), "is a link that leads nowhere"),
        (lambda: entry.symlink_to(".."), "is a link that leads back to a folder it is in"),
        (lambda: entry.symlink_to("entry"), "is a link that leads back to itself"),
        (lambda: os.mkfifo(entry), "is a FIFO, not a file"),
    ]
    for make, told in deeds:
        make()
        with pytest.raises(InputError, match=rf"^files: '(real|linked)/entry' {told}"):
            await client.deploy_model(name, folder, links="follow")
        entry.unlink()
    with pytest.raises(InputError, match=r"^links: expected None or 'follow', not 'all'"):
        await client.deploy_model(name, folder, links="all")  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"^files: 'a ' begins or ends with white space"):
        await client.deploy_model(name, {"config.yml": CONFIG, "a": b"1", "a ": b"2"})
    with pytest.raises(ModelNotFoundError):
        await client.models(ids=[name])


async def test_the_runtimes_limit_is_told(client: RemoteClient, protocol: Protocol, tmp_path: Path) -> None:
    """Only the runtime knows it: gRPC's is 4 MiB by default, HTTP has none."""
    name, folder = unique(), linked(tmp_path)
    (folder / "large").write_bytes(bytes(5 << 20))
    if protocol == "http":
        await client.deploy_model(name, folder)
        await undeploy(client, name)
        return
    with pytest.raises(ResourceExhaustedError, match=r"raise grpc\.max_receive_message_length in its runtime\.grpc"):
        await client.deploy_model(name, folder)
    os.truncate(folder / "large", 3 << 30)
    with pytest.raises(InputError, match="more than a message of gRPC can have"):
        await client.deploy_model(name, folder)


async def test_reading_holds_up_nobody(
    grpc_client: RemoteClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop goes on while a slow disk is read, and a caller that leaves does not wait for it."""
    name = unique()
    loop, opening, go_on = asyncio.get_running_loop(), asyncio.Event(), threading.Event()

    def slow(*args: Any, **options: Any) -> object:
        loop.call_soon_threadsafe(opening.set)
        go_on.wait(60)
        return open(*args, **options)

    monkeypatch.setattr("remote_client._client.deployment.open", slow, raising=False)
    deployment = asyncio.create_task(grpc_client.deploy_model(name, linked(tmp_path)))
    await opening.wait()
    deployment.cancel()
    with pytest.raises(asyncio.CancelledError):
        await deployment
    assert not go_on.is_set()
    go_on.set()
    with pytest.raises(ModelNotFoundError):
        await grpc_client.models(ids=[name])
