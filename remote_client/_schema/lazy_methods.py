"""Methods whose types are made on first use, as programs call few of the tasks in a schema."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import MISSING, fields
from functools import partial
from typing import Any

from .._concurrency import fork as _fork
from .._text.cleaning import clean
from ..errors import SchemaError
from .rpc import RemoteRPCDescriptor

_Types = Mapping[str, type[Any]]
_FIELDS = frozenset(field.name for field in fields(RemoteRPCDescriptor))
_DEFAULTS = {field.name: field.default for field in fields(RemoteRPCDescriptor) if field.default is not MISSING}
_making = threading.RLock()
"""Held while the types of a method are made."""
# A fork waits until no thread makes types: in the child they would stay incomplete.
_fork.at_fork(before=_making.acquire, after_in_parent=_making.release, after_in_child=_making.release)


class LazyRPCDescriptor(RemoteRPCDescriptor):
    """A method whose types are not made yet. Once they are, it is a plain `RemoteRPCDescriptor`."""

    @classmethod
    def of(cls, make: Callable[[], Mapping[str, Any]], known: Mapping[str, Any]) -> RemoteRPCDescriptor:
        """Return the descriptor of a method of known attributes. `make` returns those that depend on types."""
        lazy = object.__new__(cls)
        vars(lazy).update({**_DEFAULTS, **known}, _make=make)  # instance attributes are found faster than defaults
        return lazy

    def __getattr__(self, name: str) -> Any:
        if name not in _FIELDS:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}", name=name, obj=self)
        complete(self)
        return vars(self)[name]


def complete(rpc: RemoteRPCDescriptor) -> None:
    """Make the types of a method, unless they are made.

    Raises:
        SchemaError: a type of the schema cannot be a Python type.
    """
    with _making:
        _complete(rpc)


def complete_all(rpcs: Iterable[RemoteRPCDescriptor]) -> None:
    """Make the types of methods; see `complete`."""
    for rpc in rpcs:
        complete(rpc)


def _complete(rpc: RemoteRPCDescriptor) -> None:
    make = vars(rpc).get("_make")
    if make is not None:
        vars(rpc).update(make())
        del vars(rpc)["_make"]
        # Attribute access is slower on a class with `__getattr__`, and calls use several attributes.
        object.__setattr__(rpc, "__class__", RemoteRPCDescriptor)


class LazyMethods:
    """All methods of one description.

    Args:
        renew: discards the description's types, some of which are incomplete after a failure; None if all types are
            made at once.
        begin: called before the types of a method are made; None for a schema on file.

    Attributes:
        on_file: whether the description is that of a schema on file.
        origin: the file or the server that errors name.
        source: the source of a description on file, by which another process finds its methods without making types.
    """

    def __init__(self, renew: Callable[[], None] | None = None, begin: Callable[[], None] | None = None) -> None:
        self.on_file: bool = begin is None
        self.origin = ""
        self.source: tuple[Any, ...] | None = None
        self._renew = renew
        self._begin = begin
        self._all: list[RemoteRPCDescriptor] = []
        self._by_path: dict[str, RemoteRPCDescriptor] = {}

    def add(self, make: Callable[[], Mapping[str, Any]], **known: Any) -> RemoteRPCDescriptor:
        """Add a method, see `LazyRPCDescriptor.of`, and return its descriptor."""
        if self._renew is not None:
            make = partial(self._make, make, known["rpc_name"], known.get("task"))
            known["_methods"] = self
        rpc = LazyRPCDescriptor.of(make, known)
        self._all.append(rpc)
        self._by_path[rpc.path] = rpc
        return rpc

    def at(self, path: str) -> RemoteRPCDescriptor:
        """Return the method of a path."""
        return self._by_path[path]

    def _make(self, make: Callable[[], Mapping[str, Any]], rpc_name: str, task: str | None) -> Mapping[str, Any]:
        try:
            if self._begin is not None:
                self._begin()
            return make()
        except BaseException as error:
            assert self._renew is not None
            self._renew()
            if not isinstance(error, (SchemaError, RecursionError)):
                raise
            reason = error if isinstance(error, SchemaError) else "the types are nested too deeply"
            method = f"{rpc_name} of {task}" if task else rpc_name
            message = clean(f"{method}: {reason}")
            raise SchemaError(f"{self.origin}: {message}" if self.origin else message) from error

    def complete(self) -> None:
        """Make the types of all methods, in the order in which they were added.

        Raises:
            SchemaError: a type of the schema cannot be a Python type.
        """
        # If all types are made at once, no other thread has the methods, and the lock would make other threads wait for
        # a hostile schema.
        make = complete if self._renew else _complete
        for rpc in self._all:
            make(rpc)


class LazyTypes(_Types):
    """The types of a description by name. Accessing the mapping makes all types."""

    def __init__(self, methods: LazyMethods, made: Callable[[], _Types]) -> None:
        self.methods = methods
        self._made = made

    @property
    def made(self) -> _Types:
        """The types that are made."""
        return self._made()

    def _all(self) -> _Types:
        self.methods.complete()
        return self.made

    def __getitem__(self, name: str) -> type[Any]:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def __repr__(self) -> str:
        return repr(dict(self))
