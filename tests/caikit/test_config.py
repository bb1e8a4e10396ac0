"""`RemoteModuleConfig` and `RemoteRPCDescriptor`: what is known of a remote model by the class of its module.

The annotations are no strings: caikit reads those of modules.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any, Optional, Union

import pytest
from caikit.core import ModuleBase, TaskBase, module, task
from caikit.core.data_model import DataStream
from caikit.core.modules import ModuleConfig
from caikit.core.signature_parsing import CaikitMethodSignature
from caikit.interfaces.common.data_model import ConnectionInfo
from caikit.runtime.service_generation.rpcs import ModuleClassTrainRPC, TaskPredictRPC
from sample_lib.data_model import Place, SampleInputType, SampleOutputType
from sample_lib.modules import GeoModule, GeoSpatialTask, PrefixModule, SampleModule, SampleTask

import remote_client
from remote_client.caikit import RemoteModelInitializer, RemoteModuleConfig, RemoteRPCDescriptor

from ..support.runtime import Runtime
from .gateways import PROTOCOLS, Protocol, connection_of

CONNECTION = ConnectionInfo(hostname="models.example.com", port=8085)


def config_of(reference: Any, **changes: Any) -> RemoteModuleConfig:
    given = {"connection_info": CONNECTION, "protocol": "grpc", "model_key": "mm-model-id", "model_path": "foo"}
    return RemoteModuleConfig.load_from_module(reference, **{**given, **changes})


def test_the_attributes_of_a_configuration() -> None:
    config = RemoteModuleConfig.load_from_module(SampleModule, CONNECTION, "http", "x-model", "foo")
    assert isinstance(config, ModuleConfig)
    assert config.connection == CONNECTION  # a copy: `aconfig` makes one
    assert (config.protocol, config.model_key, config.model_path) == ("http", "x-model", "foo")
    assert config.module_id == f"{SampleModule.MODULE_ID}-remote"
    assert config.module_name == "SampleModule Remote"
    assert [task for task, _ in config.task_methods] == [SampleTask]


def test_attributes_can_be_replaced() -> None:
    config = config_of(SampleModule)
    config.module_id, config.model_path = "mine", "bar"
    assert (config.module_id, config["module_id"], config.model_path) == ("mine", "mine", "bar")


@pytest.mark.parametrize(
    "reference", [SampleModule, SampleModule(), SampleModule.MODULE_ID], ids=["class", "instance", "id"]
)
def test_a_module_is_named_by_class_instance_or_id(reference: Any) -> None:
    assert config_of(reference).module_name == "SampleModule Remote"


@pytest.mark.parametrize("ending", ["-remote", "-remote-remote"])
def test_the_module_of_a_gateway_is_the_local_one(ending: str) -> None:
    """A gateway lists its models with the ids of remote modules."""
    config = config_of(SampleModule.MODULE_ID + ending)
    assert config.module_id == f"{SampleModule.MODULE_ID}-remote"


def test_a_local_module_may_have_the_id_of_a_remote_one() -> None:
    @module(id=f"{GeoModule.MODULE_ID}-remote", name="Own", version="0.0.1", task=SampleTask)
    class Own(ModuleBase):
        @SampleTask.taskmethod()
        def run(self, sample_input: SampleInputType) -> SampleOutputType:
            raise NotImplementedError

    assert config_of(Own.MODULE_ID).module_name == "Own Remote"


def test_an_unknown_module_is_a_key_error() -> None:
    with pytest.raises(KeyError, match="no-such-id"):
        config_of("no-such-id")


@pytest.mark.parametrize("reference", [5, None, SampleTask, object()], ids=["int", "None", "task", "object"])
def test_what_names_no_module_is_a_type_error(reference: Any) -> None:
    with pytest.raises(TypeError, match="module_reference: expected the class"):
        config_of(reference)


def test_a_name_must_be_text() -> None:
    with pytest.raises(TypeError, match="model_path: expected str, not int"):
        config_of(SampleModule, model_path=5)


def test_settings_of_either_kind_stay_as_they_are() -> None:
    ours = remote_client.ConnectionInfo(hostname="models.example.com", timeout=0.5, max_pending=7)
    assert config_of(SampleModule, connection_info=ours).connection is ours


def test_a_subclass_is_made() -> None:
    class OwnConfig(RemoteModuleConfig):
        pass

    assert type(OwnConfig.load_from_module(SampleModule, CONNECTION, "grpc", "mm-model-id", "foo")) is OwnConfig


# Methods.


def test_the_methods_of_all_kinds() -> None:
    ((_, methods),) = config_of(SampleModule).task_methods
    assert all(isinstance(method, RemoteRPCDescriptor) for method in methods)
    told = {
        (method.input_streaming, method.output_streaming): (
            method.signature.method_name,
            method.rpc_name,
            method.request_dm_name,
            method.response_dm_name,
        )
        for method in methods
    }
    answer = "SampleOutputType"
    assert told == {
        (False, False): ("run", "SampleTaskPredict", "SampleTaskRequest", answer),
        (False, True): (
            "run_stream_out",
            "ServerStreamingSampleTaskPredict",
            "ServerStreamingSampleTaskRequest",
            answer,
        ),
        (True, False): (
            "run_stream_in",
            "ClientStreamingSampleTaskPredict",
            "ClientStreamingSampleTaskRequest",
            answer,
        ),
        (True, True): ("run_bidi_stream", "BidiStreamingSampleTaskPredict", "BidiStreamingSampleTaskRequest", answer),
    }


@pytest.mark.parametrize("of", [SampleModule, PrefixModule, GeoModule], ids=lambda of: of.__name__)
def test_methods_have_the_names_of_caikits_server(of: type[ModuleBase]) -> None:
    for task_class, methods in config_of(of).task_methods:
        for method in methods:
            served = TaskPredictRPC(task_class, [method.signature], method.input_streaming, method.output_streaming)
            assert (method.rpc_name, method.request_dm_name) == (served.name, served.request.name)


def test_a_task_of_streams_only() -> None:
    ((task_class, (method,)),) = config_of(GeoModule).task_methods
    assert task_class is GeoSpatialTask
    assert (method.input_streaming, method.output_streaming) == (True, True)
    assert method.response_dm_name == Place.__name__


def test_methods_of_several_tasks() -> None:
    names = [[method.rpc_name for method in methods] for _, methods in config_of(PrefixModule).task_methods]
    assert names == [["StreamingTaskPredict"], ["BidiStreamingTaskPredict", "BidiStreamingBidiStreamingTaskPredict"]]


def test_the_training() -> None:
    training = config_of(SampleModule).train_method
    assert training is not None
    served = ModuleClassTrainRPC(SampleModule.TRAIN_SIGNATURE)
    assert (training.rpc_name, training.request_dm_name) == (served.name, served.request.name)
    assert training.signature.method_signature == SampleModule.TRAIN_SIGNATURE.method_signature
    assert (training.input_streaming, training.output_streaming) == (False, False)
    assert training.response_dm_name == "SampleModule"


def test_a_module_without_training() -> None:
    assert config_of(GeoModule).train_method is None


def test_a_descriptor_is_made_of_its_fields() -> None:
    signature = CaikitMethodSignature(SampleModule, "run")
    descriptor = RemoteRPCDescriptor(signature, "Request", "Response", "Predict")
    assert [field.name for field in dataclasses.fields(descriptor)] == [
        "signature",
        "request_dm_name",
        "response_dm_name",
        "rpc_name",
        "input_streaming",
        "output_streaming",
    ]
    assert descriptor == RemoteRPCDescriptor(
        signature=signature,
        request_dm_name="Request",
        response_dm_name="Response",
        rpc_name="Predict",
        input_streaming=False,
        output_streaming=False,
    )
    assert descriptor != dataclasses.replace(descriptor, output_streaming=True)


# Return types as modules write them.


@task(
    unary_parameters={"sample_input": SampleInputType},
    unary_output_type=SampleOutputType,
    streaming_output_type=Iterable[SampleOutputType],
)
class LocalTask(TaskBase):
    """Of this file's modules."""


