"""The codecs of HTTP methods: encode arguments as request bodies or queries, and decode answers."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Iterable, Mapping, Set
from decimal import Decimal
from functools import cached_property, partial, reduce
from operator import or_
from types import UnionType
from typing import Any, NoReturn, Union, get_args, get_origin
from urllib.parse import urlencode

from pydantic import BaseModel, ValidationError, create_model
from pydantic.fields import FieldInfo
from pydantic_core import from_json

from ..._objects.content import Body, UnexpectedBody
from ..._text.cleaning import listed, short_repr, type_name
from ...errors import InputError, InvalidResponseError
from ...settings import Output
from ..arguments import Binder, option_hint, required_parameters
from ..codec import OUTPUT_PATH, BaseCodec
from ..identifiers import Identifiers
from ..training_data import data_stream_source
from .file_response import FileResponse
from .messages import JsonMessage, is_plain
from .multipart import Multipart, to_json
from .value_types import ANY_JSON, bare
from .values import ALLOW_UNKNOWN_FIELDS, JsonAnswer, to_json_types, validated

_MAX_ERRORS = 10_000
"""The validation errors of an answer from which on only their number is reported."""
_TAKES_EXTRA = "extra" in inspect.signature(BaseModel.model_validate_json).parameters
"""Whether pydantic (2.12 or newer) has an option to ignore unknown fields of one value."""
_ASYNC_ITERATOR: Any = AsyncIterator
_POSITIONAL = inspect.Parameter.POSITIONAL_OR_KEYWORD
_EXPECTED = {
    "bool_type": "bool",
    "dict_type": "a mapping",
    "float_type": "float",
    "int_type": "int",
    "list_type": "a list",
    "string_type": "str",
}
"""pydantic's error of a wrong type -> the expected type."""


