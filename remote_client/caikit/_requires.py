"""The check that caikit is installed."""

from __future__ import annotations

from importlib.util import find_spec


def require_caikit() -> None:
    """Raise an ImportError that names the extra unless caikit is installed."""
    if find_spec("caikit") is None:
        raise ImportError("remote_client.caikit needs caikit: pip install remote-client[caikit]", name="caikit")
