"""How caikit comes to know the classes: by a configuration alone, by an import, and beside caikit's own client.

caikit's configuration and what is imported belong to a process, so most of these are scripts.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest
from caikit.core.model_management import model_finder_factory, model_initializer_factory, model_trainer_factory

import remote_client.caikit
from remote_client.caikit import RemoteModelFinder

from ..support.runtime import Runtime
from .gateways import connection_of, management

HERE = Path(__file__).parent.parent
FACTORIES: Any = {
    "RemoteModelFinder": model_finder_factory,
    "RemoteModelInitializer": model_initializer_factory,
    "RemoteModelTrainer": model_trainer_factory,
}


def answer_of(script: str, *arguments: Any) -> Any:
    """Run a script in a process of its own, with its arguments as JSON, and return what it prints as JSON."""
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *map(json.dumps, arguments)],
        env={**os.environ, "PYTHONPATH": f"{HERE / 'runtime'}:{HERE.parent}"},
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


def configured(script: str, model_management: dict[str, Any], *arguments: Any) -> Any:
    """Run a script in which caikit is configured, as `answer_of` does; `arguments` has its further arguments."""
    before = """
        import json, sys
        import caikit.config

        config, *arguments = map(json.loads, sys.argv[1:])
        caikit.config.configure(config_dict=config)
        import caikit, sample_lib
        from sample_lib.data_model import SampleInputType
    """
    config = {
        "merge_strategy": "merge",
        "log": {"level": "error"},
        "runtime": {"library": "sample_lib"},
        "model_management": model_management,
    }
    return answer_of(textwrap.dedent(before) + textwrap.dedent(script), config, *arguments)


def test_the_configuration_alone_switches_a_deployment(runtime: Runtime) -> None:
    """`import_class` is all that names this package; the application only loads models."""
    ours = "remote_client.caikit.RemoteModel"
    connection = connection_of(runtime, "grpc")
    parts = {
        "finders": {
            "default": {
                "type": "REMOTE_CLIENT",
                "import_class": f"{ours}Finder",
                "config": {"connection": connection},
            }
        },
        "initializers": {"default": {"type": "REMOTE_CLIENT", "import_class": f"{ours}Initializer"}},
    }
    script = """
        model = caikit.load("foo")
        single = caikit.load("foo", load_singleton=True)
        try:
            unknown = caikit.load("nothing")
        except ValueError as error:
            unknown = str(error)
        print(json.dumps([
            model.run(SampleInputType(name="x")).greeting,
            single is caikit.load("foo", load_singleton=True),
            unknown,
        ]))
    """
    greeting, is_single, unknown = configured(script, parts)
    assert (greeting, is_single) == ("Hello x", True)
    assert "Unable to find a ModuleConfig for nothing" in unknown


@pytest.mark.parametrize("name", FACTORIES)
def test_an_import_registers_the_parts(name: str) -> None:
    config = {"type": "REMOTE_CLIENT", "config": {"connection": {"hostname": "localhost"}}}
    made = FACTORIES[name].construct(config, "tested")
    assert type(made) is getattr(remote_client.caikit, name)


@pytest.mark.parametrize("name", FACTORIES)
def test_a_part_is_imported_and_registered_again(name: str) -> None:
    """As the configuration of several finders has it."""
    config = {
        "type": "REMOTE_CLIENT",
        "import_class": f"remote_client.caikit.{name}",
        "config": {"connection": {"hostname": "localhost"}},
    }
    one, other = (FACTORIES[name].construct(config, instance) for instance in ("one", "other"))
    assert type(one) is type(other)
    assert one is not other


def test_a_subclass_has_a_type_of_its_own() -> None:
    class Own(RemoteModelFinder):
        name = "REGISTERED_BY_A_TEST"

    model_finder_factory.register(Own)
    made = model_finder_factory.construct(
        {"type": Own.name, "config": {"connection": {"hostname": "localhost"}}}, "own"
    )
    assert type(made) is Own


@pytest.mark.parametrize("order", [["ours", "caikit's"], ["caikit's", "ours"]], ids=" before ".join)
def test_caikits_own_client_serves_in_the_same_process(runtime: Runtime, order: list[str]) -> None:
    """Both make classes of the same modules, whichever is imported and used first."""
    connection = connection_of(runtime, "grpc")
    types = {"ours": "REMOTE_CLIENT", "caikit's": "REMOTE"}
    parts = {
        "finders": {name: {"type": type, "config": {"connection": connection}} for name, type in types.items()},
        "initializers": {name: {"type": type} for name, type in types.items()},
    }
    script = """
        import importlib
        from caikit.runtime.names import ServiceType
        from caikit.runtime.service_factory import ServicePackageFactory

        (order,) = arguments
        for name in order:
            importlib.import_module({"ours": "remote_client.caikit", "caikit's": "caikit.runtime.client"}[name])
        ServicePackageFactory.get_service_package(ServiceType.INFERENCE)  # caikit's client needs it made before
        told = []
        for name in [*order, "ours"]:
            model = caikit.load("foo", finder=name, initializer=name)
            answer = model.run(SampleInputType(name=name))
            told.append([type(model).__mro__[1].__module__, model.MODULE_ID, answer.greeting])
        print(json.dumps(told))
    """
    modules = {"ours": "remote_client.caikit", "caikit's": "caikit.runtime.client.remote_module_base"}
    id = f"{runtime.models['foo']}-remote"
    expected = [[modules[name], id, f"Hello {name}"] for name in [*order, "ours"]]
    assert configured(script, parts, order) == expected


def test_finders_of_several_types_are_asked_in_turn(runtime: Runtime) -> None:
    """By caikit's `type: MULTI`, local ones first."""
    script = """
        import pathlib, tempfile

        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "config.yml")
            path.write_text(f"module_id: {sample_lib.modules.SampleModule.MODULE_ID}")
            models = caikit.load(folder), caikit.load("zoo"), caikit.load("foo")
        print(json.dumps([type(model).__name__.rstrip("0123456789") for model in models]))
    """
    parts = management(connection_of(runtime, "grpc"), "grpc")
    assert configured(script, parts) == ["SampleModule", "RemoteModelClass", "RemoteModelClass"]


def test_nothing_else_of_the_package_imports_caikit() -> None:
    script = """
        import importlib, json, pkgutil, sys
        import remote_client

        def walk(package):
            for found in pkgutil.iter_modules(package.__path__, package.__name__ + "."):
                if found.name == "remote_client.caikit" or found.name.endswith("__main__"):
                    continue
                try:
                    module = importlib.import_module(found.name)
                except ImportError as error:
                    missing.append(error.name)
                    continue
                if found.ispkg:
                    walk(module)

        missing = []
        walk(remote_client)
        print(json.dumps({name.partition(".")[0]: True for name in (*missing, *sys.modules)}))
    """
    imported = answer_of(script)
    assert {"remote_client", "grpc", "pydantic", "cyclopts"} <= imported.keys()  # it looked everywhere
    assert "caikit" not in imported
