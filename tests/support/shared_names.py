"""Runtimes whose services, routes and methods have names that clash."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto


def services(methods: Mapping[str, Sequence[str]]) -> tuple[FileDescriptorProto, list[str]]:
    """A file of services by their names without `Service`, and their full names; RPCs stream as their names say."""
    file = FileDescriptorProto(name="shared.proto", package="shared", syntax="proto3")
    for message, field in (("Text", "text"), ("Job", "prediction_id")):
        made = file.message_type.add(name=message).field.add(name=field, number=1)
        made.type, made.label = FieldDescriptorProto.TYPE_STRING, FieldDescriptorProto.LABEL_OPTIONAL
    for stem, names in methods.items():
        service = file.service.add(name=f"{stem}Service")
        for name in names:
            service.method.add(
                name=name,
                input_type=".shared.Job" if "PredictionJob" in name and "Start" not in name else ".shared.Text",
                output_type=".shared.Text",
                client_streaming=name.startswith(("ClientStreaming", "BidiStreaming")),
                server_streaming=name.startswith(("ServerStreaming", "BidiStreaming")),
            )
    return file, [f"shared.{stem}Service" for stem in methods]


def document(*routes: str) -> dict[str, Any]:
    """An OpenAPI document of tasks' routes, and of the one that lists models."""
    text = {"type": "string"}
    request = {"type": "object", "properties": {"inputs": text, "model_id": text}}
    operation = {
        "requestBody": {"content": {"application/json": {"schema": request}}},
        "responses": {"200": {"content": {"application/json": {"schema": {"type": "object", "title": "Text"}}}}},
    }
    return {"paths": {**{route: {"post": operation} for route in routes}, "/info/models": {"get": {}}}}
