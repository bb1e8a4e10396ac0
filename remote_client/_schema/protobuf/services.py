"""File descriptors -> a `ServiceDescription` with pydantic types."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import cache
from itertools import chain
from operator import attrgetter
from typing import Any, NamedTuple, TypeVar

from google.protobuf.descriptor_pb2 import (
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    MethodDescriptorProto,
)
from google.protobuf.message import DecodeError

from ...errors import SchemaError
from .. import caikit_names
from ..ambiguous_names import ambiguity_notes, by_unique_name
from ..budget import LATE_LIMITS, Budget, may_be_late
from ..lazy_methods import LazyMethods, LazyTypes
from ..rpc import JobMethods, RemoteRPCDescriptor, ServiceDescription, TaskDescription, training_job
from .codec import Method, ProtobufCodec, ProtobufTrainingCodec
from .descriptor_checks import check_file
from .descriptor_pools import Pool, check_text, in_dependency_order, parse_file
from .reflection import WELL_KNOWN_FILES
from .types import Types

T = TypeVar("T")
_ByService = dict[str, T]
"""By the services' full names without `Service` or `JobService`, which a task's service and its job service share."""
_MANAGEMENT = (
    "caikit.runtime.info.InfoService",
    "caikit.runtime.models.ModelManagement",
    "caikit.runtime.training.TrainingManagement",
)
_MESSAGES = (FieldDescriptorProto.TYPE_MESSAGE, FieldDescriptorProto.TYPE_GROUP)


def describe(
    files: Mapping[str, FileDescriptorProto], services: Iterable[str], budget: Budget | None = None
) -> ServiceDescription:
    """Describe services, with all types made. This takes about a millisecond a type: use a thread.

    Raises:
        SchemaError: the files do not fit together, or hold what cannot be a Python type.
    """
    return _checked(lambda: _Reader(files, budget or Budget()).at_once(services))


def describe_files(files: Iterable[bytes], services: Iterable[str], budget: Budget | None = None) -> ServiceDescription:
    """Describe services, see `describe`, of files as the server sent them."""
    parsed = [parse_file(data) for data in files]
    return describe({file.name: file for file in parsed}, services, budget)


def describe_lazily(
    files: Iterable[bytes], services: Iterable[str], budget: Budget | None = None
) -> ServiceDescription:
    """Describe services of files as the server sent them. Types are made on first use.

    If a method's types come from much of the schema, all are made at once, as nobody may wait for such in a thread.

    Raises:
        SchemaError: the services cannot be used. Errors in the types of a method are raised on its first use.
    """
    budget, sizes, parsed = budget or Budget(), dict[str, int](), dict[str, FileDescriptorProto]()
    for data in files:
        file = parse_file(data)
        sizes[file.name], parsed[file.name] = len(data), file
    names = [*services]
    late = _checked(lambda: _Reader(parsed, None).served(names, sizes, budget))
    return describe(parsed, names, budget) if late is None else late


def describe_set(data: bytes, budget: Budget | None = None) -> ServiceDescription:
    """Describe all services in a serialized `google.protobuf.FileDescriptorSet`. Types are made on first use.

    The budget is ignored, as no caller waits for all types; the limits hold.

    Raises:
        SchemaError: the data is not a set. Errors in the types of a method are raised on its first use.
    """
    try:
        files = FileDescriptorSet.FromString(data).file
    except (DecodeError, UnicodeDecodeError, RecursionError):
        raise SchemaError("the data is not a FileDescriptorSet") from None
    for file in files:
        check_text(file)
    return _checked(_Reader({file.name: file for file in files}, None, on_file=True).lazily)


def method_at(description: ServiceDescription, path: str) -> RemoteRPCDescriptor | None:
    """Return any method that the files of a description define, such as one that no model has; None without it.

    The arguments are the fields of the request, of trainings too. Parses the files: use a thread.

    Raises:
        SchemaError: the files do not fit together.
    """
    if description.source is None:
        return None
    describe, *data = description.source
    files = FileDescriptorSet.FromString(*data).file if describe is describe_set else map(parse_file, data[0])
    reader = _Reader({file.name: file for file in files}, None, on_file=True)
    service, _, name = path.removeprefix("/").rpartition("/")
    return _checked(lambda: reader.method(service, name))


def descriptor_set(description: ServiceDescription) -> bytes:
    """Return the files of a description as a serialized `google.protobuf.FileDescriptorSet`."""
    assert description.source is not None
    describe, *data = description.source
    return bytes(*data) if describe is describe_set else _descriptor_set(*data)


def _descriptor_set(data: Iterable[bytes], services: Iterable[str]) -> bytes:
    """Return files a server sent, sorted, with protobuf's own, as protoc, buf and grpcurl need them.

    Services that a file describes but the server does not offer are left out.
    """
    files = {file.name: file for file in map(parse_file, data)}
    listed = set(services)
    for file in files.values():
        for index in reversed(range(len(file.service))):
            if f"{file.package}.{file.service[index].name}".lstrip(".") not in listed:
                del file.service[index]
    ordered = in_dependency_order(dict(sorted(files.items())))
    return FileDescriptorSet(file=ordered).SerializeToString(deterministic=True)


def _checked(describe: Callable[[], T]) -> T:
    try:
        return describe()
    except RecursionError:
        raise SchemaError("the types are nested too deeply") from None
    except UnicodeDecodeError:
        raise SchemaError("the files have names that are not UTF-8") from None


class _Rpc(NamedTuple):
    """A method as its file defines it, with the full names of its service and its types."""

    service: str
    method: MethodDescriptorProto
    input_type: str
    output_type: str

    @property
    def flags(self) -> tuple[bool, bool]:
        return self.method.client_streaming, self.method.server_streaming


class _Reader:
    """Describes the services of files.

    Args:
        files: the files by name.
        budget: counts the cost of types, which are made at once. Without it, a method's types are made on first use.
        on_file: whether the schema is on file, and the server may be newer; else the server described itself.
    """

    def __init__(
        self, files: Mapping[str, FileDescriptorProto], budget: Budget | None, *, on_file: bool = False
    ) -> None:
        self._files = files
        self._budget = budget
        self._on_file = on_file
        self._services = {
            f"{file.package}.{service.name}".lstrip("."): (file, service)
            for file in files.values()
            for service in file.service
        }
        self._methods = LazyMethods(self._renew if budget is None else None, None if on_file else self._begin)
        self._renew()

    def _renew(self) -> None:
        budget = self._budget or Budget(math.inf, limits=None if self._on_file else LATE_LIMITS)
        self._pool = Pool(self._files, budget)
        self._types = Types(budget, additions=self._on_file)

    def _begin(self) -> None:
        self._types.budget.restart()

    def at_once(self, services: Iterable[str]) -> ServiceDescription:
        """Describe some services, with all types made. Check all files."""
        self._pool.add(self._files)
        description = self._read(self._found(services))
        self._methods.complete()
        return replace(description, types=self._types.by_name)

    def lazily(self) -> ServiceDescription:
        """Describe all services, with types made on first use. Check only the files with services."""
        for file in self._files.values():
            if file.service:
                self._pool.check(file)
        return self._with_late_types(self._read(self._services))

    def served(self, services: Iterable[str], sizes: Mapping[str, int], budget: Budget) -> ServiceDescription | None:
        """Describe some services, as `lazily`; None if a method's types come from too much of the schema."""
        found = [*self._found(services)]
        for file in {file.name: file for file, _ in map(self._services.__getitem__, found)}.values():
            if file.name not in WELL_KNOWN_FILES:
                check_file(file, budget)
        imports = cache(lambda name: [*self._files[name].dependency] if name in self._files else [])
        for rpc in chain.from_iterable(map(self._rpcs_of, found)):
            budget.check()
            types = filter(None, map(self._pool.definition, (rpc.input_type, rpc.output_type)))
            if not may_be_late([file.name for file, _ in types], lambda name: sizes.get(name, 0), imports):
                return None
        return self._with_late_types(self._read(found))

    def _with_late_types(self, description: ServiceDescription) -> ServiceDescription:
        return replace(description, types=LazyTypes(self._methods, lambda: self._types.by_name))

    def method(self, service: str, name: str) -> RemoteRPCDescriptor | None:
        """Return a method without a task, with its types made on first use; None if no file defines it."""
        if service not in self._services:
            return None
        self._pool.check(self._services[service][0])
        found = (rpc for rpc in self._rpcs_of(service) if rpc.method.name == name)
        return next((self._method(rpc, "", name) for rpc in found), None)

    def _read(self, services: Iterable[str]) -> ServiceDescription:
        """Describe some services, without types."""
        tasks: dict[str, _ByService[list[_Rpc]]] = {}
        jobs: dict[str, _ByService[dict[str, _Rpc]]] = {}
        trainings: list[_Rpc] = []
        management: dict[str, RemoteRPCDescriptor] = {}
        for rpc in chain.from_iterable(map(self._rpcs_of, dict.fromkeys(services))):
            service, name = rpc.service.rpartition(".")[2], rpc.method.name
            task = caikit_names.task_name(name, *rpc.flags)
            if rpc.service in _MANAGEMENT:
                management[name] = self._method(rpc, "", name)
            elif task is not None and service.endswith("Service"):
                tasks.setdefault(task, defaultdict(list))[rpc.service.removesuffix("Service")].append(rpc)
            elif service.endswith("JobService") and (job := caikit_names.job_rpc(name)):
                jobs.setdefault(job[0], defaultdict(dict))[rpc.service.removesuffix("JobService")][job[1]] = rpc
            elif service.endswith("TrainingService") and self._has_parameters(rpc):
                trainings.append(rpc)
        job_of_training = training_job(management)
        described = self._tasks(tasks, jobs)
        return ServiceDescription(
            described,
            {},
            management,
            trainings=self._trainings(trainings, tasks, job_of_training) if job_of_training else {},
            training_job=job_of_training,
            notes=ambiguity_notes((key, task.methods) for key, task in described.items()),
            protocol="grpc",
        )

    def _found(self, services: Iterable[str]) -> Iterator[str]:
        for service in services:
            if service not in self._services:
                raise SchemaError(f"the server lists the service {service} but does not describe it")
            yield service

    def _rpcs_of(self, service: str) -> Iterator[_Rpc]:
        file, definition = self._services[service]
        for method in definition.method:
            types = (self._pool.full_name(name, file.package) for name in (method.input_type, method.output_type))
            yield _Rpc(service, method, *types)

    def _has_parameters(self, rpc: _Rpc) -> bool:
        found = self._pool.definition(rpc.input_type)
        fields = found[1].field if found else ()
        return any(
            field.name == "parameters" and field.type in _MESSAGES and field.label != field.LABEL_REPEATED
            for field in fields
        )

    def _tasks(
        self, tasks: Mapping[str, _ByService[list[_Rpc]]], jobs: Mapping[str, _ByService[dict[str, _Rpc]]]
    ) -> dict[str, TaskDescription]:
        described = []
        for task, services in sorted(tasks.items()):
            keep_suffix = caikit_names.keeps_task_suffix(task, tasks)
            for service, rpcs in sorted(services.items()):
                methods = [
                    self._method(rpc, task, caikit_names.method_name(task, *rpc.flags, keep_suffix=keep_suffix))
                    for rpc in sorted(rpcs, key=attrgetter("flags"))
                ]
                methods += self._start(task, _jobs_of(service, services, jobs.get(task, {})), keep_suffix=keep_suffix)
                described.append((task, methods[0], TaskDescription(task, tuple(methods))))
        return by_unique_name(described)

    def _start(self, task: str, jobs: Mapping[str, _Rpc], *, keep_suffix: bool) -> Iterator[RemoteRPCDescriptor]:
        """Yield the start of a prediction job, if the server has all methods of such jobs."""
        job = {name: self._method(rpc, task, rpc.method.name) for name, rpc in jobs.items() if name != "start"}
        if jobs.keys() == {"start", "status", "result", "cancel"}:
            methods = JobMethods("prediction_id", job["status"], job["cancel"], job["result"])
            name = caikit_names.job_method_name(task, keep_suffix=keep_suffix)
            yield self._method(jobs["start"], task, name, job=methods)

    def _trainings(
        self, rpcs: Iterable[_Rpc], tasks: Collection[str], job: JobMethods
    ) -> dict[str, RemoteRPCDescriptor]:
        trainings = []
        for rpc in rpcs:
            found = caikit_names.trained_module(rpc.method.name, tasks)
            if found is not None:
                task, module = found
                training = self._method(rpc, task, "train", ProtobufTrainingCodec, job=job, module=module)
                trainings.append((rpc.method.name, training, training))
        return by_unique_name(trainings)

    def _method(
        self, rpc: _Rpc, task: str, name: str, kind: type[ProtobufCodec] = ProtobufCodec, **more: Any
    ) -> RemoteRPCDescriptor:
        input_streaming, output_streaming = rpc.flags

        def make() -> dict[str, Any]:
            request, answer = self._pool.message(rpc.input_type), self._pool.message(rpc.output_type)
            codec = kind(name, Method(request, answer, *rpc.flags), self._types)
            return {"codec": codec, "signature": codec.signature}

        return self._methods.add(
            make,
            request_dm_name=rpc.input_type,
            response_dm_name=rpc.output_type,
            rpc_name=rpc.method.name,
            input_streaming=input_streaming,
            output_streaming=output_streaming,
            task=task,
            name=name,
            path=f"/{rpc.service}/{rpc.method.name}",
            **more,
        )


def _jobs_of(service: str, services: Collection[str], jobs: _ByService[dict[str, _Rpc]]) -> dict[str, _Rpc]:
    """Return the methods of a service's job service. The only service and the only job service belong together."""
    only = next(iter(jobs.values())) if len(jobs) == len(services) == 1 else {}
    return jobs.get(service, only)
