"""Declared modules, bound to what a server offers: own names and types over the server's."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Sequence
from dataclasses import replace
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from ..._text.cleaning import listed
from ..._text.closest import closest
from ...errors import InputError, InvalidResponseError, SchemaError
from ...settings import Output, Protocol
from ..ambiguous_names import matching_tasks, task_choices
from ..codec import OUTPUT_PATH, AmbiguousCodec, Codec
from ..declaration import Declaration, DeclaredMethod, members_of
from ..foreign_values import given_fields, is_row
from ..rpc import RemoteRPCDescriptor, ServiceDescription, TaskDescription
from ..training_data import DATA_STREAM
from ..unbound_methods import unbound_method, unsupported_method
from .answers import shaper, unwrapped
from .caikit_types import is_data_object_class
from .types import UnusableTypeError, adapter, core, fields_of, is_union, item_of, shape, shown_type

SERVER = "the server"


def bind(
    declaration: Declaration,
    description: ServiceDescription,
    protocol: Protocol,
    module_id: str = "",
    told_by: str = SERVER,
) -> tuple[list[tuple[str, list[RemoteRPCDescriptor]]], RemoteRPCDescriptor | None]:
    """The declared methods and the declared training, as the server runs them.

    Methods with streamed inputs, which HTTP has not, are there over HTTP too, and raise an UnsupportedError.

    Args:
        declaration: what a class declares.
        description: what the server offers.
        protocol: what the server speaks.
        module_id: the id of the model's module, as far as that is known.
        told_by: whose description it is: the server's, or that of a schema on file, by its name.

    Raises:
        SchemaError: declaration and server disagree; all differences are told.
    """
    try:
        return _bind(declaration, description, protocol, module_id, told_by)
    except RecursionError:
        raise SchemaError(f"{declaration.module.__name__}: the types are nested too deeply") from None


def _bind(
    declaration: Declaration, description: ServiceDescription, protocol: Protocol, module_id: str, told_by: str
) -> tuple[list[tuple[str, list[RemoteRPCDescriptor]]], RemoteRPCDescriptor | None]:
    who = SERVER if told_by == SERVER else "the schema"
    wrong: list[str] = []
    unknown: dict[str, list[str]] = {}
    if declaration.id and module_id and declaration.id != module_id:
        wrong.append(f"the model's module is {module_id}, not {declaration.id}")
    methods: dict[str, list[RemoteRPCDescriptor]] = {}
    for method in declaration.methods:
        if method.input_streaming and protocol == "http":
            methods.setdefault(method.task, []).append(unsupported_method(method))
            continue
        keys = _keys(method.task, description)
        if not keys:
            unknown.setdefault(method.task, []).append(method.name)
            continue
        if len(keys) > 1:
            methods.setdefault(method.task, []).append(_undecided(method, keys))
            continue
        found = _find(method, description.tasks[keys[0]])
        if found is None:
            wrong.append(f"{method.name}: {who} has {_no_such_method(method)}")
            continue
        differences = [*_differences(method, found, who)]
        wrong += [f"{method.name}: {each}" for each in differences]
        if not differences:
            try:
                methods.setdefault(method.task, []).append(_bound(method, found))
            except UnusableTypeError as error:
                wrong.append(f"{method.name}: {error}")
    wrong += [f"{', '.join(each)}: {who} has {_no_such_task(task, description)}" for task, each in unknown.items()]
    own = {method.name for method in declaration.methods}
    for task, bound in methods.items():
        found_tasks = _keys(task, description)
        known = description.tasks[found_tasks[0]].methods if len(found_tasks) == 1 else ()
        bound += [_start(each, declaration, task) for each in known if each.job is not None]
        # The names that every module has stay: who does not know of the declaration calls those.
        own_and_started = own | {each.name for each in bound}
        bound += [each for each in known if each.name not in own_and_started]
    training: RemoteRPCDescriptor | None = None
    if declaration.train is not None:
        named = _trainings(declaration, description)
        if len(named) > 1:
            pass  # `train` takes the full RPC name or the route of the one that is meant
        elif named:
            training = _bound(declaration.train, named[0])
            wrong += [f"train: {each}" for each in _differences(declaration.train, named[0], who)]
        else:
            others = ", ".join(each.module for each in description.trainings.values()) or "none"
            wrong.append(f"train: {who} has no training of {declaration.module.__name__}; it has {others}")
    if wrong:
        raise SchemaError(f"{declaration.module.__name__} disagrees with {told_by}: {'; '.join(wrong)}")
    return list(methods.items()), training


def _keys(task: str, description: ServiceDescription) -> list[str]:
    """The keys of the server's tasks that a declared task means."""
    if task in description.tasks:
        return [task]
    return matching_tasks(((key, each.methods) for key, each in description.tasks.items()), task)


