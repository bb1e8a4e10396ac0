"""The schemas of the wire servers, as files hold them."""

from __future__ import annotations

import json

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from .http_server import openapi
from .wire_library import library_files


def descriptor_set() -> bytes:
    """The gRPC server's."""
    return FileDescriptorSet(file=library_files().values()).SerializeToString()


def document() -> bytes:
    """The HTTP server's."""
    return json.dumps(openapi()).encode()
