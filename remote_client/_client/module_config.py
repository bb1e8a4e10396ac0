"""RemoteModuleConfig: everything that calls of one model need."""

from collections.abc import Hashable
from dataclasses import dataclass, field, replace
from typing import Any, Self
from weakref import WeakValueDictionary

from .._objects.exports import exported_from
from .._schema.ambiguous_names import (
    Tasks,
    matching_task,
    matching_tasks,
    shared_method_names,
    task_choices,
    without_namesakes,
)
from .._schema.codec import UnboundCodec, server_codec
from .._schema.declaration import Declaration, declaration_of
from .._schema.declared.caikit_modules import declaration_of_caikit, is_caikit_module, module_of_id
from .._schema.lazy_methods import LazyRPCDescriptor
from .._schema.rpc import RemoteRPCDescriptor, ServiceDescription
from .._schema.schema_file import Schema, SchemaFile
from .._schema.unbound_methods import ambiguous_method, unbound_method, unbound_methods
from .._settings.connection import check_protocol
from ..declare import registry
from ..errors import ConfigurationError
from ..settings import ConnectionInfo, Protocol

# The annotations are no strings: `get_type_hints` would look for their names in `remote_client`.


@exported_from("remote_client")
@dataclass
class RemoteModuleConfig:
    """The server of a model, and its methods. Fields may be replaced before a module is made of it.

    Attributes:
        connection: the server.
        protocol: `grpc` or `http`.
        model_key: the metadata key that names the model.
        task_methods: tasks by their keys in `ServiceDescription.tasks`, with their methods. No server tells which tasks
            a module has: unless they were named, these are all tasks of the runtime.
        model_path: the model's name on the server.
        module_id: the id of its module; empty if the server does not send it.
        module_name: the module's name; empty if the server does not send it.
        train_method: the training of the module, if it is known.
        trainings: all trainings of the server, as no server tells which one belongs to a module.
        declaration: of the declared class, or of caikit's; None without one.
        tasks_known: whether `task_methods` are the module's own, not all of the runtime.
        bound: whether the methods come from the server's description; otherwise a module reads it at its first call.
        declared_only: whether the methods come from the declaration alone; the server is never asked then.
        schema: the server's interface on file; the server is not asked for it then.
    """

    connection: ConnectionInfo
    protocol: Protocol
    model_key: str
    task_methods: list[tuple[str, list[RemoteRPCDescriptor]]] = field(repr=False)
    model_path: str
    module_id: str = ""
    module_name: str = ""
    train_method: RemoteRPCDescriptor | None = None
    trainings: list[RemoteRPCDescriptor] = field(default_factory=list, repr=False)
    declaration: Declaration | None = field(default=None, repr=False)
    tasks_known: bool = False
    bound: bool = True
    declared_only: bool = field(default=False, repr=False)
    schema: Schema | None = field(default=None, repr=False)

    @classmethod
    def load_from_module(
        cls,
        module_reference: Any,
        connection_info: ConnectionInfo,
        protocol: Protocol,
        model_key: str,
        model_path: str,
    ) -> Self:
        """Return the configuration of a model whose module's class is known. Sends nothing.

        The first call compares the class with its schema, or over gRPC with caikit's services or the server's
        description, and raises a `SchemaError` if they disagree. Over HTTP a declaration without a schema is enough.

        Args:
            module_reference: a declared class or caikit's class of a module, an instance or the id of one. caikit knows
                the ids of imported modules.
            connection_info: the server.
            protocol: `grpc` or `http`.
            model_key: the metadata key that names the model, `mm-model-id` by default in caikit.
            model_path: the model's name on the server.

        Raises:
            ConfigurationError: the reference leads to no module, or the module or its schema cannot be used.
        """
        check_protocol(connection_info, protocol)
        declaration = declaration_from(module_reference)
        config = cls(connection_info, protocol, model_key, unbound_methods(declaration, protocol), model_path)
        config.module_id, config.module_name = declaration.id, declaration.name
        if declaration.schema is not None:
            from .._schema.declared.schemas import schema_for

            config.schema = schema_for(declaration, protocol)
        if protocol == "http" and config.schema is None:
            config.bind_declared(declaration)
            return config
        if declaration.train is not None:
            config.train_method = unbound_method(declaration.train, declaration.module.__name__)
        config.declaration, config.tasks_known, config.bound = declaration, True, False
        return config

    def declare(self, declared: type, description: ServiceDescription, *, task: str | None = None) -> None:
        """Take methods, names and types from a declared class, or from caikit's.

        Args:
            declared: the class.
            description: the server's description.
            task: the task to take, if several services have one of this name; see `choose_task`.

        Raises:
            SchemaError: the class disagrees with the description; the message lists all differences.
            ConfigurationError: the class is not declared.
            InputError: the server has no such task, or several.
        """
        if task is not None:
            tasks = [(key, known.methods) for key, known in description.tasks.items()]
            description = without_namesakes(description, self._key_of(tasks, task))
        self.bind(declaration_from(declared), description)

    def choose_task(self, task: str) -> None:
        """Keep the methods of one task.

        Args:
            task: the name of the task's class, such as `SampleTask`; or the full RPC name
                (`package.SampleService/SampleTaskPredict`) or the route of one of its methods.

        Raises:
            InputError: there is no such task, or several.
        """
        key = self._key_of(self.task_methods, task)
        self.task_methods = [task_methods for task_methods in self.task_methods if task_methods[0] == key]
        self.tasks_known = True

    def _key_of(self, tasks: Tasks, task: str) -> str:
        return matching_task(tasks, task, self.connection.target, self.model_path)

    @property
    def methods(self) -> dict[str, RemoteRPCDescriptor]:
        """The methods of the model's module by name. A name that several methods share raises an InputError."""
        methods = {rpc.name: rpc for _, rpcs in self.task_methods for rpc in rpcs}
        for name, keys in shared_method_names(self.task_methods).items():
            choices = task_choices(keys, self.model_path)
            message = f"{name}(): several tasks have a method of this name; choose one: {choices}"
            methods[name] = ambiguous_method(name, message)
        return methods

    @property
    def short_methods(self) -> dict[str, RemoteRPCDescriptor]:
        """The methods of a model with one task by short name, such as `run`."""
        if len(self.task_methods) != 1:
            return {}
        ((task, rpcs),) = self.task_methods
        methods = {rpc.name: rpc for rpc in rpcs}
        short: dict[str, RemoteRPCDescriptor] = {}
        for rpc in rpcs:
            name, other = rpc.short_name, methods.get(rpc.short_name, rpc)
            if other is rpc:
                short[name] = rpc
            elif self.declaration is None:  # a declared method keeps its name
                message = f"{name}(): two methods of {task} have this name; call {other.short_name} or {rpc.name}"
                short[name] = ambiguous_method(name, message)
        return short

    def bind_declared(self, declaration: Declaration) -> None:
        """Take the methods from a declaration alone, which over HTTP has all that calls need."""
        from .._schema.declared.document import description_of

        description = description_of(declaration)
        self.trainings = list(description.trainings.values())
        self.schema, self.declared_only = None, True
        self.bind(declaration, description)

    def bind_learned(self, description: ServiceDescription) -> None:
        """Take the methods of the tasks, whose names are known, from the server's description."""
        offered = [(key, task.methods) for key, task in description.tasks.items()]
        found = [matching_tasks(offered, name) for name, _ in self.task_methods]
        self.task_methods = [(keys[0], list(description.tasks[keys[0]].methods)) for keys in found if len(keys) == 1]
        if self.train_method is not None:
            self.train_method = description.trainings.get(self.train_method.rpc_name)
        self.bound = True

    def __copy__(self) -> Self:
        return replace(self)

    def __deepcopy__(self, memo: Any) -> Self:
        methods = [(task, list(rpcs)) for task, rpcs in self.task_methods]
        return replace(self, task_methods=methods, trainings=list(self.trainings))

    def __reduce__(self) -> Any:
        # Without the types: the other process asks the server.
        values = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "declaration"}
        return _unpickle, (type(self), values, self.declaration and self.declaration.module)

    def bind(self, declaration: Declaration, description: ServiceDescription) -> None:
        """Take methods, names and types from a class's declaration; see `declare`."""
        from .._schema.declared.matching import match
        from .._schema.declared.mismatches import SERVER

        source = SERVER if self.schema is None else name_of(self.schema)
        self.task_methods, training = match(declaration, description, self.protocol, self.module_id, source)
        self.train_method = training or self.train_method
        self.declaration = declaration
        self.tasks_known = self.bound = True
        self.module_name = self.module_name or declaration.name

    @property
    def class_key(self) -> Hashable:
        """The key of the module's class: configurations with equal keys share one class."""
        return (
            self.connection.target,
            self.model_path,
            self.module_id,
            self.module_name,
            self.tasks_known,
            self.declaration and self.declaration.module,
            self.tasks_key,
            self.train_method and _identity(self.train_method),
            _in_short(tuple(map(_identity, self.trainings))),
        )

    @property
    def tasks_key(self) -> Hashable:
        """The key of the methods of all tasks."""
        return _in_short(tuple((task, tuple(map(_identity, methods))) for task, methods in self.task_methods))


