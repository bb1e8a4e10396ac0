"""The codecs of gRPC methods: arguments -> bytes, bytes -> answers."""

from __future__ import annotations

import inspect
import struct
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator, Mapping
from functools import cache, partial
from typing import Any, NamedTuple

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import DecodeError, EncodeError
from google.protobuf.unknown_fields import UnknownFieldSet
from pydantic import BaseModel

from ...errors import InputError, InvalidResponseError
from ...settings import Output
from ..arguments import Binder, option_hint
from ..codec import OUTPUT_PATH
from ..foreign_values import is_row, table_rows
from ..training_data import DATA_STREAM, data_stream_source
from .arrays import array_fields, buffer_fields, extract_arrays, packed_parts
from .conversion_errors import ConversionError
from .fields import (
    Field,
    count_members,
    is_map,
    is_repeated,
    map_entry,
    may_have_maps,
    message_of,
    sequence_field,
    union_of,
)
from .generated_converters import Form
from .types import Types

_CONSTANTS = (str, bytes, bytearray, Mapping, BaseModel)
"""Types whose values are sent with every item of a stream, though some are iterable."""
_UNREADABLE = (DecodeError, ValueError, OverflowError, RecursionError, IndexError, struct.error)
"""What protobuf and the decoders raise for bytes that are not a message of the type."""
# Any, as type checkers refuse type arguments that are values.
_LIST: Any = list
_DICT: Any = dict
_ITERABLE: Any = Iterable
_ASYNC_ITERABLE: Any = AsyncIterable
_ASYNC_ITERATOR: Any = AsyncIterator


class Method(NamedTuple):
    """The types and the streams of a method."""

    input_type: Descriptor
    output_type: Descriptor
    client_streaming: bool
    server_streaming: bool


