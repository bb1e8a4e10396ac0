"""The configuration of a remote model as caikit's `ModuleConfig`: its server, and its methods."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Union, get_args, get_origin

from caikit.core import ModuleBase, TaskBase
from caikit.core.data_model import DataBase
from caikit.core.modules import ModuleConfig
from caikit.core.registries import module_registry
from caikit.core.signature_parsing import CaikitMethodSignature
from caikit.interfaces.common.data_model import ConnectionInfo as CaikitConnectionInfo
from caikit.runtime.names import (
    get_task_predict_request_name,
    get_task_predict_rpc_name,
    get_train_request_name,
    get_train_rpc_name,
)

from .._objects.exports import exported_from
from ..errors import InputError
from ..settings import ConnectionInfo, Protocol

REMOTE, REMOTE_NAME = "-remote", " Remote"
"""What ends the ids and the names of remote modules, as in `caikit.runtime.client`."""


@exported_from("remote_client.caikit")
@dataclass
class RemoteRPCDescriptor:
    """A remote method, as in `caikit.runtime.client`.

    Attributes:
        signature: the signature of the module's method.
        request_dm_name: the name of the request's data object.
        response_dm_name: the name of the answer's data object; of a stream, of one answer's.
        rpc_name: the method's name on the server, such as `SampleTaskPredict`.
        input_streaming: whether the request is a stream.
        output_streaming: whether the answer is a stream.
    """

    signature: CaikitMethodSignature
    request_dm_name: str
    response_dm_name: str
    rpc_name: str
    input_streaming: bool = False
    output_streaming: bool = False

    def __deepcopy__(self, memo: dict[int, Any]) -> RemoteRPCDescriptor:
        # A configuration copies its values, and not every default of a signature can be copied: no `dataclasses.field`.
        return replace(self)

    def __getstate__(self) -> dict[str, Any]:
        # Without what `remote_method` keeps here: functions, and types of requests, which no process can import.
        return {field.name: getattr(self, field.name) for field in fields(self)}


@exported_from("remote_client.caikit")
class RemoteModuleConfig(ModuleConfig):
    """The configuration of a remote model, as in `caikit.runtime.client`.

    Attributes:
        connection: the server, as caikit's `ConnectionInfo`, or as this client's where that has more settings.
        protocol: `grpc` or `http`.
        model_key: the metadata key that names the model.
        task_methods: the module's tasks with their methods.
        train_method: the module's training; None if it has none.
        model_path: the model's name on the server.
        module_id: the id of the local module's class, and `-remote`.
        module_name: its name, and ` Remote`.
    """

    connection: CaikitConnectionInfo | ConnectionInfo
    protocol: Protocol
    model_key: str
    task_methods: list[tuple[type[TaskBase], list[RemoteRPCDescriptor]]]
    train_method: RemoteRPCDescriptor | None
    model_path: str
    module_id: str
    module_name: str

    reserved_keys: list[str] = []  # noqa: RUF012  (caikit's: it reserves `model_path`)

    @classmethod
    def load_from_module(
        cls,
        module_reference: str | type[ModuleBase] | ModuleBase,
        connection_info: CaikitConnectionInfo | ConnectionInfo,
        protocol: Protocol,
        model_key: str,
        model_path: str,
    ) -> RemoteModuleConfig:
        """Return the configuration of a model whose module's class is imported. Sends nothing.

        Args:
            module_reference: the class, an instance or the id of the module.
            connection_info: the server, as caikit's `ConnectionInfo` or as this client's.
            protocol: `grpc` or `http`.
            model_key: the metadata key that names the model.
            model_path: the model's name on the server.

        Raises:
            KeyError: no module of this id is imported.
            InputError: an argument has the wrong type.
        """
        if not isinstance(model_path, str):
            raise InputError(f"model_path: expected str, not {type(model_path).__name__}")
        module = _module_of(module_reference)
        return cls(
            {
                "connection": connection_info,
                "protocol": protocol,
                "model_key": model_key,
                "task_methods": [(task, _methods_of(module, task)) for task in module.tasks],
                "train_method": _training_of(module),
                "model_path": model_path,
                "module_id": f"{module.MODULE_ID}{REMOTE}",
                "module_name": f"{module.MODULE_NAME}{REMOTE_NAME}",
            }
        )


def _module_of(reference: object) -> type[ModuleBase]:
    if isinstance(reference, ModuleBase):
        return type(reference)
    if isinstance(reference, type) and issubclass(reference, ModuleBase):
        return reference
    if not isinstance(reference, str):
        raise InputError(
            f"module_reference: expected the class, an instance or the id of a module, not {type(reference).__name__}"
        )
    known, id = module_registry(), reference
    # The model of a gateway is remote: its module here is the local one, and no class of caikit's own client for it.
    while id.endswith(REMOTE) and (id not in known or known[id].MODULE_NAME.endswith(REMOTE_NAME)):
        id = id.removesuffix(REMOTE)
    if id not in known:
        raise KeyError(f"Unknown module reference {reference}: import the library that has the module")
    return known[id]


def _methods_of(module: type[ModuleBase], task: type[TaskBase]) -> list[RemoteRPCDescriptor]:
    return [
        RemoteRPCDescriptor(
            signature=signature,
            request_dm_name=get_task_predict_request_name(task, input_streaming, output_streaming),
            response_dm_name=answer_type(signature, output_streaming).__name__,
            rpc_name=get_task_predict_rpc_name(task, input_streaming, output_streaming),
            input_streaming=input_streaming,
            output_streaming=output_streaming,
        )
        for input_streaming, output_streaming, signature in module.get_inference_signatures(task)
    ]


def answer_type(signature: CaikitMethodSignature, output_streaming: bool) -> Any:
    """Return the type of an answer: of a stream, its items', of a union its first data object, as caikit's servers."""
    returned = signature.return_type
    if get_origin(returned) is Union:
        return next((kind for kind in get_args(returned) if is_data_object(kind)), Union)
    if output_streaming and get_args(returned):
        return get_args(returned)[0]
    return returned if hasattr(returned, "__name__") else get_origin(returned)


def is_data_object(kind: Any) -> bool:
    """Return whether a type is one of caikit's data objects."""
    return isinstance(kind, type) and issubclass(kind, DataBase)


def _training_of(module: type[ModuleBase]) -> RemoteRPCDescriptor | None:
    signature = module.TRAIN_SIGNATURE
    if signature is None or signature.return_type is None or signature.parameters is None:
        return None
    return RemoteRPCDescriptor(
        signature=signature,
        request_dm_name=get_train_request_name(module),
        response_dm_name=signature.return_type.__name__,
        rpc_name=get_train_rpc_name(module),
    )
