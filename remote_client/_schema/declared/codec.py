"""Codecs of declared methods: the declaration's types above the codec of the server's description."""

from __future__ import annotations

import dataclasses
from typing import Any

from pydantic import BaseModel, ValidationError

from ...errors import InputError, InvalidResponseError
from ...settings import Output
from ..codec import OUTPUT_PATH, Codec
from ..declaration import DeclaredMethod
from ..foreign_values import given_fields, is_row
from ..rpc import RemoteRPCDescriptor
from .answers import as_builtins, converter_to
from .caikit_types import is_data_object_class
from .mismatches import served_names, stream_item
from .types import adapter


class DeclaredAnswerCodec:
    """Decodes answers as the declared type. Requests have the server's types.

    Attributes:
        server_codec: the codec of the server's description.
    """

    def __init__(self, method: DeclaredMethod, rpc: RemoteRPCDescriptor) -> None:
        self._name = method.name
        self.server_codec: Codec = rpc.codec
        # An undeclared answer has the server's types.
        is_undeclared = rpc.job is not None or method.result in (Any, object)
        self._answer = None if is_undeclared else adapter(method.result)
        result = rpc.signature.return_annotation
        self._convert = converter_to(method.result, stream_item(result) if rpc.output_streaming else result)
        self._data_object = None if rpc.job else method.data_object
        self.signature = rpc.signature
        self.wire_names = rpc.codec.wire_names

    def encode(self, model: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        return self.server_codec.encode(model, args, kwargs)

    def incomplete(self, model: str) -> bytes | None:
        return self.server_codec.incomplete(model)

    def split(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
        return self.server_codec.split(args, kwargs)

    def frame(self, constants: bytes, items: dict[str, Any], index: int) -> bytes:
        return self.server_codec.frame(constants, items, index)

    def decode(self, data: bytes, output: Output) -> Any:
        if output == "caikit":
            return self._decode_data_object(data)
        answer = self.server_codec.decode(data, output)
        if output != "pydantic" or self._answer is None:
            return answer
        try:
            value = as_builtins(answer)
            return self._answer.validate_python(self._convert(value) if self._convert else value)
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            where = ".".join(map(str, problem["loc"]))
            raise InvalidResponseError(
                f"the answer of {self._name}() does not fit: {where}: {problem['msg']}"
            ) from None

    def _decode_data_object(self, data: bytes) -> Any:
        """Decode an answer as caikit's data object, with caikit."""
        kind: Any = self._data_object
        if not is_data_object_class(kind):  # a training, or a plain value
            return self.decode(data, "pydantic")
        try:
            message = self.server_codec.decode(data, "proto")
            if not hasattr(message, "SerializeToString"):  # over HTTP it is a pydantic model: the JSON is valid
                return kind.from_json(data.decode())
            return kind.from_proto(kind.get_proto_class().FromString(message.SerializeToString()))
        except (ValueError, TypeError, AttributeError) as error:
            reason = f"the answer of {self._name}() is not a valid {kind.__name__}: {error}"
            raise InvalidResponseError(reason) from error


class DeclaredCodec(DeclaredAnswerCodec):
    """Encodes arguments of the declared types, too."""

    def __init__(self, method: DeclaredMethod, rpc: RemoteRPCDescriptor) -> None:
        super().__init__(method, rpc)
        self._served_names = served_names(method, rpc)
        self._served_name = rpc.name
        self.signature = method.signature

    def _arguments(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Return the arguments by the server's names of their parameters."""
        more = {name: kwargs.pop(name) for name in (OUTPUT_PATH,) if name in kwargs}
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise InputError(f"{self._name}(): {error}") from None
        bound.apply_defaults()
        given = {name: as_mappings(value) for name, value in bound.arguments.items() if value is not None}
        return {self._served_names.get(name, name): value for name, value in given.items()} | more

    def encode(self, model: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        try:
            return self.server_codec.encode(model, (), self._arguments(args, dict(kwargs)))
        except InputError as error:
            raise self._with_declared_names(error) from None

    def split(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
        try:
            return self.server_codec.split((), self._arguments(args, dict(kwargs)))
        except InputError as error:
            raise self._with_declared_names(error) from None

    def frame(self, constants: bytes, items: dict[str, Any], index: int) -> bytes:
        try:
            return self.server_codec.frame(constants, {name: as_mappings(item) for name, item in items.items()}, index)
        except InputError as error:
            raise self._with_declared_names(error) from None

    def _with_declared_names(self, error: InputError) -> InputError:
        """Return an error with the declared names of the method and its parameters instead of the server's."""
        message = str(error)
        if not message.startswith(f"{self._served_name}()"):
            return error
        message = self._name + message.removeprefix(self._served_name)
        for own, served in self._served_names.items():
            message = message.replace(f"(): {served}", f"(): {own}", 1)
        return InputError(message)


def as_mappings(value: Any) -> Any:
    """Convert dataclasses and pydantic models to dicts, at any depth. All codecs accept the result."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: as_mappings(getattr(value, field.name)) for field in dataclasses.fields(value)}
        # caikit wraps a list as a message because protobuf has no unions of lists. Codecs expect the list.
        return fields["values"] if list(fields) == ["values"] and is_data_object_class(type(value)) else fields
    if isinstance(value, BaseModel):
        return {name: as_mappings(item) for name, item in given_fields(value).items()}
    if isinstance(value, list) or (isinstance(value, tuple) and not is_row(value)):
        return [as_mappings(item) for item in value]
    if isinstance(value, dict):
        return {key: as_mappings(item) for key, item in value.items()}
    return value
