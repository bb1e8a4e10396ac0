"""Methods whose types are made when they are first asked for: a program calls few of the tasks that a schema has."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, fields
from functools import partial
from typing import Any

from .._text.cleaning import clean
from ..errors import SchemaError
from .rpc import RemoteRPCDescriptor

_Types = Mapping[str, type[Any]]
_FIELDS = frozenset(each.name for each in fields(RemoteRPCDescriptor))
_DEFAULTS = {each.name: each.default for each in fields(RemoteRPCDescriptor) if each.default is not MISSING}
_making = threading.RLock()
"""Held while the types of one method are made that several threads may want."""
# No thread is making types while the process forks: in the child they would stay half made.
os.register_at_fork(before=_making.acquire, after_in_parent=_making.release, after_in_child=_making.release)


class LazyRPCDescriptor(RemoteRPCDescriptor):
    """A method whose types are not made yet. Once they are, it is a plain `RemoteRPCDescriptor`."""

    @classmethod
    def of(cls, make: Callable[[], Mapping[str, Any]], known: Mapping[str, Any]) -> RemoteRPCDescriptor:
        """Return the descriptor of a method.

        Args:
            make: gives the attributes that depend on types.
            known: the others.
        """
        late = object.__new__(cls)
        vars(late).update({**_DEFAULTS, **known}, _make=make)  # the class's defaults would be slower to find
        return late

    def __getattr__(self, name: str) -> Any:
        if name not in _FIELDS:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}", name=name, obj=self)
        complete(self)
        return vars(self)[name]


def complete(rpc: RemoteRPCDescriptor) -> None:
    """Make the types of a method, unless they are made.

    Raises:
        SchemaError: the schema has what cannot be a Python type.
    """
    with _making:
        _complete(rpc)


def _complete(rpc: RemoteRPCDescriptor) -> None:
    make = vars(rpc).get("_make")
    if make is not None:
        vars(rpc).update(make())
        del vars(rpc)["_make"]
        # Attributes of a class with `__getattr__` are slower, and calls look at several.
        object.__setattr__(rpc, "__class__", RemoteRPCDescriptor)


class LazyMethods:
    """All methods of one description.

    Args:
        renew: begins the description's types anew, after making some failed halfway; None where all are made at once.

    Attributes:
        origin: the file that errors name.
        source: what the description is made of, by which its methods are found in another process, with no types made.
    """

    def __init__(self, renew: Callable[[], None] | None = None) -> None:
        self.origin = ""
        self.source: tuple[Any, ...] | None = None
        self._renew = renew
        self._all: list[RemoteRPCDescriptor] = []
        self._by_path: dict[str, RemoteRPCDescriptor] = {}

    def add(self, make: Callable[[], Mapping[str, Any]], **known: Any) -> RemoteRPCDescriptor:
        """Return the descriptor of one more method; see `LazyRPCDescriptor.of`."""
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
            return make()
        except BaseException as error:
            assert self._renew is not None
            self._renew()
            if not isinstance(error, (SchemaError, RecursionError)):
                raise
            why = error if isinstance(error, SchemaError) else "the types are nested too deeply"
            place = f"{rpc_name} of {task}" if task else rpc_name
            told = clean(f"{place}: {why}")
            raise SchemaError(f"{self.origin}: {told}" if self.origin else told) from error

    def complete(self) -> None:
        """Make the types of all methods, in the order in which they were added.

        Raises:
            SchemaError: the schema has what cannot be a Python type.
        """
        # What is made at once nobody else has, and nobody is to wait for: a hostile schema takes its time.
        make = complete if self._renew else _complete
        for each in self._all:
            make(each)


class LazyTypes(_Types):
    """The types of a description by name. Looking at them makes all that are not made yet.

    Args:
        methods: the description's.
        made: gives those that are made.
    """

    def __init__(self, methods: LazyMethods, made: Callable[[], _Types]) -> None:
        self.methods = methods
        self._made = made

    @property
    def made(self) -> _Types:
        """Those that are made."""
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
