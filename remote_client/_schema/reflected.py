"""File descriptors -> a `ServiceDescription` with pydantic types, in a descriptor pool of its own.

Each server gets its own pool, so that two runtimes may define the same names differently in one process.
"""

from __future__ import annotations

import enum
import inspect
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Mapping
from typing import Annotated, Any, ForwardRef

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor import Descriptor, EnumDescriptor, FieldDescriptor, MethodDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.message import DecodeError
from pydantic import BaseModel, BeforeValidator, ConfigDict, PlainSerializer, ValidationError, create_model
from pydantic import Field as PydanticField

from ..errors import InputError, InvalidResponseError, SchemaError
from ..settings import Output
from . import names
from .convert import Converters, Field, Misfit, fields_of, is_map, python_type, sequence_field
from .reflection import WELL_KNOWN_FILES
from .rpc import RemoteRPCDescriptor, ServiceDescription, TaskDescription

_MANAGEMENT = ("caikit.runtime.info.InfoService",)
_STREAM_CONSTANTS = (str, bytes, bytearray, Mapping, BaseModel)


class RemoteMessage(BaseModel):
    """The base of the pydantic models made from a server's messages. Bytes are base64 in JSON, enums their names."""

    model_config = ConfigDict(
        extra="forbid",
        protected_namespaces=(),
        validate_by_name=True,
        validate_by_alias=True,
        ser_json_bytes="base64",
        val_json_bytes="base64",
        ser_json_inf_nan="constants",
    )


class RemoteEnum(enum.IntEnum):
    """The base of a server's enums. A number this schema does not know is kept, as proto3 demands."""

    @classmethod
    def _missing_(cls, value: object) -> RemoteEnum | None:
        if not isinstance(value, int):
            return None
        member = int.__new__(cls, value)
        member._name_ = f"UNRECOGNIZED_{value}"
        member._value_ = value
        return member


def describe(files: Mapping[str, FileDescriptorProto], services: Iterable[str]) -> ServiceDescription:
    """What the services offer, with all types built. Takes a while (about a millisecond a type): use a thread.

    Raises:
        SchemaError: the files do not fit together, or hold what cannot be a Python type.
    """
    pool = descriptor_pool.DescriptorPool()
    added: set[str] = set()
    for name in files:
        _add_file(pool, files, name, added)
    types = Types()
    tasks: dict[str, list[MethodDescriptor]] = {}
    management: dict[str, RemoteRPCDescriptor] = {}
    for full_name in services:
        try:
            service = pool.FindServiceByName(full_name)
        except KeyError:
            raise SchemaError(f"the server lists the service {full_name} but does not describe it") from None
        for method in service.methods:
            task = names.task_name(method.name, method.client_streaming, method.server_streaming)
            if full_name in _MANAGEMENT:
                management[method.name] = _descriptor(method, types, "", method.name)
            elif task is not None and service.name.endswith("Service"):
                tasks.setdefault(task, []).append(method)
    return ServiceDescription(_tasks(tasks, types), types.by_name, management)


def _tasks(tasks: dict[str, list[MethodDescriptor]], types: Types) -> dict[str, TaskDescription]:
    described: dict[str, TaskDescription] = {}
    for task, methods in sorted(tasks.items()):
        whole = task.endswith("Task") and task.removesuffix("Task") in tasks
        described[task] = TaskDescription(
            task,
            tuple(
                _descriptor(each, types, task, names.method_name(task, *_flags(each), whole=whole))
                for each in sorted(methods, key=_flags)
            ),
        )
    return described


def _flags(method: MethodDescriptor) -> tuple[bool, bool]:
    return method.client_streaming, method.server_streaming


def _add_file(
    pool: descriptor_pool.DescriptorPool, files: Mapping[str, FileDescriptorProto], name: str, added: set[str]
) -> None:
    """Add a file after those it depends on; protobuf's own come from protobuf."""
    waiting = [name]
    while waiting:
        name = waiting[-1]
        file = files.get(name)
        if name in WELL_KNOWN_FILES:
            file = FileDescriptorProto.FromString(WELL_KNOWN_FILES[name])
        if file is None:
            raise SchemaError(f"the server does not describe the file {name}")
        missing = [each for each in file.dependency if each not in added]
        if name in added or not missing:
            waiting.pop()
            if name not in added:
                added.add(name)
                try:
                    pool.AddSerializedFile(file.SerializeToString())
                except TypeError as error:
                    raise SchemaError(f"the server's file {name} is not valid: {error}") from None
        elif any(each in waiting for each in missing):
            raise SchemaError(f"the server's files depend on each other in a circle, at {name}")
        else:
            waiting.extend(missing)


