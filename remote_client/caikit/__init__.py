"""The client inside caikit: remote models as caikit's own modules, found and made by its `model_management`.

Names, constructors and overridable methods are those of `caikit.runtime.client`. Importing this package registers the
finder, the initializer and the trainer as the type `REMOTE_CLIENT`. It needs caikit: `pip install
remote-client[caikit]`.
"""

from __future__ import annotations

from ._requires import require_caikit

require_caikit()

from ._config import RemoteModuleConfig, RemoteRPCDescriptor  # noqa: E402  (says first which extra is missing)
from ._finder import RemoteModelFinder  # noqa: E402
from ._initializer import RemoteModelInitializer  # noqa: E402
from ._module import RemoteModuleBase, construct_remote_module_class  # noqa: E402
from ._trainer import RemoteModelTrainer  # noqa: E402

__all__ = [
    "RemoteModelFinder",
    "RemoteModelInitializer",
    "RemoteModelTrainer",
    "RemoteModuleBase",
    "RemoteModuleConfig",
    "RemoteRPCDescriptor",
    "construct_remote_module_class",
]
