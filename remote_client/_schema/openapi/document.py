"""Describes a runtime from its OpenAPI document, with pydantic types.

The prefix of routes is free: a task's route ends in `/task/<name>`. The titles of caikit's schemas have the names of
classes; routes have them in kebab case.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import cache, partial
from typing import Any

from pydantic_core import from_json, to_json

from ..._objects.content import UnexpectedBody
from ..._text.cleaning import clean
from ...errors import SchemaError
from .. import caikit_names
from ..ambiguous_names import ambiguity_notes, by_unique_name
from ..budget import LATE_LIMITS, MAX_NAME, MOST_LATE_BYTES, Budget, may_be_late
from ..identifiers import attributes_of
from ..lazy_methods import LazyMethods, LazyTypes
from ..rpc import JobMethods, RemoteRPCDescriptor, ServiceDescription, TaskDescription, training_job
from ..training_data import DATA_STREAM
from .codec import JsonCodec, QueryCodec, TaskCodec, TrainingCodec, fields_of, signature_of
from .file_response import FileResponse
from .multipart import FileFinder, Multipart
from .operations import (
    Operation,
    answer_of,
    by_prefix,
    inputs_of,
    operations_of,
    parameters_of,
    request_of,
    sections_of,
    task_of,
)
from .schemas import ANY_SCHEMA, FILE_SCHEMA, members_of, properties_of, title_of
from .types import JsonTypes
from .value_types import ANY_JSON

DOCUMENT = "GET /openapi.json"
"""The request of a runtime's document."""

_REFERENCE = re.compile(rb'"\$ref"\s*:\s*"([^"]*)"')
_MANAGEMENT: dict[tuple[str, str], tuple[str, tuple[str, ...]]] = {
    # HTTP verb and end of the route -> name over gRPC and parameters of the query
    ("get", "/info/models"): ("GetModelsInfo", ("model_ids",)),
    ("get", "/info/version"): ("GetRuntimeInfo", ()),
    ("post", "/management/models"): ("DeployModel", ()),
    ("delete", "/management/models"): ("UndeployModel", ("model_id",)),
    ("get", "/management/trainings"): ("GetTrainingStatus", ("training_id",)),
    ("delete", "/management/trainings"): ("CancelTraining", ("training_id",)),
}
_JOB_VERBS = ("post", "get", "delete")


def describe(document: bytes, budget: Budget | None = None) -> ServiceDescription:
    """Return the description in a document, with all types made. This takes milliseconds: use a thread.

    Raises:
        SchemaError: the document is invalid, or a schema cannot be a Python type.
    """
    budget = budget or Budget()
    return describe_parsed(_parse(document, budget), budget)


def describe_file(document: bytes, budget: Budget | None = None) -> ServiceDescription:
    """Return the description in a document on file. The types of a method are made on its first use.

    If the document lacks definitions, all types are made at once: that finds out which ones.

    Args:
        document: the document.
        budget: ignored, as no caller waits for types made later; the limits hold.

    Raises:
        SchemaError: the document is invalid. Invalid types of a method raise on its first use.
    """
    paths, schemas = sections_of(_parse(document, Budget(math.inf)))
    at_once = Budget(math.inf) if _references(document) - schemas.keys() else None
    return _DocumentReader(schemas, at_once, on_file=True).read(paths)


def describe_lazily(document: bytes, budget: Budget | None = None) -> ServiceDescription:
    """Return the description in a server's document. The types of a method are made on its first use.

    All types are made at once if the document lacks definitions; or if a method's types come from much of the document,
    as nobody may wait for such in a thread.

    Raises:
        SchemaError: the document is invalid. Invalid types of a method raise on its first use.
    """
    budget = budget or Budget()
    paths, schemas = sections_of(_parse(document, budget))
    is_whole = _references(document) <= schemas.keys()
    late = is_whole and (len(document) <= MOST_LATE_BYTES or _may_all_be_late(paths, schemas, budget))
    return _DocumentReader(schemas, None if late else budget).read(paths)


def _references(data: bytes) -> set[str]:
    """Return the names of the components that JSON refers to."""
    return {name.decode(errors="replace").rpartition("/")[2] for name in set(_REFERENCE.findall(data))}


