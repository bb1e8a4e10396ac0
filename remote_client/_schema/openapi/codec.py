"""How one HTTP method's arguments become a body, and its answers objects."""

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
from pydantic_core import from_json

from ..._objects.content import Body, Odd
from ..._text.cleaning import listed, short_repr, type_name
from ...errors import InputError, InvalidResponseError
from ...settings import Output
from ..arguments import Binder, required_parameters
from ..codec import OUTPUT_PATH, BaseCodec
from ..identifiers import Identifiers
from ..training_data import data_stream_source
from .file_response import FileResponse
from .messages import JsonMessage, is_plain
from .multipart import Multipart, to_json
from .value_types import OPEN, bare
from .values import ADDITIONS, JsonAnswer, plain, validated

_MOST_ERRORS = 10_000
"""Errors of an answer of which the first one is told."""

_TAKES_EXTRA = "extra" in inspect.signature(BaseModel.model_validate_json).parameters
"""Whether this pydantic, 2.12 or newer, can be told for one value that unknown fields are fine."""
_ASYNC_ITERATOR: Any = AsyncIterator
_KINDS = {
    "bool_type": "bool",
    "dict_type": "a mapping",
    "float_type": "float",
    "int_type": "int",
    "list_type": "a list",
    "string_type": "str",
}
"""pydantic's errors of a wrong type -> what was expected."""


