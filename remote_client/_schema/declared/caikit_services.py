"""Schemas from caikit's service packages: the services of a runtime with this process's configuration.

Imports caikit only if the user's process has.
"""

from __future__ import annotations

import importlib
import logging
import sys
import threading
from collections.abc import Hashable, Iterable
from concurrent.futures import Future
from time import monotonic
from typing import Any, NamedTuple

from ..._concurrency import fork as _fork
from ..._concurrency import threads as _threads
from ..schema_file import SchemaFile

PATIENCE = 5.0
"""The seconds that a caller waits: caikit also makes the components of `model_management`, which may connect to
servers. A result that comes later is kept for the next caller."""
_OPTIONS = {
    "INFERENCE": "enable_inference",
    "JOB_INFERENCE": "enable_inference_jobs",
    "TRAINING": "enable_training",
    "TRAINING_MANAGEMENT": "enable_training",
    "MODEL_MANAGEMENT": "",
    "INFO": "",
}
"""Kind of services -> the option in `runtime.service_generation` that disables it. caikit 0.26 has no jobs."""
logger = logging.getLogger("remote_client")


class _Services(NamedTuple):
    """The services of a library, and the modules they call."""

    schema: SchemaFile
    modules: frozenset[type]


_made: dict[Hashable, tuple[Future[_Services | None], float]] = {}
"""Library and configuration -> services and when making them began. Nothing is dropped: caikit registers the types in
protobuf's default pool, which never forgets."""
_lock = threading.Lock()


def why_no_services(module: type) -> str:
    """Return why caikit makes no services for a module in this process; empty if it does, or has logged the reason."""
    runtime, library = _runtime(), _library_of(module)
    configured = runtime and runtime.library
    if configured == library:
        return ""
    return f"caikit's runtime.library is {configured or 'not set'} here, and {module.__name__} belongs to {library}"


def _runtime() -> Any:
    """Return caikit's configuration of the runtime, or None if caikit was not imported."""
    caikit: Any = sys.modules.get("caikit")
    return caikit and caikit.get_config().runtime


def _library_of(module: type) -> str:
    return module.__module__.partition(".")[0]


def services_of(module: type) -> SchemaFile | None:
    """Return the services that caikit makes for a module in this process; None if it does not, or takes too long.

    caikit makes them if `runtime.library` is the module's library. The first time takes seconds: use a thread.
    """
    runtime, library = _runtime(), _library_of(module)
    if not runtime or runtime.library != library:
        return None
    generation = runtime.service_generation
    key = library, str(generation), _ids(importlib.import_module("caikit.core.registries").module_registry(), library)
    with _lock:
        if key not in _made:
            _made[key] = _threads.start(_make, library, generation), monotonic()
        making, begun = _made[key]
    try:
        services = making.result(max(begun + PATIENCE - monotonic(), 0))
    except TimeoutError:
        return None
    return services.schema if services is not None and module in services.modules else None


def _ids(registry: dict[str, type], library: str) -> frozenset[str]:
    return frozenset(id for id, module in list(registry.items()) if _library_of(module) == library)


def _make(library: str, generation: Any) -> _Services | None:
    try:
        factory = importlib.import_module("caikit.runtime.service_factory").ServicePackageFactory
        kinds = factory.ServiceType.__members__
        wanted = [kinds[name] for name, option in _OPTIONS.items() if name in kinds and generation.get(option, True)]
        packages = [factory.get_service_package(kind) for kind in wanted]
        data = _descriptor_set(package.descriptor.file for package in packages)
        rpcs = [rpc for package in packages for rpc in package.caikit_rpcs.values()]
        modules = {module for rpc in rpcs for module in rpc.module_list}
    except Exception as error:  # the server can be asked instead
        logger.warning("caikit makes no services of %s here, so servers are asked for theirs: %r", library, error)
        return None
    name = f"caikit's configuration of this process (runtime.library: {library})"
    return _Services(SchemaFile(data, name, "grpc"), frozenset(modules))


def _descriptor_set(files: Iterable[Any]) -> bytes:
    """Return the serialized `FileDescriptorSet` of files and all their imports."""
    from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet  # here, because it loads protobuf

    known: dict[str, FileDescriptorProto] = {}
    waiting = list(files)
    while waiting:
        file = waiting.pop()
        if file.name not in known:
            known[file.name] = FileDescriptorProto.FromString(file.serialized_pb)
            waiting += file.dependencies
    return FileDescriptorSet(file=known.values()).SerializeToString(deterministic=True)


def _after_fork() -> None:
    """Forget in a child process the services that the parent's threads were making."""
    global _lock
    _lock = threading.Lock()
    _made.clear()


_fork.at_fork(after_in_child=_after_fork)
