"""Schemas that a server may honestly have, or that mean harm: their names, defaults and texts are odd."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto, FileDescriptorProto

from remote_client._schema.budget import Budget
from remote_client._schema.openapi import document as openapi
from remote_client._schema.protobuf import services as protobuf_services
from remote_client._schema.rpc import ServiceDescription
from remote_client.settings import Protocol

BUSY = [
    *("date", "datetime", "time", "timedelta", "str", "int", "float", "bool", "bytes", "list", "dict", "Any", "Union"),
    *("Field", "BaseModel", "ConfigDict", "Config", "model_config", "_Message", "RemoteModuleBase", "module", "self"),
    *("taskmethod", "Kind", "Busy", "Other", "FileResponse", "IntEnum", "NotImplementedError", "annotations", "_date"),
]
"""Names that a written file uses itself."""
MEMBERS = ["in", "class", "None", "__a", "_a", "a", "name", "value", "real", "from_bytes", "is_integer", "in_", "RED"]
HARM = "x(print(1)or object):#"
"""What runs if it is written as it is."""
HARMFUL = [
    HARM,
    "\u202e\u2066\x00",
    '"""\nprint(1)\n"""',
    "\\",
    "\\'\"",
    "'''",
    "{HARM}",
    "a\u2028b",
    "\ud800",
    "# x\n",
]


class Schema(NamedTuple):
    """A schema's protocol, and what describes it."""

    protocol: Protocol
    describe: Callable[[], ServiceDescription]


SCHEMAS: dict[str, Schema] = {}


def over_grpc(make: Callable[[FileDescriptorProto], None]) -> Any:
    """A schema of one file, `odd.proto`, which the function fills; all of the file's services are listed."""

    def describe() -> ServiceDescription:
        file = FileDescriptorProto(name="odd.proto", package="odd", syntax="proto3")
        make(file)
        services = [f"odd.{each.name}" for each in file.service]
        files = {file.name: file}
        if any(each.endswith("TrainingService") for each in services):
            files[MANAGEMENT.name] = MANAGEMENT
            services.append(f"{MANAGEMENT.package}.{MANAGEMENT.service[0].name}")
        return protobuf_services.describe(files, services, Budget(600))

    SCHEMAS[f"grpc {make.__name__.replace('_', ' ')}"] = Schema("grpc", describe)
    return make


def over_http(make: Callable[[], dict[str, Any]]) -> Any:
    """A schema of a document with these paths, or of one with `components` too."""

    def describe() -> ServiceDescription:
        told = make()
        return openapi.describe(json.dumps(told if "paths" in told else {"paths": told}).encode(), Budget(600))

    SCHEMAS[f"http {make.__name__.replace('_', ' ')}"] = Schema("http", describe)
    return make


# -- descriptors ------------------------------------------------------------------------------------------------------


def _management() -> FileDescriptorProto:
    file = FileDescriptorProto(name="training.proto", package="caikit.runtime.training", syntax="proto3")
    add(file.message_type.add(name="Id"), "training_id")
    service = file.service.add(name="TrainingManagement")
    for name in ("GetTrainingStatus", "CancelTraining"):
        service.method.add(name=name, input_type=f".{file.package}.Id", output_type=f".{file.package}.Id")
    return file


def add(message: DescriptorProto, name: str, kind: str = "string", **more: Any) -> FieldDescriptorProto:
    """Add a field; `kind` is a scalar's name, or the full name of a message, or of an enum with `enum ` in front."""
    number = len(message.field) + 1
    field = message.field.add(name=name, number=number, label=1, json_name=f"json{number}")
    if "." in kind:
        field.type = FieldDescriptorProto.TYPE_ENUM if kind.startswith("enum ") else FieldDescriptorProto.TYPE_MESSAGE
        field.type_name = f".{kind.removeprefix('enum ')}"
    else:
        field.type = FieldDescriptorProto.Type.Value(f"TYPE_{kind.upper()}")
    for key, value in more.items():
        setattr(field, key, value)
    return field


MANAGEMENT = _management()


def serve(file: FileDescriptorProto, answer: str, *rpcs: str, service: str = "OddService", request: str = "") -> None:
    """Add a service with methods of these names."""
    added = file.service.add(name=service)
    for rpc in rpcs or ("OddTaskPredict",):
        added.method.add(name=rpc, input_type=f".odd.{request or answer}", output_type=f".odd.{answer}")


def add_enum(file: FileDescriptorProto, name: str, members: Iterable[str], first: int = 0) -> None:
    """Add an enum with these members."""
    enum = file.enum_type.add(name=name)
    for number, member in enumerate(members, first):
        enum.value.add(name=member, number=number)


