"""Trainings on another runtime: of remote modules, and by caikit's own `MODEL_MANAGER`, over both protocols."""

from __future__ import annotations

import asyncio
import os
import random
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
import sample_lib
from caikit.core import MODEL_MANAGER, ModuleConfig
from caikit.core.data_model import DataStream, JobStatus
from caikit.core.exceptions.caikit_core_exception import CaikitCoreException, CaikitCoreStatusCode
from caikit.interfaces.common.data_model.stream_sources import S3Path
from caikit.runtime.types.caikit_runtime_exception import CaikitRuntimeException
from sample_lib.data_model import SampleInputType
from sample_lib.modules import SampleModule

from remote_client import sync
from remote_client.caikit import RemoteModelTrainer, RemoteModuleConfig, _trainings, construct_remote_module_class
from remote_client.errors import ConfigurationError, InputError, NotFoundError, OutcomeUnknownError

from ..support.clock import Stopwatch
from ..support.faulty_proxy import FaultyProxy
from ..support.gate import Gate
from ..support.runtime import Runtime
from .gateways import Gateway, Protocol, client_of, connection_of, port_of

ROWS = [SampleInputType("a"), SampleInputType("b")]
UNKNOWN = "00000000-0000-0000-0000-000000000000"


@pytest.fixture(params=["grpc", "http"])
def protocol(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def name() -> str:
    return f"trained-{uuid.uuid4().hex[:8]}"


def trainer_of(connection: dict[str, Any], protocol: Protocol, name: str = "elsewhere", **more: Any) -> Any:
    return RemoteModelTrainer({"connection": connection, "protocol": protocol, **more}, name)


@pytest.fixture
def trainer(runtime: Runtime, protocol: Protocol) -> Any:
    return trainer_of(connection_of(runtime, protocol), protocol)


def module_of(connection: dict[str, Any], protocol: Protocol) -> Any:
    from caikit.interfaces.common.data_model import ConnectionInfo

    info = ConnectionInfo(**connection)
    config = RemoteModuleConfig.load_from_module(SampleModule, info, protocol, "mm-model-id", "foo")
    made: Any = construct_remote_module_class(config)
    return made(info, protocol, "mm-model-id", "foo")


def trained_with(runtime: Runtime, name: str) -> dict[str, Any]:
    """What the trained model says it was trained with."""
    (file,) = runtime.log.parent.rglob(f"{name}/config.yml")
    return dict(ModuleConfig.load(str(file.parent))["trained"])


def when_there(model: Any) -> Any:
    """Call a model until its training is done."""
    watch = Stopwatch()
    while True:
        try:
            return model.run(SampleInputType("x")).greeting
        except CaikitRuntimeException as error:
            assert error.status_code is grpc.StatusCode.NOT_FOUND
            assert watch.seconds < 10
            time.sleep(0.05)


def start(trainer: Any, name: str | None = None, rows: Any = ROWS, **more: Any) -> Any:
    return MODEL_MANAGER.train(
        SampleModule, training_data=rows, union_list=["x"], trainer=trainer, model_name=name, **more
    )


# -- a remote module's own `train` ------------------------------------------------------------------------------------


def test_a_remote_module_trains(runtime: Runtime, protocol: Protocol, name: str) -> None:
    module = module_of(connection_of(runtime, protocol), protocol)
    model = module.train(ROWS, [1, 2], batch_size=8, note="it", _model_name=name)
    assert type(model) is type(module)
    assert model.model_name == name
    assert when_there(model) == "Hello x"
    told = trained_with(runtime, name)
    assert (told["rows"], told["union_list"], told["batch_size"], told["ratio"]) == (["a", "b"], [1, 2], 8, 0.5)


def test_a_training_of_a_remote_module_is_not_waited_for(runtime: Runtime, protocol: Protocol) -> None:
    module = module_of(connection_of(runtime, protocol), protocol)
    module.train(ROWS, ["x"])
    watch = Stopwatch()
    model = module.train(DataStream.from_iterable(ROWS), ["x"], seconds=1.0)
    assert watch.seconds < 0.5
    assert model.model_name.startswith("foo-")
    with pytest.raises(CaikitRuntimeException) as caught:
        model.run(SampleInputType("x"))
    assert caught.value.status_code is grpc.StatusCode.NOT_FOUND


def test_an_output_path_is_passed_on(runtime: Runtime, protocol: Protocol, name: str) -> None:
    """caikit's local trainer, on the other runtime, refuses S3: it got the path."""
    module = module_of(connection_of(runtime, protocol), protocol)
    with pytest.raises(CaikitRuntimeException, match="S3 output path not supported"):
        module.train(ROWS, ["x"], _model_name=name, _output_path=S3Path(path="there"))


def test_arguments_that_do_not_fit_start_nothing(runtime: Runtime, protocol: Protocol, name: str) -> None:
    module = module_of(connection_of(runtime, protocol), protocol)
    for args, kwargs in (((), {}), ((ROWS, ["x"]), {"sise": 1}), ((ROWS, ["x"]), {"union_list": ["y"]})):
        with pytest.raises(InputError, match=r"train\(\): "):
            module.train(*args, _model_name=name, **kwargs)


async def test_a_start_that_is_lost_is_not_sent_again(runtime: Runtime, protocol: Protocol, name: str) -> None:
    async with FaultyProxy(port_of(runtime, protocol), None, random.Random(1)) as proxy:
        connection = {"hostname": "127.0.0.1", "port": proxy.port, "retries": 3}
        module, trainer = module_of(connection, protocol), trainer_of(connection, protocol)
        await asyncio.to_thread(module.run, SampleInputType("x"))
        proxy.fault = "reset"
        with pytest.raises(CaikitRuntimeException) as caught:
            await asyncio.to_thread(module.train, ROWS, ["x"], _model_name=name)
        cause = caught.value.__cause__
        assert isinstance(cause, OutcomeUnknownError)
        assert cause.model_name == name
        assert caught.value.status_code is cause.code
        proxy.fault = None
        await asyncio.to_thread(module.run, SampleInputType("x"))
        proxy.fault = "reset"
        with pytest.raises(CaikitRuntimeException) as caught:
            await asyncio.to_thread(start, trainer, f"{name}-2")
        cause = caught.value.__cause__
        assert isinstance(cause, OutcomeUnknownError)
        assert cause.model_name == f"{name}-2"


# -- caikit's MODEL_MANAGER with the trainer --------------------------------------------------------------------------


def test_a_future(runtime: Runtime, trainer: Any, name: str) -> None:
    begun = datetime.now()
    future = start(trainer, name, seconds=0.5, batch_size=3)
    assert trainer.get_trainer_name(future.id) == "elsewhere"
    assert future.get_info().status is JobStatus.RUNNING
    future.wait()
    info = future.get_info()
    assert (info.status, info.errors) == (JobStatus.COMPLETED, None)
    # Without a time zone as those of caikit's local trainer, with which callers compute.
    assert begun - timedelta(seconds=1) < info.submission_time < datetime.now()
    assert future.save_path is None
    assert type(future.result()).__mro__[1].__name__ == "RemoteModuleBase"
    assert future.load().run(SampleInputType("x")).greeting == "Hello x"
    assert trained_with(runtime, name)["batch_size"] == 3


def test_the_id_holds_the_other_runtimes(runtime: Runtime, trainer: Any) -> None:
    future = start(trainer)
    with sync.RemoteClient(runtime.target) as client:
        assert client.training(future.id.split(":", 3)[3]).wait().state.name == "COMPLETED"


def test_a_training_that_is_waited_for_has_its_model(trainer: Any, name: str) -> None:
    future = start(trainer, name, wait=True, seconds=0.3)
    assert future.get_info().status is JobStatus.COMPLETED
    assert future.load().model_name == name


def test_a_model_without_a_name_gets_one(trainer: Any) -> None:
    model = start(trainer).load()
    assert model.model_name.startswith("SampleModule-")
    assert model.run(SampleInputType("x")).greeting == "Hello x"


@pytest.mark.parametrize("kind", [list, iter, DataStream.from_iterable], ids=["list", "iterator", "stream"])
def test_rows_may_be_any_iterable(runtime: Runtime, trainer: Any, name: str, kind: Any) -> None:
    start(trainer, name, kind(ROWS), wait=True)
    assert trained_with(runtime, name)["rows"] == ["a", "b"]


def test_a_training_that_fails(trainer: Any, name: str) -> None:
    future = start(trainer, name, fail=True)
    future.wait()
    info = future.get_info()
    assert info.status is JobStatus.ERRORED
    assert [str(error) for error in info.errors] == ["the training was asked to fail"]
    with pytest.raises(CaikitCoreException) as caught:
        future.load()
    assert "the training was asked to fail" in caught.value.message


def test_a_training_that_is_cancelled(trainer: Any, name: str) -> None:
    future = start(trainer, name, seconds=3)
    future.cancel()
    watch = Stopwatch()
    future.wait()
    assert watch.seconds < 2
    assert future.get_info().status is JobStatus.CANCELED
    future.cancel()
    with pytest.raises(CaikitCoreException, match="was cancelled"):
        future.result()


def test_a_future_by_its_id(trainer: Any, runtime: Runtime, protocol: Protocol, name: str) -> None:
    future = start(trainer, name, wait=True)
    again = trainer_of(connection_of(runtime, protocol), protocol).get_future(future.id)
    assert again.id == future.id
    assert again.get_info().status is JobStatus.COMPLETED
    assert again.load().model_name == name


def test_a_future_in_another_process(runtime: Runtime, name: str) -> None:
    future = start(trainer_of(connection_of(runtime, "grpc"), "grpc"), name)
    script = f"""
import caikit.config
caikit.config.configure(config_dict={{"merge_strategy": "merge", "runtime": {{"library": "sample_lib"}},
    "model_management": {{"trainers": {{"elsewhere": {{"type": "REMOTE_CLIENT",
        "import_class": "remote_client.caikit.RemoteModelTrainer",
        "config": {{"connection": {connection_of(runtime, "grpc")}}}}}}}}}}})
import sample_lib
from caikit.core import MODEL_MANAGER
rows = [sample_lib.data_model.SampleInputType("x")]
model = MODEL_MANAGER.get_model_future({future.id!r}).load()
print(model.model_name, model.run(rows[0]).greeting)
own = MODEL_MANAGER.train(
    sample_lib.modules.SampleModule, training_data=rows, union_list=["x"], trainer="elsewhere", wait=True
)
print(MODEL_MANAGER.get_model_future(own.id).get_info().status.name)
"""
    folder = Path(__file__).parent.parent
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": f"{folder / 'runtime'}:{folder.parent}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.splitlines() == [f"{name} Hello x", "COMPLETED"], done.stderr


@pytest.mark.parametrize("id", ["unknown", "a:b", "a:b:c", "a:!:é:d", "", f"a:QQ:QQ:{UNKNOWN}"])
def test_unknown_ids(trainer: Any, id: str) -> None:
    with pytest.raises(CaikitCoreException) as caught:
        trainer.get_model_future(id)
    assert caught.value.status_code is CaikitCoreStatusCode.NOT_FOUND


def test_a_module_without_training(trainer: Any) -> None:
    with pytest.raises(CaikitCoreException) as caught:
        MODEL_MANAGER.train(sample_lib.modules.FileModule, trainer=trainer)
    assert caught.value.status_code is CaikitCoreStatusCode.INVALID_ARGUMENT


def test_an_s3_path_is_passed_on(trainer: Any, name: str) -> None:
    """caikit's local trainer, on the other runtime, refuses S3: it got the path. A path of this machine stays here."""
    with pytest.raises(CaikitRuntimeException, match="S3 output path not supported"):
        start(trainer, name, save_path=S3Path(path="there"))
    assert start(trainer, name, save_path="/nowhere", save_with_id=True).save_path is None


def test_all_trainings_of_a_trainer_and_its_models_share_a_connection(runtime: Runtime, protocol: Protocol) -> None:
    async def count() -> int:
        async with Gate(port_of(runtime, protocol)) as gate:
            connection = {"hostname": "127.0.0.1", "port": gate.port}
            trainer = trainer_of(connection, protocol)
            for _ in range(3):
                future = await asyncio.to_thread(start, trainer)
                await asyncio.to_thread(future.wait)
                model = await asyncio.to_thread(future.load)
                await asyncio.to_thread(model.run, SampleInputType("x"))
            return gate.accepted

    assert asyncio.run(count()) == 1


@pytest.fixture
def remembered() -> Iterator[Any]:
    """The models that this process remembers, for a test that adds thousands."""
    before = dict(_trainings.trained_models)
    yield _trainings.trained_models
    _trainings.trained_models.clear()
    _trainings.trained_models.update(before)


def test_what_a_process_remembers_of_its_trainings_is_limited(remembered: Any) -> None:
    for number in range(3 * _trainings._MOST):
        _trainings.remember(f"remembered-{number}", lambda: None)
    assert len(remembered) == _trainings._MOST
    assert next(reversed(remembered)) == f"remembered-{3 * _trainings._MOST - 1}"


def test_threads_remember_models_at_once(remembered: Any) -> None:
    """Beyond the limit, where a thread drops the oldest model while others add theirs."""

    def remember(thread: int) -> None:
        for number in range(10_000):
            _trainings.remember(f"{thread}-{number}", lambda: None)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(remember, range(8)))
    finally:
        sys.setswitchinterval(interval)
    assert _trainings._MOST - 8 <= len(remembered) <= _trainings._MOST  # two may drop a model for the same one


