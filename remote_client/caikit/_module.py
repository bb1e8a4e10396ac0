"""Remote models as caikit's modules: their methods call the server, with caikit's data objects and streams."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Iterator
from inspect import Signature
from typing import Any
from weakref import ref

from caikit.core import ModuleBase, TaskBase, module
from caikit.core.data_model import DataStream
from caikit.interfaces.common.data_model import ConnectionInfo as CaikitConnectionInfo
from caikit.runtime.names import ServiceType

from .._objects.exports import exported_from
from ..errors import InputError, RemoteClientError
from ..settings import ConnectionInfo, Protocol
from ..sync import RemoteStream
from ._config import RemoteModuleConfig, RemoteRPCDescriptor
from ._connections import RemoteModel
from ._errors import as_runtime_exceptions, runtime_exception
from ._requests import RemoteMethod, remote_method
from ._server_calls import ServerCall
from ._trainings import training_parameters

_CONTEXT = "remote_client_context"
"""The parameter of remote methods by which caikit's servers give the call that they serve."""
_ONCE = (ServiceType.TRAINING, ServiceType.JOB_INFERENCE)
"""Services whose calls are never repeated: each starts a job."""


@exported_from("remote_client.caikit")
class RemoteModuleBase(ModuleBase):
    """A model on a server, as in `caikit.runtime.client`. `construct_remote_module_class` makes subclasses.

    Methods take what the local module's take, and answer with data objects; answers in parts are a `DataStream`, which
    calls the server when it is iterated, each time anew. A call that fails raises a `CaikitRuntimeException` with the
    server's status and message. Methods may be called from any number of threads.

    Args:
        connection_info: the server, as caikit's `ConnectionInfo` or as this client's. All models with equal settings
            share its connections.
        protocol: `grpc` or `http`.
        model_key: the metadata key that names the model.
        model_name: the model's name on the server.

    Raises:
        ConfigurationError: a ValueError; a setting is invalid, or the protocol does not support it.
        InputError: gRPC takes only names of printable ASCII.
    """

    def __init__(
        self,
        connection_info: CaikitConnectionInfo | ConnectionInfo,
        protocol: Protocol,
        model_key: str,
        model_name: str,
    ) -> None:
        super().__init__()
        self._connection = connection_info
        self._protocol: Protocol = protocol
        self._model_key = model_key
        self._model_name = model_name
        self._remote = RemoteModel(connection_info, protocol, model_key, model_name)

    @property
    def model_name(self) -> str:
        """The model's name on the server."""
        return self._model_name

    @classmethod
    def generate_train_function(cls, method: RemoteRPCDescriptor) -> Callable[..., Any]:
        """Return the function that starts a training, and returns a module for the model that it makes.

        It takes the arguments of the local module's `train`, and `_model_name` and `_output_path`.
        """

        def train(self: RemoteModuleBase, /, *args: Any, **kwargs: Any) -> Any:
            name = kwargs.pop("_model_name", None) or f"{self._model_name}-{uuid.uuid4()}"
            path = kwargs.pop("_output_path", None)
            with as_runtime_exceptions():
                parameters = training_parameters(method, args, kwargs)
            job = self.remote_method_request(
                method, ServiceType.TRAINING, model_name=name, output_path=path, parameters=parameters
            )
            return type(self)(self._connection, self._protocol, self._model_key, job.model_name)

        return _named(train, method, cls)

    @classmethod
    def generate_inference_function(cls, task: type[TaskBase], method: RemoteRPCDescriptor) -> Callable[..., Any]:
        """Return the function that calls a method of a task."""

        def infer(self: RemoteModuleBase, /, *args: Any, **kwargs: Any) -> Any:
            return self.remote_method_request(method, ServiceType.INFERENCE, *args, **kwargs)

        context = method.signature.context_arg or _CONTEXT
        decorated = task.taskmethod(method.input_streaming, method.output_streaming, context)
        return decorated(_named(infer, method, cls))

    def remote_method_request(
        self, method: RemoteRPCDescriptor, service_type: ServiceType, /, *args: Any, **kwargs: Any
    ) -> Any:
        """Call a remote method. All methods of the class call this.

        Args:
            method: the method.
            service_type: the service that has it.
            args: of a task's method its positional arguments.
            kwargs: of a task's method its keyword arguments, else the fields of the request.

        Returns:
            The answer's data object, or a `DataStream` of them.

        Raises:
            CaikitRuntimeException: the call failed.
            InputError: the arguments do not fit the method's signature. Nothing was sent.
        """
        inbound = ServerCall.of(kwargs.pop(method.signature.context_arg or _CONTEXT, None))
        with as_runtime_exceptions():
            remote = remote_method(method, service_type, self._protocol)
            if method.output_streaming:
                return _AnswerStream(_answers, self._remote, remote, self._model_name, args, kwargs, inbound)
            body = remote.encode(self._model_name, args, kwargs)
            if service_type in _ONCE and isinstance(body, bytes):
                name = kwargs.get("model_name")
                return remote.decode(self._remote.start(method.rpc_name, remote.path, body, name))
            return remote.decode(self._remote.call(remote.path, body, inbound))


