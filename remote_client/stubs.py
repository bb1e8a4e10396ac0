"""Declarations written from a live runtime: its types and tasks as a Python file, for editors and type checkers.

No server tells which tasks a module has, so there is a class for each task, and one for each module that can be
trained: `client.model("foo", SampleTask)`.
"""

from __future__ import annotations

import enum
import inspect
import json
import keyword
import re
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Iterator
from datetime import date, datetime, time, timedelta
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from ._schema.json_codec import FileResponse
from ._schema.json_types import bare
from ._schema.rpc import RemoteRPCDescriptor, ServiceDescription
from ._schema.sources import FIELD

WIDTH = 120
_HEADER = '''"""The types and tasks of {target}, written by `remote-client stubs`."""

from __future__ import annotations
'''
_BASE = """class _Message(BaseModel):
    model_config = ConfigDict(populate_by_name=True, protected_namespaces=(), ser_json_bytes="base64")
"""
_PACKAGE = "remote_client"
_IMPORTS = {
    # where a name comes from
    "collections.abc": ("AsyncIterable", "Iterable", "Mapping"),
    "datetime": ("date", "datetime", "time", "timedelta"),
    "enum": ("IntEnum",),
    "pathlib": ("PurePath",),
    "typing": ("Any",),
    "pydantic": ("BaseModel", "ConfigDict", "Field"),
    _PACKAGE: ("FileResponse", "RemoteModuleBase", "RemoteStream", "TrainingJob"),
    "remote_client.declare": ("module", "taskmethod"),
}
_STANDARD = ("collections.abc", "datetime", "enum", "pathlib", "typing")


def write(description: ServiceDescription, target: str, *, blocking: bool = False) -> str:
    """The file's text, the same for the same runtime.

    Args:
        description: what the runtime offers.
        target: what the file says it is of.
        blocking: for `remote_client.sync`.
    """
    return _Writer(description, blocking).text(target)


class _Writer:
    def __init__(self, description: ServiceDescription, blocking: bool) -> None:
        self._description = description
        self._blocking = blocking
        self._names: dict[type, str] = {}
        self._waiting: list[type] = []
        self._taken = {name for names in _IMPORTS.values() for name in names} | {"_Message"}
        self._taken |= set(description.tasks) | {each.module for each in description.trainings.values()}

    def text(self, target: str) -> str:
        tasks = [self._task(name) for name in self._description.tasks]
        trainings = [self._training(each) for _, each in sorted(self._description.trainings.items())]
        types: dict[str, str] = {}
        while self._waiting:  # a type's fields may name more types
            kind = self._waiting.pop()
            types[self._names[kind]] = _enum(self._names[kind], kind) if _is_enum(kind) else self._model(kind)
        parts = [types[name] for name in sorted(types)] + [each for each in (*tasks, *trainings) if each]
        if any("(_Message)" in each for each in parts):
            parts.insert(0, _BASE)
        body = "\n\n".join(parts)
        package = f"{_PACKAGE}.sync" if self._blocking else _PACKAGE
        return f"{_HEADER.format(target=target)}\n{_imports(body, package)}\n\n{body}"

    # -- types ------------------------------------------------------------------------------------------------------

    def _name(self, kind: type) -> str:
        if kind not in self._names:
            name = re.sub(r"\W", "_", kind.__name__).lstrip("_") or "Message"
            name = name[0].upper() + name[1:]
            while name in self._taken or keyword.iskeyword(name):
                name += "_"
            self._taken.add(name)
            self._names[kind] = name
            self._waiting.append(kind)
        return self._names[kind]

    def _type(self, kind: Any) -> str:
        kind = bare(kind)
        origin, arguments = get_origin(kind), get_args(kind)
        if origin in (Union, UnionType):
            if self._blocking:
                arguments = tuple(each for each in arguments if get_origin(each) is not AsyncIterable)
            return " | ".join(dict.fromkeys(map(self._type, arguments)))
        if origin is AsyncIterator:
            return f"RemoteStream[{self._type(arguments[0])}]"
        if origin in (list, dict, Iterable, AsyncIterable):
            return f"{origin.__name__}[{', '.join(map(self._type, arguments))}]"
        if kind in (None, NoneType):
            return "None"
        if kind in (bool, int, float, str, bytes, datetime, date, time, timedelta, FileResponse):
            return str(kind.__name__)
        if isinstance(kind, type) and (_is_enum(kind) or issubclass(kind, BaseModel)):
            return self._name(kind)
        return "Any"

    def _model(self, kind: type[BaseModel]) -> str:
        lines = [f"class {self._names[kind]}(_Message):", *_doc(kind, "    ")]
        lines += [
            f"    {name}: {self._type(field.annotation)} = {self._field(field)}"
            for name, field in kind.model_fields.items()
        ]
        return "\n".join(_wrapped(lines)) + "\n"

    def _field(self, field: FieldInfo) -> str:
        default = "[]" if field.default_factory is list else "{}" if field.default_factory is dict else None
        if default is None:
            value = field.default
            default = f"{self._name(type(value))}({value.value})" if isinstance(value, enum.Enum) else _literal(value)
            if isinstance(value, (BaseModel, datetime, date, time, timedelta)):
                default = "None"
        return default if field.alias is None else f"Field(default={default}, alias={_literal(field.alias)})"

    # -- tasks and trainings ----------------------------------------------------------------------------------------

    def _task(self, task: str) -> str:
        methods = [each for each in self._description.tasks[task].methods if each.job is None]
        lines = [
            f"@module(task={_literal(task)})",
            f"class {task}(RemoteModuleBase):",
            f'    """Modules of the task {task}."""',
        ]
        for method in methods:
            lines += ["", "    @taskmethod()", *self._method(method, method.short_name)]
        return "\n".join(_wrapped(lines)) + "\n"

    def _training(self, training: RemoteRPCDescriptor) -> str:
        base = training.task if training.task in self._description.tasks else "RemoteModuleBase"
        lines = [
            f"@module(name={_literal(training.module)}, task={_literal(training.task)})",
            f"class {training.module}({base}):",
            f'    """The module {training.module}, which can be trained."""',
            "",
            *self._method(training, "train"),
        ]
        return "\n".join(_wrapped(lines)) + "\n"

    def _method(self, method: RemoteRPCDescriptor, name: str) -> Iterator[str]:
        parameters = ["self"]
        for each in method.signature.parameters.values():
            if each.kind is inspect.Parameter.VAR_KEYWORD:
                continue  # of unknown names: there is nothing to declare
            kind = self._source(each.annotation) if method.module else None
            told = f"{each.name}: {kind or self._type(each.annotation)}"
            parameters.append(told if each.default is inspect.Parameter.empty else f"{told} = {_literal(each.default)}")
        result = self._type(method.signature.return_annotation)
        if method.module:
            parameters += ["*", "model_name: str | None = None", "output_path: Any = None"]
            result = f"TrainingJob[{method.module}]"
        start = "    def" if method.output_streaming or self._blocking else "    async def"
        yield f"{start} {name}({', '.join(parameters)}) -> {result}:"
        yield f'        """Calls {method.rpc_name}."""'
        yield "        raise NotImplementedError"

    def _source(self, kind: Any) -> str | None:
        """What may be given as a training's data; None for anything else."""
        for each in (kind, *get_args(kind)):
            if isinstance(each, type) and issubclass(each, BaseModel) and list(each.model_fields) == [FIELD]:
                rows = next(filter(None, map(_rows, _members(each.model_fields[FIELD].annotation))), Any)
                row = self._type(rows)
                more = "" if self._blocking else f" | AsyncIterable[{row}]"
                return f"Iterable[{row}]{more} | PurePath | Mapping[str, Any]"
        return None


