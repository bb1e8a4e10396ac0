"""Libraries of the engines' extras, imported when they are needed."""

from __future__ import annotations

import importlib
from typing import Any

from ..errors import ConfigurationError


def needed(library: str, extra: str) -> Any:
    """Return a library that the module of an extra needs.

    Raises:
        ConfigurationError: it is not installed; names the extra.
    """
    try:
        return importlib.import_module(library)
    except ImportError as error:
        message = f"remote_client.{extra} needs {error.name}: pip install 'remote-client[{extra}]'"
        raise ConfigurationError(message) from None
