"""The implementation of protobuf that the tests run on: `PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION=python` chooses."""

from __future__ import annotations

from google.protobuf.empty_pb2 import Empty
from google.protobuf.internal import api_implementation

IN_PYTHON = api_implementation.Type() == "python"


def can_be_field(name: str) -> bool:
    """Whether messages may have a field of this name. The implementation in Python uses some names itself."""
    is_special = name.startswith("__") and name.endswith("__")
    return not (IN_PYTHON and (is_special or name in dir(Empty)))