def _members(kind: Any) -> tuple[Any, ...]:
    kind = bare(kind)
    return get_args(kind) or (kind,)


def _rows(kind: Any) -> Any:
    """The type of rows, if this is the message that holds them."""
    if isinstance(kind, type) and issubclass(kind, BaseModel) and list(kind.model_fields) == ["data"]:
        found = [
            get_args(each)[0] for each in _members(kind.model_fields["data"].annotation) if get_origin(each) is list
        ]
        annotation = bare(kind.model_fields["data"].annotation)
        return get_args(annotation)[0] if get_origin(annotation) is list else (found or [None])[0]
    return None


def _literal(value: Any) -> str:
    """A value as ruff writes it."""
    if isinstance(value, bytes):
        return "b" + json.dumps(repr(value)[2:-1]).replace("\\\\", "\\")
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _is_enum(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, enum.Enum)


def _enum(name: str, kind: Any) -> str:
    members = [f"    {member} = {int(value)}" for member, value in kind.__members__.items()]
    return "\n".join([f"class {name}(IntEnum):", f'    """{kind.__name__}."""', "", *members]) + "\n"


def _doc(kind: type, indent: str) -> Iterator[str]:
    """A docstring of the first line of a type's own, which may hold anything."""
    line = " ".join((kind.__doc__ or "").partition("\n")[0].split())
    if line.startswith(f"{kind.__name__}("):
        line = f"{kind.__name__}."  # what dataclasses say of themselves
    line = line.replace("\\", "/").replace('"', "'")[: WIDTH - 20]
    if line:
        yield f'{indent}"""{line}"""'
        yield ""


def _wrapped(lines: Iterable[str]) -> Iterator[str]:
    """Lines as ruff formats them: a definition that is too long has a line for each parameter."""
    for line in lines:
        match = re.fullmatch(r"( *(?:async )?def \w+\()(.*)(\) -> .*:)", line)
        if len(line) <= WIDTH or match is None:
            yield line
            continue
        indent = " " * (len(line) - len(line.lstrip()))
        inner = f"{indent}    {match[2]}"
        if len(inner) <= WIDTH:
            yield match[1]
            yield inner
        else:
            yield match[1]
            for each in _split(match[2]):
                yield f"{indent}    {each},"
        yield indent + match[3].lstrip()


def _split(parameters: str) -> Iterator[str]:
    """Parameters one by one; commas in brackets belong to their types."""
    depth, start = 0, 0
    for index, char in enumerate(parameters):
        depth += (char in "[({") - (char in "])}")
        if char == "," and not depth:
            yield parameters[start:index].strip()
            start = index + 1
    yield parameters[start:].strip()


def _imports(body: str, package: str) -> str:
    """The imports that the body needs."""
    used = set(re.findall(r"\b[A-Za-z]\w*\b", re.sub(r'"""[^"]*"""', "", body)))
    lines: dict[bool, list[str]] = {True: [], False: []}
    for source, names in _IMPORTS.items():
        needed = sorted(used & set(names), key=str.lower)
        if needed:
            found = package if source == _PACKAGE else source
            lines[source in _STANDARD].append(f"from {found} import {', '.join(needed)}")
    lines[False].sort()
    return "\n\n".join("\n".join(each) for each in lines.values() if each) + "\n"
