"""Server reflection for the wire server: grpcio-reflection's own, or, where a fault is on, what a test wants said."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
from grpc_reflection.v1alpha import reflection_pb2

from remote_client.testing._handlers import reflection_servicer

from .wire_library import INFO_SERVICE, SERVICE
from .wire_runtime import LIBRARY


def reflect(state: Any, version: str) -> Callable[..., Any]:
    """A handler. v1 and v1alpha are the same messages.

    Faults: `reflection_versions`; `services` (names) and `files` (name -> hex of the descriptor, valid or not);
    `reflection_raw` (hex, the answer to everything); `reflection_endless` (a new file each time); `reflection_hang`;
    `reflection_listing` (one more service each time); `reflection_delay` (seconds before each answer).
    """
    honest = reflection_servicer([SERVICE, INFO_SERVICE], LIBRARY.pool)

    async def handler(requests: AsyncIterator[bytes], context: grpc.aio.ServicerContext) -> None:
        faults = state.faults
        state.started[f"reflection {version}"] += 1
        if version not in faults.get("reflection_versions", ("v1alpha",)):
            await context.abort(grpc.StatusCode.UNIMPLEMENTED, f"no {version} here")
        if faults.get("reflection_hang"):
            await asyncio.sleep(3600)
        if "reflection_raw" in faults:
            async for _ in requests:
                await context.write(bytes.fromhex(faults["reflection_raw"]))
        elif "services" in faults:
            async for data in requests:
                await asyncio.sleep(faults.get("reflection_delay", 0))
                await context.write(_lie(faults, reflection_pb2.ServerReflectionRequest.FromString(data)))
        else:
            async for answer in honest.ServerReflectionInfo(_parsed(requests), context):
                await context.write(answer.SerializeToString())

    return handler


async def _parsed(requests: AsyncIterator[bytes]) -> AsyncIterator[Any]:
    async for data in requests:
        yield reflection_pb2.ServerReflectionRequest.FromString(data)


def _lie(faults: dict[str, Any], request: Any) -> bytes:
    """The whole set of files to whoever asks for any of them."""
    answer = reflection_pb2.ServerReflectionResponse(original_request=request)
    asked = request.WhichOneof("message_request")
    files = {name: bytes.fromhex(data) for name, data in faults.get("files", {}).items()}
    if faults.get("reflection_listing"):
        number = request.file_containing_symbol.removeprefix("odd.S") or "0"
        answer.list_services_response.service.add(name=f"odd.S{int(number) + 1}")
    elif asked == "list_services":
        services = [reflection_pb2.ServiceResponse(name=name) for name in faults["services"]]
        answer.list_services_response.service.extend(services)
    elif asked == "file_by_filename" and faults.get("reflection_endless"):
        answer.file_descriptor_response.file_descriptor_proto.append(_next(request.file_by_filename))
    elif asked == "file_by_filename" and request.file_by_filename not in files:
        answer.error_response.error_code = grpc.StatusCode.NOT_FOUND.value[0]
        answer.error_response.error_message = "no such file\x1b[31m"
    else:
        answer.file_descriptor_response.file_descriptor_proto.extend(files.values())
    return answer.SerializeToString()


def _next(name: str) -> bytes:
    """A file that needs yet another one."""
    from google.protobuf.descriptor_pb2 import FileDescriptorProto

    number = int(name.removesuffix(".proto").removeprefix("file"))
    file = FileDescriptorProto(name=name, dependency=[f"file{number + 1}.proto"])
    return file.SerializeToString()
