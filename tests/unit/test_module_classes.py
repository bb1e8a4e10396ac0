"""Configurations that are equal make modules of one class."""

from __future__ import annotations

import gc
import weakref
from dataclasses import dataclass, replace
from typing import Any
from unittest import mock

import pytest

from remote_client import RemoteModelInitializer, RemoteModuleBase, RemoteModuleConfig, construct_remote_module_class
from remote_client import sync as blocking
from remote_client._schema.protobuf import services as protobuf_services
from remote_client._schema.rpc import ServiceDescription
from remote_client.declare import module, taskmethod
from remote_client.settings import ConnectionInfo, Protocol
from tests.support.growth import calls, exponent
from tests.support.task_library import task_files
from tests.support.wire_library import SERVICE, library_files


@dataclass
class SampleInputType:
    name: str


@dataclass
class SampleOutputType:
    greeting: str


@module(name="Greeter", task="SampleTask")
class Greeter(RemoteModuleBase):
    """Greets."""

    @taskmethod()
    async def greet(self, sample_input: SampleInputType) -> SampleOutputType:
        raise NotImplementedError


CONNECTION = ConnectionInfo(hostname="localhost", port=1)
INITIALIZERS: list[Any] = [RemoteModelInitializer, blocking.RemoteModelInitializer]
CONSTRUCTORS: list[Any] = [construct_remote_module_class, blocking.construct_remote_module_class]


def described() -> ServiceDescription:
    return protobuf_services.describe(library_files(), [SERVICE])


def learned(description: ServiceDescription) -> RemoteModuleConfig:
    """A configuration as a finder makes it, each time anew."""
    tasks = [(task.name, list(task.methods)) for task in description.tasks.values()]
    return RemoteModuleConfig(CONNECTION, "grpc", "mm-model-id", tasks, "foo")


def loaded(protocol: Protocol) -> RemoteModuleConfig:
    return RemoteModuleConfig.load_from_module(Greeter, CONNECTION, protocol, "mm-model-id", "foo")


def declared(description: ServiceDescription) -> RemoteModuleConfig:
    config = learned(description)
    config.declare(Greeter, description)
    return config


@pytest.mark.parametrize("make", INITIALIZERS)
def test_learned_modules_of_equal_configurations_share_a_class(make: Any) -> None:
    description = described()
    one, other = make().init(learned(description)), make().init(learned(description))
    assert type(one) is type(other)
    assert one is not other


@pytest.mark.parametrize("make", CONSTRUCTORS)
@pytest.mark.parametrize("protocol", ["grpc", "http"])
def test_loaded_modules_of_equal_configurations_share_a_class(protocol: Protocol, make: Any) -> None:
    assert make(loaded(protocol)) is make(loaded(protocol))


@pytest.mark.parametrize("make", CONSTRUCTORS)
def test_declared_modules_of_equal_configurations_share_a_class(make: Any) -> None:
    description = described()
    assert make(declared(description)) is make(declared(description))


@pytest.mark.parametrize("make", CONSTRUCTORS)
def test_what_differs_has_a_class_of_its_own(make: Any) -> None:
    description = described()
    config = learned(description)
    others = [
        replace(config, model_path="bar"),
        replace(config, module_name="Other"),
        replace(config, module_id="other"),
        replace(config, connection=CONNECTION.replace(port=2)),
        replace(config, task_methods=[("SampleTask", config.task_methods[0][1][:1])]),
        replace(config, tasks_known=True),
        learned(described()),  # another server may mean something else by the same names
        declared(description),
        loaded("grpc"),
        loaded("http"),
    ]
    assert len({make(each) for each in [config, *others]}) == 1 + len(others)


@pytest.mark.parametrize("make", CONSTRUCTORS)
def test_a_class_goes_with_its_last_module(make: Any) -> None:
    kept = weakref.ref(make(learned(described())))
    gc.collect()
    assert kept() is None


@pytest.mark.parametrize("make", CONSTRUCTORS)
def test_models_of_the_same_tasks_share_methods(make: Any) -> None:
    description = described()
    one, other = make(learned(description)), make(replace(learned(description), model_path="bar"))
    assert one is not other
    assert one.run_sample is other.run_sample
    assert "'bar'" in other.__doc__
    assert "run_sample" in other.__doc__
    renamed = make(replace(learned(description), module_name="Other"))
    assert renamed.run_sample.__qualname__ == "Other.run_sample"


@pytest.mark.parametrize("make", CONSTRUCTORS)
def test_methods_that_tell_of_the_model_are_its_own(make: Any) -> None:
    config = learned(described())
    (task,) = config.task_methods
    config.task_methods = [task, ("OtherTask", task[1])]  # two tasks with the same names of methods
    one, other = make(config), make(replace(config, model_path="bar"))
    assert "'foo'" in one.run_sample.__doc__
    assert "'bar'" in other.run_sample.__doc__


@pytest.mark.parametrize("make", CONSTRUCTORS)
def test_a_patched_method_is_that_of_one_model(make: Any) -> None:
    description = described()
    one, other = make(learned(description)), make(replace(learned(description), model_path="bar"))
    with mock.patch.object(one, "run_sample") as patched:
        assert one.run_sample is patched
        assert other.run_sample is not patched
    assert one.run_sample is other.run_sample


def test_calls_for_another_model_do_not_grow_faster_than_the_tasks() -> None:
    def cost(tasks: int) -> int:
        files = task_files(tasks)
        description = protobuf_services.describe_lazily(
            [file.SerializeToString() for file in files.values()], [SERVICE]
        )
        kept = construct_remote_module_class(learned(description))
        other = replace(learned(description), model_path="bar")
        found = calls(lambda: construct_remote_module_class(other))
        assert kept
        return found

    cost(2)
    assert exponent(cost, 20) < 1.1
