"""Makes the modules of remote models, for caikit's `model_management`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from caikit.core import ModuleBase
from caikit.core.model_management import ModelInitializerBase, model_initializer_factory
from caikit.core.modules import ModuleConfig

from .._objects.exports import exported_from
from ._config import RemoteModuleConfig
from ._module import construct_remote_module_class


@exported_from("remote_client.caikit")
class RemoteModelInitializer(ModelInitializerBase):
    """Makes a module for a model that the `RemoteModelFinder` found, as in `caikit.runtime.client`.

    ```yaml
    model_management:
      initializers:
        default:
          type: REMOTE_CLIENT
          import_class: remote_client.caikit.RemoteModelInitializer
    ```
    """

    name = "REMOTE_CLIENT"

    def __init__(self, config: Mapping[str, Any], instance_name: str) -> None:
        self._classes: dict[str, type[ModuleBase]] = {}

    def init(self, model_config: ModuleConfig, **kwargs: Any) -> ModuleBase | None:
        """Return a module for a model; None for the configuration of a local one. Sends nothing."""
        if not isinstance(model_config, RemoteModuleConfig):
            return None
        module_class: Any = self._classes.get(model_config.module_id)
        if module_class is None:
            made = self.construct_module_class(model_config=model_config)
            module_class = self._classes.setdefault(model_config.module_id, made)
        module: ModuleBase = module_class(
            model_config.connection, model_config.protocol, model_config.model_key, model_config.model_path
        )
        return module

    def construct_module_class(self, model_config: RemoteModuleConfig) -> type[ModuleBase]:
        """Return the class of a model's module. Subclasses may override it."""
        return construct_remote_module_class(model_config)


model_initializer_factory.register(RemoteModelInitializer)