def _may_all_be_late(paths: Mapping[str, Any], schemas: Mapping[str, Any], budget: Budget) -> bool:
    """Return whether the types of no method come from much of the document."""

    @cache
    def text(name: str) -> bytes:
        budget.check()
        return to_json(schemas.get(name))

    @cache
    def references(name: str) -> set[str]:
        return _references(text(name))

    for route, _, operation in operations_of(paths, Budget()):
        own = to_json(operation)
        used = _references(own)
        *_, section, last = route.split("/")
        if section == "task":  # a task's components may have its name, without a reference
            stem = caikit_names.rpc_name(*task_of(last, request_of(operation)))
            used |= {f"{stem}RequestInputs", f"{stem}RequestParameters"} & schemas.keys()
        if len(own) > MOST_LATE_BYTES or not may_be_late(used, lambda name: len(text(name)), references):
            return False
    return True


def describe_parsed(document: Any, budget: Budget | None = None) -> ServiceDescription:
    """Return the description in a parsed document; see `describe`."""
    paths, schemas = sections_of(document)
    return _DocumentReader(schemas, budget or Budget()).read(paths)


def _parse(document: bytes, budget: Budget) -> Any:
    budget.spend("bytes", len(document))
    budget.spend("parts", sum(map(document.count, (b",", b"[", b"{"))))  # about the number of values
    try:
        return from_json(document)
    except ValueError as error:
        why = document.problem if isinstance(document, UnexpectedBody) else error
        raise SchemaError(f"the OpenAPI document is not valid JSON: {why}") from None


@cache
def default_method(method: str) -> RemoteRPCDescriptor | None:
    """Return a method of the runtime's information at caikit's default route, or None for other methods."""
    for (verb, route), (name, parameters) in _MANAGEMENT.items():
        if name == method and route.startswith("/info/"):
            codec, path = QueryCodec(name, parameters), f"{verb.upper()} {route}"
            return RemoteRPCDescriptor(codec.signature, "", "", name, name=name, path=path, codec=codec)
    return None


