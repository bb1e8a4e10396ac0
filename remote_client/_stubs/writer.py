"""Renders a server's description as a Python file of declared modules, for editors and type checkers.

The file has a class for every task and for every module that can be trained: `client.model("foo", SampleTask)`. Servers
are not trusted: their names become identifiers and everything else literals or docstrings, so importing the file only
defines classes.
"""

from __future__ import annotations

import ast
import enum
import inspect
from collections.abc import Iterable, Iterator
from typing import Any

from pydantic.fields import FieldInfo

from .._schema.rpc import RemoteRPCDescriptor, ServiceDescription, TaskDescription
from ..errors import SchemaError
from .annotations import Annotations, fits, is_enum, is_stream, reached, source_of, stream_of
from .imports import Imports
from .names import Names, members
from .order import Order
from .source import WIDTH, call, docstring_text, literal

_HEADER = '''"""The types and tasks of {target}, written by `remote-client stubs`."""

from __future__ import annotations
'''
_BASE = """class _Message({BaseModel}):
    model_config = {ConfigDict}(populate_by_name=True, protected_namespaces=(), ser_json_bytes="base64")
"""
_MAX_CHARACTERS = 64 * 1024 * 1024
"""The size of a file: types that share parts are small in the schema and may be huge in writing."""


def render(description: ServiceDescription, target: str, *, blocking: bool = False, schema: str | None = None) -> str:
    """Return the file's text. Equal descriptions give equal texts.

    Args:
        description: the server's description.
        target: the server, as the file's docstring names it.
        blocking: whether the file is for `remote_client.sync`.
        schema: the name of the schema file beside it, if there is one.

    Raises:
        SchemaError: the file would be too large.
    """
    text = _Writer(description, blocking, schema).text(target)
    try:
        ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise SchemaError(f"the server's types cannot be written as Python: {error}") from None
    return text


