"""How one HTTP method's arguments become a body, and its answers objects."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import or_
from types import UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError, create_model
from pydantic_core import from_json

from .._body import Body
from ..errors import InputError, InvalidResponseError, UnsupportedError
from ..settings import Output
from .binding import Binder
from .json_types import OPEN, JsonMessage, bare, kind_of, plain
from .multipart import Multipart, to_json

NO_STREAMED_INPUT = "HTTP has no streamed inputs; connect to the runtime's gRPC port"

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


@dataclass(frozen=True)
class FileResponse:
    """An answer that is a file. Over HTTP a result type that can be written to a file comes as one.

    Attributes:
        filename: the file's name; None where the server gave none.
        content_type: its media type, such as `application/zip`.
        data: its bytes.
    """

    filename: str | None
    content_type: str
    data: bytes

    def __repr__(self) -> str:
        return f"FileResponse(filename={self.filename!r}, content_type={self.content_type!r}, {len(self.data)} bytes)"


class JsonCodec:
    """See `rpc.Codec`. A request is `{"model_id", "inputs", "parameters"}`, without what is not given.

    Args:
        name: the method's name.
        inputs: the type of `inputs`, None where there are none. Of a single required input it is the value itself,
            and its name unknown; of several it is their model.
        several: the required inputs by name, where there are several.
        parameters: the model of `parameters`; None where there are none.
        answer: the model of the answer, or of each; `OPEN` where it is unknown, None for a file.
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
        self._name = name
        self._several = frozenset(several)
        self._answer: type[BaseModel] | None = answer if isinstance(answer, type) else None
        self._is_file = answer is None
        self._multipart = multipart
        self._any = parameters is OPEN
        required = several or ({} if inputs is None else {"inputs": inputs})
        optional = {name: kind | None for name, kind in fields_of(parameters).items()}
        self._known = {*required, *optional}
        self.signature = _signature(required, optional, self._any, answer, streaming)
        self._binder = Binder(name, self.signature, {})
        fields: dict[str, Any] = {"model_id": (str, ...)}
        fields |= {
            each: (Any if kind is None else kind, None)
            for each, kind in (("inputs", inputs), ("parameters", parameters))
        }
        self._request = create_model("Request", __base__=JsonMessage, **fields)

    def encode(self, model: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        values = self._request_of(model, args, kwargs)
        try:
            try:
                request = self._request.model_validate(values)
            except ValidationError:
                request = self._request.model_validate(plain(values))
            return self._multipart.body(request) or to_json(request)
        except ValidationError as error:
            raise InputError(f"{self._name}(): {self._told(error)}") from None
        except RecursionError:
            raise InputError(f"{self._name}(): the arguments are nested too deeply") from None
        except ValueError as error:  # of what JSON cannot say, such as text that has no UTF-8 form
            raise InputError(f"{self._name}(): {error}") from None

    def _request_of(self, model: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        values = self._binder.bind(args, kwargs)
        request: dict[str, Any] = {"model_id": model}
        parameters: dict[str, Any] = {}
        for name, value in values.items():
            if name in self._several:
                request.setdefault("inputs", {})[name] = value
            elif name == "inputs" and not self._several:
                request["inputs"] = value
            elif name not in self._known and not self._any:
                raise InputError(
                    f"{self._name}() has no parameter {name!r}; it has {', '.join(self._binder.positions)}"
                )
            elif value is not None:
                parameters[name] = value
        if parameters:
            request["parameters"] = parameters  # an empty one is refused where a task has no parameters
        return request

    def _told(self, error: ValidationError) -> str:
        """The first thing that is wrong, with the path to it as the caller knows it."""
        problem = error.errors(include_url=False)[0]
        steps = [each for each in problem["loc"] if each != "[key]"]
        if steps and (steps[0] == "parameters" or (steps[0] == "inputs" and self._several)):
            del steps[0]
        return f"{path_of(steps)}: {_message(problem)}"

    def split(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
        raise UnsupportedError(f"{self._name}(): {NO_STREAMED_INPUT}")

    def frame(self, constants: bytes, items: dict[str, Any], index: int) -> bytes:
        raise UnsupportedError(f"{self._name}(): {NO_STREAMED_INPUT}")

    def decode(self, data: bytes, output: Output) -> Any:
        if self._is_file or isinstance(data, Body):
            return _file(data, output)
        try:
            if output == "dict" or self._answer is None:
                return from_json(data)
            return self._answer.model_validate_json(data)
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            where = path_of(problem["loc"])
            what = f"{where}: {_message(problem)}" if where else _message(problem)
            name = self._answer.__name__ if self._answer else "JSON"
            raise InvalidResponseError(f"the answer is no {name}: {what}") from None
        except ValueError as error:
            raise InvalidResponseError(f"the answer is no JSON: {error}") from None


class PlainCodec:
    """See `rpc.Codec`. The runtime's own methods that take nothing, and answer with a JSON object."""

    signature = inspect.Signature(return_annotation=dict[str, Any])

    def encode(self, model: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        return b""

    def split(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
        raise UnsupportedError(NO_STREAMED_INPUT)

    def frame(self, constants: bytes, items: dict[str, Any], index: int) -> bytes:
        raise UnsupportedError(NO_STREAMED_INPUT)

    def decode(self, data: bytes, output: Output) -> Any:
        try:
            answer = from_json(data)
        except ValueError as error:
            raise InvalidResponseError(f"the answer is no JSON: {error}") from None
        if not isinstance(answer, dict):
            raise InvalidResponseError(f"the answer is no JSON object, but {kind_of(answer)}")
        return answer


def path_of(steps: Iterable[str | int]) -> str:
    """`places[1].label`."""
    path = ""
    for step in steps:
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else step
    return path


def _message(problem: Any) -> str:
    kind, given = problem["type"], problem["input"]
    if kind in _KINDS:
        return f"expected {_KINDS[kind]}, not {kind_of(given)}"
    if kind == "model_type":
        return f"expected {problem['ctx']['class_name']} or a mapping, not {kind_of(given)}"
    if kind == "extra_forbidden":
        return "no such field"
    if kind in ("greater_than_equal", "less_than_equal"):
        return f"{given!r:.80} is out of the range of 64-bit integers"
    if kind == "one_of":
        return f"{problem['msg']}, not {kind_of(given)}"
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


def _set(kind: Any) -> Any:
    """The type without None."""
    members = [each for each in get_args(bare(kind)) if each is not type(None)]
    return reduce(or_, members) if get_origin(bare(kind)) in (Union, UnionType) else bare(kind)


def _signature(
    required: Mapping[str, Any], optional: Mapping[str, Any], any_more: bool, answer: Any, streaming: bool
) -> inspect.Signature:
    parameters = [
        inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=bare(kind))
        for name, kind in required.items()
    ]
    parameters += [
        inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=bare(kind))
        for name, kind in optional.items()
    ]
    if any_more:
        parameters.append(inspect.Parameter("parameters", inspect.Parameter.VAR_KEYWORD, annotation=Any))
    result = FileResponse if answer is None else bare(answer)
    return inspect.Signature(parameters, return_annotation=_ASYNC_ITERATOR[result] if streaming else result)
