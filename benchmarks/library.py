"""The library that the server of the benchmarks pretends to have: its types, and its messages as a user and the wire
see them.
"""

from __future__ import annotations

import functools
import json
from typing import Any

from google.protobuf import descriptor_pool, json_format, message_factory, struct_pb2
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet

from remote_client.testing._builder import STREAMS
from remote_client.testing._caikit_files import INFO, INFO_SERVICE, info_files
from tests.support.task_library import task_files, task_paths, task_schemas
from tests.support.wire_library import add_field

DATA = "caikit_data_model.bench"
SERVICE = "caikit.runtime.Bench.BenchService"
MORE_SERVICE = "caikit.runtime.More.MoreService"
"""Of a larger library, with tasks that nobody calls."""
MODEL = "bench"
MODEL_KEY = "mm-model-id"

ITEMS = 500
"""Answers of a stream."""
TOKENS = 20
"""Nested messages of a rich answer."""
DOUBLES = 1_000_000
BYTES = 16_000_000
PAGE = 100_000
"""Bytes of an answer that does not fit into one frame."""
PAUSE = 20_000
"""Microseconds between two items of a paced stream."""
PACED_ITEMS = 50
"""Its items."""

TASKS = {
    # the task's name: its parameter's name and type, and the type of its answers
    "Tiny": ("sample_input", "Text", "Greeting"),
    "Rich": ("sample_input", "Text", "Tokens"),
    "NumbersOut": ("values", "double", "Greeting"),
    "NumbersIn": ("sample_input", "Text", "Numbers"),
    "BytesOut": ("data", "bytes", "Greeting"),
    "BytesIn": ("sample_input", "Text", "Blob"),
    "Page": ("sample_input", "Text", "Blob"),
    "Paced": ("sample_input", "Text", "Greeting"),
}


def rpc(task: str, prefix: str = "") -> str:
    """The path of one of a task's methods; the prefix is one of `STREAMS`."""
    return f"/{SERVICE}/{prefix}{task}TaskPredict"


def files() -> dict[str, FileDescriptorProto]:
    """The library's file descriptors, each after those it depends on."""
    data = FileDescriptorProto(name="bench_data.proto", package=DATA, syntax="proto3")
    add_field(data.message_type.add(name="Text"), "text", 1, "string")
    add_field(data.message_type.add(name="Greeting"), "greeting", 1, "string")
    token = data.message_type.add(name="Token")
    for number, (name, kind) in enumerate((("word", "string"), ("entity", "string"), ("start", "int64")), start=1):
        add_field(token, name, number, kind)
    add_field(token, "end", 4, "int64")
    _add_doubles(token, "score", 5, repeated=False)
    tokens = data.message_type.add(name="Tokens")
    add_field(tokens, "results", 1, f".{DATA}.Token", repeated=True)
    add_field(tokens, "token_count", 2, "int64")
    _add_doubles(data.message_type.add(name="Numbers"), "values", 1, repeated=True)
    add_field(data.message_type.add(name="Blob"), "data", 1, "bytes")

    tasks = FileDescriptorProto(name="benchservice.proto", package=SERVICE.rpartition(".")[0], syntax="proto3")
    tasks.dependency.append(data.name)
    service = tasks.service.add(name=SERVICE.rpartition(".")[2])
    for task, (parameter, kind, answer) in TASKS.items():
        request = tasks.message_type.add(name=f"{task}TaskRequest")
        if kind == "double":
            _add_doubles(request, parameter, 1, repeated=True)
        else:
            add_field(request, parameter, 1, kind if kind == "bytes" else f".{DATA}.{kind}")
        for prefix, (client, server) in STREAMS.items():
            service.method.add(
                name=f"{prefix}{task}TaskPredict",
                input_type=f".{tasks.package}.{request.name}",
                output_type=f".{DATA}.{answer}",
                client_streaming=client,
                server_streaming=server,
            )
    return {file.name: file for file in (data, tasks)} | info_files()


def services(more: int = 0) -> dict[str, dict[str, FileDescriptorProto]]:
    """The server's services, with so many more tasks, and the files that each needs."""
    own = files()
    info = {name: own.pop(name) for name in info_files()}
    found = {SERVICE: own, INFO_SERVICE: info}
    return {**found, MORE_SERVICE: task_files(more, MORE_SERVICE)} if more else found