@over_grpc
def fields_named_as_what_the_file_uses(file: FileDescriptorProto) -> None:
    file.dependency.extend(["google/protobuf/timestamp.proto", "google/protobuf/struct.proto"])
    add_enum(file, "Kind", ["A", "B"])
    add(file.message_type.add(name="Other"), "x", "double")
    busy = file.message_type.add(name="Busy")
    for name in BUSY:
        add(busy, name)
    for name, kind in (
        ("at", "google.protobuf.Timestamp"),
        ("any", "google.protobuf.Value"),
        ("settings", "google.protobuf.Struct"),
        ("kind", "enum odd.Kind"),
        ("busy", "odd.Busy"),
        ("other", "odd.Other"),
        *((kind, kind) for kind in ("double", "int64")),
    ):
        add(busy, name, kind)
    add(busy, "many", "bytes", label=3)
    serve(file, "Busy", "OddTaskPredict")


@over_grpc
def an_enum_as_default_above_its_class(file: FileDescriptorProto) -> None:
    add_enum(file, "Zebra", ["STRIPED", "PLAIN"])
    add(file.message_type.add(name="Animal"), "zebra", "enum odd.Zebra")
    serve(file, "Animal")


@over_grpc
def members_of_enums(file: FileDescriptorProto) -> None:
    add_enum(file, "Kind", MEMBERS)
    add_enum(file, "_lower", ["a_x", "_a_x"])
    message = file.message_type.add(name="Odd")
    add(message, "kind", "enum odd.Kind")
    add(message, "other", "enum odd._lower")
    serve(file, "Odd")


@over_grpc
def defaults_of_proto2(file: FileDescriptorProto) -> None:
    file.syntax = "proto2"
    add_enum(file, "Kind", ["A", "B", "None"], 5)
    message = file.message_type.add(name="Odd")
    for kind, default in (
        *(("double", each) for each in ("nan", "inf", "-inf", "1e300", "-0")),
        *(("float", each) for each in ("nan", "inf")),
        *(("string", each) for each in (*HARMFUL[:8], HARMFUL[9])),
        *(("bytes", each) for each in (r"\000\'\"", r"\\", "print(1)")),
        *(("int64", each) for each in (str(-(2**63)), "5")),
        ("bool", "true"),
        ("enum odd.Kind", "None"),
    ):
        add(message, f"f{len(message.field)}", kind, default_value=default)
        add(message, f"_f{len(message.field)}", kind, default_value=default)
    serve(file, "Odd")


@over_grpc
def names_of_messages(file: FileDescriptorProto) -> None:
    message = file.message_type.add(name="Odd")
    for name in (
        "class",
        "None",
        "lower",
        "Lower",
        "_Lower",
        "_1",
        "str",
        "Any",
        "Run",
        "module",
        "OddTask",
        "Message",
    ):
        inner = file.message_type.add(name=name)
        add(inner, "x")
        nested = inner.nested_type.add(name="Lower")
        add(nested, "Lower_")
        add(inner, "nested", f"odd.{name}.Lower")
        add(message, f"f{len(message.field)}", f"odd.{name}")
    file.message_type.add(name="Empty")
    add(message, "empty", "odd.Empty")
    serve(file, "Odd")


@over_grpc
def names_of_tasks(file: FileDescriptorProto) -> None:
    add(file.message_type.add(name="Odd"), "x", "double", label=3)
    names = [*BUSY, "run", "run_stream_out", "train", "_Task", "__Task", "class", "None", "print", "object", "mro"]
    serve(file, "Odd", *(f"{name}Predict" for name in names))


@over_grpc
def one_task_in_two_services(file: FileDescriptorProto) -> None:
    add(file.message_type.add(name="Odd"), "x")
    add(file.message_type.add(name="Even"), "y")
    serve(file, "Odd", "SampleTaskPredict", service="OneService")
    serve(file, "Even", "SampleTaskPredict", service="TwoService")
    serve(file, "Even", "OneService_SampleTaskPredictPredict", service="ThreeService")


