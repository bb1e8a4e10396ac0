"""What a server told of itself -> the bytes of a schema file, as `schema_file` reads them."""

from __future__ import annotations

import json
from collections.abc import Iterable

from ..errors import SchemaError
from .rpc import ServiceDescription


def schema_bytes(description: ServiceDescription) -> bytes:
    """Return the file of a description: a `FileDescriptorSet` over gRPC, the OpenAPI document over HTTP.

    The same server gives the same bytes, in whatever order it told of its files.

    Raises:
        SchemaError: the description is not one that a server or a file gave.
    """
    from .openapi import document as openapi
    from .protobuf import services as reflected  # here, because they load protobuf

    if description.source is None:
        raise SchemaError("only what a server told of itself can be written as a file")
    describe, *told = description.source
    if describe in (openapi.describe, openapi.describe_file):
        return _readable(*told)
    return _descriptor_set(*told) if describe is reflected.describe_told else bytes(*told)


def _descriptor_set(told: Iterable[bytes], services: Iterable[str]) -> bytes:
    """Return the files, each after those it imports, with protobuf's own: protoc, buf and grpcurl ask for all."""
    from google.protobuf.descriptor_pb2 import FileDescriptorSet  # here, because it loads protobuf

    from .protobuf.pools import in_order, read_file

    files = {file.name: file for file in map(read_file, told)}
    listed = set(services)
    for file in files.values():
        # A file may describe services that its server does not offer.
        offered = [each for each in file.service if f"{file.package}.{each.name}".lstrip(".") in listed]
        if len(offered) < len(file.service):
            kept = [type(each).FromString(each.SerializeToString()) for each in offered]
            del file.service[:]
            file.service.extend(kept)
    ordered = in_order(dict(sorted(files.items())))
    return FileDescriptorSet(file=ordered).SerializeToString(deterministic=True)


def _readable(document: bytes) -> bytes:
    """Return a JSON document with a line for each value, so that changes of it can be read."""
    try:
        return json.dumps(json.loads(document), indent=2, allow_nan=False).encode() + b"\n"
    except (ValueError, RecursionError):  # of numbers or depths that only other readers take
        return document
