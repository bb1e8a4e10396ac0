"""Random schemas: descriptors and OpenAPI documents of the form that servers have, with anything in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from random import Random
from typing import Any, NamedTuple, TypeVar

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)

from .odd_schemas import BUSY, HARMFUL, MANAGEMENT, MEMBERS

T = TypeVar("T")
_SCALARS = [each for each in FieldDescriptorProto.Type.values() if each not in (10, 11, 14)]
_WELL_KNOWN = {
    "google/protobuf/timestamp.proto": ".google.protobuf.Timestamp",
    "google/protobuf/duration.proto": ".google.protobuf.Duration",
    "google/protobuf/struct.proto": ".google.protobuf.Struct",
    "google/protobuf/wrappers.proto": ".google.protobuf.Int64Value",
    "google/protobuf/any.proto": ".google.protobuf.Any",
}
_PLAIN = [
    "a",
    "b",
    "A",
    "B",
    "x_",
    "_x",
    "data",
    "data_stream",
    "values",
    "parameters",
    "model_name",
    "inputs",
    "output_path",
]
_ODD = [*_PLAIN, *BUSY, *MEMBERS]
_RPCS = {
    # an RPC's name, and whether it streams its input and its answers
    "{}Predict": (False, False),
    "{}TaskPredict": (False, False),
    "ServerStreaming{}TaskPredict": (False, True),
    "ClientStreaming{}TaskPredict": (True, False),
    "BidiStreaming{}TaskPredict": (True, True),
    "ATask{}Train": (False, False),
    "{}Train": (False, False),
    "ATaskStartPredictionJob": (False, False),
    "ATaskGetPredictionJobStatus": (False, False),
    "ATaskGetPredictionJobResult": (False, False),
    "ATaskCancelPredictionJob": (False, False),
}
_SERVICES = ["XService", "YService", "XTrainingService", "XJobService"]


class _Chance:
    """What is drawn at random."""

    def __init__(self, random: Random) -> None:
        self._random = random

    def one(self, values: Sequence[T]) -> T:
        return values[self._random.randrange(len(values))]

    def number(self, most: int) -> int:
        """A number from 0 to `most`, small ones more often."""
        return min(self._random.randrange(most + 1), self._random.randrange(most + 1))

    def seldom(self, rarity: int = 10) -> bool:
        return self._random.randrange(rarity) == 0

    def some(self, most: int, make: Callable[[], T]) -> list[T]:
        """Different things, as many as `most`."""
        return list(dict.fromkeys(make() for _ in range(self.number(most))))

    def letters(self, alphabet: str, most: int) -> str:
        return "".join(self.one(alphabet) for _ in range(self.number(most)))

    def text(self) -> str:
        """Any text with a form in UTF-8."""
        if self.seldom(3):
            return self.letters("aA_1 .-/{}()\"'\\#:\n\x00\x7f\u202e\u2028µé\U0001f600", 8)
        return self.one([each for each in HARMFUL if each.isascii()] if self.seldom(3) else _ODD)


# -- descriptors ------------------------------------------------------------------------------------------------------


class Reflected(NamedTuple):
    """What a server tells over reflection."""

    files: dict[str, FileDescriptorProto]
    services: list[str]


def reflected(random: Random) -> Reflected:
    """Files that import each other, mostly without circles, and their services."""
    return _Files(random).make()


class _Files(_Chance):
    def __init__(self, random: Random) -> None:
        super().__init__(random)
        self._files: list[FileDescriptorProto] = []
        self._types: dict[str, list[tuple[str, bool]]] = {}
        """By the files' names: the types' full names, and whether they are enums."""
        self._taken: set[str] = set()

    def make(self) -> Reflected:
        for index in range(1 + self.number(4)):
            self._files.append(self._file(f"{index}.proto"))
        messages = [(file, name, each) for file in self._files for name, each in _messages(file)]
        for file, name, message in messages:
            self._fill(message, name, self._visible(file), proto2=file.syntax == "proto2")
        if self.seldom(10):
            self._large(self._files[0])
        services = [name for file in self._files for name in self._services(file)]
        if not self.seldom(3):
            self._files.append(MANAGEMENT)
            services.append(f"{MANAGEMENT.package}.{MANAGEMENT.service[0].name}")
        if self.seldom(20):
            self._break()
        self._random.shuffle(self._files)
        self._random.shuffle(services)
        return Reflected({each.name: each for each in self._files}, services)

    def _name(self, scope: str) -> str:
        """A name that nothing else has in the scope: protobuf refuses two."""
        name = self.one(_ODD) if self.seldom(2) else self.one("aAbB_") + self.letters("aAbB_1", 6)
        while self._scoped(scope, name) in self._taken and not self.seldom(200):
            name += self.one("aAbB")
        self._taken.add(self._scoped(scope, name))
        return name

    def _scoped(self, scope: str, name: str) -> str:
        return f"{scope}.{name}".removeprefix(".")

    def _file(self, path: str) -> FileDescriptorProto:
        package = self.one(["", "p", "p.q", "caikit.runtime.X"])
        file = FileDescriptorProto(name=path, package=package, syntax=self.one(["proto3", "proto3", "proto2"]))
        others = [each.name for each in self._files] + ([path, "9.proto", "1.proto"] if self.seldom(40) else [])
        file.dependency.extend(self.some(4, lambda: self.one(others)) if others else [])
        file.dependency.extend(self.some(4, lambda: self.one([*_WELL_KNOWN])))
        self._types[path] = []
        for _ in range(1 + self.number(4)):
            self._message(file, file.message_type.add(), package, 0)
        for _ in range(self.number(2)):
            self._enum(file, file.enum_type.add(), package)
        return file

    def _message(self, file: FileDescriptorProto, message: DescriptorProto, scope: str, depth: int) -> None:
        message.name = self._name(scope)
        full_name = self._scoped(scope, message.name)
        self._types[file.name].append((f".{full_name}", False))
        for _ in range(self.number(2) if depth < 3 and self.seldom(3) else 0):
            self._message(file, message.nested_type.add(), full_name, depth + 1)
        for _ in range(self.number(1)):
            self._enum(file, message.enum_type.add(), full_name)

    def _enum(self, file: FileDescriptorProto, enum: EnumDescriptorProto, scope: str) -> None:
        enum.name = self._name(scope)
        self._types[file.name].append((f".{self._scoped(scope, enum.name)}", True))
        first = 0 if file.syntax == "proto3" else self.number(3)
        for number in range(first, first + 1 + self.number(5)):
            enum.value.add(name=self._name(scope), number=number)
        if self.seldom(5):
            enum.options.allow_alias = True
            enum.value.add(name=self._name(scope), number=first)
            enum.value.add(name=self._name(scope), number=-5)

    def _visible(self, file: FileDescriptorProto) -> list[tuple[str, bool]]:
        found = list(self._types[file.name])
        for path in file.dependency:
            found += [(_WELL_KNOWN[path], False)] if path in _WELL_KNOWN else self._types.get(path, [])
        return found if not self.seldom(200) else [*found, (".missing", False)]

    def _fill(self, message: DescriptorProto, full_name: str, types: list[tuple[str, bool]], *, proto2: bool) -> None:
        for _ in range(self.number(2)):
            message.oneof_decl.add(name=self._name(full_name))
        for oneof in range(len(message.oneof_decl)):
            for _ in range(1 + self.number(3)):
                self._field(message, full_name, types).oneof_index = oneof
        for _ in range(self.number(6)):
            field = self._field(message, full_name, types, proto2=proto2)
            if self.seldom(4):
                field.label = FieldDescriptorProto.LABEL_REPEATED
                field.ClearField("default_value")
            elif self.seldom(5):
                field.oneof_index = len(message.oneof_decl)
                message.oneof_decl.add(name=f"_{field.name}")
        for _ in range(self.number(1)):
            self._map(message, full_name)
        if self.seldom(3) and self._scoped(full_name, "parameters") not in self._taken:
            field = self._field(message, full_name, types)
            field.name, field.label = "parameters", FieldDescriptorProto.LABEL_OPTIONAL
            field.ClearField("oneof_index")
            self._taken.add(self._scoped(full_name, "parameters"))

    def _large(self, file: FileDescriptorProto) -> None:
        """Add a chain, a ring or a net of messages that the first one refers to, or very many fields."""
        size, width = self.one([(1, 300), (30, 5), (100, 1), (8, 8)])
        names = [self._scoped(file.package, f"Large{each}") for each in range(size)]
        first = file.message_type[0]
        first.field.add(name="large", number=1000, label=1, type=11, type_name=f".{names[0]}", json_name="large")
        for index in range(size):
            message = file.message_type.add(name=f"Large{index}")
            for number in range(1, width + 1):
                kind = (index + number) % size if size == 8 or self.seldom(5) else min(index + number, size - 1)
                field = message.field.add(name=f"f{number}", number=number, label=1, type=9)
                if size > 1 and kind != index:
                    field.type, field.type_name = 11, f".{names[kind]}"

    def _field(
        self, message: DescriptorProto, full_name: str, types: list[tuple[str, bool]], *, proto2: bool = False
    ) -> FieldDescriptorProto:
        number = len(message.field) + 1
        field = message.field.add(name=self._name(full_name), number=number, json_name=f"json{number}", label=1)
        field.type = self.one(_SCALARS)
        if self.seldom(2):
            field.type_name, is_enum = self.one(types)
            field.type = FieldDescriptorProto.TYPE_ENUM if is_enum else FieldDescriptorProto.TYPE_MESSAGE
        elif proto2 and self.seldom(2):
            field.default_value = self._default(field.type)
        return field

    def _default(self, kind: int) -> str:
        """A default of a scalar field, seldom one of another type."""
        if self.seldom(50):
            return self.text()
        if kind in (FieldDescriptorProto.TYPE_DOUBLE, FieldDescriptorProto.TYPE_FLOAT):
            return self.one(["nan", "inf", "-inf", "1e30", "-0", "0.5"])
        if kind == FieldDescriptorProto.TYPE_STRING:
            return self.text()
        if kind == FieldDescriptorProto.TYPE_BYTES:
            return self.one([r"\000", r"\"", "print(1)", r"\\"])
        return self.one(["true", "false"]) if kind == FieldDescriptorProto.TYPE_BOOL else self.one(["0", "1", "127"])

    def _map(self, message: DescriptorProto, full_name: str) -> None:
        name = f"m{len(message.field)}"
        entry = message.nested_type.add(name=f"M{len(message.field)}Entry")
        entry.options.map_entry = True
        entry.field.add(name="key", number=1, label=1, type=self.one([3, 8, 9]))
        entry.field.add(name="value", number=2, label=1, type=self.one([1, 8, 9, 12]))
        number = len(message.field) + 1
        field = message.field.add(name=name, number=number, label=3, type=11, json_name=f"json{number}")
        field.type_name = f".{full_name}.{entry.name}"

    def _services(self, file: FileDescriptorProto) -> Iterator[str]:
        messages = [name for name, is_enum in self._visible(file) if not is_enum]
        trained = [name for name in messages if self._scoped(name[1:], "parameters") in self._taken]
        for name in self.some(3, lambda: self.one(_SERVICES)):
            full_name = self._scoped(file.package, name)
            if full_name in self._taken:
                continue
            self._taken.add(full_name)
            service = file.service.add(name=name)
            for _ in range(1 + self.number(6)):
                form = self.one([each for each in _RPCS if each.endswith("Train") == ("Training" in name)])
                rpc = form.format(self.one(["A", "B", *_ODD]))
                if rpc not in [each.name for each in service.method]:
                    client, server = _RPCS[form]
                    into, out = self.one(trained if "Training" in name and trained else messages), self.one(messages)
                    service.method.add(
                        name=rpc, input_type=into, output_type=out, client_streaming=client, server_streaming=server
                    )
            yield full_name

    def _break(self) -> None:
        """Give something in a file any name."""
        here: Any = self.one(self._files[:-1] or self._files)
        parts = ("message_type", "field", "nested_type", "enum_type", "value", "service", "method", "oneof_decl")
        while inside := [each for part in parts for each in getattr(here, part, ())]:
            here = self.one(inside)
            if self.seldom(3):
                break
        here.name = self.text()


def _messages(file: FileDescriptorProto) -> Iterator[tuple[str, DescriptorProto]]:
    waiting = [(file.package, each) for each in file.message_type]
    while waiting:
        scope, message = waiting.pop()
        full_name = f"{scope}.{message.name}".removeprefix(".")
        yield full_name, message
        waiting += [(full_name, each) for each in message.nested_type]


# -- documents --------------------------------------------------------------------------------------------------------

_COMPONENTS = ["A", "B", "C", "ATaskRequestParameters", "ServerStreamingATaskRequestParameters", "ATaskRequestInputs"]
_TITLES = ["p.A", "p.B", "A", "caikit_data_model.common.File", "caikit.http.ATask.ATaskRequestHttpRequest", "B"]
_TYPES = ["string", "integer", "number", "boolean", "null", "object", "array"]
_KEYS = [
    "type",
    "anyOf",
    "oneOf",
    "allOf",
    "items",
    "properties",
    "$ref",
    "enum",
    "title",
    "additionalProperties",
    "format",
]
_FORMATS = ["binary", "date-time", "date", "time", "duration", "x"]
_ODD_VALUES: list[Any] = [None, True, 0, 1, -1, 2**63, 2**64, 10**30, 0.5, 1e300, float("nan"), float("inf"), [], {}]


def document(random: Random) -> Any:
    """An OpenAPI document, or what should be one."""
    return _Document(random).make()


class _Document(_Chance):
    def make(self) -> Any:
        if self.seldom(50):
            return self._json(3)
        paths = {self._route(): self._path() for _ in range(1 + self.number(6))}
        if not self.seldom(3):
            paths["/management/trainings"] = {"get": {}, "delete": {}}
        for route in [*paths] if self.seldom(3) else []:
            paths[f"{route}/job"] = {"post": self._operation(), "get": {}, "delete": {}}
        schemas = {name: self._schema(4) for name in self.some(6, lambda: self.one(_COMPONENTS))}
        if self.seldom(10):
            schemas |= self._large()
        return {"paths": paths, "components": {"schemas": schemas}}

    def _large(self) -> dict[str, Any]:
        """A chain, a ring or a net of schemas, or very many properties, which one of the others refers to."""
        size, width = self.one([(1, 300), (30, 5), (100, 1), (8, 8)])
        references = [{"$ref": f"#/components/schemas/Large{each}"} for each in range(size)]
        made: dict[str, Any] = {self.one(_COMPONENTS): {"type": "object", "properties": {"large": references[0]}}}
        for index in range(size):
            inside = [references[(index + each) % size] for each in range(width)]
            if size == 1 or (index == size - 1 and self.seldom(2)):
                inside = [{"type": "string"}] * width
            lists = [{"type": "array", "items": each} for each in inside]
            made[f"Large{index}"] = self.one(
                [
                    {"type": "object", "properties": {f"f{each}": one for each, one in enumerate(inside)}},
                    {"anyOf": [*inside, {"type": "null"}]},
                    {"anyOf": [*lists, {"type": "object", "additionalProperties": inside[0]}]},
                ]
            )
        return made

    def _route(self) -> str:
        name = self.one(["a", "server-streaming-a", "a-b", "b", "A"]) if self.seldom(2) else self.text()
        form = self.one(["/api/v1/task/{}", "/api/v1/task/{}", "/x/task/{}", "/api/v1/ATask{}Train", "/api/v1/{}Train"])
        return self.one(["/info/models", "/management/models", name]) if self.seldom(8) else form.replace("{}", name)

    def _path(self) -> Any:
        if self.seldom(20):
            return self._json(2)
        return {self.one(["post", "post", "post", "get", "delete"]): self._operation()}

    def _operation(self) -> Any:
        if self.seldom(20):
            return self._json(3)
        keys = ["inputs", "parameters", "parameters", "model_name", "output_path", "model_id"]
        request = {
            "properties": {key: self._schema(4) for key in self.some(5, lambda: self.one(keys))},
            "title": self._title(),
        }
        media = "application/json" if not self.seldom(6) else self.one(["text/event-stream", "multipart/form-data"])
        return {
            "requestBody": {"content": {media: {"schema": self._schema(2) if self.seldom(20) else request}}},
            "responses": {"200": {"content": {media: {"schema": self._schema(4)}}}},
        }

    def _schema(self, depth: int) -> Any:
        if self.seldom(15):
            return self._json(2)
        if self.seldom(4):
            return {"$ref": f"#/components/schemas/{self.one([*_COMPONENTS, 'missing'])}"}
        kinds = [self._scalar, self._choice, self._several]
        if depth > 0:
            kinds += [self._object, self._object, self._object, self._array, self._union, self._odd]
        return {**self.one(kinds)(depth - 1), **self._words()}

    def _words(self) -> dict[str, Any]:
        words: dict[str, Any] = {}
        if self.seldom(3):
            words["title"] = self._title()
        if self.seldom(4):
            words["description"] = self.text()
        if self.seldom(3):
            words["default"] = self._json(3)
        return words

    def _title(self) -> Any:
        return self._json(1) if self.seldom(20) else self.text() if self.seldom(2) else self.one(_TITLES)

    def _scalar(self, depth: int) -> dict[str, Any]:
        kind = {"type": self.one([*_TYPES, "x"])}
        return {**kind, "format": self._json(1) if self.seldom(10) else self.one(_FORMATS)} if self.seldom(3) else kind

    def _choice(self, depth: int) -> dict[str, Any]:
        return {"enum": [self._json(0) for _ in range(self.number(4))]}

    def _several(self, depth: int) -> dict[str, Any]:
        return {"type": [self.one(_TYPES) for _ in range(self.number(3))]}

    def _object(self, depth: int) -> dict[str, Any]:
        made: dict[str, Any] = {"type": "object"}
        made["properties"] = {
            self.one(_PLAIN) if self.seldom(2) else self.text(): self._schema(depth) for _ in range(self.number(6))
        }
        if self.seldom(3):
            made["additionalProperties"] = self.one([True, False, self._schema(0)])
        return made

    def _array(self, depth: int) -> dict[str, Any]:
        return {"type": "array", "items": self._schema(depth)}

    def _union(self, depth: int) -> dict[str, Any]:
        return {self.one(["anyOf", "anyOf", "oneOf", "allOf"]): [self._schema(depth) for _ in range(self.number(4))]}

    def _odd(self, depth: int) -> dict[str, Any]:
        return {
            self.one(_KEYS): self._json(2) if self.seldom(2) else self._schema(depth) for _ in range(self.number(3))
        }

    def _json(self, depth: int) -> Any:
        if depth <= 0 or self.seldom(2):
            return self.text() if self.seldom(2) else self.one(_ODD_VALUES)
        if self.seldom(2):
            return [self._json(depth - 1) for _ in range(self.number(3))]
        return {self.one([*_PLAIN, *_KEYS]): self._json(depth - 1) for _ in range(self.number(3))}