def _undecided(method: DeclaredMethod, keys: Sequence[str]) -> RemoteRPCDescriptor:
    """A declared method of a task that several services have."""
    told = (
        f"{method.name}(): the server has several tasks {method.task}; choose one: {task_choices(keys)}; "
        f"or name one in the declaration, as in @taskmethod({keys[0]!r})"
    )
    return replace(unbound_method(method), codec=AmbiguousCodec(method.name, method.signature, told))


def _find(method: DeclaredMethod, task: TaskDescription) -> RemoteRPCDescriptor | None:
    """The server's method."""
    kind = (method.input_streaming, method.output_streaming)
    for each in task.methods:
        if each.job is None and (each.input_streaming, each.output_streaming) == kind:
            return each
    return None


def _no_such_method(method: DeclaredMethod) -> str:
    words = {False: "one value", True: "a stream"}
    kind = f"takes {words[method.input_streaming]} and gives {words[method.output_streaming]}"
    return f"no method of {method.task} that {kind}"


def _no_such_task(task: str, description: ServiceDescription) -> str:
    close = closest(task, description.tasks)
    tasks = listed(description.tasks, len(description.tasks)) or "none"
    return f"no task {task}" + (f" (did you mean {close}?)" if close else f"; it has {tasks}")


def _trainings(declaration: Declaration, description: ServiceDescription) -> list[RemoteRPCDescriptor]:
    if declaration.name in description.trainings:
        return [description.trainings[declaration.name]]
    for name in (declaration.module.__name__, declaration.name):
        named = [each for each in description.trainings.values() if each.module == name]
        if len(named) > 1:
            named = [each for each in named if each.task in declaration.tasks] or named
        if named:
            return named
    return []


def _bound(method: DeclaredMethod, rpc: RemoteRPCDescriptor) -> RemoteRPCDescriptor:
    codec = DeclaredCodec(method, rpc)
    return replace(rpc, name=method.name, signature=method.signature, codec=codec)


def _start(rpc: RemoteRPCDescriptor, declaration: Declaration, task: str) -> RemoteRPCDescriptor:
    """The start of a prediction job, with the types of the method that answers at once."""
    unary = [
        each
        for each in declaration.methods
        if each.task == task and not (each.input_streaming or each.output_streaming)
    ]
    if not unary or rpc.job is None or rpc.job.result is None:
        return rpc
    result = replace(rpc.job.result, codec=DeclaredAnswer(unary[0], rpc.job.result))
    codec = DeclaredCodec(unary[0], rpc)
    return replace(rpc, codec=codec, signature=codec.signature, job=replace(rpc.job, result=result))


