"""A library of any number of tasks, as a runtime describes it: a file for each type, as caikit writes them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from remote_client.testing._builder import STREAMS, add_field, new_file
from remote_client.testing._caikit_files import info_files

from .large_documents import INTEGER, NULL, TEXT, any_of, array, model, ref
from .wire_library import SERVICE

PACKAGE = SERVICE.rpartition(".")[0]
DATA = "caikit_data_model.many"
FILES_OF_A_TASK = 5
_STREAMS = ("", "ServerStreaming")
"""The kinds of methods that each task has."""


def name_of(number: int) -> str:
    """The name of a task without the word `Task`."""
    return f"Number{number}"


def task_files(count: int, service: str = SERVICE) -> dict[str, FileDescriptorProto]:
    """The files of a service with so many tasks, by name; the service's own is last."""
    package, _, name = service.rpartition(".")
    files = {each.name: each for number in range(count) for each in _files_of(number, package)}
    own = new_file(f"{name.lower()}.proto", package, files)
    methods = own.service.add(name=name).method
    for task in map(name_of, range(count)):
        for kind in _STREAMS:
            client, server = STREAMS[kind]
            methods.add(
                name=f"{kind}{task}TaskPredict",
                input_type=f".{package}.{kind}{task}TaskRequest",
                output_type=f".{DATA}.{task}Answer",
                client_streaming=client,
                server_streaming=server,
            )
    return {**files, own.name: own}


def task_set(count: int) -> bytes:
    """A `FileDescriptorSet` of so many tasks, and of `InfoService`: `FILES_OF_A_TASK` for each task, and three."""
    files = {**task_files(count), **info_files()}
    return FileDescriptorSet(file=files.values()).SerializeToString()


def _files_of(number: int, package: str) -> Iterator[FileDescriptorProto]:
    task = name_of(number)
    given = _file(DATA, f"{task}Input")
    add_field(given.message_type[0], "text", "string")
    add_field(given.message_type[0], "tags", "string", repeated=True)
    item = _file(DATA, f"{task}Item")
    for name, kind in (("word", "string"), ("start", "int64"), ("end", "int64"), ("raw", "bytes")):
        add_field(item.message_type[0], name, kind)
    answer = _file(DATA, f"{task}Answer", item.name)
    add_field(answer.message_type[0], "results", f"{DATA}.{task}Item", repeated=True)
    add_field(answer.message_type[0], "greeting", "string")
    add_field(answer.message_type[0], "token_count", "int64")
    yield from (given, item, answer)
    for kind in _STREAMS:
        request = _file(package, f"{kind}{task}TaskRequest", given.name)
        add_field(request.message_type[0], "sample_input", f"{DATA}.{task}Input")
        for name, scalar in (("size", "int64"), ("truncate", "bool"), ("language", "string")):
            add_field(request.message_type[0], name, scalar, optional=True)
        yield request


def _file(package: str, message: str, *imports: str) -> FileDescriptorProto:
    file = new_file(f"{package}.{message.lower()}.proto", package, imports)
    file.message_type.add(name=message)
    return file


def task_paths(count: int) -> dict[str, Any]:
    """The routes of so many tasks in an OpenAPI document; their types are `task_schemas`."""
    return {
        f"/api/v1/task/{'server-streaming-' if kind else ''}{name_of(number).lower()}": {
            "post": _operation(number, kind)
        }
        for number in range(count)
        for kind in _STREAMS
    }


def task_schemas(count: int) -> dict[str, Any]:
    """The shared schemas of `task_paths`."""
    schemas: dict[str, Any] = {}
    for task in map(name_of, range(count)):
        item = model(f"{DATA}.{task}Item", word=TEXT, start=INTEGER, end=INTEGER, raw={**TEXT, "format": "binary"})
        schemas[f"{task}Input"] = model(f"{DATA}.{task}Input", text=TEXT, tags=array(TEXT))
        schemas[f"{task}Item"] = item
        results = array(ref(f"{task}Item"))
        schemas[f"{task}Answer"] = model(f"{DATA}.{task}Answer", results=results, greeting=TEXT, token_count=INTEGER)
        for kind in _STREAMS:
            name = f"{kind}{task}TaskRequestParameters"
            options = {"size": any_of(INTEGER, NULL), "truncate": any_of({"type": "boolean"}, NULL)}
            schemas[name] = model(f"{DATA}.{name}", **options, language=any_of(TEXT, NULL))
    return schemas


def task_document(count: int) -> bytes:
    """An OpenAPI document of so many tasks."""
    paths = {**task_paths(count), "/info/models": {"get": {}}}
    return json.dumps({"openapi": "3.1.0", "paths": paths, "components": {"schemas": task_schemas(count)}}).encode()


def _operation(number: int, kind: str) -> Any:
    task = name_of(number)
    title = f"caikit.http.{task}Task.{kind}{task}TaskRequestHttpRequest"
    inputs, parameters = ref(f"{task}Input"), ref(f"{kind}{task}TaskRequestParameters")
    request = model(title, inputs=inputs, parameters=parameters, model_id=TEXT)
    answer = ref(f"{task}Answer")
    return {
        "requestBody": {"content": {"application/json": {"schema": request}}},
        "responses": {"200": {"content": {"application/json": {"schema": answer}}}},
    }