class ProtobufCodec:
    """See `Codec`. The parameters are the request's fields: singular ones outside any oneof are required."""

    def __init__(self, name: str, method: Method, types: Types) -> None:
        request = types.shared(("request", method.input_type.full_name), lambda: _Request(method.input_type, types))
        answer = method.output_type
        self._name = name
        self._attributes = request.attributes
        self._repeated = request.repeated
        self._messages = request.messages
        self._request = types.messages.of(method.input_type)
        # Maps in an order that is the same in every process: a checkpoint knows requests by their bytes.
        self._options = {"deterministic": True} if request.may_have_maps else {}
        self._response = types.messages.of(answer)
        self._fill = types.encoder(method.input_type)
        self._converter: Callable[[Form], Callable[[Any], Any]] = cache(partial(types.decoder, answer))
        self._make = types.maker(answer)
        self._make_picklable = cache(partial(types.messages.make_picklable, answer))
        self._packed = types.shared(("packed", answer.full_name), lambda: array_fields(types.fields(answer)))
        self._buffers = request.buffers
        self._model: type[BaseModel] = types.of(answer)
        self.signature, binder = _parameters(self._arguments(method), method, types)
        self._binder = binder.named(name)
        self._lacks_message = request.lacks_message
        self._additions = types.additions

    @property
    def wire_names(self) -> Mapping[str, str]:
        return self._binder.wire_names

    def _arguments(self, method: Method) -> Descriptor:
        """Return the message whose fields are the arguments."""
        return method.input_type

    def encode(self, model: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        return self._serialize(self._binder.bind(args, kwargs))

    def _serialize(self, values: dict[str, Any]) -> bytes:
        arrays: list[Any] = []
        for name, (tag, code) in self._buffers.items():
            value = values.get(name)
            if value is not None and (parts := packed_parts(value, tag, code)):
                # Concatenated messages are one message. This copies the numbers once, protobuf three times.
                arrays += parts
                values = values | {name: None}
        message = self._request()
        try:
            self._fill(message, values)
        except ConversionError as error:
            hint = "" if error.path in self._binder.positions else option_hint(error.path)
            raise InputError(f"{self._name}(): {self._path(error.path)}: {error.message}{hint}") from None
        data = self._bytes(message)
        return b"".join((data, *arrays)) if arrays else data

    def _bytes(self, message: Any) -> bytes:
        try:
            data: bytes = self._request.SerializeToString(message, **self._options)
        except EncodeError as error:  # a required field of proto2 is missing
            raise InputError(f"{self._name}(): {error}") from None
        return data

    def _path(self, path: str) -> str:
        """Return a path in the request as the caller knows it."""
        return path

    def incomplete(self, model: str) -> bytes | None:
        # A missing scalar is its zero value, which the model would run on.
        return b"" if self._lacks_message else None

    def split(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
        given = self._binder.bind(args, kwargs)
        values = {name: value if (rows := table_rows(value)) is None else rows for name, value in given.items()}
        streams = {name: value for name, value in values.items() if self._is_stream(name, value)}
        if not streams:
            raise InputError(
                f"{self._name}() needs a stream: give an iterable or async iterable for "
                f"{' or '.join(self._binder.required) or 'a parameter'}"
            )
        constants = {name: value for name, value in values.items() if name not in streams}
        return self._serialize(constants), {
            self._attributes.get(name, name): stream for name, stream in streams.items()
        }

    def _is_stream(self, name: str, value: Any) -> bool:
        if value is None or isinstance(value, _CONSTANTS):
            return False
        if isinstance(value, (AsyncIterator, Iterator)):
            return True  # before is_row, which takes the streams of anyio for dataclasses
        if name in self._messages and is_row(value):
            return False
        if name in self._repeated and isinstance(value, (list, tuple)):
            # A list is one value of a list parameter; a list of lists is a stream of values.
            return bool(value) and all(isinstance(item, (list, tuple)) for item in value)
        return isinstance(value, (Iterable, AsyncIterable))

    def frame(self, constants: bytes, items: dict[str, Any], index: int) -> bytes:
        message = self._request()
        try:
            self._fill(message, items)
        except ConversionError as error:
            name, _, rest = error.path.partition(".")
            raise InputError(f"{self._name}(): {name}[{index}]{rest and '.'}{rest}: {error.message}") from None
        # Concatenated messages are one message, so that the constants are encoded once.
        return constants + self._bytes(message)

    def decode(self, data: bytes, output: Output) -> Any:
        arrays: dict[str, Any] = {}
        try:
            if output == "numpy" and self._packed:
                data, arrays = extract_arrays(data, self._packed)
            message = self._response.FromString(data)
            if len(UnknownFieldSet(message)) and not (self._additions and message.ListFields()):
                # A runtime answers a call of a task that the model does not have with the result of the model's task.
                raise ValueError("it has unknown fields, so the model may be of another task")
            if output == "proto":
                self._make_picklable()
                return message
            if output == "dict":
                return self._converter("dict")(message)
            return self._converter("numpy")(message) | arrays if output == "numpy" else self._make(message)
        except _UNREADABLE as error:
            raise InvalidResponseError(f"the answer is not a valid {self._model.__name__}: {error}") from error


class ProtobufTrainingCodec(ProtobufCodec):
    """The codec of a training. The parameters of `train` are the request's field `parameters`."""

    def __init__(self, name: str, method: Method, types: Types) -> None:
        super().__init__(name, method, types)
        arguments = self._arguments(method)
        self._training_data = types.shared(
            ("training data", arguments.full_name), lambda: _training_data(types.fields(arguments), types)
        )

    def _arguments(self, method: Method) -> Descriptor:
        return message_of(method.input_type.fields_by_name["parameters"])

    def encode(self, model: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        values = dict(self._binder.bind(args, kwargs))
        output_path = values.pop(OUTPUT_PATH, None)
        for name, files in self._training_data.items():
            if values.get(name) is not None:
                values[name] = data_stream_source(values[name], files, lambda rows: {"data": rows})
        return self._serialize({"model_name": model, "output_path": output_path, "parameters": values})

    def _path(self, path: str) -> str:
        return path.removeprefix("parameters.").replace(f".{DATA_STREAM}.", ".")


class _Request:
    """The properties of a request's type, shared by the methods that have it."""

    def __init__(self, descriptor: Descriptor, types: Types) -> None:
        fields = types.fields(descriptor)
        self.attributes = {field.name: field.attribute for field in fields}
        self.repeated = {field.attribute for field in fields if not field.is_oneof and is_repeated(field.members[0])}
        self.messages = {field.attribute for field in fields if any(member.message_type for member in field.members)}
        self.buffers = {self.attributes[name]: tag_and_code for name, tag_and_code in buffer_fields(fields).items()}
        self.may_have_maps = may_have_maps(descriptor)
        self.lacks_message = any(_is_required(field) and field.members[0].message_type is not None for field in fields)


def _training_data(fields: list[Field], types: Types) -> dict[str, Callable[[list[str]], Any]]:
    """Return the parameters that are training data -> the function that makes their messages of files."""
    return {field.attribute: _file_list_maker(field, types) for field in fields if _is_training_data(field)}


def _is_training_data(field: Field) -> bool:
    message = field.members[0].message_type
    return message is not None and list(message.oneofs_by_name) == [DATA_STREAM]


def _file_list_maker(field: Field, types: Types) -> Callable[[list[str]], Any]:
    # By its type where there is one: the message of S3 has a field `files` too.
    member = message_of(field.members[0]).fields_by_name.get("list_of_files")
    if member is None or member.message_type is None:
        return lambda files: {"files": files}
    model = types.of(member.message_type)
    return lambda files: model(files=files)


def _is_required(field: Field) -> bool:
    return not field.is_oneof and not field.optional and not is_repeated(field.members[0])


def _parameters(arguments: Descriptor, method: Method, types: Types) -> tuple[inspect.Signature, Binder]:
    """Return the method's signature and the binder of its arguments, which methods of the same types share."""

    def make() -> tuple[inspect.Signature, Binder]:
        fields = types.fields(arguments)
        types.budget.spend("nodes", count_members(fields))
        signature = _signature(fields, method, types)
        return signature, Binder("", signature, {field.name: field.attribute for field in fields})

    streams = method.client_streaming, method.server_streaming
    return types.shared(("parameters", arguments.full_name, method.output_type.full_name, *streams), make)


def _signature(fields: list[Field], method: Method, types: Types) -> inspect.Signature:
    """Return the method's signature: required parameters first, both groups in the order of the server's fields."""
    required: list[inspect.Parameter] = []
    others: list[inspect.Parameter] = []
    for field in fields:
        kind: Any = _parameter_type(field, types)
        needed = _is_required(field)
        if method.client_streaming and needed:
            kind = _ITERABLE[kind] | _ASYNC_ITERABLE[kind]
        parameter = inspect.Parameter(
            field.attribute,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            default=inspect.Parameter.empty if needed else None,
            annotation=kind if needed else kind | None,
        )
        (required if needed else others).append(parameter)
    answer = types.of(method.output_type)
    return inspect.Signature(
        [*required, *others], return_annotation=_ASYNC_ITERATOR[answer] if method.server_streaming else answer
    )


def _parameter_type(field: Field, types: Types) -> Any:
    member = field.members[0]
    if field.is_oneof:
        kinds = []
        for option in field.members:
            inner = sequence_field(option.message_type)
            kinds.append(types.value_type(option) if inner is None else _LIST[types.value_type(inner)])
        return union_of(kinds)
    if is_map(member):
        key, value = map_entry(member)
        return _DICT[types.value_type(key), types.value_type(value)]
    kind = types.value_type(member)
    return _LIST[kind] if is_repeated(member) else kind
