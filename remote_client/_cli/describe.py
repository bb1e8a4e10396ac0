"""`remote-client describe`: a runtime's tasks and methods, or the arguments of one and the types they have."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin

from cyclopts import Parameter

from .._text.closest import closest
from .completers import tasks
from .hints import hint
from .output import wants_json, write_json, write_line, write_table
from .parameters import AllOptions
from .usage import UsageError

if TYPE_CHECKING:
    from .._schema.rpc import RemoteRPCDescriptor, ServiceDescription

_Methods = dict[str, Sequence["RemoteRPCDescriptor"]]
_Trainings = dict[str, "RemoteRPCDescriptor"]


async def describe(task: Annotated[str | None, Parameter(completer=tasks)] = None, /, *, options: AllOptions) -> int:
    """Show a runtime's tasks and methods, or the arguments of one task, method or training.

    Args:
        task: The task's class, such as SampleTask; a method's name, such as run_sample; or of a training its name, or
            its module's, such as SampleModule.
        options: Name the runtime.
    """
    async with options.client() as client:
        description = await client.describe()
    methods, trainings = _methods(description, task), _trainings(description, task)
    if not (methods or trainings or task is None):
        raise UsageError(_unknown(description, task))
    if wants_json(options):
        write_json(_as_json(methods, trainings, description, task))
    elif task is None:
        write_line(str(description))
    else:
        _write_task([*(rpc for each in methods.values() for rpc in each), *trainings.values()])
    return 0


def _methods(description: ServiceDescription, wanted: str | None) -> _Methods:
    """Return the methods of all tasks, or those that a name means, if there are any."""
    found: _Methods = {name: task.methods for name, task in description.tasks.items()}
    if wanted is None:
        return found
    if wanted in found:
        return {wanted: found[wanted]}
    named = {name: [rpc for rpc in methods if wanted in (rpc.name, rpc.task)] for name, methods in found.items()}
    return {name: methods for name, methods in named.items() if methods}


def _trainings(description: ServiceDescription, wanted: str | None) -> _Trainings:
    """Return all trainings, or those that a name means, if there are any."""
    return {name: rpc for name, rpc in description.trainings.items() if wanted in (None, name, rpc.module)}


def _unknown(description: ServiceDescription, wanted: str) -> str:
    methods = [rpc.name for task in description.tasks.values() for rpc in task.methods]
    names = [*description.tasks, *methods, *description.trainings]
    # All names fill a screen: without a similar one, the tasks are told.
    return f"the runtime has no task {wanted!r}; {hint(wanted, names if closest(wanted, names) else description.tasks)}"


# -- tables


def _write_task(rpcs: Sequence[RemoteRPCDescriptor]) -> None:
    write_table(("method", "arguments", "answer"), map(_call, rpcs))
    rows = dict.fromkeys(
        (argument["name"], argument["type"], argument["required"]) for rpc in rpcs for argument in _arguments(rpc)
    )
    write_line("")
    write_table(("argument", "type", "required"), rows)
    fields = [(kind, *field) for kind, each in _types(rpcs).items() for field in each.items()]
    if fields:
        write_line("")
        write_table(("type", "field", "type of field"), fields)


def _call(rpc: RemoteRPCDescriptor) -> tuple[str, str, str]:
    arguments = [f"{each['name']}{'' if each['required'] else '?'}" for each in _arguments(rpc)]
    return rpc.name, " ".join(arguments), _answer(rpc)


# -- parts


def _arguments(rpc: RemoteRPCDescriptor) -> list[dict[str, Any]]:
    return [
        {
            "name": each.name,
            "type": _type_name(each.annotation),
            "required": each.default is inspect.Parameter.empty,
        }
        for each in rpc.signature.parameters.values()
    ]


def _answer(rpc: RemoteRPCDescriptor) -> str:
    is_job = rpc.job is not None and not rpc.module
    return "PredictionJob" if is_job else _type_name(rpc.signature.return_annotation)


def _type_name(kind: Any) -> str:
    """Return a type's name without its package, its constraints and None; of a stream that of its items."""
    from .._schema.declared.mismatches import stream_item
    from .._schema.declared.types import core, is_union

    item = get_args(kind)[0] if get_origin(kind) is AsyncIterator else stream_item(kind)
    if item is not kind:
        return f"stream of {_type_name(item)}"
    kind = core(kind)
    names = [_type_name(each) for each in get_args(kind) if each is not NoneType]
    if is_union(kind):
        return " | ".join(dict.fromkeys(names))
    name = getattr(kind, "__name__", str(kind))
    return f"{name}[{', '.join(names)}]" if names else name


def _types(rpcs: Iterable[RemoteRPCDescriptor]) -> dict[str, dict[str, str]]:
    """Return the fields of all messages in arguments and answers, by the names of their types."""
    found: dict[str, dict[str, str]] = {}
    for rpc in (each for each in rpcs if each.job is None or each.module):
        annotations = [each.annotation for each in rpc.signature.parameters.values()]
        for kind in (*annotations, rpc.signature.return_annotation):
            _collect(kind, found)
    return found


def _collect(kind: Any, found: dict[str, dict[str, str]]) -> None:
    from .._schema.declared.types import fields_of

    for part in _parts(kind):
        fields = fields_of(part)
        name = _type_name(part)
        if fields and name not in found:
            found[name] = {field: _type_name(each) for field, each in fields.items()}
            for each in fields.values():
                _collect(each, found)


def _parts(kind: Any) -> Iterator[Any]:
    """Yield a type without arguments, or those of its arguments."""
    from .._schema.declared.types import core

    kind = core(kind)
    arguments = get_args(kind)
    if not arguments:
        yield kind
    for each in arguments:
        yield from _parts(each)


# -- JSON


def _as_json(
    methods: _Methods, trainings: _Trainings, description: ServiceDescription, task: str | None
) -> dict[str, Any]:
    shown = {
        "protocol": description.protocol,
        "tasks": {name: [_method_as_json(rpc) for rpc in rpcs] for name, rpcs in methods.items()},
        "types": _types([*(rpc for rpcs in methods.values() for rpc in rpcs), *trainings.values()]),
        "trainings": {name: _method_as_json(rpc) for name, rpc in trainings.items()},
    }
    return {**shown, "notes": list(description.notes)} if task is None else shown


def _method_as_json(rpc: RemoteRPCDescriptor) -> dict[str, Any]:
    return {
        "name": rpc.name,
        "path": rpc.path,
        "input_streaming": rpc.input_streaming,
        "output_streaming": rpc.output_streaming,
        "arguments": _arguments(rpc),
        "answer": _answer(rpc),
    }
