"""File descriptors -> a `ServiceDescription` with pydantic types, in a descriptor pool of its own.

Each description gets its own pool, so that two runtimes may define the same names differently in one process.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import replace
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
from .. import names
from ..ambiguous_names import ambiguity_notes, by_unique_name
from ..budget import Budget
from ..lazy_methods import LazyMethods, LazyTypes
from ..rpc import JobMethods, RemoteRPCDescriptor, ServiceDescription, TaskDescription, training_job
from .codec import Method, ProtobufCodec, ProtobufTrainingCodec
from .pools import Pool, check_text, in_dependency_order, parse_file
from .types import Types

T = TypeVar("T")
_ByService = dict[str, T]
"""By the services' full names without `Service` or `JobService`: what a task's service and its job service share."""
_MANAGEMENT = (
    "caikit.runtime.info.InfoService",
    "caikit.runtime.models.ModelManagement",
    "caikit.runtime.training.TrainingManagement",
)
_MESSAGES = (FieldDescriptorProto.TYPE_MESSAGE, FieldDescriptorProto.TYPE_GROUP)


def describe(
    files: Mapping[str, FileDescriptorProto], services: Iterable[str], budget: Budget | None = None
) -> ServiceDescription:
    """What the services offer, with all types built. Takes a while (about a millisecond a type): use a thread.

    Raises:
        SchemaError: the files do not fit together, or hold what cannot be a Python type.
    """
    return _checked(lambda: _Reader(files, budget or Budget()).at_once(services))


def describe_files(files: Iterable[bytes], services: Iterable[str], budget: Budget | None = None) -> ServiceDescription:
    """As `describe`, of files as the server sent them."""
    told = [parse_file(each) for each in files]
    return describe({each.name: each for each in told}, services, budget)


def describe_set(data: bytes, budget: Budget | None = None) -> ServiceDescription:
    """What all services in a serialized `google.protobuf.FileDescriptorSet` offer. Types are made when they are used.

    Args:
        data: the set.
        budget: not spent, as nobody waits for what is made late; limits hold.

    Raises:
        SchemaError: it is none. What is wrong with the types of a method shows where that is first used.
    """
    try:
        files = FileDescriptorSet.FromString(data).file
    except (DecodeError, UnicodeDecodeError, RecursionError):
        raise SchemaError("this is no FileDescriptorSet") from None
    for each in files:
        check_text(each)
    return _checked(_Reader({each.name: each for each in files}, None).late)


def descriptor_set(description: ServiceDescription) -> bytes:
    """Return the files of a description as a serialized `google.protobuf.FileDescriptorSet`."""
    assert description.source is not None
    describe, *data = description.source
    return _descriptor_set(*data) if describe is describe_files else bytes(*data)


def _descriptor_set(told: Iterable[bytes], services: Iterable[str]) -> bytes:
    """Return files a server sent, sorted, with protobuf's own, as protoc, buf and grpcurl need them.

    Services that a file describes but the server does not offer are left out.
    """
    files = {file.name: file for file in map(parse_file, told)}
    listed = set(services)
    for file in files.values():
        offered = [each for each in file.service if f"{file.package}.{each.name}".lstrip(".") in listed]
        if len(offered) < len(file.service):
            kept = [type(each).FromString(each.SerializeToString()) for each in offered]
            del file.service[:]
            file.service.extend(kept)
    ordered = in_dependency_order(dict(sorted(files.items())))
    return FileDescriptorSet(file=ordered).SerializeToString(deterministic=True)


def _checked(describe: Callable[[], ServiceDescription]) -> ServiceDescription:
    try:
        return describe()
    except RecursionError:
        raise SchemaError("the types are nested too deeply") from None
    except UnicodeDecodeError:
        raise SchemaError("the files have names that are no UTF-8") from None


class _Rpc(NamedTuple):
    """A method as its file defines it, with the full names of the service and the types."""

    service: str
    told: MethodDescriptorProto
    input_type: str
    output_type: str

    @property
    def flags(self) -> tuple[bool, bool]:
        return self.told.client_streaming, self.told.server_streaming


class _Reader:
    """Describes what the services of some files offer.

    Args:
        files: by their names.
        budget: what their types may cost, which are made at once. Without it they are made late, with no deadline.
    """

    def __init__(self, files: Mapping[str, FileDescriptorProto], budget: Budget | None) -> None:
        self._files = files
        self._budget = budget
        self._services = {
            f"{file.package}.{each.name}".lstrip("."): (file, each) for file in files.values() for each in file.service
        }
        self._methods = LazyMethods(self._renew if budget is None else None)
        self._renew()

    def _renew(self) -> None:
        budget = Budget(math.inf) if self._budget is None else self._budget
        self._pool = Pool(self._files, budget)
        self._types = Types(budget, additions=self._budget is None)

    def at_once(self, services: Iterable[str]) -> ServiceDescription:
        """Return what some services offer, with all types made. All files are checked."""
        self._pool.add(self._files)
        description = self._read(self._found(services))
        self._methods.complete()
        return replace(description, types=self._types.by_name)

    def late(self) -> ServiceDescription:
        """Return what all services offer. Of the files only those of services are checked."""
        for file in self._files.values():
            if file.service:
                self._pool.check(file)
        description = self._read(self._services)
        return replace(description, types=LazyTypes(self._methods, lambda: self._types.by_name))

    def _read(self, services: Iterable[str]) -> ServiceDescription:
        """Return what some services offer, without types."""
        tasks: dict[str, _ByService[list[_Rpc]]] = {}
        jobs: dict[str, _ByService[dict[str, _Rpc]]] = {}
        trainings: list[_Rpc] = []
        management: dict[str, RemoteRPCDescriptor] = {}
        for rpc in chain.from_iterable(map(self._rpcs_of, dict.fromkeys(services))):
            service, name = rpc.service.rpartition(".")[2], rpc.told.name
            task = names.task_name(name, *rpc.flags)
            if rpc.service in _MANAGEMENT:
                management[name] = self._method(rpc, "", name)
            elif task is not None and service.endswith("Service"):
                tasks.setdefault(task, defaultdict(list))[rpc.service.removesuffix("Service")].append(rpc)
            elif service.endswith("JobService") and (job := names.job_rpc(name)):
                jobs.setdefault(job[0], defaultdict(dict))[rpc.service.removesuffix("JobService")][job[1]] = rpc
            elif service.endswith("TrainingService") and self._has_parameters(rpc):
                trainings.append(rpc)
        about_trainings = training_job(management)
        described = self._tasks(tasks, jobs)
        return ServiceDescription(
            described,
            {},
            management,
            trainings=self._trainings(trainings, tasks, about_trainings) if about_trainings else {},
            training_job=about_trainings,
            notes=ambiguity_notes((key, task.methods) for key, task in described.items()),
            protocol="grpc",
        )

    def _found(self, services: Iterable[str]) -> Iterator[str]:
        for each in services:
            if each not in self._services:
                raise SchemaError(f"the server lists the service {each} but does not describe it")
            yield each

    def _rpcs_of(self, service: str) -> Iterator[_Rpc]:
        file, told = self._services[service]
        for each in told.method:
            types = (self._pool.full_name(name, file.package) for name in (each.input_type, each.output_type))
            yield _Rpc(service, each, *types)

    def _has_parameters(self, rpc: _Rpc) -> bool:
        found = self._pool.definition(rpc.input_type)
        fields = found[1].field if found else ()
        return any(
            each.name == "parameters" and each.type in _MESSAGES and each.label != each.LABEL_REPEATED
            for each in fields
        )

    def _tasks(
        self, tasks: Mapping[str, _ByService[list[_Rpc]]], jobs: Mapping[str, _ByService[dict[str, _Rpc]]]
    ) -> dict[str, TaskDescription]:
        described = []
        for task, services in sorted(tasks.items()):
            whole = names.needs_its_whole_name(task, tasks)
            for service, rpcs in sorted(services.items()):
                told = [
                    self._method(each, task, names.method_name(task, *each.flags, whole=whole))
                    for each in sorted(rpcs, key=attrgetter("flags"))
                ]
                told += self._start(task, _beside(jobs.get(task, {}), service, services), whole=whole)
                described.append((task, told[0], TaskDescription(task, tuple(told))))
        return by_unique_name(described)

    def _start(self, task: str, jobs: Mapping[str, _Rpc], *, whole: bool) -> Iterator[RemoteRPCDescriptor]:
        """The start of a prediction job, where the server has all that belongs to one."""
        job = {deed: self._method(each, task, each.told.name) for deed, each in jobs.items() if deed != "start"}
        if jobs.keys() == {"start", "status", "result", "cancel"}:
            asked = JobMethods("prediction_id", job["status"], job["cancel"], job["result"])
            yield self._method(jobs["start"], task, names.job_method_name(task, whole=whole), job=asked)

    def _trainings(
        self, rpcs: Iterable[_Rpc], tasks: Collection[str], job: JobMethods
    ) -> dict[str, RemoteRPCDescriptor]:
        trainings = []
        for each in rpcs:
            found = names.trained_module(each.told.name, tasks)
            if found is not None:
                task, module = found
                rpc = self._method(each, task, "train", ProtobufTrainingCodec, job=job, module=module)
                trainings.append((each.told.name, rpc, rpc))
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
            rpc_name=rpc.told.name,
            input_streaming=input_streaming,
            output_streaming=output_streaming,
            task=task,
            name=name,
            path=f"/{rpc.service}/{rpc.told.name}",
            **more,
        )


def _beside(jobs: _ByService[dict[str, _Rpc]], service: str, services: Collection[str]) -> dict[str, _Rpc]:
    """What can be asked about the jobs of a service: by its own job service, or the only one if it is the only one."""
    only = next(iter(jobs.values())) if len(jobs) == len(services) == 1 else {}
    return jobs.get(service, only)
