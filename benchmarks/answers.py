"""The table of fixed answers that the server gives."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from typing import NamedTuple

from grpc_reflection.v1alpha import reflection_pb2

from remote_client._schema.protobuf.reflection import PATHS
from tests.support.http_server import LAST_CHUNK, chunk, event, event_head, models, plain
from tests.support.wire_library import INFO_SERVICE
from tests.support.wire_runtime import MODEL_ID

from . import library


class Answer(NamedTuple):
    """One line of the table; the server's source tells what they mean."""

    key: str
    data: bytes
    request: bytes | None = None
    times: int = 1
    pause: int = 0
    """Microseconds before each message of the answer."""


def table(model_count: int = 1, more_tasks: int = 0, *, large: bool = True) -> list[Answer]:
    """All answers of a server with so many models, and so many tasks beside those that are called."""
    names = [library.MODEL, *(f"model{each}" for each in range(1, model_count))]
    return [
        *_grpc(),
        *(_large() if large else ()),
        *_caikit(),
        *_reflection(more_tasks),
        _models(names),
        *_http(names, more_tasks),
    ]


def packed(answers: list[Answer]) -> bytes:
    """The table as the server reads it."""
    parts = [struct.pack("<i", len(answers))]
    for each in answers:
        key, request = each.key.encode(), each.request or b""
        parts += [struct.pack("<i", len(key)), key]
        parts += [struct.pack("<i", -1 if each.request is None else len(request)), request]
        parts += [struct.pack("<iii", each.times, each.pause, len(each.data)), each.data]
    return b"".join(parts)


def _grpc() -> Iterator[Answer]:
    tiny, rich = library.encoded("Greeting", library.TINY), library.encoded("Tokens", library.rich())
    for task, data in (("Tiny", tiny), ("Rich", rich)):
        yield Answer(library.rpc(task), data)
        yield Answer(library.rpc(task, "ServerStreaming"), data, times=library.ITEMS)
        yield Answer(library.rpc(task, "BidiStreaming"), data)
    yield Answer(library.rpc("NumbersOut"), tiny)
    yield Answer(library.rpc("BytesOut"), tiny)
    yield Answer(library.rpc("Page"), library.message("Blob")(data=bytes(library.PAGE)).SerializeToString())
    yield Answer(library.rpc("Paced", "ServerStreaming"), tiny, times=library.PACED_ITEMS, pause=library.PAUSE)


def _large() -> Iterator[Answer]:
    yield Answer(library.rpc("NumbersIn"), library.message("Numbers")(values=library.numbers()).SerializeToString())
    yield Answer(library.rpc("BytesIn"), library.message("Blob")(data=bytes(library.BYTES)).SerializeToString())


def _caikit() -> Iterator[Answer]:
    """For caikit's own client, whose library is another one; its tiny answer has the same bytes."""
    tiny = library.encoded("Greeting", library.TINY)
    yield Answer("/caikit.runtime.SampleLib.SampleLibService/SampleTaskPredict", tiny)
    stream = "/caikit.runtime.SampleLib.SampleLibService/ServerStreamingSampleTaskPredict"
    yield Answer(stream, tiny, times=library.ITEMS)


def _reflection(more_tasks: int) -> Iterator[Answer]:
    """A dialogue has an answer for each request: told apart by their bytes."""
    asked, told = reflection_pb2.ServerReflectionRequest, reflection_pb2.ServerReflectionResponse
    services = library.services(more_tasks)
    listed = told()
    listed.list_services_response.service.extend(reflection_pb2.ServiceResponse(name=each) for each in services)
    yield Answer(PATHS[0], listed.SerializeToString(), asked(list_services="").SerializeToString())
    for service, files in services.items():
        answer = told()
        needed = [each.SerializeToString() for each in reversed(files.values())]  # its own first
        answer.file_descriptor_response.file_descriptor_proto.extend(needed)
        request = asked(file_containing_symbol=service)
        yield Answer(PATHS[0], answer.SerializeToString(), request.SerializeToString())


def _models(names: list[str]) -> Answer:
    info = {"module_id": MODEL_ID, "loaded": True, "module_metadata": {"name": "Bench"}}
    told = library.message("ModelInfoResponse")(models=[{"name": name, **info} for name in names])
    return Answer(f"/{INFO_SERVICE}/GetModelsInfo", told.SerializeToString())


def _http(names: list[str], more_tasks: int) -> Iterator[Answer]:
    yield Answer("GET /openapi.json", plain(library.openapi(more_tasks)))
    yield Answer("GET /info/models", plain(json.dumps(models(*names)).encode()))
    # caikit's own client asks for another task, of the sample library's.
    yield Answer("POST /api/v1/task/sample", plain(json.dumps(library.TINY).encode()))
    for task, (_, _, answer) in library.JSON_TASKS.items():
        data = json.dumps(answer)
        yield Answer(f"POST {library.route(task)}", plain(data.encode()))
        events = chunk(event(data)) * library.ITEMS
        yield Answer(f"POST {library.route(task, True)}", event_head() + events + LAST_CHUNK)