@module(id="test-config-optional", name="Optional", version="0.0.1", task=LocalTask)
class AnswersOptionally(ModuleBase):
    @LocalTask.taskmethod()
    def run(self, sample_input: SampleInputType) -> Optional[SampleOutputType]:  # noqa: UP045  (caikit knows no other)
        raise NotImplementedError


@module(id="test-config-union", name="Union", version="0.0.1", task=LocalTask)
class AnswersOneOfMany(ModuleBase):
    @LocalTask.taskmethod()
    def run(self, sample_input: SampleInputType) -> Union[str, SampleOutputType, Place]:  # noqa: UP007
        raise NotImplementedError


@module(id="test-config-streams", name="Streams", version="0.0.1", task=LocalTask)
class AnswersInStreams(ModuleBase):
    @LocalTask.taskmethod(output_streaming=True)
    def run(self, sample_input: SampleInputType) -> DataStream[SampleOutputType]:
        raise NotImplementedError


@module(id="test-config-iterables", name="Iterables", version="0.0.1", task=LocalTask)
class AnswersInIterables(ModuleBase):
    @LocalTask.taskmethod(output_streaming=True)
    def run(self, sample_input: SampleInputType) -> Iterable[SampleOutputType]:
        raise NotImplementedError


@pytest.mark.parametrize(
    "of", [AnswersOptionally, AnswersOneOfMany, AnswersInStreams, AnswersInIterables], ids=lambda of: of.__name__
)
def test_the_answer_is_the_data_object_in_the_return_type(of: type[ModuleBase]) -> None:
    """Of a union the first data object, as caikit's servers take it."""
    ((_, (method,)),) = config_of(of).task_methods
    assert method.response_dm_name == "SampleOutputType"


@pytest.mark.parametrize("of", [AnswersOptionally, AnswersOneOfMany], ids=lambda of: of.__name__)
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_method_that_answers_with_a_union_is_called(
    runtime: Runtime, protocol: Protocol, of: type[ModuleBase]
) -> None:
    connection = ConnectionInfo(**connection_of(runtime, protocol))
    config = config_of(of, connection_info=connection, protocol=protocol)
    for _, (method,) in config.task_methods:  # the runtime has no such task
        method.rpc_name, method.request_dm_name = "SampleTaskPredict", "SampleTaskRequest"
    model = RemoteModelInitializer({}, "tested").init(config)
    assert model.run(SampleInputType(name="x")).greeting == "Hello x"


@module(id="test-config-context", name="Context", version="0.0.1", task=LocalTask)
class TakesContext(ModuleBase):
    @LocalTask.taskmethod(context_arg="context")
    def run(self, sample_input: SampleInputType, context: Any = None) -> SampleOutputType:
        raise NotImplementedError


def test_a_method_with_a_context() -> None:
    ((_, (method,)),) = config_of(TakesContext).task_methods
    assert method.signature.context_arg == "context"
