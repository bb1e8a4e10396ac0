"""A runtime's OpenAPI document -> a `ServiceDescription` with pydantic types.

Nothing is assumed of how routes begin: a task's ends in `/task/<name>`. The titles of caikit's schemas tell the names
that routes only have in kebab case.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

from pydantic_core import from_json

from ..._objects.content import Odd
from ..._text.cleaning import clean
from ...errors import SchemaError
from .. import names
from ..ambiguous_names import ambiguity_notes, by_unique_name
from ..budget import MAX_NAME, Budget
from ..identifiers import attributes_of
from ..lazy_methods import LazyMethods, LazyTypes
from ..rpc import JobMethods, RemoteRPCDescriptor, ServiceDescription, TaskDescription, training_job
from ..training_data import DATA_STREAM
from .codec import JsonCodec, QueryCodec, TaskCodec, TrainingCodec, fields_of, signature_of
from .file_inputs import Files
from .file_response import FileResponse
from .multipart import Multipart
from .requests import ANY, FILE, answer_of, inputs_of, parameters_of, properties_of, request_of
from .routes import Operation, by_prefix, is_route, task_of
from .schemas import members_of
from .types import JsonTypes
from .value_types import OPEN

DOCUMENT = "GET /openapi.json"
"""Where a runtime has its document."""

_REFERENCE = re.compile(rb'"\$ref"\s*:\s*"([^"]*)"')
_MANAGEMENT: dict[tuple[str, str], tuple[str, tuple[str, ...]]] = {
    # the verb and the end of the route: the method's name over gRPC, and the parameters of the query
    ("get", "/info/models"): ("GetModelsInfo", ("model_ids",)),
    ("get", "/info/version"): ("GetRuntimeInfo", ()),
    ("post", "/management/models"): ("DeployModel", ()),
    ("delete", "/management/models"): ("UndeployModel", ("model_id",)),
    ("get", "/management/trainings"): ("GetTrainingStatus", ("training_id",)),
    ("delete", "/management/trainings"): ("CancelTraining", ("training_id",)),
}
_JOB_VERBS = ("post", "get", "delete")


def describe(document: bytes, budget: Budget | None = None) -> ServiceDescription:
    """What the document's server offers, with all types built. Takes milliseconds: use a thread.

    Raises:
        SchemaError: it is no OpenAPI document, or holds what cannot be a Python type.
    """
    budget = budget or Budget()
    return read(_parsed(document, budget), budget)


def describe_file(document: bytes, budget: Budget | None = None) -> ServiceDescription:
    """As `describe`, of a document on file. Types are made when they are used.

    All are made at once where the document lacks some: only then it is known what it lacks.

    Args:
        document: the document.
        budget: not spent, as nobody waits for what is made late; limits hold.

    Raises:
        SchemaError: it is no OpenAPI document. What is wrong with the types of a method shows where that is first used.
    """
    told = _parsed(document, Budget(math.inf))
    paths, schemas = _parts_of(told)
    referred = {each.decode(errors="replace").rpartition("/")[2] for each in set(_REFERENCE.findall(document))}
    at_once = Budget(math.inf) if referred - schemas.keys() else None
    return _checked(_Reader(schemas, at_once, additions=True), paths)


def read(told: Any, budget: Budget | None = None) -> ServiceDescription:
    """As `describe`, of a document that was parsed."""
    paths, schemas = _parts_of(told)
    return _checked(_Reader(schemas, budget or Budget()), paths)


def _parsed(document: bytes, budget: Budget) -> Any:
    budget.spend("bytes", len(document))
    budget.spend("parts", sum(map(document.count, (b",", b"[", b"{"))))  # values: most of them stand behind one
    try:
        return from_json(document)
    except ValueError as error:
        why = document.told if isinstance(document, Odd) else error
        raise SchemaError(f"the OpenAPI document is no JSON: {why}") from None


def _parts_of(told: Any) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """The document's paths, and its shared schemas."""
    paths = told.get("paths") if isinstance(told, dict) else None
    if not isinstance(paths, dict):
        raise SchemaError("the OpenAPI document has no paths")
    components = told.get("components")
    schemas = components.get("schemas") if isinstance(components, dict) else None
    return paths, schemas if isinstance(schemas, dict) else {}


def _checked(reader: _Reader, paths: Mapping[str, Any]) -> ServiceDescription:
    try:
        return reader.read(paths)
    except RecursionError:
        raise SchemaError("the types are nested too deeply") from None


def usual(method: str) -> RemoteRPCDescriptor | None:
    """Return a method that tells something of the runtime, at the route where runtimes have it; None for any other."""
    for (verb, route), (name, parameters) in _MANAGEMENT.items():
        if name == method and route.startswith("/info/"):
            codec, path = QueryCodec(name, parameters), f"{verb.upper()} {route}"
            return RemoteRPCDescriptor(codec.signature, "", "", name, name=name, path=path, codec=codec)
    return None


