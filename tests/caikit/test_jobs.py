"""Prediction jobs of remote modules, by the service of jobs: over both protocols."""

from __future__ import annotations

from typing import Any

import grpc
import pytest
from caikit.interfaces.common.data_model import ConnectionInfo
from caikit.interfaces.runtime.data_model import PredictionJob
from caikit.runtime.names import ServiceType
from caikit.runtime.types.caikit_runtime_exception import CaikitRuntimeException
from sample_lib.data_model import SampleInputType
from sample_lib.modules import SampleModule

from remote_client.caikit import RemoteModuleConfig, RemoteRPCDescriptor, construct_remote_module_class
from remote_client.errors import InputError, JobFailedError
from remote_client.sync import RemoteClient

from ..support.runtime import Runtime
from .gateways import PROTOCOLS, Protocol, connection_of


@pytest.fixture(params=PROTOCOLS)
def protocol(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def config(runtime: Runtime, protocol: Protocol) -> RemoteModuleConfig:
    info = ConnectionInfo(**connection_of(runtime, protocol))
    return RemoteModuleConfig.load_from_module(SampleModule, info, protocol, "mm-model-id", "foo")


@pytest.fixture
def module(config: RemoteModuleConfig) -> Any:
    made: Any = construct_remote_module_class(config)
    return made(config.connection, config.protocol, config.model_key, config.model_path)


def method_of(config: RemoteModuleConfig, name: str) -> RemoteRPCDescriptor:
    ((_, methods),) = config.task_methods
    return next(method for method in methods if method.signature.method_name == name)


def start(module: Any, method: RemoteRPCDescriptor, *args: Any, **kwargs: Any) -> Any:
    return module.remote_method_request(method, ServiceType.JOB_INFERENCE, *args, **kwargs)


def job_of(runtime: Runtime, protocol: Protocol, id: str) -> Any:
    with RemoteClient(runtime.target if protocol == "grpc" else runtime.http_target) as client:
        job = client.prediction_job("SampleTask", id)
        job.wait()
        return job.result()


def test_a_job(runtime: Runtime, protocol: Protocol, config: RemoteModuleConfig, module: Any) -> None:
    job = start(module, method_of(config, "run"), SampleInputType("x"))
    assert type(job) is PredictionJob
    assert job_of(runtime, protocol, job.prediction_id).greeting == "Hello x"


def test_a_method_may_be_named_as_the_service_names_it(
    runtime: Runtime, protocol: Protocol, config: RemoteModuleConfig, module: Any
) -> None:
    method = method_of(config, "run")
    method.rpc_name = "SampleTaskStartPredictionJob"
    job = start(module, method, sample_input=SampleInputType("x"))
    assert job_of(runtime, protocol, job.prediction_id).greeting == "Hello x"


def test_a_job_that_fails(runtime: Runtime, protocol: Protocol, config: RemoteModuleConfig, module: Any) -> None:
    job = start(module, method_of(config, "run"), SampleInputType("x"), throw=True)
    with pytest.raises(JobFailedError, match="barf!"):
        job_of(runtime, protocol, job.prediction_id)


def test_what_no_job_can_be(config: RemoteModuleConfig, module: Any) -> None:
    with pytest.raises(CaikitRuntimeException, match="has no jobs of methods with streams") as caught:
        start(module, method_of(config, "run_stream_out"), SampleInputType("x"))
    assert caught.value.status_code is grpc.StatusCode.UNIMPLEMENTED
    with pytest.raises(InputError, match="sample_input"):
        start(module, method_of(config, "run"))