class _DocumentReader:
    """Describes the server of a document.

    Args:
        schemas: the document's shared schemas.
        budget: counts the cost of types, which are made at once. Without it, a method's types are made on first use.
        on_file: whether the schema is on file, and the server may be newer; else the server described itself.
    """

    def __init__(self, schemas: Mapping[str, Any], budget: Budget | None, *, on_file: bool = False) -> None:
        self._schemas = schemas
        self._given_budget = budget
        self._on_file = on_file
        self._methods = LazyMethods(self._renew if budget is None else None, None if on_file else self._begin)
        self._renew()

    def _renew(self) -> None:
        self._budget = self._given_budget or Budget(math.inf, limits=None if self._on_file else LATE_LIMITS)
        self._types = JsonTypes(self._schemas, self._budget)
        self._files = FileFinder(self._types, self._budget)
        self._rows: dict[int, Any] = {}

    def _begin(self) -> None:
        self._budget.restart()

    def read(self, paths: Mapping[str, Any]) -> ServiceDescription:
        """Return the description of the server with these routes."""
        try:
            return self._read(paths)
        except RecursionError:
            raise SchemaError("the types are nested too deeply") from None

    def _read(self, paths: Mapping[str, Any]) -> ServiceDescription:
        tasks: dict[str, list[Operation]] = {}
        trainings: list[tuple[str, str, Any]] = []
        management: dict[str, RemoteRPCDescriptor] = {}
        for route, verb, operation in operations_of(paths, self._budget):
            *_, section, last = route.split("/")
            if verb == "post" and section == "task":
                task, streaming = task_of(last, request_of(operation))
                tasks.setdefault(task, []).append((streaming, route, operation))
            elif verb == "post" and last.endswith("Train") and "parameters" in properties_of(request_of(operation)):
                trainings.append((last, route, operation))
            elif known := _MANAGEMENT.get((verb, f"/{section}/{last}")):
                management[known[0]] = self._management(*known, f"{verb.upper()} {route}", operation)
        found = [described for task in sorted(tasks) for described in self._task(task, tasks, paths)]
        described = by_unique_name([(task.name, task.methods[0], task) for task in found])
        job = training_job(management)
        training_methods = self._trainings(trainings, tasks, job) if job else {}
        types: Mapping[str, type[Any]] = LazyTypes(self._methods, lambda: self._types.by_name)
        if self._given_budget is not None:
            self._methods.complete()
            types = self._types.by_name
        return ServiceDescription(
            described,
            types,
            management,
            trainings=training_methods,
            training_job=job,
            # Last: references that lead nowhere are known once types are made.
            notes=(*self._notes(), *ambiguity_notes((key, task.methods) for key, task in described.items())),
            protocol="http",
        )

    def _notes(self) -> tuple[str, ...]:
        unknown = clean(", ".join(sorted(self._types.unknown)))  # the server's names, which are logged
        if not unknown:
            return ()
        note = f"the OpenAPI document does not define {unknown}: values of these types are not checked."
        return (f"{note} Newer versions of FastAPI lose definitions; over gRPC all types are known.",)

    def _task(
        self, task: str, tasks: Mapping[str, Sequence[Operation]], paths: Mapping[str, Any]
    ) -> Iterator[TaskDescription]:
        keep_suffix = caikit_names.keeps_task_suffix(task, tasks)
        for operations in by_prefix(tasks[task]):
            yield self._task_of_one_prefix(task, operations, paths, keep_suffix=keep_suffix)

    def _task_of_one_prefix(
        self, task: str, operations: Iterable[Operation], paths: Mapping[str, Any], *, keep_suffix: bool
    ) -> TaskDescription:
        methods, starts = [], []
        for streaming, route, operation in operations:
            name = caikit_names.method_name(task, False, streaming, keep_suffix=keep_suffix)
            methods.append(self._method(task, name, f"POST {route}", operation, streaming))
            jobs = paths.get(f"{route}/job")
            if (
                not streaming
                and isinstance(jobs, dict)
                and all(isinstance(jobs.get(verb), dict) for verb in _JOB_VERBS)
            ):
                job = self._job(task, f"{route}/job", operation)
                rpc_name = f"{task}StartPredictionJob"
                start = caikit_names.job_method_name(task, keep_suffix=keep_suffix)
                starts.append(self._method(task, start, f"POST {route}/job", jobs["post"], False, rpc_name, job=job))
        return TaskDescription(task, (*methods, *starts))

    def _method(
        self,
        task: str,
        name: str,
        path: str,
        operation: Any,
        streaming: bool,
        rpc_name: str | None = None,
        job: JobMethods | None = None,
    ) -> RemoteRPCDescriptor:
        request = request_of(operation)
        stem = caikit_names.rpc_name(task, streaming)

        def make() -> Mapping[str, Any]:
            answer = self._answer(operation)
            properties = properties_of(request)
            inputs, several = self._inputs(request, stem)
            schemas = {name: properties[name] for name in ("inputs", "parameters") if name in properties}
            codec = TaskCodec(
                name,
                inputs=inputs,
                several=several,
                parameters=self._parameters(request, stem),
                answer=answer,
                streaming=streaming,
                multipart=Multipart(self._files.paths(schemas)),
            )
            return self._typed(codec, answer)

        return self._methods.add(
            make,
            request_dm_name=clean(title_of(request), MAX_NAME),
            rpc_name=rpc_name or f"{stem}Predict",
            output_streaming=streaming,
            task=task,
            name=name,
            path=path,
            job=job,
        )

    def _job(self, task: str, route: str, operation: Any) -> JobMethods:
        """Return the methods of a prediction job. Its result has the type of the task's answer."""

        def method(
            name: str, verb: str, path: str, answer: Callable[[], Any] = lambda: ANY_JSON
        ) -> RemoteRPCDescriptor:
            return self._methods.add(
                lambda: self._typed(QueryCodec(name, ["prediction_id"], answer=answer())),
                request_dm_name="",
                response_dm_name="",
                rpc_name=name,
                name=name,
                path=f"{verb} {path}",
            )

        return JobMethods(
            "prediction_id",
            method("GetPredictionJobStatus", "GET", route),
            method("CancelPredictionJob", "DELETE", route),
            method("GetPredictionJobResult", "GET", f"{route}/results", lambda: self._answer(operation)),
        )

    def _trainings(
        self, trainings: Iterable[tuple[str, str, Any]], tasks: Collection[str], job: JobMethods
    ) -> dict[str, RemoteRPCDescriptor]:
        described = []
        for rpc_name, route, operation in trainings:
            found = caikit_names.trained_module(rpc_name, tasks)
            if found is None:
                continue
            rpc = self._methods.add(
                partial(self._training, operation),
                request_dm_name=clean(title_of(request_of(operation)), MAX_NAME),
                rpc_name=rpc_name,
                task=found[0],
                name="train",
                path=f"POST {route}",
                job=job,
                module=found[1],
            )
            described.append((rpc_name, rpc, rpc))
        return by_unique_name(described)

    def _training(self, operation: Any) -> Mapping[str, Any]:
        answer = self._answer(operation)
        schemas = properties_of(request_of(operation))
        parameters = self._types.of(schemas["parameters"])
        inner = properties_of(self._types.without_null(schemas["parameters"])[1] or {})
        attributes = attributes_of(inner)
        rows = {attributes[name]: self._rows_of(schema) for name, schema in inner.items()}
        codec = TrainingCodec(
            "train",
            parameters=parameters if isinstance(parameters, type) else ANY_JSON,
            optional={attributes[name] for name, schema in inner.items() if self._types.is_optional(schema)},
            sources={name: model for name, model in rows.items() if model is not ANY_JSON},
            answer=answer,
            output_path=self._types.of(schemas.get("output_path")),
        )
        return self._typed(codec, answer)

    def _rows_of(self, schema: Any) -> Any:
        """Return the model of a data stream's rows, None if it is unknown, or `ANY_JSON` for other parameters."""
        properties = properties_of(self._types.without_null(schema)[1] or {})
        if properties.keys() != {DATA_STREAM}:
            return ANY_JSON
        _, union = self._types.resolve(properties[DATA_STREAM])
        if id(union) not in self._rows:  # the document, which stays alive, holds the union
            self._rows[id(union)] = next(self._row_models(members_of(union)), None)
        return self._rows[id(union)]

    def _row_models(self, members: Iterable[Any]) -> Iterator[Any]:
        """Yield the models of rows among a union's members."""
        for member in members:
            name, resolved = self._types.resolve(member)
            if resolved is not None and properties_of(resolved).keys() == {"data"}:
                yield self._types.model(name, resolved)

    def _management(self, name: str, parameters: tuple[str, ...], path: str, operation: Any) -> RemoteRPCDescriptor:
        def make() -> Mapping[str, Any]:
            request = self._types.of(request_of(operation))
            if not path.startswith("POST") or not isinstance(request, type):
                return self._typed(QueryCodec(name, parameters))
            signature = signature_of(fields_of(request), {}, answer=ANY_JSON)
            files = Multipart(self._files.paths(properties_of(request_of(operation))))
            return self._typed(JsonCodec(name, request, signature, answer=ANY_JSON, multipart=files))

        return self._methods.add(make, request_dm_name="", response_dm_name="", rpc_name=name, name=name, path=path)

    def _inputs(self, request: Mapping[str, Any], rpc_name: str) -> tuple[Any, Mapping[str, Any]]:
        """Return the type of `inputs`, and the types of several required inputs by name."""
        schema, has_several = inputs_of(self._types, request, rpc_name)
        kind = None if schema is None else self._types.of(schema)
        return kind, fields_of(kind) if has_several else {}

    def _parameters(self, request: Mapping[str, Any], rpc_name: str) -> Any:
        """Return the model of the optional parameters: None if there are none, `ANY_JSON` if they are unknown."""
        schema = parameters_of(self._types, request, rpc_name)
        return None if schema is None else ANY_JSON if schema is ANY_SCHEMA else self._types.of(schema)

    def _answer(self, operation: Mapping[str, Any]) -> Any:
        """Return the model of an answer, or None for a file."""
        schema = answer_of(operation)
        if schema is FILE_SCHEMA:
            return None
        kind = self._types.of(schema)
        return ANY_JSON if kind is None else kind

    def _typed(self, codec: JsonCodec, answer: Any = ANY_JSON) -> Mapping[str, Any]:
        """Return the attributes of a method that depend on types."""
        codec.allows_unknown_fields = self._on_file
        return {"codec": codec, "signature": codec.signature, "response_dm_name": _full_name(answer)}


def _full_name(answer: Any) -> str:
    if answer is None:
        return FileResponse.__name__
    return f"{answer.__module__}.{answer.__name__}" if isinstance(answer, type) else ""
