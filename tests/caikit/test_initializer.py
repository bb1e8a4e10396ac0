"""`RemoteModelInitializer` and `construct_remote_module_class`: the classes of modules, and what overrides them."""

from __future__ import annotations

import inspect
import pickle
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from aconfig import Config
from caikit.core import ModuleBase, TaskBase
from caikit.core.data_model import DataStream
from caikit.core.model_management import ModelInitializerBase
from caikit.core.modules import ModuleConfig
from caikit.interfaces.common.data_model import ConnectionInfo
from caikit.runtime.names import ServiceType
from caikit.runtime.types.caikit_runtime_exception import CaikitRuntimeException
from sample_lib.data_model import SampleInputType, SampleOutputType
from sample_lib.modules import GeoModule, PrefixModule, SampleModule, SamplePrimitiveModule, SampleTask

from remote_client.caikit import (
    RemoteModelFinder,
    RemoteModelInitializer,
    RemoteModuleBase,
    RemoteModuleConfig,
    RemoteRPCDescriptor,
    construct_remote_module_class,
)
from remote_client.errors import InputError

from ..support.runtime import SAMPLE_MODELS, Runtime
from .gateways import PROTOCOLS, Protocol, connection_of
from .relay import Relay

X = SampleInputType(name="x")
NOBODY = ConnectionInfo(hostname="localhost", port=1)


@pytest.fixture(params=PROTOCOLS)
def protocol(request: pytest.FixtureRequest) -> Protocol:
    return request.param


@pytest.fixture
def initializer() -> RemoteModelInitializer:
    return RemoteModelInitializer(Config({}), "tested")


def config_of(
    module: type[ModuleBase] = SampleModule,
    connection: ConnectionInfo = NOBODY,
    protocol: Protocol = "grpc",
    model: str = "foo",
) -> RemoteModuleConfig:
    return RemoteModuleConfig.load_from_module(module, connection, protocol, "mm-model-id", model)


def reachable(runtime: Runtime, protocol: Protocol = "grpc", model: str = "foo") -> RemoteModuleConfig:
    return config_of(connection=ConnectionInfo(**connection_of(runtime, protocol)), protocol=protocol, model=model)


# The initializer.


def test_it_is_one_of_caikits() -> None:
    initializer = RemoteModelInitializer(config=Config({}), instance_name="tested")
    assert isinstance(initializer, ModelInitializerBase)
    assert initializer.name == "REMOTE_CLIENT"


def test_a_found_model_is_called(runtime: Runtime, protocol: Protocol, initializer: RemoteModelInitializer) -> None:
    connection = connection_of(runtime, protocol)
    finder = RemoteModelFinder(Config({"connection": connection, "protocol": protocol}), "tested")
    model: Any = initializer.init(finder.find_model("foo"))
    assert isinstance(model, ModuleBase)
    assert isinstance(model, RemoteModuleBase)
    answer = model.run(X, throw=False)
    assert isinstance(answer, SampleOutputType)
    assert answer.greeting == "Hello x"


def test_the_configuration_of_a_local_model_is_left_to_others(initializer: RemoteModelInitializer) -> None:
    assert initializer.init(ModuleConfig({"module_id": SampleModule.MODULE_ID})) is None


def test_more_arguments_are_ignored(initializer: RemoteModelInitializer) -> None:
    """caikit passes on what `load` is given."""
    assert initializer.init(model_config=config_of(), load_backends=None) is not None


def test_nothing_is_sent_before_the_first_call(initializer: RemoteModelInitializer) -> None:
    with Relay() as relay:
        model: Any = initializer.init(config_of(connection=ConnectionInfo(hostname="127.0.0.1", port=relay.port)))
        model.run_stream_out(X)
        assert relay.accepted == 0


def test_models_of_a_module_share_its_class(runtime: Runtime, initializer: RemoteModelInitializer) -> None:
    foo, bar = (initializer.init(reachable(runtime, model=name)) for name in ("foo", "bar"))
    assert type(foo) is type(bar)
    assert (foo.model_name, bar.model_name) == ("foo", "bar")
    assert foo.run(X).greeting == bar.run(X).greeting == "Hello x"


def test_models_of_other_modules_have_other_classes(initializer: RemoteModelInitializer) -> None:
    first, second = (initializer.init(config_of(module)) for module in (SampleModule, SamplePrimitiveModule))
    ids = [type(model).MODULE_ID for model in (first, second)]
    assert ids == [f"{SAMPLE_MODELS[name]}-remote" for name in ("foo", "primitive")]
    assert not hasattr(second, "run_stream_out")


