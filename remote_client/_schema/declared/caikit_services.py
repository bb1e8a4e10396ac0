"""caikit's service packages as a schema, for users who have caikit: what its runtime offers with this process's
configuration. caikit is imported only where the user's process imported it.
"""

from __future__ import annotations

import importlib
import logging
import os
import sys
import threading
from collections.abc import Hashable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass
from time import monotonic
from typing import Any

from ..._concurrency import threads as _threads
from ..schema_file import SchemaFile

PATIENCE = 5.0
"""Seconds that caikit has: it makes the components of `model_management` too, such as finders that dial. What it makes
later is there for the next who asks."""
_SWITCHES = {
    "INFERENCE": "enable_inference",
    "JOB_INFERENCE": "enable_inference_jobs",
    "TRAINING": "enable_training",
    "TRAINING_MANAGEMENT": "enable_training",
    "MODEL_MANAGEMENT": "",
    "INFO": "",
}
"""The kinds of services, and what turns them off in `runtime.service_generation`. caikit 0.26 has no jobs."""
logger = logging.getLogger("remote_client")


@dataclass(frozen=True)
class _Services:
    """The services of a library, and the modules that they call."""

    schema: SchemaFile
    modules: frozenset[type]


_made: dict[Hashable, tuple[Future[_Services | None], float]] = {}
"""What was made and when that was begun, by what it was made of. It is kept: caikit adds to protobuf's own pool, which
forgets nothing."""
_lock = threading.Lock()


def why_none(module: type) -> str:
    """Return why caikit makes no services here that call a caikit module; empty where it does, or logs why not."""
    caikit: Any = sys.modules.get("caikit")
    runtime = caikit and caikit.get_config().runtime
    configured, library = runtime and runtime.library, _library_of(module)
    if configured == library:
        return ""
    return f"caikit's runtime.library is {configured or 'not set'} here, and {module.__name__} is of {library}"


def _library_of(module: type) -> str:
    return module.__module__.partition(".")[0]


def services_of(module: type) -> SchemaFile | None:
    """Return the services that call a caikit module, as caikit makes them here; None where it does not, or not soon.

    It does where `runtime.library` is the module's library. The first time that takes a while: use a thread.
    """
    caikit: Any = sys.modules.get("caikit")
    runtime = caikit and caikit.get_config().runtime
    library = _library_of(module)
    if not runtime or runtime.library != library:
        return None
    generation = runtime.service_generation
    key = library, str(generation), _ids(caikit.core.registries.module_registry(), library)
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
    return frozenset(id for id, each in list(registry.items()) if each.__module__.partition(".")[0] == library)


def _make(library: str, generation: Any) -> _Services | None:
    try:
        factory = importlib.import_module("caikit.runtime.service_factory").ServicePackageFactory
        kinds = factory.ServiceType.__members__
        wanted = [kinds[each] for each, switch in _SWITCHES.items() if each in kinds and generation.get(switch, True)]
        packages = [factory.get_service_package(each) for each in wanted]
        data = _descriptor_set(each.descriptor.file for each in packages)
        modules = {each for package in packages for rpc in package.caikit_rpcs.values() for each in rpc.module_list}
    except Exception as error:  # whatever caikit raises: the server can be asked instead
        logger.warning("caikit makes no services of %s here, so servers are asked for theirs: %r", library, error)
        return None
    name = f"caikit's configuration of this process (runtime.library: {library})"
    return _Services(SchemaFile(data, name, "grpc"), frozenset(modules))


def _descriptor_set(files: Iterable[Any]) -> bytes:
    """Return the serialized `FileDescriptorSet` of files and all that they import."""
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
    """Forget in a child what its parent's threads were making."""
    global _lock
    _lock = threading.Lock()
    _made.clear()


os.register_at_fork(after_in_child=_after_fork)
