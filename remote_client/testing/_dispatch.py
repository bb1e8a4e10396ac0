"""Answers calls, whatever carried them: values in, values out. The protocols' servers stand above."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from ..errors import InvalidArgumentError, UnimplementedError
from ..settings import Protocol
from . import _bodies
from ._calls import Call, Faults
from ._inputs import FrameReader
from ._jobs import Jobs
from ._library import Library, OwnMethod, ServedMethod
from ._models import Models
from ._training import train

Values = Mapping[str, Any]
Write = _bodies.Write
_RUNTIME_INFO = {"runtime_version": "fake", "python_packages": {"caikit": "0.29.0"}}
"""What it plays: clients may look at the version."""


@dataclass(frozen=True)
class Request:
    """A call as it came.

    Attributes:
        method: the RPC.
        model: the model's name; empty if none is named.
        metadata: gRPC's metadata or HTTP's headers.
        protocol: what carried it.
    """

    method: ServedMethod
    model: str
    metadata: Mapping[str, str | bytes]
    protocol: Protocol


class Dispatcher:
    """Answers the calls of a runtime. It is used in the servers' loop only.

    Args:
        library: the RPCs.
        models: the models.
        faults: what the next calls meet.
        calls: takes every call.
    """

    def __init__(self, library: Library, models: Models, faults: Faults, calls: list[Call]) -> None:
        self.library = library
        self._models = models
        self._faults = faults
        self._calls = calls
        self._predictions, self._trainings = Jobs("Prediction"), Jobs("Training")

    async def unary(self, request: Request, given: Values) -> Any:
        """Return the answer of a task's method, as its body gives it."""
        call = await self._prepared(request, request.method, given)
        return await call()

    async def stream(self, request: Request, given: Values, write: Write) -> None:
        """Write the answers of a task's method."""
        body, own = await self._body(request, request.method, given)
        await _bodies.stream(body, own.arguments.read(given), write)

    async def unary_of_stream(self, request: Request, frames: AsyncIterator[Values]) -> Any:
        """Return the answer of a task's method with streamed inputs."""
        body, arguments = await self._with_streams(request, frames)
        return await _bodies.run(body, arguments)

    async def stream_of_stream(self, request: Request, frames: AsyncIterator[Values], write: Write) -> None:
        """Write the answers of a task's method with streamed inputs."""
        body, arguments = await self._with_streams(request, frames)
        await _bodies.stream(body, arguments, write)

    async def start(self, request: Request, given: Values) -> Values:
        """Start a prediction job."""
        call = await self._prepared(request, self.library.unary_of(request.method.rpc), given)
        return {"prediction_id": self._predictions.start(call).id}

    async def train(self, request: Request, given: Values) -> Values:
        """Start a training."""
        name = given.get("model_name") or str(uuid.uuid4())
        parameters = given.get("parameters") or {}
        await self._begin(request, name, "train", parameters)
        if not request.method.own:  # of a schema file that describes more than the modules that are served
            raise UnimplementedError(f"No module has {request.method.rpc.rpc_name}")
        module, own = next(iter(request.method.own.items()))
        job = self._trainings.start(partial(train, self._models, module, own, name, parameters))
        return {"training_id": job.id, "model_name": name}

    def manage(self, name: str, given: Values) -> Any:
        """Return the answer of one of the runtime's own methods, by its name over gRPC."""
        return self._management[name](given)

    @property
    def _management(self) -> dict[str, Callable[[Values], Any]]:
        predictions, trainings, models = self._predictions, self._trainings, self._models
        prediction_id, training_id = "prediction_id", "training_id"
        return {
            "GetRuntimeInfo": lambda _: _RUNTIME_INFO,
            "GetModelsInfo": lambda given: {"models": models.infos(given.get("model_ids") or ())},
            "DeployModel": lambda given: models.deploy(given.get("model_id", ""), _files(given)),
            "UndeployModel": lambda given: models.undeploy(given.get("model_id", "")),
            "GetTrainingStatus": lambda given: trainings.get(given.get(training_id, "")).status(training_id),
            "CancelTraining": lambda given: trainings.cancel(given.get(training_id, "")).status(training_id),
            "GetPredictionJobStatus": lambda given: predictions.get(given.get(prediction_id, "")).status(prediction_id),
            "CancelPredictionJob": lambda given: predictions.cancel(given.get(prediction_id, "")).status(prediction_id),
            "GetPredictionJobResult": lambda given: predictions.result(given.get(prediction_id, "")),
        }

    async def aclose(self) -> None:
        """End the jobs that still run."""
        await self._predictions.aclose()
        await self._trainings.aclose()

    async def _begin(self, request: Request, model: str, method: str, arguments: Values) -> None:
        self._calls.append(Call(model, method, arguments, request.metadata, request.protocol))
        await self._faults.meet()

    async def _body(
        self, request: Request, method: ServedMethod, arguments: Values
    ) -> tuple[Callable[..., Any], OwnMethod]:
        """Return the body that answers a call, which is recorded."""
        owner: Any = None
        own: OwnMethod | None = None
        try:
            owner = self._models.instance(request.model)
            own = method.own.get(type(owner))
        finally:  # also calls of unknown models
            name = method.rpc.name if own is None else own.declared.name
            await self._begin(request, request.model, name, arguments)
        if own is None:
            raise InvalidArgumentError(f"Model class {type(owner)} does not support {method.rpc.rpc_name}")
        return getattr(owner, own.declared.name), own

    async def _prepared(self, request: Request, method: ServedMethod, given: Values) -> Callable[[], Any]:
        """Return the function that calls the body."""
        body, own = await self._body(request, method, given)
        return partial(_bodies.run, body, own.arguments.read(given))

    async def _with_streams(
        self, request: Request, frames: AsyncIterator[Values]
    ) -> tuple[Callable[..., Any], dict[str, Any]]:
        """Return the body that answers a call with streamed inputs, and its arguments."""
        streamed = {name for own in request.method.own.values() for name in own.declared.streams}
        reader = FrameReader(frames, streamed)
        constants = {name: value for name, value in (await reader.first()).items() if name not in streamed}
        body, own = await self._body(request, request.method, {**constants, **reader.items})
        return body, own.arguments.read(constants) | reader.streams(own.arguments.value)


def _files(given: Values) -> dict[str, bytes]:
    files = given.get("model_files") or ()
    return {file.get("filename") or "": file.get("data") or b"" for file in files}
