"""Finds remote models, for caikit's `model_management`."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from typing import Any

from caikit.core.model_management import ModelFinderBase, model_finder_factory
from caikit.runtime.names import ServiceType
from caikit.runtime.service_factory import ServicePackageFactory
from google.protobuf.descriptor import FileDescriptor

from .._objects.exports import exported_from
from .._schema.openapi.document import default_method
from .._schema.protobuf.services import describe_files
from .._schema.rpc import RemoteRPCDescriptor
from ..errors import RemoteClientError
from ..settings import FinderConfig, Protocol
from ..sync import RemoteModelFinder as BlockingFinder
from ..sync._loop_thread import run
from ._config import RemoteModuleConfig
from ._connections import OfProcess
from ._settings import caikit_settings_of, part_settings
from ._trainings import trained_models

logger = logging.getLogger("remote_client")
_KEYS = frozenset(field.name for field in fields(FinderConfig))
_LIST = "GetModelsInfo"


@exported_from("remote_client.caikit")
class RemoteModelFinder(ModelFinderBase):
    """Finds models on one or several servers, as in `caikit.runtime.client`.

    ```yaml
    model_management:
      finders:
        default:
          type: REMOTE_CLIENT
          import_class: remote_client.caikit.RemoteModelFinder
          config:
            connection: {hostname: models.example.com, port: 8085}
    ```

    The keys of `config` are those of caikit's finder, and what this client adds; see `FinderConfig`. Others are
    ignored, with a warning. No server is asked before the first model is looked for.

    Raises:
        ConfigurationError: a ValueError; the configuration is wrong.
    """

    name = "REMOTE_CLIENT"

    def __init__(self, config: Mapping[str, Any], instance_name: str) -> None:
        settings = part_settings(f"finder {instance_name}", config, _KEYS, ["load_path"])
        self._finder = OfProcess(lambda: _make(settings, instance_name))

    def find_model(self, model_path: str, **kwargs: Any) -> RemoteModuleConfig | None:
        """Return the configuration of a model; None if no server that can be reached has it.

        For an unknown model the servers are polled, at most every `min_poll_time` seconds. A model that its server has
        not loaded yet is loaded. Models that a `RemoteModelTrainer` of this process trains are known before they are
        listed.

        Raises:
            KeyError: the module of the model is not imported here.
        """
        finder = self._finder.get()
        config = finder.config
        try:
            found = run(finder._twin.find_module, model_path)
        except RemoteClientError as error:
            logger.warning("finder %s: %s was not found: %s", finder.instance_name, model_path, error)
            return None
        if found is None:
            trained = trained_models.get(model_path)
            return None if trained is None else trained()
        connection, module_id = found
        return RemoteModuleConfig.load_from_module(
            module_id, caikit_settings_of(connection), config.protocol, config.model_key, model_path
        )


def _make(settings: dict[str, Any], instance_name: str) -> BlockingFinder:
    """Return a finder that asks no server to describe itself: caikit knows the method that lists models."""
    finder = BlockingFinder(settings, instance_name)
    finder._twin.discovery.known_methods[_LIST] = _list_method(finder.config.protocol)
    return finder


@cache
def _list_method(protocol: Protocol) -> RemoteRPCDescriptor:
    if protocol == "http":
        method = default_method(_LIST)
        assert method is not None
        return method
    service = ServicePackageFactory.get_service_package(ServiceType.INFO).descriptor
    return describe_files(_files(service.file).values(), [service.full_name]).management[_LIST]


def _files(file: FileDescriptor) -> dict[str, bytes]:
    """Return a protobuf file and all that it imports, by name."""
    imported = [_files(each) for each in file.dependencies]
    return {name: data for files in imported for name, data in files.items()} | {file.name: file.serialized_pb}


model_finder_factory.register(RemoteModelFinder)
