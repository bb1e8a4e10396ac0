"""What can be reached from an error: its own words, what caused it, and the variables of its frames."""

from __future__ import annotations

import functools
import inspect
import pickle
import traceback
import types
from collections.abc import Iterator, Mapping
from typing import Any

from remote_client import RemoteClient, RemoteModuleBase, sync
from remote_client._calls.caller import Caller
from remote_client._client.finder import RemoteModelFinder
from remote_client._client.servers import Server
from remote_client._transport.call import Transport
from remote_client._transport.manager import ConnectionManager
from remote_client.auth import Credentials
from remote_client.errors import RemoteClientError
from remote_client.settings import CallOptions, ConnectionInfo
from remote_client.sync._facade import Blocking

LASTING = (
    *(RemoteClient, RemoteModuleBase, RemoteModelFinder, Blocking, sync.RemoteModuleBase),
    *(Caller, CallOptions, ConnectionInfo, ConnectionManager, Credentials, Server, Transport),
)
"""What is configured with metadata or gets it: the user's to keep, and shown without."""
_LIBRARIES = ("remote_client", "httpx", "httpcore", "h11", "grpc")
_OPAQUE = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.CodeType)


def texts(error: BaseException) -> Iterator[tuple[str, str | bytes]]:
    """Where what was found: everything an error shows, pickles, and leads to."""
    yield "traceback", "".join(traceback.format_exception(error))
    if isinstance(error, RemoteClientError):
        yield "page", error._repr_html_()
        yield "pickle", pickle.dumps(error)
    yield from _Walk().walk("error", error)


class _Walk:
    def __init__(self) -> None:
        self._seen: dict[int, Any] = {}

    def walk(self, where: str, thing: Any, *, root: bool = True) -> Iterator[tuple[str, str | bytes]]:
        if isinstance(thing, (str, bytes)):
            yield where, thing
            return
        if id(thing) in self._seen or isinstance(thing, (*_OPAQUE, *LASTING)):
            return
        self._seen[id(thing)] = thing
        if isinstance(thing, BaseException):
            yield from self._error(where, thing, root)
        elif isinstance(thing, (bytearray, memoryview)):
            yield where, bytes(thing)
        elif isinstance(thing, Mapping):
            for key, value in list(thing.items()):
                yield from self.walk(f"{where}, key", key)
                yield from self.walk(f"{where}[{key!r:.40}]", value)
        elif isinstance(thing, (list, tuple, set, frozenset)):
            for each in list(thing):
                yield from self.walk(f"{where}[]", each)
        elif isinstance(thing, functools.partial):
            yield from self.walk(f"{where}()", (thing.func, thing.args, thing.keywords))
        elif inspect.ismethod(thing):
            yield from self.walk(f"{where}.__self__", thing.__self__)
        elif type(thing).__module__.partition(".")[0] in _LIBRARIES:
            for name, value in _attributes(thing):
                yield from self.walk(f"{where}.{name}", value)

    def _error(self, where: str, error: BaseException, root: bool) -> Iterator[tuple[str, str | bytes]]:
        yield where, f"{error} {error!r}"
        yield from self.walk(f"{where}.args", error.args)
        yield from self.walk(f"{where}.vars", vars(error))
        for name in ("details", "initial_metadata", "trailing_metadata", "debug_error_string"):
            if callable(told := getattr(error, name, None)):
                yield f"{where}.{name}", repr(told())
        for frame in _frames(error):
            if _concerns(frame, root):
                for name, value in list(frame.f_locals.items()):
                    yield from self.walk(f"{where}: {frame.f_code.co_qualname}: {name}", value)
        for name in ("__cause__", "__context__"):
            if (other := getattr(error, name)) is not None:
                yield from self.walk(f"{where}.{name}", other, root=False)
        for other in getattr(error, "exceptions", ()):
            yield from self.walk(f"{where}.exceptions", other)


def _concerns(frame: types.FrameType, root: bool) -> bool:
    """Whether a frame is ours, or one of another library that led to a cause."""
    name: str = frame.f_globals.get("__name__", "remote_client")
    return not name.startswith("tests.") and (not root or name.startswith("remote_client"))


def _frames(error: BaseException) -> Iterator[types.FrameType]:
    step = error.__traceback__
    while step is not None:
        yield step.tb_frame
        step = step.tb_next


def _attributes(thing: Any) -> Iterator[tuple[str, Any]]:
    names = [*getattr(thing, "__dict__", {})]
    names += [each for kind in type(thing).__mro__ for each in _slots(kind)]
    for name in names:
        try:
            yield name, getattr(thing, name)
        except Exception:  # it is not set, or refuses
            continue


def _slots(kind: type) -> tuple[str, ...]:
    slots = vars(kind).get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)