def test_models_of_one_module_are_of_one_class(trainer: Any) -> None:
    first, second = start(trainer).load(), start(trainer).load()
    assert type(first) is type(second)


async def test_the_model_key(runtime: Runtime) -> None:
    """A front that routes by another key gets it with every call that names a model."""
    async with Gate(runtime.port) as gate:
        connection = {"hostname": "127.0.0.1", "port": gate.port}
        trainer = trainer_of(connection, "grpc", model_key="x-route")
        future = await asyncio.to_thread(start, trainer, "by-another-key")
        await asyncio.to_thread(future.load)
        assert b"x-route" in gate.sent
        assert b"mm-model-id" not in gate.sent


# -- a runtime that is away -------------------------------------------------------------------------------------------


async def test_an_outage(runtime: Runtime, protocol: Protocol, name: str) -> None:
    async with Gate(port_of(runtime, protocol)) as gate:
        connection = {"hostname": "127.0.0.1", "port": gate.port, "timeout": 5}
        trainer = trainer_of(connection, protocol)
        future = await asyncio.to_thread(start, trainer, name, seconds=1.0)
        await asyncio.to_thread(future.get_info)
        await gate.shut()
        for deed in (future.get_info, future.cancel):
            with pytest.raises(CaikitCoreException) as caught:
                await asyncio.to_thread(deed)
            assert caught.value.status_code is CaikitCoreStatusCode.CONNECTION_ERROR
        found = await asyncio.to_thread(trainer.get_model_future, future.id)
        waits = [asyncio.create_task(asyncio.to_thread(each.wait)) for each in (future, found)]
        await asyncio.sleep(1.0)
        assert not any(wait.done() for wait in waits)
        await gate.open()
        await asyncio.wait_for(asyncio.gather(*waits), 10)
        assert (await asyncio.to_thread(found.get_info)).status is JobStatus.COMPLETED
        with pytest.raises(CaikitRuntimeException) as refused:
            await gate.shut()
            await asyncio.to_thread(start, trainer, name)
        assert refused.value.status_code is grpc.StatusCode.UNAVAILABLE