class _ShortKey:
    """Stands for a long key, of which every model would have a copy."""

    __slots__ = ("__weakref__",)


_short_keys: WeakValueDictionary[Hashable, _ShortKey] = WeakValueDictionary()


def _in_short(key: Hashable) -> Hashable:
    """Return the object that stands for a key, the same for equal ones as long as it is in use."""
    return _short_keys.get(key) or _short_keys.setdefault(key, _ShortKey())


def name_of(schema: Schema) -> str:
    """Return the name of a schema in errors."""
    return schema.name if isinstance(schema, SchemaFile) else "the schema"


def _unpickle(kind: type[RemoteModuleConfig], values: dict[str, Any], declared: type | None) -> RemoteModuleConfig:
    declaration = None if declared is None else declaration_from(declared)
    config = kind(**values | {"declaration": declaration, "bound": False})
    if config.declared_only and declaration is not None:
        config.bind_declared(declaration)
    return config


def _identity(rpc: RemoteRPCDescriptor) -> Hashable:
    """Return a key of a method. It differs for servers that mean different things by one name."""
    if isinstance(rpc, LazyRPCDescriptor):
        return rpc
    codec: Any = server_codec(rpc.codec)
    if isinstance(codec, UnboundCodec):
        codec = str(rpc.signature)
    elif codec is rpc.codec:
        return rpc
    # Configurations bind a declaration separately, to the same codec.
    return rpc.name, rpc.path, rpc.task, rpc.module, codec


def module_of(id: str) -> type | None:
    """Return the class that is declared for an id, else caikit's class of a module if caikit was imported."""
    return registry.get(id) or module_of_id(id)


def declaration_from(reference: Any) -> Declaration:
    """Return the declaration of a class, an instance, a model or an id.

    Raises:
        ConfigurationError: the reference leads to no module, or the module cannot be used.
    """
    if isinstance(reference, str):
        found = module_of(reference)
        if found is None:
            raise ConfigurationError(
                f"module_reference: no module is known by the id {reference!r}: import the file that declares it"
            )
    else:
        found = reference if isinstance(reference, type) else _class_of(reference)
    return declaration_of_caikit(found) if is_caikit_module(found) else declaration_of(found)


def _class_of(instance: Any) -> type:
    """Return the class of an instance; of a model the declared class, not the one that was made for it."""
    config = getattr(instance, "config", None)
    declaration = config.declaration if isinstance(config, RemoteModuleConfig) else None
    return type(instance) if declaration is None else declaration.module