def test_many_threads_get_one_class(initializer: RemoteModelInitializer) -> None:
    start = threading.Barrier(8)

    def made(_: int) -> type:
        start.wait()
        return type(initializer.init(config_of()))

    with ThreadPoolExecutor(8) as pool:
        assert len({*pool.map(made, range(8))}) == 1


def test_two_initializers_make_a_class_each() -> None:
    classes = [type(RemoteModelInitializer({}, name).init(config_of())) for name in ("one", "other")]
    assert classes[0] is not classes[1]
    assert classes[0].MODULE_ID == classes[1].MODULE_ID


# The class of a module.


def test_a_class_is_a_module_of_caikit() -> None:
    made: Any = construct_remote_module_class(config_of())
    assert issubclass(made, RemoteModuleBase)
    described = (made.MODULE_ID, made.MODULE_NAME, made.MODULE_VERSION)
    assert described == (f"{SampleModule.MODULE_ID}-remote", "SampleModule Remote", "0.0.0")
    assert made.BACKEND_TYPE == "LOCAL"
    assert made.tasks == [SampleTask]


@pytest.mark.parametrize("module", [SampleModule, PrefixModule, GeoModule], ids=lambda module: module.__name__)
def test_a_class_has_the_methods_of_the_local_module(module: Any) -> None:
    made: Any = construct_remote_module_class(config_of(module))
    assert made.tasks == module.tasks
    for task in module.tasks:
        local, remote = module.get_inference_signatures(task), made.get_inference_signatures(task)
        assert [kinds for *kinds, _ in remote] == [kinds for *kinds, _ in local]
        for (*_, of_local), (*_, of_remote) in zip(local, remote, strict=True):
            assert of_remote.method_name == of_local.method_name
            assert of_remote.parameters == of_local.parameters
            assert of_remote.default_parameters == of_local.default_parameters
            assert of_remote.return_type == of_local.return_type


def test_methods_have_names_and_signatures() -> None:
    made: Any = construct_remote_module_class(config_of())
    assert made.run.__name__ == "run"
    assert inspect.signature(made.run) == inspect.signature(SampleModule.run)
    assert inspect.signature(made.train).parameters == inspect.signature(SampleModule.train).parameters


def test_a_module_without_training_has_none() -> None:
    assert "train" not in vars(construct_remote_module_class(config_of(GeoModule)))


def test_an_instance_takes_what_caikits_takes(runtime: Runtime, protocol: Protocol) -> None:
    made: Any = construct_remote_module_class(model_config=config_of())
    connection = ConnectionInfo(**connection_of(runtime, protocol))
    model = made(connection_info=connection, protocol=protocol, model_key="mm-model-id", model_name="foo")
    assert model.run(X).greeting == "Hello x"


def test_a_replaced_configuration_counts(runtime: Runtime, initializer: RemoteModelInitializer) -> None:
    config = config_of(model="no such model")
    config.connection, config.model_path, config.module_id = reachable(runtime).connection, "foo", "own id"
    model: Any = initializer.init(config)
    assert model.MODULE_ID == "own id"
    assert model.run(X).greeting == "Hello x"


NAMES = ["mödel 日本", " blank "]
"""Names that metadata cannot carry."""


@pytest.mark.parametrize("name", NAMES)
def test_http_names_any_model(runtime: Runtime, initializer: RemoteModelInitializer, name: str) -> None:
    model: Any = initializer.init(reachable(runtime, "http", name))
    with pytest.raises(CaikitRuntimeException, match=f"Model {name} not found"):
        model.run(X)


@pytest.mark.parametrize("name", ["", "two\nlines", *NAMES])
def test_grpc_refuses_names_that_would_arrive_changed(initializer: RemoteModelInitializer, name: str) -> None:
    with pytest.raises(InputError, match="cannot be sent: metadata takes printable ASCII names"):
        initializer.init(config_of(model=name))


def test_a_configuration_is_pickled_after_calls(runtime: Runtime, initializer: RemoteModelInitializer) -> None:
    config = reachable(runtime)
    before: Any = initializer.init(config)
    assert before.run(X).greeting == "Hello x"
    after: Any = initializer.init(pickle.loads(pickle.dumps(config)))
    assert after.run(X).greeting == "Hello x"


def test_a_class_can_be_made_again() -> None:
    first, second = (construct_remote_module_class(config_of()) for _ in range(2))
    assert first is not second
    assert len(first.get_inference_signatures(SampleTask)) == len(second.get_inference_signatures(SampleTask)) == 4