class JsonCodec(BaseCodec):
    """The codec of a method whose request is a JSON object with the arguments as its keys.

    Args:
        name: the method's name.
        request: the model of the request.
        signature: the method's parameters and the type of its answer.
        answer: the model of an answer; `ANY_JSON` if it is unknown, None for a file.
        multipart: sends some of the values as files.

    Attributes:
        allows_unknown_fields: whether answers may have fields that their schema lacks: a server may be newer than a
            schema file. If not, such an answer is taken for another task's.
    """

    allows_unknown_fields = False

    def __init__(
        self, name: str, request: type[BaseModel], signature: inspect.Signature, *, answer: Any, multipart: Multipart
    ) -> None:
        super().__init__(name, signature)
        self._request = request
        self._is_file = answer is None
        self._answer: type[BaseModel] | None = answer if isinstance(answer, type) else None
        self._multipart = multipart
        self._binder = Binder(name, signature, {})

    @cached_property
    def _marks_answers(self) -> bool:
        return self._answer is not None and not is_plain(self._answer)

    def encode(self, model: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        try:
            request = validated(self._request, self._values(model, self._binder.bind(args, kwargs)))
            return self._multipart.body(request) or to_json(request)
        except ValidationError as error:
            raise InputError(f"{self._name}(): {self._explain(error)}") from None
        except RecursionError:
            raise InputError(f"{self._name}(): the arguments are nested too deeply") from None
        except InputError:
            raise
        except ValueError as error:  # a value that JSON cannot express, such as text that UTF-8 cannot encode
            raise InputError(f"{self._name}(): {error}") from None

    def _values(self, model: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """Return the request's fields from the arguments by name."""
        return arguments

    def _explain(self, error: ValidationError) -> str:
        """Return the first problem, with the path of its argument."""
        problem = error.errors(include_url=False)[0]
        steps = self._argument_path([step for step in problem["loc"] if step != "[key]"])
        return f"{path_of(steps)}: {_message(problem)}"

    def _argument_path(self, steps: list[str | int]) -> list[str | int]:
        """Return a path in the request as one in the arguments."""
        return steps

    def _raise_unknown_parameter(self, name: str) -> NoReturn:
        known = listed(self._binder.positions, len(self._binder.positions))
        raise InputError(f"{self._name}() has no parameter {name!r}; it has {known}{option_hint(name)}")

    def incomplete(self, model: str) -> bytes | None:
        if not required_parameters(self.signature):
            return None
        return to_json(self._request.model_validate({"model_id": model}))

    def decode(self, data: bytes, output: Output) -> Any:
        if self._is_file or isinstance(data, Body):
            return _file(data, output)
        try:
            if output == "dict" or self._answer is None:
                answer = from_json(data)
                return JsonAnswer(answer) if isinstance(answer, dict) and self._marks_answers else answer
            return self._answer.model_validate_json(data)
        except ValidationError as error:
            if self.allows_unknown_fields and (answer := self._without_unknown_fields(data)) is not None:
                return answer
            raise self._invalid(data, error) from None
        except ValueError as error:
            if isinstance(data, UnexpectedBody):
                raise InvalidResponseError(data.problem, http_status=200) from None
            raise InvalidResponseError(f"the answer is not valid JSON: {error}") from None

    def _invalid(self, data: bytes, error: ValidationError) -> InvalidResponseError:
        name = self._answer.__name__ if self._answer else "JSON"
        if error.error_count() > _MAX_ERRORS:  # pydantic would make an object of every error
            return InvalidResponseError(f"the answer is not a valid {name}: {error.error_count():,} values are invalid")
        problem = error.errors(include_url=False)[0]
        if isinstance(data, UnexpectedBody) and problem["type"] == "json_invalid":
            return InvalidResponseError(data.problem, http_status=200)
        where = path_of(problem["loc"])
        reason = f"{where}: {_message(problem)}" if where else _message(problem)
        return InvalidResponseError(f"the answer is not a valid {name}: {reason}")

    def _without_unknown_fields(self, data: bytes) -> BaseModel | None:
        """Return an answer without the fields that its schema lacks, or None if no field is left."""
        if self._answer is None or not _TAKES_EXTRA:
            return None
        try:
            answer = self._answer.model_validate_json(data, extra="ignore", context=ALLOW_UNKNOWN_FIELDS)
        except ValueError:
            return None
        return answer if answer.model_fields_set else None


class TaskCodec(JsonCodec):
    """The codec of a task's method. A request is `{"model_id", "inputs", "parameters"}`, without absent values.

    Args:
        name: the method's name.
        inputs: the type of `inputs`: the model of several required inputs, or the type of a single one, whose name is
            unknown; None without required inputs.
        several: the types of several required inputs by name; empty for a single one.
        parameters: the model of `parameters`; None without optional parameters.
        answer: see `JsonCodec`.
        streaming: whether the method streams its answers.
        multipart: sends some of the values as files.
    """

    def __init__(
        self,
        name: str,
        *,
        inputs: Any,
        several: Mapping[str, Any],
        parameters: Any,
        answer: Any,
        streaming: bool,
        multipart: Multipart,
    ) -> None:
        self._several = frozenset(several)
        self._has_one = inputs is not None and not several
        self._takes_any = parameters is ANY_JSON
        required = several or ({} if inputs is None else {"inputs": inputs})
        kinds = fields_of(parameters)
        # A parameter may have the name of an input.
        own = {name: key for key, name in Identifiers(required).of_all(kinds).items()}
        optional = {name: kinds[key] | None for name, key in own.items()}
        aliases = _wire_names(parameters)
        self._keys = {wire: wire for wire in aliases.values() if wire not in required} | own
        signature = signature_of(required, optional, answer=answer, streaming=streaming, takes_any=self._takes_any)
        request = request_model(model_id=str, inputs=inputs, parameters=parameters)
        super().__init__(name, request, signature, answer=answer, multipart=multipart)
        if self._has_one:
            self._binder = Binder(name, signature, {}, "over HTTP a task's single input is called inputs")
        renamed = {name: aliases.get(key, key) for name, key in own.items() if name != aliases.get(key, key)}
        self.wire_names = renamed | (_wire_names(inputs) if several else {})

    def _values(self, model: str, arguments: dict[str, Any]) -> dict[str, Any]:
        request: dict[str, Any] = {"model_id": model}
        parameters: dict[str, Any] = {}
        for name, value in arguments.items():
            if name in self._several:
                request.setdefault("inputs", {})[name] = value
            elif name == "inputs" and self._has_one:
                request["inputs"] = value
            elif name not in self._keys and not self._takes_any:
                self._raise_unknown_parameter(name)
            elif value is not None:
                parameters[self._keys.get(name, name)] = value
        if parameters:
            request["parameters"] = parameters  # the server refuses empty ones of a task without parameters
        return request

    def _argument_path(self, steps: list[str | int]) -> list[str | int]:
        return steps[1:] if steps[0] == "parameters" or (steps[0] == "inputs" and self._several) else steps


class TrainingCodec(JsonCodec):
    """The codec of a training. A request is `{"model_name", "output_path", "parameters"}`.

    Args:
        name: the method's name.
        parameters: the model of the parameters of the module's `train`; `ANY_JSON` if it is unknown.
        optional: the parameters that may be omitted.
        sources: data stream parameter -> the model of its rows.
        answer: see `JsonCodec`.
        output_path: the type of the path for the trained model.
    """

    def __init__(
        self,
        name: str,
        *,
        parameters: Any,
        optional: Set[str],
        sources: Mapping[str, type[BaseModel] | None],
        answer: Any,
        output_path: Any,
    ) -> None:
        kinds = fields_of(parameters)
        aliases = _wire_names(parameters)
        self._names = {*kinds, *aliases.values()}
        self._sources = sources
        self._takes_any = parameters is ANY_JSON
        required = {name: kind for name, kind in kinds.items() if name not in optional}
        others = {name: kind | None for name, kind in kinds.items() if name in optional}
        defaults = {name: parameters.model_fields[name].default for name in others}
        signature = signature_of(required, others, defaults, answer=answer, takes_any=self._takes_any)
        request = request_model(model_name=str, output_path=output_path, parameters=parameters)
        super().__init__(name, request, signature, answer=answer, multipart=Multipart([]))
        self.wire_names = aliases

    def _values(self, model: str, arguments: dict[str, Any]) -> dict[str, Any]:
        given = {name: value for name, value in arguments.items() if value is not None}
        output_path = given.pop(OUTPUT_PATH, None)
        for name, value in given.items():
            if name not in self._names and not self._takes_any:
                self._raise_unknown_parameter(name)
            if name in self._sources:
                given[name] = data_stream_source(value, lambda files: {"files": files}, partial(self._rows, name))
        request = {"model_name": model, "parameters": given}
        return request if output_path is None else {**request, "output_path": output_path}

    def _rows(self, name: str, rows: list[Any]) -> Any:
        model = self._sources[name]
        if model is None:
            return {"data": rows}
        try:
            return validated(model, {"data": rows})
        except ValidationError as error:  # the error of a union would not name the row
            problem = error.errors(include_url=False)[0]
            raise InputError(f"{self._name}(): {name}.{path_of(problem['loc'])}: {_message(problem)}") from None

    def _argument_path(self, steps: list[str | int]) -> list[str | int]:
        return steps[1:] if steps[0] == "parameters" else steps


class QueryCodec(JsonCodec):
    """The codec of a method whose arguments are the query of its URL."""

    def __init__(self, name: str, parameters: Iterable[str], *, answer: Any = ANY_JSON) -> None:
        signature = signature_of({}, dict.fromkeys(parameters, Any), answer=answer)
        super().__init__(name, JsonMessage, signature, answer=answer, multipart=Multipart([]))

    def encode(self, model: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        values = self._binder.bind(args, kwargs)
        try:
            return urlencode(to_json_types(values), doseq=True).encode()
        except (ValueError, RecursionError):  # text that UTF-8 cannot encode, an integer too long for `str`
            raise InputError(f"{self._name}(): {', '.join(values)}: cannot be part of a query") from None


def path_of(steps: Iterable[str | int]) -> str:
    """Return a path as text, such as `places[1].label`."""
    path = ""
    for step in steps:
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else step
    return path


def _message(problem: Any) -> str:
    kind, given = problem["type"], problem["input"]
    if kind in _EXPECTED:
        return f"expected {_EXPECTED[kind]}, not {type_name(given)}"
    if kind == "double":
        inexact = isinstance(given, (int, Decimal)) and not isinstance(given, bool)
        return f"{short_repr(given)} is not exact as a double" if inexact else f"expected float, not {type_name(given)}"
    if kind == "model_type":
        return f"expected {problem['ctx']['class_name']} or a mapping, not {type_name(given)}"
    if kind == "extra_forbidden":
        return "no such field"
    if kind in ("greater_than_equal", "less_than_equal"):
        return f"{short_repr(given)} is out of the range of 64-bit integers"
    if kind == "one_of":
        return f"{problem['msg']}, not {type_name(given)}"
    message: str = problem["msg"]
    return message.removeprefix("Value error, ")


def _file(data: bytes, output: Output) -> Any:
    body = data if isinstance(data, Body) else Body(data, "application/octet-stream")
    answer = FileResponse(body.filename, body.content_type, bytes(body))
    return dict(vars(answer)) if output == "dict" else answer


def fields_of(model: Any) -> dict[str, Any]:
    """Return the types of a model's fields without None, by attribute; none if it is no model."""
    return {name: _without_none(field.annotation) for name, field in _model_fields(model).items()}


def _wire_names(model: Any) -> dict[str, str]:
    """Return the names on the wire that differ from their attributes: attribute -> name."""
    return {name: field.alias for name, field in _model_fields(model).items() if field.alias is not None}


def _model_fields(model: Any) -> Mapping[str, FieldInfo]:
    return model.model_fields if isinstance(model, type) and issubclass(model, BaseModel) else {}


def _without_none(kind: Any) -> Any:
    members = [member for member in get_args(bare(kind)) if member is not type(None)]
    return reduce(or_, members) if get_origin(bare(kind)) in (Union, UnionType) else bare(kind)


def request_model(**kinds: Any) -> type[BaseModel]:
    """Return the model of a request with these optional keys."""
    fields: dict[str, Any] = {name: (Any if kind is None else kind, None) for name, kind in kinds.items()}
    return create_model("Request", __base__=JsonMessage, **fields)


def signature_of(
    required: Mapping[str, Any],
    optional: Mapping[str, Any],
    defaults: Mapping[str, Any] | None = None,
    *,
    answer: Any,
    streaming: bool = False,
    takes_any: bool = False,
) -> inspect.Signature:
    """Return a method's signature, with `**parameters` if `takes_any`: the names of optional parameters are unknown."""
    parameters = [inspect.Parameter(name, _POSITIONAL, annotation=bare(kind)) for name, kind in required.items()]
    parameters += [
        inspect.Parameter(name, _POSITIONAL, default=(defaults or {}).get(name), annotation=bare(kind))
        for name, kind in optional.items()
    ]
    if takes_any:
        name = Identifiers([parameter.name for parameter in parameters]).of("parameters")
        parameters.append(inspect.Parameter(name, inspect.Parameter.VAR_KEYWORD, annotation=Any))
    result = FileResponse if answer is None else bare(answer)
    return inspect.Signature(parameters, return_annotation=_ASYNC_ITERATOR[result] if streaming else result)