class _AnswerStream(DataStream[Any]):
    """Calls the server when it is iterated, and when its length is asked for."""

    _last: Callable[[], Iterator[Any] | None] = staticmethod(lambda: None)

    def __iter__(self) -> Iterator[Any]:
        answers = super().__iter__()
        self._last = ref(answers)
        return answers

    def __len__(self) -> int:
        # `list` asks for the length of what it is about to iterate: counting would make its call a second time.
        last = self._last()
        if isinstance(last, _Answers) and last.is_unread:
            raise TypeError("the length of a stream is unknown before it is read")
        return super().__len__()


class _Answers(Iterator[Any]):
    """The answers of one call, as data objects. Dropping it cancels the call."""

    def __init__(self, stream: RemoteStream[bytes], decode: Callable[[bytes], Any]) -> None:
        self._stream = stream
        self._decode = decode
        self.is_unread = True

    def __next__(self) -> Any:
        self.is_unread = False
        try:
            return self._decode(next(self._stream))
        except InputError:  # of a streamed input; see `as_runtime_exceptions`
            raise
        except RemoteClientError as error:
            raise runtime_exception(error) from error

    def close(self) -> None:
        """Cancel the call if it still runs."""
        self._stream.close()


def _answers(
    remote: RemoteModel,
    method: RemoteMethod,
    model: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    inbound: ServerCall | None,
) -> Iterator[Any]:
    with as_runtime_exceptions():
        body = method.encode(model, args, kwargs)
        return _Answers(remote.stream(method.path, body, inbound), method.decode)


def _named(function: Any, method: RemoteRPCDescriptor, cls: type) -> Callable[..., Any]:
    """Give a function the name and the signature of the local module's, with types in place of their names."""
    signature = method.signature
    kinds = signature.parameters or {}
    parameters = [
        parameter.replace(annotation=kinds.get(parameter.name, parameter.annotation))
        for parameter in signature.method_signature.parameters.values()
    ]
    returned = Signature.empty if signature.return_type is None else signature.return_type
    function.__name__, function.__qualname__ = signature.method_name, f"{cls.__qualname__}.{signature.method_name}"
    function.__module__ = cls.__module__  # caikit finds the methods of a class by these names
    function.__signature__ = signature.method_signature.replace(parameters=parameters, return_annotation=returned)
    function.__doc__ = f"Calls {method.rpc_name}."
    named: Callable[..., Any] = function
    return named


@exported_from("remote_client.caikit")
def construct_remote_module_class(
    model_config: RemoteModuleConfig, model_class: type[RemoteModuleBase] = RemoteModuleBase
) -> type[RemoteModuleBase]:
    """Return a class with the methods of the model's tasks and its training, registered as a module of caikit.

    caikit's registry keeps the class (30 kB) for good: make one for all models of a module, as the initializer does.

    Args:
        model_config: the model.
        model_class: the base of the class.
    """
    name = f"RemoteModelClass{next(_numbers)}"
    # Not the base's module: caikit would serve a training of its own for a class that is in the served library.
    members = {"__module__": RemoteModuleBase.__module__, "__qualname__": name}
    made: Any = type(name, (model_class,), members)
    if model_config.train_method is not None:
        train = made.generate_train_function(model_config.train_method)
        setattr(made, model_config.train_method.signature.method_name, train)
    for task, methods in model_config.task_methods:
        for method in methods:
            setattr(made, method.signature.method_name, made.generate_inference_function(task, method))
    # caikit's registry takes an id once: this one is left to a class of caikit's own client in the same process.
    registered = f"{model_config.module_id}-{name}"
    tasks = [task for task, _ in model_config.task_methods]
    finished: type[RemoteModuleBase] = module(
        id=registered, name=model_config.module_name, version="0.0.0", tasks=tasks
    )(made)
    finished.MODULE_ID = model_config.module_id
    return finished


_numbers = itertools.count()