class Types:
    """The pydantic models and enums of one pool, each made once."""

    def __init__(self) -> None:
        self.by_name: dict[str, type[Any]] = {}
        self._making: dict[str, str] = {}
        self._converters = Converters(self.model, self.enum)

    def model(self, descriptor: Descriptor) -> Any:
        """The model of a message; inside its own making a forward reference."""
        full_name = descriptor.full_name
        if full_name in self.by_name:
            return self.by_name[full_name]
        if full_name in self._making:
            return ForwardRef(self._making[full_name])
        self._making[full_name] = f"T{len(self._making)}"
        fields: dict[str, Any] = {}
        for field in fields_of(descriptor):
            kind, default = self._annotation(field), PydanticField(**_default(field))
            fields[field.attribute] = (kind, default)
        try:
            made = create_model(
                descriptor.name,
                __base__=RemoteMessage,
                __module__=descriptor.full_name.rpartition(".")[0],
                __doc__=f"{full_name}, as the server describes it.",
                **fields,
            )
        except Exception as error:
            raise SchemaError(f"{full_name} cannot be a pydantic model: {error}") from error
        self.by_name[full_name] = made
        known = {alias: self.by_name[name] for name, alias in self._making.items() if name in self.by_name}
        for each in known.values():
            each.model_rebuild(raise_errors=False, _types_namespace=known)
        return made

    def enum(self, descriptor: EnumDescriptor) -> Any:
        """The enum of a descriptor."""
        if descriptor.full_name not in self.by_name:
            members = {value.name: value.number for value in descriptor.values}
            try:
                made = RemoteEnum(descriptor.name, members, module=descriptor.full_name.rpartition(".")[0])  # type: ignore[call-arg,arg-type]
            except (TypeError, ValueError) as error:
                raise SchemaError(f"{descriptor.full_name} cannot be an enum: {error}") from None
            self.by_name[descriptor.full_name] = made
        return self.by_name[descriptor.full_name]

    def encoder(self, descriptor: Descriptor) -> Callable[[Any, Any], None]:
        return self._converters.encoder(descriptor)

    def decoder(self, descriptor: Descriptor) -> Callable[[Any, bool], dict[str, Any]]:
        return self._converters.decoder(descriptor)

    def one(self, field: FieldDescriptor) -> Any:
        """The type of one value of a field."""
        return python_type(field, self.model, self.enum)

    def _annotation(self, field: Field) -> Any:
        """The type of a field of a model. It takes an enum's members by name too."""
        kinds = [self._open(self.one(member)) for member in field.members]
        member = field.members[0]
        if field.union:
            return _either([*kinds, None])
        if is_map(member):
            key, value = (member.message_type.fields_by_name[name] for name in ("key", "value"))
            return dict[self.one(key), self._open(self.one(value))]  # type: ignore[misc]
        if member.is_repeated:
            return list[kinds[0]]  # type: ignore[valid-type]
        return kinds[0] | None if field.optional or member.message_type is not None else kinds[0]

    def _open(self, kind: Any) -> Any:
        if not (isinstance(kind, type) and issubclass(kind, RemoteEnum)):
            return kind
        names_too = BeforeValidator(
            lambda value: kind[value] if isinstance(value, str) and value in kind.__members__ else value
        )
        return Annotated[kind, names_too, PlainSerializer(lambda value: value.name, when_used="json")]


def _either(kinds: Iterable[Any]) -> Any:
    union: Any = None
    for index, kind in enumerate(kinds):
        union = kind if index == 0 else union | kind
    return union


def _default(field: Field) -> dict[str, Any]:
    options: dict[str, Any] = {} if field.name == field.attribute else {"alias": field.name}
    member = field.members[0]
    if is_map(member):
        return options | {"default_factory": dict}
    if member.is_repeated:
        return options | {"default_factory": list}
    if field.union or field.optional or member.message_type is not None:
        return options | {"default": None}
    return options | {"default": member.default_value}


def _descriptor(method: MethodDescriptor, types: Types, task: str, name: str) -> RemoteRPCDescriptor:
    codec = ReflectedCodec(name, method, types)
    return RemoteRPCDescriptor(
        signature=codec.signature,
        request_dm_name=method.input_type.full_name,
        response_dm_name=method.output_type.full_name,
        rpc_name=method.name,
        input_streaming=method.client_streaming,
        output_streaming=method.server_streaming,
        task=task,
        name=name,
        path=f"/{method.containing_service.full_name}/{method.name}",
        codec=codec,
    )


