"""Deploying models on the first runtime of a client, and undeploying them."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from os import PathLike
from typing import TYPE_CHECKING

from .._concurrency.threads import run_in_thread
from ..errors import NotFoundError
from .finder_group import FinderGroup
from .model_files import GRPC_LIMIT, Links, check_name, model_files

if TYPE_CHECKING:
    from .._schema.runtime_info import ModelInfo


async def deploy(
    finders: FinderGroup, name: str, files: Mapping[str, bytes] | str | PathLike[str], links: Links
) -> ModelInfo:
    """See `RemoteClient.deploy_model`."""
    check_name(name)
    first = finders.known[0]
    limit = GRPC_LIMIT if finders.of(first).config.protocol == "grpc" else None
    found = await run_in_thread(partial(model_files, files, links, limit=limit))
    rpc = await finders.runtime_method(first, "DeployModel")
    body = await run_in_thread(rpc.codec.encode, "", (), {"model_id": name, "model_files": found})
    discovery = finders.discovery(first)
    try:
        answer = await first.caller.send_once(rpc, body, name)
    finally:  # also if the outcome is unknown
        discovery.invalidate_polls()
    from .._schema.runtime_info import ModelInfo

    info = ModelInfo(**{key: value for key, value in answer.items() if value is not None})
    discovery.record_deployed(first, name, info)
    return info


async def undeploy(finders: FinderGroup, name: str) -> None:
    """See `RemoteClient.undeploy_model`."""
    check_name(name)
    first = finders.known[0]
    rpc = await finders.runtime_method(first, "UndeployModel")
    discovery = finders.discovery(first)
    try:
        await first.caller.send_once(rpc, rpc.codec.encode("", (), {"model_id": name}), name)
    except NotFoundError:
        discovery.record_undeployed(first, name)
        raise
    except BaseException:  # the outcome may be unknown: the server's next list decides
        first.deployed.pop(name, None)
        discovery.invalidate_polls()
        raise
    discovery.record_undeployed(first, name)
