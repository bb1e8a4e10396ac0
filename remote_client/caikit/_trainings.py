"""The request of a training, made of the arguments of the local module's `train`. Sends nothing."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import Any, get_args, get_origin

from caikit.core import ModuleBase
from caikit.core.data_model import DataStream
from caikit.interfaces.runtime.data_model import ModelPointer
from caikit.runtime.names import ServiceType
from caikit.runtime.service_generation.data_stream_source import DataStreamSourceBase, make_data_stream_source

from ..errors import InputError
from ._checks import unchecked
from ._config import RemoteModuleConfig, RemoteRPCDescriptor
from ._data_objects import data_object
from ._requests import arguments_of

trained_models: OrderedDict[str, Callable[[], RemoteModuleConfig]] = OrderedDict()
"""Returns the configurations of the models that trainings of this process make. A runtime serves a trained model at
once, and lists it only after a while, or after its first call."""
_MOST = 1000
"""Models that are remembered; long before that many more are trained, the runtime lists a model itself."""


def remember(name: str, make: Callable[[], RemoteModuleConfig]) -> None:
    """Add a model to `trained_models`, in place of the oldest one if these are many."""
    trained_models.pop(name, None)
    trained_models[name] = make
    while len(trained_models) > _MOST:
        trained_models.popitem(last=False)  # atomic: other threads may add models meanwhile


def training_parameters(method: RemoteRPCDescriptor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Return the data object of a training's parameters.

    Rows may be any iterable, as for the local module, or one of caikit's sources of rows. A model must be remote.

    Raises:
        InputError: the arguments do not fit the signature of `train`.
    """
    values = arguments_of(method.signature).bind(args, kwargs)
    kinds = method.signature.parameters or {}
    parameters = data_object(f"{method.request_dm_name.removesuffix('Request')}Parameters", ServiceType.TRAINING)
    name = method.signature.method_name
    given = {key: _parameter(f"{name}(): {key}", kinds.get(key), value) for key, value in values.items()}
    return unchecked(name, parameters, given)


def _parameter(place: str, kind: Any, value: Any) -> Any:
    if isinstance(value, ModuleBase):
        model = getattr(value, "model_name", None)
        if not isinstance(model, str):
            raise InputError(f"{place}: expected a remote model, got a local {type(value).__name__}")
        return ModelPointer(model_id=model)
    rows = next(_rows(kind), None)
    if rows is None or not isinstance(value, Iterable):
        return value
    source: Any = make_data_stream_source(rows)
    if type(value) is source:
        return value
    if isinstance(value, DataStreamSourceBase):  # caikit's servers wrap it into a class that is no data object
        given: Any = value
        try:
            return source.from_proto(given.to_proto())
        except Exception as error:  # whatever protobuf raises
            raise InputError(f"{place}: {error}") from error
    return source(data_stream=source.JsonData(data=list(value)))


def _rows(kind: Any) -> Iterator[Any]:
    """Yield the types of rows that a parameter takes."""
    for member in (kind, *get_args(kind)):
        if get_origin(member) is DataStream:
            yield get_args(member)[0]
