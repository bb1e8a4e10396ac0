"""RemoteModelInitializer: makes a module of a model's configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .._objects.exports import exported_from
from ..errors import ConfigurationError
from .module import RemoteModuleBase, construct_remote_module_class
from .module_config import RemoteModuleConfig


@exported_from("remote_client")
class RemoteModelInitializer:
    """Makes modules. Subclass it to make modules of another class.

    Args:
        config: must be empty, as upstream's initializer of this kind has no settings.
        instance_name: its name in a configuration.
    """

    def __init__(self, config: Mapping[str, Any] | None = None, instance_name: str = "remote") -> None:
        if config:
            raise ConfigurationError(f"initializer {instance_name}: unknown keys {', '.join(config)}; it has none")
        self.instance_name = instance_name

    def init(self, model_config: RemoteModuleConfig) -> RemoteModuleBase | None:
        """Return a module with a connection of its own, or None for a configuration of another kind. Sends nothing."""
        if not isinstance(model_config, RemoteModuleConfig):
            return None
        return self.construct_module_class(model_config)(model_config)

    def construct_module_class(self, model_config: RemoteModuleConfig) -> type[RemoteModuleBase]:
        """Return the class of a model's module."""
        return construct_remote_module_class(model_config)
