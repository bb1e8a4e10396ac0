"""The blocking classes of modules: the declared base class, and a class for every class of the asyncio client."""

from __future__ import annotations

import functools
import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from types import EllipsisType
from typing import TYPE_CHECKING, Any, Self, get_args, get_origin
from weakref import WeakValueDictionary

from .._objects.copying import Handle
from .._objects.exports import exported_from
from .._objects.lazy_attribute import LazyAttribute
from .._schema.codec import UnboundCodec
from .._settings.callables import off_loop
from ..auth import Credentials
from ..settings import check_metadata
from ._facade import Closable, twin_of
from ._inputs import collected, threaded
from ._loop_thread import loop_thread, run
from ._streams import RemoteStream

if TYPE_CHECKING:
    from .._client import module as _module
    from .._client.module_config import RemoteModuleConfig
    from .._schema.rpc import RemoteRPCDescriptor
    from .._settings.durations import Duration
    from ..settings import MetadataSource, Output

_ITERATOR: Any = Iterator


@exported_from("remote_client.sync")
class RemoteModuleBase(Closable):
    """A model on a server; see `remote_client.RemoteModuleBase`. Streamed answers come as a `RemoteStream`."""

    is_blocking = True
    """Marks declared modules of the blocking client, whose streams are plain iterables."""
    _module_class: type[_module.RemoteModuleBase]
    _twin: _module.RemoteModuleBase

    def __init__(self, model_config: RemoteModuleConfig | None = None) -> None:
        if model_config is None:
            from .._schema.declaration import check_has_bodies

            check_has_bodies(type(self))
            return
        self._adopt(self._module_class(model_config))

    @property
    def config(self) -> RemoteModuleConfig:
        """The module's configuration."""
        return self._twin.config

    def with_options(
        self,
        *,
        timeout: Duration | EllipsisType | None = ...,
        total_timeout: Duration | EllipsisType | None = ...,
        retries: int | None = None,
        metadata: MetadataSource | None = None,
        output: Output | None = None,
    ) -> Self:
        """Return a cheap copy with other options; see `remote_client.RemoteModuleBase.with_options`."""
        metadata = asyncio_metadata(metadata)
        twin = self._twin.with_options(
            timeout=timeout, total_timeout=total_timeout, retries=retries, metadata=metadata, output=output
        )
        return type(self)._of(twin)

    def with_response(self) -> Any:
        """Return a copy whose methods return a `Response`; see `remote_client.RemoteModuleBase.with_response`."""
        return type(self)._of(self._twin.with_response())

    def remote_method_request(self, descriptor: RemoteRPCDescriptor, /, *args: Any, **kwargs: Any) -> Any:
        """Call one remote method; see `remote_client.RemoteModuleBase.remote_method_request`."""
        thread = loop_thread()
        if descriptor.input_streaming or isinstance(descriptor.codec, UnboundCodec):
            # Arguments of an unbound method are encoded in the loop's thread, which an iterator could block.
            take = threaded if descriptor.input_streaming else collected
            args, kwargs = tuple(map(take, args)), {name: take(value) for name, value in kwargs.items()}
        try:
            answer = self._twin.remote_method_request(descriptor, *args, **kwargs)
        finally:
            del args, kwargs  # else tracebacks would keep them
        if descriptor.output_streaming:
            return RemoteStream._of(answer)
        return wrapped(thread.call(answer))

    def __reduce__(self) -> Any:
        return wrapped, (self._twin,)

    def __repr__(self) -> str:
        return super().__repr__() if "_twin" in vars(self) else f"<{type(self).__name__} of no server>"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or "_twin" not in vars(self):
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}", name=name, obj=self)
        return getattr(self._twin, name)  # raises an AttributeError that lists the methods


@exported_from("remote_client.sync")
def construct_remote_module_class(model_config: RemoteModuleConfig) -> type[RemoteModuleBase]:
    """Return a class with the methods of the model's tasks; see `remote_client.construct_remote_module_class`."""
    from .._client.module import construct_remote_module_class as construct  # here, as this loads all that calls need

    return _twin_class(construct(model_config), model_config)


def wrapped(value: Any) -> Any:
    """Return the blocking twin of an object of the asyncio client; any other value as it is."""
    if isinstance(value, Handle):
        from .._client.module import RemoteModuleBase as Module

        return _twin_class(type(value), value.config)._of(value) if isinstance(value, Module) else value
    twin = twin_of(type(value))
    return value if twin is None else twin._of(value)


def _twin_class(module_class: type[_module.RemoteModuleBase], config: RemoteModuleConfig) -> type[RemoteModuleBase]:
    """Return the blocking class for an asyncio module's class, made once."""
    found: type[RemoteModuleBase] | None = _twin_classes.get(module_class)
    return found or _twin_classes.setdefault(module_class, _make_twin_class(module_class, config))


_twin_classes: WeakValueDictionary[type, type[RemoteModuleBase]] = WeakValueDictionary()


def _make_twin_class(
    module_class: type[_module.RemoteModuleBase], config: RemoteModuleConfig
) -> type[RemoteModuleBase]:
    shared: type[_module.RemoteModuleBase] | None = vars(module_class).get("_shared")
    bases: tuple[type, ...] = (RemoteModuleBase if shared is None else _twin_class(shared, config),)
    declared = None if config.declaration is None else config.declaration.module
    if declared is not None and issubclass(declared, RemoteModuleBase):
        bases = (declared,)
    members: dict[str, Any] = {
        name: LazyAttribute(partial(_method, module_class, name))
        for name, method in vars(module_class).items()
        if (inspect.isfunction(method) or isinstance(method, LazyAttribute)) and not name.startswith("_")
    }
    members["__doc__"] = LazyAttribute(partial(getattr, module_class, "__doc__"))
    members |= {"__module__": RemoteModuleBase.__module__, "_module_class": module_class}
    return type(module_class.__name__, bases, members)


def _method(module_class: type[_module.RemoteModuleBase], name: str) -> Callable[..., Any]:
    method: Callable[..., Any] = getattr(module_class, name)
    rpc: RemoteRPCDescriptor | None = getattr(method, "rpc", None)

    def call(self: RemoteModuleBase, /, *args: Any, **kwargs: Any) -> Any:
        try:
            if rpc is not None:
                return self.remote_method_request(rpc, *args, **kwargs)
            kwargs = {argument: collected(value) for argument, value in kwargs.items()}  # of a training
            return wrapped(run(getattr(self._twin, name), *map(collected, args), **kwargs))
        finally:
            del args, kwargs  # else tracebacks would keep them

    functools.update_wrapper(call, method, updated=())  # without attributes, which mark coroutine functions
    call.__doc__ = method.__doc__ and method.__doc__.replace(") -> AsyncIterator[", ") -> Iterator[")
    call.rpc = rpc  # type: ignore[attr-defined]  # pyright: ignore
    signature = inspect.signature(method)
    result = signature.return_annotation
    if get_origin(result) is AsyncIterator:
        result = _ITERATOR[get_args(result)]
    elif isinstance(result, str):  # a `TypeName` of an unpickled method
        result = type(result)(result.replace("AsyncIterator", "Iterator"))
    call.__signature__ = signature.replace(  # type: ignore[attr-defined]
        return_annotation=(twin_of(result) or result) if isinstance(result, type) else result
    )
    return call


def asyncio_metadata(source: MetadataSource | None) -> Any:
    """Return metadata for the asyncio client: a callable runs in a thread, as it may block."""
    if source is None:
        return None
    check_metadata(source)
    return off_loop(source) if callable(source) and not isinstance(source, Credentials) else source