class DeclaredAnswer:
    """See `rpc.Codec`. Gives the declared type; what is on the wire is the server's codec's matter."""

    def __init__(self, method: DeclaredMethod, rpc: RemoteRPCDescriptor) -> None:
        self._name = method.name
        self.server_codec: Codec = rpc.codec
        # Where anything may come the server's own types do.
        open_ended = rpc.job is not None or method.result in (Any, object)
        self._answer = None if open_ended else adapter(method.result)
        result = rpc.signature.return_annotation
        self._shaped = shaper(method.result, _stream_item(result) if rpc.output_streaming else result)
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

    def _caikit(self, data: bytes) -> Any:
        """An answer as caikit's own data object, made by caikit."""
        kind: Any = self._data_object
        if not is_data_object_class(kind):  # a training, or a plain value
            return self.decode(data, "pydantic")
        try:
            message = self.server_codec.decode(data, "proto")
            if not hasattr(message, "SerializeToString"):  # over HTTP it is a pydantic model: the JSON is valid
                return kind.from_json(data.decode())
            return kind.from_proto(kind.get_proto_class().FromString(message.SerializeToString()))
        except (ValueError, TypeError, AttributeError) as error:
            raise InvalidResponseError(f"the answer of {self._name}() is no {kind.__name__}: {error}") from error

    def decode(self, data: bytes, output: Output) -> Any:
        if output == "caikit":
            return self._caikit(data)
        answer = self.server_codec.decode(data, output)
        if output != "pydantic" or self._answer is None:
            return answer
        try:
            told = unwrapped(answer)
            return self._answer.validate_python(self._shaped(told) if self._shaped else told)
        except ValidationError as error:
            problem = error.errors(include_url=False)[0]
            where = ".".join(map(str, problem["loc"]))
            raise InvalidResponseError(
                f"the answer of {self._name}() does not fit: {where}: {problem['msg']}"
            ) from None