# -- configuration ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({}, "trainer here: connection is needed"),
        ({"connection": None}, "trainer here: connection is needed"),
        ({"connection": {"port": 1}}, "hostname"),
        ({"connection": {"hostname": "h", "prot": 1}}, "unknown key 'prot', did you mean 'port'"),
        ({"connection": {"hostname": "{}.h"}}, "trainer here: connection must name one server"),
        ({"connection": {"hostname": "h"}, "protocol": "smtp"}, "protocol"),
        ({"connection": {"hostname": "h"}, "model_key": "No Key"}, "model_key"),
        ({"connection": {"hostname": "h", "tls": {"enabled": True, "insecure_verify": True}}}, "insecure_verify"),
    ],
)
def test_wrong_configurations(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        RemoteModelTrainer(config, "here")


def test_unknown_keys_are_told(runtime: Runtime, caplog: pytest.LogCaptureFixture) -> None:
    trainer_of(connection_of(runtime, "grpc"), "grpc", modelkey="k")
    assert "trainer elsewhere: these keys mean nothing, and are ignored: modelkey" in caplog.text


def test_what_caikit_merges_into_the_default_trainer_is_ignored(runtime: Runtime) -> None:
    merged = {"retention_duration": "1d", "use_subprocess": False, "subprocess_start_method": "spawn"}
    connection = connection_of(runtime, "grpc", timeout=0, tls=None, retries=None)
    assert start(trainer_of(connection, "grpc", "default", **merged), wait=True).get_info().status.is_terminal


# -- a gateway's own clients ------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["grpc", pytest.param("http", marks=pytest.mark.slow)])
def training_gateway(runtime: Runtime, request: pytest.FixtureRequest) -> Iterator[Gateway]:
    with Gateway(runtime, request.param) as gateway:
        yield gateway


@pytest.fixture
def client(training_gateway: Gateway, protocol: Protocol) -> Iterator[Any]:
    with client_of(training_gateway, protocol) as client:
        yield client


def train_by(client: Any, name: str, **more: Any) -> Any:
    model = client.model("foo")
    rows = [{"name": "a"}, {"name": "b"}]
    return model.train(module="SampleModule", training_data=rows, union_list=["x"], model_name=name, **more)


def test_a_client_trains_through_a_gateway(runtime: Runtime, client: Any, name: str) -> None:
    job = train_by(client, name, batch_size=5, ratio=0.25)
    assert job.wait().state.name == "COMPLETED"
    told = trained_with(runtime, name)
    assert (told["rows"], told["union_list"], told["batch_size"], told["ratio"]) == (["a", "b"], ["x"], 5, 0.25)


def test_a_client_asks_for_unknown_trainings(client: Any) -> None:
    for id in ("unknown", f"a:QQ:QQ:{UNKNOWN}"):
        for deed in (client.training(id).status, client.training(id).cancel):
            with pytest.raises(NotFoundError):
                deed()


def test_a_gateway_that_restarts_knows_its_trainings(training_gateway: Gateway, name: str) -> None:
    with client_of(training_gateway, "grpc") as client:
        job = train_by(client, name)
        job.wait()
        training_gateway.kill()
        training_gateway.restart()
        assert job.status().state.name == "COMPLETED"
