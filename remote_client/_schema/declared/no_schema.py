"""Why a class's own schema is of no use for a call."""

from __future__ import annotations

from pathlib import PurePath

from ...settings import Protocol
from ..declaration import Declaration
from . import caikit_services
from .caikit_modules import is_caikit_module


def why_none(declaration: Declaration, protocol: Protocol) -> str:
    """Return why a class tells no schema for a protocol; empty where it could not tell one."""
    module = declaration.module
    if is_caikit_module(module):
        return caikit_services.why_none(module) if protocol == "grpc" else ""
    if declaration.schema is None:
        return ""
    others = {"grpc": "HTTP", "http": "gRPC"}
    return f"{PurePath(declaration.schema.name).name}, the schema of {module.__name__}, is for {others[protocol]}"