class _Reader:
    """Describes what a document's server offers.

    Args:
        schemas: the document's shared schemas.
        budget: what their types may cost, which are made at once. Without it they are made late, with no deadline.
        additions: see `JsonCodec`.
    """

    def __init__(self, schemas: Mapping[str, Any], budget: Budget | None, *, additions: bool = False) -> None:
        self._schemas = schemas
        self._given = budget
        self._additions = additions
        self._methods = LazyMethods(self._renew if budget is None else None)
        self._renew()

    def _renew(self) -> None:
        self._budget = Budget(math.inf) if self._given is None else self._given
        self._types = JsonTypes(self._schemas, self._budget)
        self._files = Files(self._types, self._budget)
        self._rows: dict[int, Any] = {}

    def read(self, paths: Mapping[str, Any]) -> ServiceDescription:
        """Return what there is at some routes."""
        tasks: dict[str, list[Operation]] = {}
        trainings: list[tuple[str, str, Any]] = []
        management: dict[str, RemoteRPCDescriptor] = {}
        for route, verb, operation in self._operations(paths):
            *_, section, last = route.split("/")
            if verb == "post" and section == "task":
                task, streaming = task_of(last, request_of(operation))
                tasks.setdefault(task, []).append((streaming, route, operation))
            elif verb == "post" and last.endswith("Train") and "parameters" in properties_of(request_of(operation)):
                trainings.append((last, route, operation))
            elif known := _MANAGEMENT.get((verb, f"/{section}/{last}")):
                management[known[0]] = self._management(*known, f"{verb.upper()} {route}", operation)
        told = [each for task in sorted(tasks) for each in self._task(task, tasks, paths)]
        described = by_unique_name([(each.name, each.methods[0], each) for each in told])
        job = training_job(management)
        trained = self._trainings(trainings, tasks, job) if job else {}
        types: Mapping[str, type[Any]] = LazyTypes(self._methods, lambda: self._types.by_name)
        if self._given is not None:
            self._methods.complete()
            types = self._types.by_name
        return ServiceDescription(
            described,
            types,
            management,
            trainings=trained,
            training_job=job,
            # Last: they tell what was looked for and not found.
            notes=(*self._notes(), *ambiguity_notes((key, task.methods) for key, task in described.items())),
            protocol="http",
        )

    def _notes(self) -> tuple[str, ...]:
        unknown = clean(", ".join(sorted(self._types.unknown)))  # the server's words, which are logged
        if not unknown:
            return ()
        told = f"the OpenAPI document does not define {unknown}: what has these types takes and gives any"
        return (f"{told} JSON value, unchecked. Newer versions of FastAPI lose them; over gRPC all are known.",)

    def _task(
        self, task: str, tasks: Mapping[str, Sequence[Operation]], paths: Mapping[str, Any]
    ) -> Iterator[TaskDescription]:
        whole = names.needs_its_whole_name(task, tasks)
        for operations in by_prefix(tasks[task]):
            yield self._task_of_one_prefix(task, operations, paths, whole=whole)

    def _task_of_one_prefix(
        self, task: str, operations: Iterable[Operation], paths: Mapping[str, Any], *, whole: bool
    ) -> TaskDescription:
        methods, starts = [], []
        for streaming, route, operation in operations:
            name = names.method_name(task, False, streaming, whole=whole)
            methods.append(self._method(task, name, f"POST {route}", operation, streaming))
            jobs = paths.get(f"{route}/job")
            if (
                not streaming
                and isinstance(jobs, dict)
                and all(isinstance(jobs.get(each), dict) for each in _JOB_VERBS)
            ):
                job = self._job(task, f"{route}/job", operation)
                rpc_name = f"{task}StartPredictionJob"
                start = names.job_method_name(task, whole=whole)
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
        stem = names.rpc_name(task, streaming)

        def make() -> Mapping[str, Any]:
            answer = self._answer(operation)
            properties = properties_of(request)
            inputs, several = self._inputs(request, stem)
            shapes = {each: properties[each] for each in ("inputs", "parameters") if each in properties}
            codec = TaskCodec(
                name,
                inputs=inputs,
                several=several,
                parameters=self._parameters(request, stem),
                answer=answer,
                streaming=streaming,
                multipart=Multipart(self._files.paths(shapes)),
            )
            return self._made(codec, answer)

        return self._methods.add(
            make,
            request_dm_name=clean(_text(request.get("title")), MAX_NAME),
            rpc_name=rpc_name or f"{stem}Predict",
            output_streaming=streaming,
            task=task,
            name=name,
            path=path,
            job=job,
        )

    def _job(self, task: str, route: str, operation: Any) -> JobMethods:
        """What can be asked about a prediction job. The result is what the task's own method would have answered."""

        def asking(name: str, verb: str, path: str, answer: Callable[[], Any] = lambda: OPEN) -> RemoteRPCDescriptor:
            return self._methods.add(
                lambda: self._made(QueryCodec(name, ["prediction_id"], answer=answer())),
                request_dm_name="",
                response_dm_name="",
                rpc_name=name,
                name=name,
                path=f"{verb} {path}",
            )

        return JobMethods(
            "prediction_id",
            asking("GetPredictionJobStatus", "GET", route),
            asking("CancelPredictionJob", "DELETE", route),
            asking("GetPredictionJobResult", "GET", f"{route}/results", lambda: self._answer(operation)),
        )

    def _trainings(
        self, trainings: Iterable[tuple[str, str, Any]], tasks: Collection[str], job: JobMethods
    ) -> dict[str, RemoteRPCDescriptor]:
        described = []
        for rpc_name, route, operation in trainings:
            found = names.trained_module(rpc_name, tasks)
            if found is None:
                continue
            rpc = self._methods.add(
                partial(self._training, operation),
                request_dm_name=clean(_text(request_of(operation).get("title")), MAX_NAME),
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
        inner = properties_of(self._types.beside_null(schemas["parameters"])[1] or {})
        attributes = attributes_of(inner)
        codec = TrainingCodec(
            "train",
            parameters=parameters if isinstance(parameters, type) else OPEN,
            optional={attributes[each] for each, shape in inner.items() if self._is_optional(shape)},
            sources={
                attributes[each]: rows for each, shape in inner.items() if (rows := self._source(shape)) is not OPEN
            },
            answer=answer,
            output_path=self._types.of(schemas.get("output_path")),
        )
        return self._made(codec, answer)

    def _is_optional(self, schema: Any) -> bool:
        """Whether a training runs without the parameter. The document shows a default of None as a type with null."""
        return (isinstance(schema, Mapping) and "default" in schema) or self._types.allows_null(schema)

    def _source(self, schema: Any) -> Any:
        """The model of a training's rows, None where that is unknown; OPEN for what is no training data."""
        properties = properties_of(self._types.beside_null(schema)[1] or {})
        if properties.keys() != {DATA_STREAM}:
            return OPEN
        _, union = self._types.resolve(properties[DATA_STREAM])
        if id(union) not in self._rows:  # of the document, which stays alive
            self._rows[id(union)] = next(self._with_rows(members_of(union)), None)
        return self._rows[id(union)]

    def _with_rows(self, members: Iterable[Any]) -> Iterator[Any]:
        """The models of rows among a union's members."""
        for member in members:
            name, resolved = self._types.resolve(member)
            if resolved is not None and properties_of(resolved).keys() == {"data"}:
                yield self._types.model(name, resolved)

    def _management(self, name: str, parameters: tuple[str, ...], path: str, operation: Any) -> RemoteRPCDescriptor:
        def make() -> Mapping[str, Any]:
            request = self._types.of(request_of(operation))
            if not path.startswith("POST") or not isinstance(request, type):
                return self._made(QueryCodec(name, parameters))
            signature = signature_of(fields_of(request), {}, answer=OPEN)
            files = Multipart(self._files.paths(properties_of(request_of(operation))))
            return self._made(JsonCodec(name, request, signature, answer=OPEN, multipart=files))

        return self._methods.add(make, request_dm_name="", response_dm_name="", rpc_name=name, name=name, path=path)

    def _inputs(self, request: Mapping[str, Any], rpc_name: str) -> tuple[Any, Mapping[str, Any]]:
        """The type of the required inputs, and each of them where they are several."""
        schema, is_around_several = inputs_of(self._types, request, rpc_name)
        kind = None if schema is None else self._types.of(schema)
        return kind, fields_of(kind) if is_around_several else {}

    def _parameters(self, request: Mapping[str, Any], rpc_name: str) -> Any:
        """The model of the optional parameters; None where the method has none, OPEN where they are unknown."""
        schema = parameters_of(self._types, request, rpc_name)
        return None if schema is None else OPEN if schema is ANY else self._types.of(schema)

    def _answer(self, operation: Mapping[str, Any]) -> Any:
        """The model of an answer; None for a file."""
        schema = answer_of(operation)
        if schema is FILE:
            return None
        kind = self._types.of(schema)
        return OPEN if kind is None else kind

    def _made(self, codec: JsonCodec, answer: Any = OPEN) -> Mapping[str, Any]:
        """What of a method depends on types."""
        codec.additions = self._additions
        return {"codec": codec, "signature": codec.signature, "response_dm_name": _full_name(answer)}

    def _operations(self, paths: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
        """The operations of the document: route, verb, and what they are."""
        for route, operations in paths.items():
            self._budget.spend("names")
            if isinstance(operations, dict) and is_route(route):
                for verb, operation in operations.items():
                    self._budget.check()
                    if isinstance(operation, dict):
                        yield route, verb, operation


def _full_name(answer: Any) -> str:
    if answer is None:
        return FileResponse.__name__
    return f"{answer.__module__}.{answer.__name__}" if isinstance(answer, type) else ""


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
