"""What is public: the names that these modules list. Everything else has an underscore.

The names of `remote_client.caikit`, which needs caikit, are looked up by `tests/caikit/test_public_names.py`.
"""

from __future__ import annotations

import ast
import dataclasses
import importlib
import inspect
import pickle
import pkgutil
import pydoc
from pathlib import Path
from typing import Any, get_type_hints

import pytest
from pydantic import TypeAdapter

import remote_client
from remote_client import sync
from tests.support.inside_caikit import NAMES as INSIDE_CAIKIT

CLIENT = {
    "AsyncTransport", "CallOptions", "ConnectionInfo", "ConnectionTlsInfo", "Difference", "FileResponse",
    "FinderConfig", "HealthState", "HealthStatus", "HealthWatch",
    "JobInfo", "JobMethods", "JobStatus", "Links", "ModelInfo", "PredictionJob", "Progress",
    "RemoteCallError", "RemoteClient", "RemoteClientError", "RemoteModelFinder", "RemoteModelInitializer",
    "RemoteModuleBase", "RemoteModuleConfig", "RemoteRPCDescriptor", "RemoteStream", "Response", "RuntimeInfo",
    "Schema", "ServiceDescription", "TaskDescription", "TrainingJob", "__version__",
    "construct_remote_module_class", "errors",
}  # fmt: skip
BULK = {"Done", "Failed", "MapRows", "Progress", "map_frame", "map_rows"}
PUBLIC = {
    "remote_client": CLIENT,
    "remote_client.sync": CLIENT,
    "remote_client.bulk": BULK,
    "remote_client.sync.bulk": BULK,
    "remote_client.ray": {"Predictor"},
    "remote_client.spark": {"predictor"},
    "remote_client.auth": {"BearerToken", "Credentials", "Fetch", "Metadata", "OAuthClientCredentials"},
    "remote_client.declare": {"module", "task", "taskmethod"},
    "remote_client.errors": {
        "AbortedError", "AlreadyExistsError", "CallCancelledError", "ClosedError", "ConfigurationError",
        "DataLossError", "DeadlineExceededError", "FailedPreconditionError", "ForkedError", "InputError",
        "InternalError", "InvalidArgumentError", "InvalidResponseError", "JobCancelledError", "JobError",
        "JobFailedError", "MiddlewareError", "ModelNotFoundError", "NotFoundError", "OutOfRangeError",
        "OutcomeUnknownError", "PermissionDeniedError", "PicklingError", "RemoteCallError", "RemoteClientError",
        "ResourceExhaustedError",
        "ResponseTooLargeError", "SchemaError", "SchemaUnavailableError", "StreamTruncatedError", "TlsError",
        "UnauthenticatedError", "UnavailableError", "UnimplementedError", "UnknownError", "UnsupportedError",
        "WrongLoopError",
    },
    "remote_client.hooks": {"AttemptFailed", "CallEnded", "CallStarted", "Event", "Hook"},
    "remote_client.middleware": {"Answer", "Middleware", "OutgoingCall", "Proceed"},
    "remote_client.opentelemetry": {"OpenTelemetryHook", "instrument", "uninstrument"},
    "remote_client.settings": {
        "CallOptions", "ConnectionInfo", "ConnectionTlsInfo", "Duration", "Engine", "FinderConfig", "MetadataSource",
        "Output", "Protocol", "RetryPolicy", "Secret", "SupportedModel",
    },
    "remote_client.testing": {"Call", "FakeRuntime", "Recorder", "Replay", "record", "replay"},
}  # fmt: skip


def value_of(module: str, name: str) -> Any:
    return getattr(importlib.import_module(module), name)


OBJECTS = [(module, name) for module, names in PUBLIC.items() for name in sorted(names)]
OBJECTS = [each for each in OBJECTS if inspect.isroutine(value_of(*each)) or inspect.isclass(value_of(*each))]
ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("module", PUBLIC)
def test_modules_list_their_public_names(module: str) -> None:
    listed = importlib.import_module(module).__all__
    assert set(listed) == PUBLIC[module]
    assert len(listed) == len(PUBLIC[module])


def test_the_client_inside_caikit_lists_its_public_names() -> None:
    tree = ast.parse((ROOT / "remote_client" / "caikit" / "__init__.py").read_text())
    values = [node.value for node in tree.body if isinstance(node, ast.Assign)]
    assert [sorted(ast.literal_eval(value)) for value in values] == [sorted(INSIDE_CAIKIT)]


def test_other_modules_have_an_underscore() -> None:
    found = {module.name for module in pkgutil.iter_modules(remote_client.__path__)}
    assert {name for name in found if not name.startswith("_")} == {
        module.split(".")[1] for module in [*PUBLIC, "remote_client.caikit"] if module != "remote_client"
    }
    inside = {module.name for module in pkgutil.iter_modules(sync.__path__)} - {"bulk"}
    inside |= {file.stem for file in (ROOT / "remote_client" / "caikit").iterdir() if file.is_file()}
    assert all(name.startswith("_") for name in inside)


def test_the_static_and_the_lazy_names_are_the_same() -> None:
    tree = ast.parse(Path(remote_client.__file__).read_text())
    imports = {
        name.name: (node.module or "", name.name)
        for block in tree.body
        if isinstance(block, ast.If)
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for name in node.names
    }
    lazy = {name: (module, name) for name, module in remote_client._MODULES.items()}
    assert imports == {**lazy, "errors": ("", "errors")}
    assert {*imports, "__version__"} == CLIENT


@pytest.mark.parametrize(("module", "name"), OBJECTS)
def test_objects_name_a_public_module(module: str, name: str) -> None:
    thing = value_of(module, name)
    assert thing.__module__ in PUBLIC
    assert name in PUBLIC[thing.__module__]
    if module == "remote_client.sync" and thing is not getattr(remote_client, name):
        assert thing.__module__ == module
    if isinstance(thing, type):
        assert repr(thing) in (f"<class '{thing.__module__}.{name}'>", f"<enum '{name}'>")


@pytest.mark.parametrize(("module", "name"), OBJECTS)
def test_objects_are_pickled_by_their_public_name(module: str, name: str) -> None:
    thing = value_of(module, name)
    data = pickle.dumps(thing)
    assert thing.__module__.encode() in data
    assert b"._" not in data
    assert pickle.loads(data) is thing


@pytest.mark.parametrize(("module", "name"), OBJECTS)
def test_help_and_sources_are_found(module: str, name: str) -> None:
    thing = value_of(module, name)
    assert name in pydoc.render_doc(thing)
    for function in [thing] if inspect.isfunction(thing) else filter(inspect.isfunction, vars(thing).values()):
        if inspect.unwrap(function).__code__.co_filename.startswith(str(ROOT)):  # dataclasses generate some
            assert inspect.getsource(function)


def test_the_type_hints_of_a_module_configuration_resolve() -> None:
    assert get_type_hints(remote_client.RemoteModuleConfig)["connection"] is remote_client.ConnectionInfo


@pytest.mark.parametrize("name", ["RemoteRPCDescriptor", "TaskDescription", "ServiceDescription"])
def test_the_type_hints_of_descriptions_resolve(name: str) -> None:
    kind: Any = getattr(remote_client, name)
    assert get_type_hints(kind).keys() == {field.name for field in dataclasses.fields(kind)}


@pytest.mark.parametrize("name", ["Difference", "JobInfo", "ModelInfo", "RuntimeInfo"])
def test_values_serve_as_types_of_other_models(name: str) -> None:
    kind: Any = getattr(remote_client, name)
    assert get_type_hints(kind)
    assert TypeAdapter(list[kind]).json_schema()