@over_grpc
def trainings(file: FileDescriptorProto) -> None:
    """Two tasks that train one module, two services with one training, and parameters named as those around them."""
    add(file.message_type.add(name="Odd"), "x")
    own = file.message_type.add(name="Own")
    for name in ("model_name", "output_path", "module", "_model_name", "self", "class"):
        add(own, name)
    request = file.message_type.add(name="TrainRequest")
    add(request, "parameters", "odd.Own")
    add(request, "model_name")
    serve(file, "Odd", "OneTaskPredict", "TwoTaskPredict", "classTaskPredict")
    trained = ["OneTaskSameTrain", "TwoTaskSameTrain", "OneTaskOneTaskTrain", "OneTasktrainTrain", "OneTaskTwiceTrain"]
    serve(file, "Odd", *trained, "lostTaskFoundTrain", "LostTrain", service="ATrainingService", request="TrainRequest")
    serve(file, "Odd", "OneTaskTwiceTrain", service="BTrainingService", request="TrainRequest")


@over_grpc
def names_of_parameters(file: FileDescriptorProto) -> None:
    message = file.message_type.add(name="Odd")
    for name in BUSY:
        add(message, name)
        add(message, f"many_{name}", label=3)
    serve(file, "Odd", "OddTaskPredict")


@over_grpc
def streams_without_required_parameters(file: FileDescriptorProto) -> None:
    message = file.message_type.add(name="Odd")
    add(message, "many", label=3)
    message.oneof_decl.add(name="union")
    add(message, "text", oneof_index=0)
    add(message, "number", "int64", oneof_index=0)
    file.message_type.add(name="Empty")
    for name in ("Odd", "Empty"):
        serve(
            file, name, f"ClientStreaming{name}TaskPredict", f"BidiStreaming{name}TaskPredict", service=f"{name}Service"
        )
        for index, method in enumerate(file.service[-1].method):
            method.client_streaming, method.server_streaming = True, index == 1


@over_grpc
def messages_that_all_refer_to_each_other(file: FileDescriptorProto) -> None:
    for message in [file.message_type.add(name=f"M{each}") for each in range(12)]:
        for each in range(12):
            add(message, f"f{each}", f"odd.M{each}")
    serve(file, "M0")


@over_grpc
def rings_of_messages(file: FileDescriptorProto) -> None:
    """The types of a large circle are written, though pydantic can make nothing of all of it."""
    for size in (20, 200):
        for each in range(size):
            message = file.message_type.add(name=f"M{size}_{each}")
            add(message, "next", f"odd.M{size}_{(each + 1) % size}")
            add(message, "last", f"odd.M{size}_{(each - 1) % size}", label=3)
        serve(file, f"M{size}_0", f"A{size}TaskPredict", service=f"A{size}Service")


@over_grpc
def a_chain_of_messages(file: FileDescriptorProto) -> None:
    for each in range(200):
        add(file.message_type.add(name=f"M{each}"), "next", f"odd.M{each + 1}")
    add(file.message_type.add(name="M200"), "x")
    serve(file, "M0")


# -- documents --------------------------------------------------------------------------------------------------------


def operation(
    answer: Any = None, *, inputs: Any = None, parameters: Any = None, title: str = "", **more: Any
) -> dict[str, Any]:
    """What a document says of a route that is POSTed to."""
    properties = {"inputs": inputs, "parameters": parameters, "model_id": {"type": "string"}, **more}
    request = {"title": title, "properties": {name: each for name, each in properties.items() if each is not None}}
    return {
        "post": {
            "requestBody": {"content": {"application/json": {"schema": request}}},
            "responses": {"200": {"content": {"application/json": {"schema": answer or TEXT}}}},
        }
    }


TEXT: dict[str, Any] = {"type": "string"}