class ReflectedCodec:
    """See `rpc.Codec`. Parameters are the request's fields: a singular one outside any oneof is required."""

    def __init__(self, name: str, method: MethodDescriptor, types: Types) -> None:
        fields = fields_of(method.input_type)
        self._name = name
        self._attributes = {field.name: field.attribute for field in fields}
        self._required = {field.attribute for field in fields if _is_required(field)}
        self._repeated = {field.attribute for field in fields if not field.union and field.members[0].is_repeated}
        self._request = message_factory.GetMessageClass(method.input_type)
        self._response = message_factory.GetMessageClass(method.output_type)
        self._fill = types.encoder(method.input_type)
        self._read = types.decoder(method.output_type)
        self._model: type[BaseModel] = types.model(method.output_type)
        self.signature, self._positions = _signature(fields, method, types)

    def encode(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        return self._serialize(self._bind(args, kwargs))

    def _bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        if args:
            if len(args) > len(self._positions):
                raise InputError(f"{self._name}() takes {len(self._positions)} arguments, not {len(args)}")
            positional = dict(zip(self._positions, args, strict=False))
            if twice := positional.keys() & kwargs.keys():
                raise InputError(f"{self._name}(): {', '.join(sorted(twice))}: given twice")
            kwargs = positional | kwargs
        missing = [each for each in self._required if kwargs.get(each) is None]
        if missing:
            # Rare: a parameter whose name had to be changed may be given by its name on the wire.
            kwargs = {self._attributes.get(name, name): value for name, value in kwargs.items()}
            missing = [each for each in self._positions if each in self._required and kwargs.get(each) is None]
            if missing:
                raise InputError(f"{self._name}(): missing required argument: {', '.join(missing)}")
        return kwargs

    def _serialize(self, values: dict[str, Any]) -> bytes:
        message = self._request()
        try:
            self._fill(message, values)
        except Misfit as error:
            raise InputError(f"{self._name}(): {error}") from None
        data: bytes = message.SerializeToString()
        return data

    def split(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
        values = self._bind(args, kwargs)
        streams = {name: value for name, value in values.items() if self._is_stream(name, value)}
        if not streams:
            raise InputError(
                f"{self._name}() needs a stream: give an iterable or async iterable for "
                f"{' or '.join(each for each in self._positions if each in self._required) or 'a parameter'}"
            )
        constants = {name: value for name, value in values.items() if name not in streams}
        return self._serialize(constants), {self._attributes.get(name, name): each for name, each in streams.items()}

    def _is_stream(self, name: str, value: Any) -> bool:
        if value is None or isinstance(value, _STREAM_CONSTANTS):
            return False
        if name in self._repeated and isinstance(value, (list, tuple)):
            # A list is one value of such a parameter; a list of lists is a stream of values.
            return bool(value) and all(isinstance(each, (list, tuple)) for each in value)
        return isinstance(value, (Iterable, AsyncIterable))

    def frame(self, constants: bytes, items: dict[str, Any], index: int) -> bytes:
        message = self._request()
        try:
            self._fill(message, items)
        except Misfit as error:
            name, _, rest = error.path.partition(".")
            raise InputError(f"{self._name}(): {name}[{index}]{rest and '.'}{rest}: {error.message}") from None
        # Protobuf messages one after the other are one message: the constants were encoded once.
        data: bytes = constants + message.SerializeToString()
        return data

    def decode(self, data: bytes, output: Output) -> Any:
        try:
            message = self._response.FromString(data)
            if output == "proto":
                return message
            if output == "dict":
                return self._read(message, False)
            return self._model.model_validate(self._read(message, True))
        except (DecodeError, ValidationError, ValueError, OverflowError, RecursionError) as error:
            raise InvalidResponseError(f"the answer is no {self._model.__name__}: {error}") from error


def _is_required(field: Field) -> bool:
    return not field.union and not field.optional and not field.members[0].is_repeated


def _signature(
    fields: list[Field], method: MethodDescriptor, types: Types
) -> tuple[inspect.Signature, tuple[str, ...]]:
    """The method's signature: required parameters first, each group in the order of the server's fields."""
    required, others = [], []
    for field in fields:
        kind = _parameter_type(field, types)
        needed = _is_required(field)
        if method.client_streaming and needed:
            kind = Iterable[kind] | AsyncIterable[kind]
        parameter = inspect.Parameter(
            field.attribute,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            default=inspect.Parameter.empty if needed else None,
            annotation=kind if needed else kind | None,
        )
        (required if needed else others).append(parameter)
    answer = types.model(method.output_type)
    signature = inspect.Signature(
        [*required, *others], return_annotation=AsyncIterator[answer] if method.server_streaming else answer
    )
    return signature, tuple(signature.parameters)


def _parameter_type(field: Field, types: Types) -> Any:
    member = field.members[0]
    if field.union:
        kinds = []
        for each in field.members:
            inner = sequence_field(each.message_type)
            kinds.append(types.one(each) if inner is None else list[types.one(inner)])  # type: ignore[misc]
        return _either(kinds)
    if is_map(member):
        key, value = (member.message_type.fields_by_name[name] for name in ("key", "value"))
        return dict[types.one(key), types.one(value)]  # type: ignore[misc]
    kind = types.one(member)
    return list[kind] if member.is_repeated else kind