# What subclasses override.


class Recording(RemoteModuleBase):
    """Writes its calls down."""

    calls: list[Any]

    def remote_method_request(
        self, method: RemoteRPCDescriptor, service_type: ServiceType, *args: Any, **kwargs: Any
    ) -> Any:
        self.__dict__.setdefault("calls", []).append((method.rpc_name, service_type.name, args, kwargs))
        return super().remote_method_request(method, service_type, *args, **kwargs)


class OwnInitializer(RemoteModelInitializer):
    """Makes the classes of modules from another base."""

    name = "OWN"

    def construct_module_class(self, model_config: RemoteModuleConfig) -> type[ModuleBase]:
        return construct_remote_module_class(model_config, model_class=Recording)


def test_an_initializer_chooses_the_class(runtime: Runtime, protocol: Protocol) -> None:
    model: Any = OwnInitializer({}, "own").init(reachable(runtime, protocol))
    assert isinstance(model, Recording)
    assert model.run(X, throw=False).greeting == "Hello x"
    ((rpc_name, service, args, kwargs),) = model.calls
    assert (rpc_name, service, args) == ("SampleTaskPredict", "INFERENCE", (X,))
    assert kwargs == {"throw": False}


def test_all_methods_call_remote_method_request(runtime: Runtime) -> None:
    model: Any = OwnInitializer({}, "own").init(reachable(runtime))
    inputs = DataStream.from_iterable([X])
    model.run(X)
    assert [item.greeting for item in model.run_stream_out(X, count=1)] == ["Hello x 0"]
    assert model.run_stream_in(inputs).greeting.endswith("x")
    assert [item.greeting for item in model.run_bidi_stream(inputs)] == ["Hello x"]
    kinds = ["", "ServerStreaming", "ClientStreaming", "BidiStreaming"]
    assert [rpc_name for rpc_name, *_ in model.calls] == [f"{kind}SampleTaskPredict" for kind in kinds]


def test_a_training_calls_remote_method_request() -> None:
    class Trained:
        model_name = "trained"

    class Training(RemoteModuleBase):
        def remote_method_request(self, method: RemoteRPCDescriptor, service_type: ServiceType, **kwargs: Any) -> Any:
            type(self).request = (method.rpc_name, service_type.name, sorted(kwargs))
            return Trained

    made: Any = construct_remote_module_class(config_of(), Training)
    model = made(NOBODY, "grpc", "mm-model-id", "foo")
    trained = model.train(training_data=[X], union_list=["a"], _model_name="own")
    assert made.request == ("SampleTaskSampleModuleTrain", "TRAINING", ["model_name", "output_path", "parameters"])
    assert type(trained) is made
    assert trained.model_name == "trained"


def test_generators_of_functions_are_overridden() -> None:
    made_of: list[Any] = []

    class Generating(RemoteModuleBase):
        @classmethod
        def generate_inference_function(cls, task: type[TaskBase], method: RemoteRPCDescriptor) -> Callable[..., Any]:
            made_of.append((task, method.rpc_name))
            return super().generate_inference_function(task, method)

        @classmethod
        def generate_train_function(cls, method: RemoteRPCDescriptor) -> Callable[..., Any]:
            made_of.append(method.rpc_name)

            def train(self: Any) -> str:
                return f"no training of {self.model_name}"

            return train

    made: Any = construct_remote_module_class(config_of(), Generating)
    assert made_of[0] == "SampleTaskSampleModuleTrain"
    assert made_of[1] == (SampleTask, "SampleTaskPredict")
    assert len(made_of) == 5
    assert made(NOBODY, "grpc", "mm-model-id", "foo").train() == "no training of foo"


def test_members_of_the_base_are_kept() -> None:
    class Rich(RemoteModuleBase):
        LIMIT = 5

        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            self.made = True

        @property
        def shouted(self) -> str:
            return self.model_name.upper()

    made: Any = construct_remote_module_class(config_of(), Rich)
    model = made(NOBODY, "grpc", "mm-model-id", "foo")
    assert (model.LIMIT, model.made, model.shouted) == (5, True, "FOO")


def test_a_class_adds_nothing_to_the_services_of_the_base_s_library() -> None:
    class InLibrary(RemoteModuleBase):
        __module__ = "sample_lib.remote"

    made = construct_remote_module_class(config_of(), InLibrary)
    assert made.__module__.partition(".")[0] != "sample_lib"
    assert len(made.get_inference_signatures(SampleTask)) == 4