class _Writer:
    def __init__(self, description: ServiceDescription, blocking: bool, schema: str | None) -> None:
        self._description = description
        self._blocking = blocking
        self._schema = [] if schema is None else [f"schema={literal(schema)}"]
        self._full_names = {kind: name for name, kind in description.types.items()}
        methods = [method for task in description.tasks.values() for method in _methods(task)]
        methods += description.trainings.values()
        self._kinds = reached(kind for method in methods for kind in _kinds(method))
        self._members = {kind: members(kind) for kind in self._kinds if is_enum(kind)}
        self._names = names = Names(description, self._kinds)
        self._imports = Imports("remote_client.sync" if blocking else "remote_client", names.classes, names.fields)
        self._order = Order(self._kinds, names.types)
        self._annotations = Annotations(self._imports.name, names.types.get, blocking)

    def text(self, target: str) -> str:
        parts = list(self._parts())
        if sum(map(len, parts)) > _MAX_CHARACTERS:
            raise SchemaError(f"the server's types take more than {_MAX_CHARACTERS:,} characters in Python")
        header = _HEADER.format(target=docstring_text(target, WIDTH - 60))
        return "\n\n".join([f"{header}\n{self._imports.text()}", *parts])

    def _parts(self) -> Iterator[str]:
        """Yield the source of the file's classes."""
        kinds = self._order.kinds
        models = any(not is_enum(kind) for kind in kinds)
        if models:
            yield _BASE.format(BaseModel=self._imports.name("BaseModel"), ConfigDict=self._imports.name("ConfigDict"))
        for kind in kinds:
            yield _block(self._enum(kind) if is_enum(kind) else self._model(kind))
        for task in self._description.tasks:
            yield _block(self._task(task))
        for key, training in sorted(self._description.trainings.items()):
            yield _block(self._training(key, training))

    # -- types ------------------------------------------------------------------------------------------------------

    def _class(self, kind: type, base: str, doc: str) -> Iterator[str]:
        name = self._names.types[kind]
        full_name = self._full_names.get(kind, kind.__name__)
        comment = "" if name == full_name.rpartition(".")[2] else f"  # {full_name!a} on the server"
        yield f"class {name}({base}):{comment}"
        yield f'    """{docstring_text(doc, WIDTH - 20) or f"{name}."}"""'

    def _enum(self, kind: Any) -> Iterator[str]:
        yield from self._class(kind, self._imports.name("IntEnum"), f"{kind.__name__}.")
        names = self._members[kind]
        if names:
            yield ""
        for member, value in kind.__members__.items():
            comment = "" if names[member] == member else f"  # {member!a} on the server"
            yield f"    {names[member]} = {int(value)}{comment}"

    def _model(self, kind: Any) -> Iterator[str]:
        doc = (kind.__doc__ or "").partition("\n")[0]
        yield from self._class(kind, "_Message", f"{kind.__name__}." if doc.startswith(f"{kind.__name__}(") else doc)
        if kind.model_fields:
            yield ""
        annotations = self._annotations_within(kind)
        for name, field in kind.model_fields.items():
            yield from self._field(name, field, annotations.of(field.annotation))

    def _annotations_within(self, own: type) -> Annotations:
        """Return the writer of the annotations of a model's fields."""
        if self._order.may_use_all(own):
            return self._annotations

        def name(kind: type) -> str | None:
            return self._names.types[kind] if kind in self._names.types and self._order.may_use(own, kind) else None

        return Annotations(self._imports.name, name, self._blocking)

    def _field(self, name: str, field: FieldInfo, annotation: str) -> Iterator[str]:
        value = field.default_factory() if field.default_factory in (list, dict) else field.default
        default = self._default(value, field.annotation)
        if default is None:
            default = "None"
            annotation = annotation if fits(None, field.annotation) else f"{annotation} | None"
        if field.alias is None:
            yield f"    {name}: {annotation} = {default}"
        else:
            arguments = [f"default={default}", f"alias={literal(field.alias)}"]
            yield from call("    ", f"{name}: {annotation} = {self._imports.name('Field')}(", arguments, ")")

    def _default(self, value: Any, kind: Any) -> str | None:
        """Return a default's literal or enum member, or None if it has none or is not of the type."""
        if isinstance(value, enum.Enum):
            name = self._members.get(type(value), {}).get(value.name)
            return name and f"{self._names.types[type(value)]}.{name}"
        return literal(value, self._imports.name) if fits(value, kind) else None

    # -- tasks and trainings ----------------------------------------------------------------------------------------

    def _declared(self, *arguments: str) -> Iterator[str]:
        yield from call("", f"@{self._imports.name('module')}(", [*arguments, *self._schema], ")")

    def _task(self, task: str) -> Iterator[str]:
        yield from self._declared(f"task={literal(task)}")
        yield f"class {self._names.tasks[task]}({self._imports.name('RemoteModuleBase')}):"
        yield f'    """Modules of the task {docstring_text(task, WIDTH - 40)}."""'
        for method in _methods(self._description.tasks[task]):
            yield ""
            yield f"    @{self._imports.name('taskmethod')}()"
            yield from self._method(method, method.short_name)

    def _training(self, key: str, training: RemoteRPCDescriptor) -> Iterator[str]:
        own = self._names.trainings[key]
        base = self._names.tasks.get(training.task) or self._imports.name("RemoteModuleBase")
        yield from self._declared(f"name={literal(self._names.modules[key])}", f"task={literal(training.task)}")
        yield f"class {own}({base}):"
        yield f'    """The module {docstring_text(training.module, WIDTH - 50)}, which can be trained."""'
        yield ""
        text, anything = self._imports.name("str"), self._imports.name("Any")
        theirs = training.signature.parameters
        around = {"model_name": f"{text} | None", "output_path": anything}
        more = [f"{'_' if name in theirs else ''}{name}: {kind} = None" for name, kind in around.items()]
        yield from self._method(training, "train", ["*", *more], f"{self._imports.name('TrainingJob')}[{own}]")

    def _method(
        self, method: RemoteRPCDescriptor, name: str, more: Iterable[str] = (), result: str = ""
    ) -> Iterator[str]:
        own = {parameter.name: self._parameter(parameter) for parameter in _parameters(method)}
        wire_names = {own[name]: wire_name for name, wire_name in method.codec.wire_names.items() if name in own}
        comments = {parameter: f"{name!a} on the server" for parameter, name in wire_names.items()}
        result = result or self._annotations.of(method.signature.return_annotation)
        start = "def" if method.output_streaming or self._blocking else "async def"
        yield from call("    ", f"{start} {name}(", ["self", *own.values(), *more], f") -> {result}:", comments)
        yield f'        """Calls {docstring_text(method.rpc_name, WIDTH - 30)}."""'
        yield f"        raise {self._imports.name('NotImplementedError')}"

    def _parameter(self, parameter: inspect.Parameter) -> str:
        source = f"{parameter.name}: {self._annotations.of(parameter.annotation)}"
        if parameter.default is inspect.Parameter.empty:
            return source
        default = self._default(parameter.default, parameter.annotation)
        if default is None and not fits(None, parameter.annotation):
            source += " | None"
        return f"{source} = {default or 'None'}"


def _methods(task: TaskDescription) -> Iterator[RemoteRPCDescriptor]:
    """Yield the methods that a file declares: no starts of jobs, and no streamed inputs without parameters.

    The start of a job has the same types as the method that answers at once.
    """
    for method in task.methods:
        if method.job is None and (method.signature.parameters or not method.input_streaming):
            yield method


def _parameters(method: RemoteRPCDescriptor) -> Iterator[inspect.Parameter]:
    """Yield the parameters that a file declares: all but `**kwargs`, whose names are unknown."""
    parameters = method.signature.parameters.values()
    # Optional parameters are streams only if no required one is.
    streamed = method.input_streaming and not any(is_stream(parameter.annotation) for parameter in parameters)
    for parameter in parameters:
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD:
            kind = source_of(parameter.annotation) if method.module else parameter.annotation
            yield parameter.replace(annotation=stream_of(kind) if streamed else kind)


def _kinds(method: RemoteRPCDescriptor) -> Iterator[Any]:
    """Yield the types in a method's declaration."""
    yield from (parameter.annotation for parameter in _parameters(method))
    if not method.module:
        yield method.signature.return_annotation


def _block(lines: Iterable[str]) -> str:
    return "\n".join(lines) + "\n"
