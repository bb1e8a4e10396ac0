"""The class of a model's module: a method per remote method, with its signature and docstring, made at first use."""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Callable, Hashable, Iterable, Mapping
from functools import partial
from typing import Any
from weakref import WeakValueDictionary

from .._objects.lazy_attribute import LazyAttribute
from .._schema.codec import AmbiguousCodec
from .._schema.declared.caikit_modules import is_caikit_module
from .._schema.rpc import RemoteRPCDescriptor
from .module_config import RemoteModuleConfig

_SELF = inspect.Parameter("self", inspect.Parameter.POSITIONAL_ONLY)


def make_module_class(config: RemoteModuleConfig, base: type) -> type:
    """Return a new class with the methods of the model's tasks."""
    declared = None if config.declaration is None else config.declaration.module
    words = re.findall(r"[A-Za-z0-9]+", config.module_name if declared is None else declared.__name__)
    name = "".join(word[0].upper() + word[1:] for word in words).lstrip("0123456789") or "RemoteModule"
    space: dict[str, Any] = {}
    shared: Mapping[str, Any] = {}
    if declared is None:
        base = space["_shared"] = _with_methods(config, base, name)
        shared = vars(base)
    if not shared.get("_is_whole"):
        methods = config.methods
        named = {key: rpc for key, rpc in (methods | config.short_methods).items() if key not in shared}
        space |= {"_rpcs": tuple(methods.values()), **_lazily(named, name)}
    rpcs = space["_rpcs"] if "_rpcs" in space else shared["_rpcs"]
    if config.trainings or config.train_method:
        space["train"] = LazyAttribute(partial(_train_method, config, name))
    space["__doc__"] = LazyAttribute(partial(_class_doc, config, rpcs))
    bases: tuple[type, ...] = (base,)
    if declared is not None and not is_caikit_module(declared) and not getattr(declared, "is_blocking", False):
        bases = (declared,) if issubclass(declared, base) else (declared, base)
        if not _makes_handles(declared):
            space["__init__"] = base.__init__  # type: ignore[misc]
    return type(name, bases, {"__module__": base.__module__, **space})


def _with_methods(config: RemoteModuleConfig, base: type, name: str) -> type:
    """Return a class with the methods that models of the same tasks share: a server may have thousands of both.

    If `_is_whole`, these are all, as no method tells of the model.
    """
    key = base, name, config.tasks_key
    found = _shared.get(key)
    if found is None:
        named = config.methods | config.short_methods
        own = {id(rpc) for _, rpcs in config.task_methods for rpc in rpcs}
        methods = {name: rpc for name, rpc in named.items() if id(rpc) in own}
        space = {"__module__": base.__module__, "_is_whole": len(methods) == len(named), **_lazily(methods, name)}
        space["_rpcs"] = tuple(dict.fromkeys(methods.values()))
        found = _shared.setdefault(key, type(name, (base,), space))
    return found


_shared: WeakValueDictionary[Hashable, type] = WeakValueDictionary()


def _lazily(methods: Mapping[str, RemoteRPCDescriptor], class_name: str) -> dict[str, Any]:
    return {name: LazyAttribute(partial(_method, rpc, name, class_name)) for name, rpc in methods.items()}


def _makes_handles(declared: Any) -> bool:
    """Return whether a declared class is made with the arguments of a handle, not with its own as a fake runtime's."""
    keywords = dict.fromkeys(("connections", "options", "balancer", "changed", "trainings"))
    try:
        inspect.signature(declared.__init__).bind(None, None, **keywords)
    except TypeError:
        return False
    return True


def _class_doc(config: RemoteModuleConfig, rpcs: Iterable[RemoteRPCDescriptor]) -> str:
    methods = "\n".join(f"    {rpc}" for rpc in rpcs)
    note = "" if config.tasks_known else " No server tells which tasks a model has: these are all of the runtime's."
    return f"The model {config.model_path!r} at {config.connection.target}.{note} Methods:\n\n{methods}\n"


def _method(rpc: RemoteRPCDescriptor, name: str, class_name: str) -> Callable[..., Any]:
    def method(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        try:
            return self.remote_method_request(rpc, *args, **kwargs)
        finally:
            del args, kwargs  # else tracebacks would keep them

    method.rpc = rpc  # type: ignore[attr-defined]  # pyright: ignore
    result = rpc.signature.return_annotation
    if rpc.job is not None:
        from .jobs import PredictionJob  # here, as few programs start jobs

        result = PredictionJob
    method.__signature__ = rpc.signature.replace(  # type: ignore[attr-defined]
        parameters=[_SELF, *rpc.signature.parameters.values()], return_annotation=result
    )
    method.__name__, method.__qualname__ = name, f"{class_name}.{name}"
    if not rpc.output_streaming:
        _mark_coroutine_function(method)
    if isinstance(rpc.codec, AmbiguousCodec):
        method.__doc__ = rpc.codec.explanation
        return method
    kind = "each answer is" if rpc.output_streaming else "the answer is"
    method.__doc__ = f"Calls {rpc.rpc_name} of {rpc.task}; {kind} a {rpc.response_dm_name}.\n\n{rpc}"
    return method


def _train_method(config: RemoteModuleConfig, class_name: str) -> Callable[..., Any]:
    async def train(self: Any, /, *args: Any, **kwargs: Any) -> Any:
        return await self._train(*args, **kwargs)

    from .jobs import TrainingJob
    from .training import train_doc, train_signature

    signature = train_signature(config)
    train.__signature__ = signature.replace(  # type: ignore[attr-defined]
        parameters=[_SELF, *signature.parameters.values()], return_annotation=TrainingJob
    )
    train.__qualname__ = f"{class_name}.train"
    train.__doc__ = train_doc(config)
    return train


def _mark_coroutine_function(function: Any) -> None:
    """Make `inspect` and `asyncio` take a function that returns a coroutine for a coroutine function.

    Frameworks decide by that whether to await. An `async def` would check its arguments when it is awaited, not called.
    """
    if sys.version_info >= (3, 12):
        inspect.markcoroutinefunction(function)
    else:  # CPython 3.11 runs the code's own instructions, whatever this flag says
        code = function.__code__
        function.__code__ = code.replace(co_flags=code.co_flags | inspect.CO_COROUTINE)