def descriptor_set(more: int = 0) -> bytes:
    """The files of all services in one."""
    told = [file for each in services(more).values() for file in each.values()]
    return FileDescriptorSet(file=told).SerializeToString()


def _add_doubles(message: DescriptorProto, name: str, number: int, *, repeated: bool) -> None:
    label = FieldDescriptorProto.LABEL_REPEATED if repeated else FieldDescriptorProto.LABEL_OPTIONAL
    message.field.add(name=name, number=number, label=label, type=FieldDescriptorProto.TYPE_DOUBLE)


@functools.cache
def _pool() -> descriptor_pool.DescriptorPool:
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(struct_pb2.DESCRIPTOR.serialized_pb)
    for file in files().values():
        pool.AddSerializedFile(file.SerializeToString())
    return pool


def message(name: str) -> Any:
    """The class of a message of the tasks, their data (`Text`) or caikit's information (`ModelInfoResponse`)."""
    for package in (DATA, SERVICE.rpartition(".")[0], INFO):
        try:
            return message_factory.GetMessageClass(_pool().FindMessageTypeByName(f"{package}.{name}"))
        except KeyError:
            continue
    raise KeyError(name)


TEXT = {"text": "World"}
TINY = {"greeting": "Hello World"}


def rich(count: int = TOKENS) -> dict[str, Any]:
    """An answer of several small messages, as of a model that classifies tokens."""
    return {"results": [_token(each) for each in range(count)], "token_count": count}


def _token(number: int) -> dict[str, Any]:
    start = 7 * number + 1  # never 0, which protobuf leaves out
    return {"word": f"word{number}", "entity": "B-LOC", "start": start, "end": start + 5, "score": 0.9 + number / 1000}


def numbers() -> list[float]:
    """Doubles that are no small integers."""
    return [each / 7 for each in range(DOUBLES)]


def encoded(name: str, value: dict[str, Any]) -> bytes:
    """A message's bytes."""
    data: bytes = json_format.ParseDict(value, message(name)()).SerializeToString()
    return data


def text_request(task: str) -> bytes:
    """The bytes of a request whose parameter is `TEXT`."""
    return encoded(f"{task}TaskRequest", {"sample_input": TEXT})


# -- HTTP -------------------------------------------------------------------------------------------------------------

JSON_TASKS = {"tiny": ("TinyTask", "Greeting", TINY), "rich": ("RichTask", "Tokens", rich())}
_WORDS = {"type": "string"}
_WHOLE = {"type": "integer"}
_SCHEMAS: dict[str, dict[str, Any]] = {
    "Greeting": {"greeting": _WORDS},
    "Token": {"word": _WORDS, "entity": _WORDS, "start": _WHOLE, "end": _WHOLE, "score": {"type": "number"}},
    "Tokens": {
        "results": {"type": "array", "items": {"$ref": "#/components/schemas/Token"}},
        "token_count": _WHOLE,
    },
}


def route(task: str, streaming: bool = False) -> str:
    """Where a task is served over HTTP."""
    return f"/api/v1/task/{'server-streaming-' if streaming else ''}{task}"


def openapi(more: int = 0) -> bytes:
    """A document in the form of a runtime's, with so many more tasks."""
    paths: dict[str, Any] = {}
    for task, (name, answer, _) in JSON_TASKS.items():
        for streaming in (False, True):
            title = f"caikit.http.{name}.{'ServerStreaming' if streaming else ''}{name}RequestHttpRequest"
            request = _object(title, {"inputs": _WORDS, "model_id": _WORDS})
            responses = {"200": _json({"$ref": f"#/components/schemas/{answer}"})}
            paths[route(task, streaming)] = {"post": {"requestBody": _json(request), "responses": responses}}
    paths["/info/models"] = {"get": {"responses": {"200": _json({"type": "object"})}}}
    schemas = {name: _object(f"{DATA}.{name}", fields) for name, fields in _SCHEMAS.items()}
    paths, schemas = {**task_paths(more), **paths}, {**task_schemas(more), **schemas}
    document = {"openapi": "3.1.0", "paths": paths, "components": {"schemas": schemas}}
    return json.dumps(document).encode()


def _object(title: str, properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "title": title, "properties": properties, "additionalProperties": False}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": schema}}}