class DeclaredCodec(DeclaredAnswer):
    """Takes the declared types, too."""

    def __init__(self, method: DeclaredMethod, rpc: RemoteRPCDescriptor) -> None:
        super().__init__(method, rpc)
        self._names = _names(method, rpc)
        self._served_name = rpc.name
        self.signature = method.signature

    def _bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        more = {name: kwargs.pop(name) for name in (OUTPUT_PATH,) if name in kwargs}
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise InputError(f"{self._name}(): {error}") from None
        bound.apply_defaults()
        given = {name: plain(value) for name, value in bound.arguments.items() if value is not None}
        return {self._names.get(name, name): value for name, value in given.items()} | more

    def encode(self, model: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        try:
            return self.server_codec.encode(model, (), self._bind(args, dict(kwargs)))
        except InputError as error:
            raise self._renamed(error) from None

    def split(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
        try:
            return self.server_codec.split((), self._bind(args, dict(kwargs)))
        except InputError as error:
            raise self._renamed(error) from None

    def frame(self, constants: bytes, items: dict[str, Any], index: int) -> bytes:
        try:
            return self.server_codec.frame(constants, {name: plain(item) for name, item in items.items()}, index)
        except InputError as error:
            raise self._renamed(error) from None

    def _renamed(self, error: InputError) -> InputError:
        """Return an error of the server's method with the declared names of the method and its parameter."""
        told = str(error)
        if not told.startswith(f"{self._served_name}()"):
            return error
        told = self._name + told.removeprefix(self._served_name)
        for own, served in self._names.items():
            told = told.replace(f"(): {served}", f"(): {own}", 1)
        return InputError(told)


def _names(method: DeclaredMethod, rpc: RemoteRPCDescriptor) -> dict[str, str]:
    """Declared parameters that have another name on the server: over HTTP a single input is called `inputs`."""
    theirs = rpc.signature.parameters
    if "inputs" not in theirs or "inputs" in method.signature.parameters:
        return {}
    own = [name for name in _required(method.signature) if name not in theirs]
    return {own[0]: "inputs"} if len(own) == 1 else {}


def _required(signature: inspect.Signature) -> list[str]:
    return [
        each.name
        for each in signature.parameters.values()
        if each.default is inspect.Parameter.empty and each.kind is not inspect.Parameter.VAR_KEYWORD
    ]


def plain(value: Any) -> Any:
    """A value in terms that every codec takes: dataclasses and pydantic objects as mappings."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        told = {each.name: plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
        # One of caikit's sequences, a message only because protobuf has no unions of lists, is given as the list.
        return told["values"] if list(told) == ["values"] and is_data_object_class(type(value)) else told
    if isinstance(value, BaseModel):
        return {name: plain(each) for name, each in given_fields(value).items()}
    if isinstance(value, list) or (isinstance(value, tuple) and not is_row(value)):
        return [plain(each) for each in value]
    if isinstance(value, dict):
        return {key: plain(each) for key, each in value.items()}
    return value


# -- differences ------------------------------------------------------------------------------------------------------

_AROUND = ("model_name", "output_path", "module", "_model_name", "_output_path", "_module")


def _differences(method: DeclaredMethod, rpc: RemoteRPCDescriptor, who: str) -> Iterable[str]:
    theirs = rpc.signature.parameters
    names = _names(method, rpc)
    open_ended = any(each.kind is inspect.Parameter.VAR_KEYWORD for each in theirs.values())
    seen = set[tuple[Any, Any]]()
    for name, parameter in method.signature.parameters.items():
        if rpc.module and name in _AROUND and name not in theirs:
            continue
        known = theirs.get(names.get(name, name))
        if known is None:
            if not open_ended:
                yield f"{who} knows no parameter {name}; it has {', '.join(theirs)}"
            continue
        own = method.streams.get(name, parameter.annotation)
        served = _stream_item(known.annotation) if name in method.streams else known.annotation
        yield from _mismatches(own, served, name, seen, who)
    declared = {names.get(name, name) for name in method.signature.parameters}
    for name in _required(rpc.signature):
        if name not in declared:
            yield f"{who} requires {name}"
    if rpc.job is None:
        result = rpc.signature.return_annotation
        served = _stream_item(result) if rpc.output_streaming else result
        yield from _mismatches(method.result, served, "the answer", seen, who)


def _stream_item(kind: Any) -> Any:
    """The type of a stream's items; any other type as it is: what is no stream for the server may be given as one."""
    for each in members_of(kind):
        if get_origin(each) in (AsyncIterable, AsyncIterator, Iterable):
            return get_args(each)[0]
    return kind


def _mismatches(own: Any, served: Any, where: str, seen: set[tuple[Any, Any]], who: str) -> Iterable[str]:
    """Where a declared type and the server's look different on the wire. Types in `seen` were told of before."""
    waiting = [(own, served, where)]
    while waiting:
        own, served, where = waiting.pop()
        own, served = core(own), core(served)
        mine, other = fields_of(own), fields_of(served)
        if Any in (own, served) or own is object or isinstance(own, (str, type(None))):
            continue
        if other is not None and list(other) == [DATA_STREAM]:
            continue  # a training's data, which may be many things
        if mine is None or other is None:
            yield from _mismatch(own, served, where, who)
            if shape(own) == shape(served) and shape(own) in ("list", "mapping"):
                waiting.append((item_of(own), item_of(served), f"{where}[]"))
        elif (own, served) not in seen:
            seen.add((own, served))
            yield from (f"{where} has no field {name}; it has {', '.join(other)}" for name in mine if name not in other)
            waiting += [(mine[name], other[name], f"{where}.{name}") for name in reversed([*mine]) if name in other]


def _mismatch(own: Any, served: Any, where: str, who: str) -> Iterable[str]:
    """As `_mismatches`, of types that are not both messages, without what they are lists or mappings of."""
    looks, theirs = shape(own), shape(served)
    if is_union(own) or is_union(served) or "any" in (looks, theirs):
        return  # which member is meant shows with the value
    if looks != theirs and not _is_enum(looks, theirs) and (looks, theirs) != ("mapping", "message"):
        there = "on the server" if who == SERVER else f"in {who}"
        yield f"{where} is {shown_type(served)} {there}, not {shown_type(own)}"


def _is_enum(*shapes: str) -> bool:
    """Whether one is an enum and the other what an enum may be: a number, or a name over HTTP."""
    return "enum" in shapes and {*shapes} <= {"enum", "number", "text"}