class JsonCodec(BaseCodec):
    """See `Codec`. A method whose request is a JSON object, its arguments the object's keys.

    Args:
        name: the method's name.
        request: the model of the request.
        signature: the method's parameters and the type of its answer.
        answer: the model of the answer, or of each; `OPEN` where it is unknown, None for a file.
        multipart: which values are sent as files.

    Attributes:
        additions: whether answers may have fields that their schema has not, as a server may be newer than a schema on
            file. Else they are taken for another task's.
    """

    additions = False

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
            raise InputError(f"{self._name}(): {self._told(error)}") from None
        except RecursionError:
            raise InputError(f"{self._name}(): the arguments are nested too deeply") from None
        except InputError:
            raise
        except ValueError as error:  # of what JSON cannot say, such as text that has no UTF-8 form
            raise InputError(f"{self._name}(): {error}") from None

    def _values(self, model: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """The request, of the arguments by their names."""
        return arguments

    def _told(self, error: ValidationError) -> str:
        """The first thing that is wrong, with the path to it as the caller knows it."""
        problem = error.errors(include_url=False)[0]
        steps = self._path([each for each in problem["loc"] if each != "[key]"])
        return f"{path_of(steps)}: {_message(problem)}"

    def _path(self, steps: list[str | int]) -> list[str | int]:
        """The way to a value in the request, as the caller knows it."""
        return steps

    def _refuse(self, name: str) -> NoReturn:
        known = listed(self._binder.positions, len(self._binder.positions))
        raise InputError(f"{self._name}() has no parameter {name!r}; it has {known}")

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
            if self.additions and (answer := self._with_additions(data)) is not None:
                return answer
            name = self._answer.__name__ if self._answer else "JSON"
            if error.error_count() > _MOST_ERRORS:  # which pydantic would all make objects of
                what = f"{error.error_count():,} of its values do not fit"
                raise InvalidResponseError(f"the answer is no {name}: {what}") from None
            problem = error.errors(include_url=False)[0]
            if isinstance(data, Odd) and problem["type"] == "json_invalid":
                raise InvalidResponseError(data.told, http_status=200) from None
            where = path_of(problem["loc"])
            what = f"{where}: {_message(problem)}" if where else _message(problem)
            raise InvalidResponseError(f"the answer is no {name}: {what}") from None
        except ValueError as error:
            if isinstance(data, Odd):
                raise InvalidResponseError(data.told, http_status=200) from None
            raise InvalidResponseError(f"the answer is no JSON: {error}") from None

    def _with_additions(self, data: bytes) -> BaseModel | None:
        """Return an answer without the fields that its schema has not; None if nothing is left."""
        if self._answer is None or not _TAKES_EXTRA:
            return None
        try:
            answer = self._answer.model_validate_json(data, extra="ignore", context=ADDITIONS)
        except ValueError:
            return None
        return answer if answer.model_fields_set else None


class TaskCodec(JsonCodec):
    """The codec of a task's method. A request is `{"model_id", "inputs", "parameters"}`, without what is not given.

    Args:
        name: the method's name.
        inputs: the type of `inputs`, None where there are none. Of a single required input it is the value itself,
            and its name unknown; of several it is their model.
        several: the required inputs by name, where there are several.
        parameters: the model of `parameters`; None where there are none.
        answer: see `JsonCodec`.
        streaming: whether there are many answers.
        multipart: which values are sent as files.
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
        self._any = parameters is OPEN
        required = several or ({} if inputs is None else {"inputs": inputs})
        kinds = fields_of(parameters)
        # A parameter may be called as an input is.
        own = {name: key for key, name in Identifiers(required).of_all(kinds).items()}
        optional = {name: kinds[key] | None for name, key in own.items()}
        aliases = _wire_names(parameters)
        self._keys = {wire: wire for wire in aliases.values() if wire not in required} | own
        signature = signature_of(required, optional, answer=answer, streaming=streaming, any_more=self._any)
        request = request_model(model_id=str, inputs=inputs, parameters=parameters)
        super().__init__(name, request, signature, answer=answer, multipart=multipart)
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
            elif name not in self._keys and not self._any:
                self._refuse(name)
            elif value is not None:
                parameters[self._keys.get(name, name)] = value
        if parameters:
            request["parameters"] = parameters  # an empty one is refused where a task has no parameters
        return request

    def _path(self, steps: list[str | int]) -> list[str | int]:
        return steps[1:] if steps[0] == "parameters" or (steps[0] == "inputs" and self._several) else steps


class TrainingCodec(JsonCodec):
    """The codec of a training: its parameters are those of the module's `train`; the request has more around them.

    Args:
        name: the method's name.
        parameters: the model of the parameters; `OPEN` where it is unknown.
        optional: the parameters that need not be given.
        sources: which parameters are a training's data, and the model of rows of each.
        answer: see `JsonCodec`.
        output_path: the type of the place for the trained model.
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
        self._any = parameters is OPEN
        required = {each: kind for each, kind in kinds.items() if each not in optional}
        others = {each: kind | None for each, kind in kinds.items() if each in optional}
        defaults = {each: parameters.model_fields[each].default for each in others}
        signature = signature_of(required, others, defaults, answer=answer, any_more=self._any)
        request = request_model(model_name=str, output_path=output_path, parameters=parameters)
        super().__init__(name, request, signature, answer=answer, multipart=Multipart([]))
        self.wire_names = aliases

    def _values(self, model: str, arguments: dict[str, Any]) -> dict[str, Any]:
        given = {name: value for name, value in arguments.items() if value is not None}
        output_path = given.pop(OUTPUT_PATH, None)
        for name, value in given.items():
            if name not in self._names and not self._any:
                self._refuse(name)
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
        except ValidationError as error:  # here, because a union would not tell the row
            problem = error.errors(include_url=False)[0]
            raise InputError(f"{self._name}(): {name}.{path_of(problem['loc'])}: {_message(problem)}") from None

    def _path(self, steps: list[str | int]) -> list[str | int]:
        return steps[1:] if steps[0] == "parameters" else steps


class QueryCodec(JsonCodec):
    """The codec of a method whose arguments are the query of its route."""

    def __init__(self, name: str, parameters: Iterable[str], *, answer: Any = OPEN) -> None:
        signature = signature_of({}, dict.fromkeys(parameters, Any), answer=answer)
        super().__init__(name, JsonMessage, signature, answer=answer, multipart=Multipart([]))

    def encode(self, model: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        values = self._binder.bind(args, kwargs)
        try:
            return urlencode(plain(values), doseq=True).encode()
        except (ValueError, RecursionError):  # text that has no UTF-8 form, a number too long to be written
            raise InputError(f"{self._name}(): {', '.join(values)}: cannot be part of a query") from None


def path_of(steps: Iterable[str | int]) -> str:
    """`places[1].label`."""
    path = ""
    for step in steps:
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else step
    return path


def _message(problem: Any) -> str:
    kind, given = problem["type"], problem["input"]
    if kind in _KINDS:
        return f"expected {_KINDS[kind]}, not {type_name(given)}"
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
    """The types of a model's fields by attribute, not None; no fields of anything else."""
    if not isinstance(model, type) or not issubclass(model, BaseModel):
        return {}
    return {name: _set(each.annotation) for name, each in model.model_fields.items()}


def _wire_names(model: Any) -> dict[str, str]:
    """The names on the wire of a model's fields, where they differ from their attributes."""
    known = model.model_fields if isinstance(model, type) and issubclass(model, BaseModel) else {}
    return {name: each.alias for name, each in known.items() if each.alias is not None}


def _set(kind: Any) -> Any:
    """The type without None."""
    members = [each for each in get_args(bare(kind)) if each is not type(None)]
    return reduce(or_, members) if get_origin(bare(kind)) in (Union, UnionType) else bare(kind)


def request_model(**kinds: Any) -> type[BaseModel]:
    """The model of a request with these keys, of which none must be given."""
    fields: dict[str, Any] = {name: (Any if kind is None else kind, None) for name, kind in kinds.items()}
    return create_model("Request", __base__=JsonMessage, **fields)


def signature_of(
    required: Mapping[str, Any],
    optional: Mapping[str, Any],
    defaults: Mapping[str, Any] | None = None,
    *,
    answer: Any,
    streaming: bool = False,
    any_more: bool = False,
) -> inspect.Signature:
    """A method's signature; `any_more` where the names of the optional parameters are unknown."""
    parameters = [
        inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=bare(kind))
        for name, kind in required.items()
    ]
    parameters += [
        inspect.Parameter(
            name,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            default=(defaults or {}).get(name),
            annotation=bare(kind),
        )
        for name, kind in optional.items()
    ]
    if any_more:
        name = Identifiers([each.name for each in parameters]).of("parameters")
        parameters.append(inspect.Parameter(name, inspect.Parameter.VAR_KEYWORD, annotation=Any))
    result = FileResponse if answer is None else bare(answer)
    return inspect.Signature(parameters, return_annotation=_ASYNC_ITERATOR[result] if streaming else result)
