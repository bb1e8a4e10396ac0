"""Remote modules of the sample library's models, as initializers make them. Also imported by processes of their own."""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Any

import caikit.config

from remote_client.caikit import RemoteModelInitializer, RemoteModuleConfig

from ..support.runtime import SAMPLE_MODELS
from .gateways import Protocol


def configure(library: str = "sample_lib") -> Any:
    """Configure caikit of this process with a library, and return the library."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "runtime"))
    caikit.config.configure(config_dict={"merge_strategy": "merge", "runtime": {"library": library}})
    logging.disable()  # caikit logs an error where it looks for a type that it has not made yet
    return __import__(library)


def module_of(port: int, protocol: Protocol, model: str = "foo", module_id: str | None = None, **settings: Any) -> Any:
    """Return a model of a runtime on this machine as a module, of a class of its own."""
    connection: Any = {"hostname": "localhost", "port": port, "timeout": 20, **settings}
    config = RemoteModuleConfig.load_from_module(
        module_id or SAMPLE_MODELS[model], connection_info(**connection), protocol, "mm-model-id", model
    )
    return RemoteModelInitializer({}, "test").init(config)


def connection_info(**settings: Any) -> Any:
    from caikit.interfaces.common.data_model import ConnectionInfo

    return ConnectionInfo(**settings)


def greeting_of_a_new_process(port: int, protocol: Protocol) -> str:
    """Return a model's answer. Runs in a process that multiprocessing has spawned."""
    data = configure().data_model
    greeting: str = module_of(port, protocol).run(data.SampleInputType(name="child")).greeting
    return greeting
