"""File descriptors -> a `ServiceDescription` with pydantic types, in a descriptor pool of its own.

Each description gets its own pool, so that two runtimes may define the same names differently in one process.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from google.protobuf.descriptor import MethodDescriptor
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from google.protobuf.message import DecodeError

from ..errors import SchemaError
from . import names
from .budget import Budget
from .codec import ReflectedCodec, ReflectedTraining
from .fields import is_repeated
from .pools import pool_of, read_file
from .rpc import JobMethods, RemoteRPCDescriptor, ServiceDescription, TaskDescription, training_job
from .shared_names import keyed, notes
from .types import Types

T = TypeVar("T")
_ByService = dict[str, T]
"""By the services' full names without `Service` or `JobService`: what a task's service and its job service share."""
_MANAGEMENT = (
    "caikit.runtime.info.InfoService",
    "caikit.runtime.models.ModelManagement",
    "caikit.runtime.training.TrainingManagement",
)


def describe(
    files: Mapping[str, FileDescriptorProto], services: Iterable[str], budget: Budget | None = None
) -> ServiceDescription:
    """What the services offer, with all types built. Takes a while (about a millisecond a type): use a thread.

    Raises:
        SchemaError: the files do not fit together, or hold what cannot be a Python type.
    """
    try:
        return _describe(files, services, budget or Budget())
    except RecursionError:
        raise SchemaError("the server's types are nested too deeply") from None
    except UnicodeDecodeError:
        raise SchemaError("the server's files have names that are no UTF-8") from None


def describe_told(files: Iterable[bytes], services: Iterable[str], budget: Budget | None = None) -> ServiceDescription:
    """As `describe`, of files as the server sent them."""
    told = [read_file(each) for each in files]
    return describe({each.name: each for each in told}, services, budget)


def describe_set(data: bytes, budget: Budget | None = None) -> ServiceDescription:
    """As `describe`, of a serialized `google.protobuf.FileDescriptorSet` and all services in it.

    Raises:
        SchemaError: it is none, or its files do not fit together.
    """
    try:
        files = FileDescriptorSet.FromString(data).file
    except (DecodeError, UnicodeDecodeError, RecursionError):
        raise SchemaError("the schema is no FileDescriptorSet") from None
    services = [f"{file.package}.{each.name}".lstrip(".") for file in files for each in file.service]
    return describe({each.name: each for each in files}, services, budget)


def _describe(files: Mapping[str, FileDescriptorProto], services: Iterable[str], budget: Budget) -> ServiceDescription:
    pool = pool_of(files, budget)
    types = Types(budget)
    tasks: dict[str, _ByService[list[MethodDescriptor]]] = {}
    jobs: dict[str, _ByService[dict[str, MethodDescriptor]]] = {}
    trainings: list[MethodDescriptor] = []
    management: dict[str, RemoteRPCDescriptor] = {}
    for full_name in dict.fromkeys(services):
        try:
            service = pool.FindServiceByName(full_name)
        except KeyError:
            raise SchemaError(f"the server lists the service {full_name} but does not describe it") from None
        for method in service.methods:
            task = names.task_name(method.name, method.client_streaming, method.server_streaming)
            if full_name in _MANAGEMENT:
                management[method.name] = _descriptor(method, types, "", method.name)
            elif task is not None and service.name.endswith("Service"):
                tasks.setdefault(task, defaultdict(list))[full_name.removesuffix("Service")].append(method)
            elif service.name.endswith("JobService") and (job := names.job_rpc(method.name)):
                jobs.setdefault(job[0], defaultdict(dict))[full_name.removesuffix("JobService")][job[1]] = method
            elif service.name.endswith("TrainingService") and _has_parameters(method):
                trainings.append(method)
    about_trainings = training_job(management)
    described = _tasks(tasks, jobs, types)
    return ServiceDescription(
        described,
        types.by_name,
        management,
        trainings=_trainings(trainings, tasks, about_trainings, types) if about_trainings else {},
        training_job=about_trainings,
        notes=notes((key, task.methods) for key, task in described.items()),
    )


def _tasks(
    tasks: Mapping[str, _ByService[list[MethodDescriptor]]],
    jobs: Mapping[str, _ByService[dict[str, MethodDescriptor]]],
    types: Types,
) -> dict[str, TaskDescription]:
    described = []
    for task, services in sorted(tasks.items()):
        whole = names.needs_its_whole_name(task, tasks)
        for service, methods in sorted(services.items()):
            told = [
                _descriptor(each, types, task, names.method_name(task, *_flags(each), whole=whole))
                for each in sorted(methods, key=_flags)
            ]
            told += _start(task, _beside(jobs.get(task, {}), service, services), types, whole=whole)
            described.append((task, told[0], TaskDescription(task, tuple(told))))
    return keyed(described)


def _beside(
    jobs: _ByService[dict[str, MethodDescriptor]], service: str, services: Collection[str]
) -> dict[str, MethodDescriptor]:
    """What can be asked about the jobs of a service: by its own job service, or the only one if it is the only one."""
    only = next(iter(jobs.values())) if len(jobs) == len(services) == 1 else {}
    return jobs.get(service, only)


def _start(
    task: str, jobs: Mapping[str, MethodDescriptor], types: Types, *, whole: bool
) -> Iterator[RemoteRPCDescriptor]:
    """The start of a prediction job, where the server has all that belongs to one."""
    job = {deed: _descriptor(each, types, task, each.name) for deed, each in jobs.items()}
    if job.keys() == {"start", "status", "result", "cancel"}:
        asked = JobMethods("prediction_id", job["status"], job["cancel"], job["result"])
        name = names.job_method_name(task, whole=whole)
        yield replace(_descriptor(jobs["start"], types, task, name), job=asked)


def _trainings(
    methods: Iterable[MethodDescriptor], tasks: Collection[str], job: JobMethods, types: Types
) -> dict[str, RemoteRPCDescriptor]:
    trainings = []
    for method in methods:
        found = names.trained_module(method.name, tasks)
        if found is not None:
            task, module = found
            codec = ReflectedTraining("train", method, types)
            rpc = _descriptor(method, types, task, "train", codec, job=job, module=module)
            trainings.append((method.name, rpc, rpc))
    return keyed(trainings)


def _has_parameters(method: MethodDescriptor) -> bool:
    field = method.input_type.fields_by_name.get("parameters")
    return field is not None and field.message_type is not None and not is_repeated(field)


def _flags(method: MethodDescriptor) -> tuple[bool, bool]:
    return method.client_streaming, method.server_streaming


def _descriptor(
    method: MethodDescriptor, types: Types, task: str, name: str, codec: ReflectedCodec | None = None, **more: Any
) -> RemoteRPCDescriptor:
    codec = codec or ReflectedCodec(name, method, types)
    return RemoteRPCDescriptor(
        signature=codec.signature,
        request_dm_name=method.input_type.full_name,
        response_dm_name=method.output_type.full_name,
        rpc_name=method.name,
        input_streaming=method.client_streaming,
        output_streaming=method.server_streaming,
        task=task,
        name=name,
        path=f"/{method.containing_service.full_name}/{method.name}",
        codec=codec,
        **more,
    )