def objects(properties: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The schema of an object."""
    return {"type": "object", "properties": properties, **more}


def training(parameters: dict[str, Any]) -> dict[str, Any]:
    """A training with these parameters."""
    return operation(parameters=objects(parameters), model_name=TEXT, output_path={})


MANAGED: dict[str, Any] = {"/management/trainings": {"get": {}, "delete": {}}, "/info/models": {"get": {}}}


@over_http
def routes_that_are_code() -> dict[str, Any]:
    return {f"/api/v1/task/{each}": operation(inputs=TEXT) for each in (HARM, "a'b\"c", "--", "ü-b", "class", "1")}


@over_http
def one_task_under_two_prefixes() -> dict[str, Any]:
    return {f"/{each}/task/sample": operation(inputs={"type": each}) for each in ("string", "integer")}


@over_http
def trainings_that_are_code() -> dict[str, Any]:
    parameters = {
        "x": TEXT,
        "model_name": TEXT,
        "output_path": TEXT,
        "module": TEXT,
        "_model_name": TEXT,
        "class": TEXT,
    }
    names = [f"{each}Task{each}Train" for each in (HARM, "a", "self", "run")]
    return {**MANAGED, **{f"/api/v1/{each}": training(parameters) for each in (*names, "aTaskselfTrain", "xTrain")}}


@over_http
def titles_and_defaults_that_are_code() -> dict[str, Any]:
    """`[{"b": 1}]` is a list of an object whose `repr` has its title."""
    fields, told = {"b": {"type": "integer"}}, [each for each in HARMFUL if each != "\ud800"]
    harmful = [objects(fields, title=each.replace("\x00", ""), description=each) for each in told]
    properties = {}
    for index, each in enumerate(harmful):
        properties[f"f{index}"] = {"type": "array", "items": each, "default": [{"b": 1}]}
        properties[f"g{index}"] = {"default": {"b": 1}, "anyOf": [each, {"type": "null"}]}
    return {"/task/a": operation(objects(properties, title="all"), inputs=TEXT)}


@over_http
def names_of_fields() -> dict[str, Any]:
    names = [
        *BUSY,
        *HARMFUL[:8],
        "1",
        "1a",
        "_1",
        "µ_score",
        "μ_score",
        "score",
        "ﬁ",
        "fi",
        "",
        "_",
        "__",
        "a b",
        "inputs",
    ]
    fields = {name: {"type": "number", "default": 0.5} for name in names}
    fields["at"] = {"type": "string", "format": "date-time"}
    fields["items"] = {"type": "array", "items": TEXT}
    return {"/task/a": operation(objects(fields, title="Odd"), inputs=TEXT, parameters=objects(fields, title="Even"))}


@over_http
def defaults_of_trainings() -> dict[str, Any]:
    kinds = ({"type": each} for each in ("string", "integer", "number", "boolean", "object", "array", "null", "odd"))
    deep: Any = []
    for _ in range(100):
        deep = [deep]
    nested = {"type": "array", "items": {"type": "array", "items": {"type": "integer"}}}
    defaults = [
        "a, b",
        "(",
        HARM,
        1,
        2**70,
        10**400,
        1.5,
        float("nan"),
        float("-inf"),
        True,
        None,
        [1],
        [[1]],
        {"a": [1]},
        deep,
    ]
    parameters = {"required": TEXT}
    for kind in (
        *kinds,
        nested,
        {},
        {"anyOf": [TEXT, {"type": "null"}]},
        {"enum": [1, 2]},
        {"type": "string", "format": "date"},
    ):
        for default in defaults:
            parameters[f"a_long_name_for_a_parameter_{len(parameters)}"] = {**kind, "default": default}
    return {**MANAGED, "/api/v1/ATaskBTrain": training(parameters), "/task/a": operation(inputs=TEXT)}


@over_http
def a_long_signature() -> dict[str, Any]:
    parameters = {f"parameter_{each}": {**TEXT, "default": "a, b"} for each in range(12)}
    return {**MANAGED, "/api/v1/ATaskBTrain": training(parameters)}


@over_http
def unions() -> dict[str, Any]:
    def union(size: int) -> dict[str, Any]:
        return {"anyOf": [objects({f"x{each}": TEXT}, title=f"A{size}X{each}") for each in range(size)]}

    deep: Any = TEXT
    for _ in range(45):
        deep = {"type": "array", "items": deep}
    fields = {"short": union(3), "long": union(120), "list": {"type": "array", "items": union(80)}, "deep": deep}
    return {"/task/a": operation(objects(fields, title="All"), inputs=union(60))}


@over_http
def a_union_of_1_200_types() -> dict[str, Any]:
    members = [objects({f"x{each}": TEXT}, title=f"A{each}") for each in range(1_200)]
    return {"/task/a": operation(objects({"u": {"anyOf": members}}, title="All"), inputs={"anyOf": members[:60]})}


@over_http
def a_chain_of_objects() -> dict[str, Any]:
    schemas = {f"M{each}": objects({"next": {"$ref": f"#/components/schemas/M{each + 1}"}}) for each in range(200)}
    answer = {"$ref": "#/components/schemas/M0"}
    return {
        "paths": {"/task/a": operation(answer, inputs=answer)},
        "components": {"schemas": {**schemas, "M200": TEXT}},
    }


@over_http
def objects_that_all_refer_to_each_other() -> dict[str, Any]:
    references = {f"f{each}": {"$ref": f"#/components/schemas/M{each}"} for each in range(12)}
    schemas = {f"M{each}": objects({**references, f"own{each}": TEXT}) for each in range(12)}
    return {"paths": {"/task/a": operation(references["f0"], inputs=TEXT)}, "components": {"schemas": schemas}}
