"""A runtime for tests, which serves declared modules with bodies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from .._objects.exports import exported_from
from ..errors import ConfigurationError, RemoteCallError
from ._calls import Call, Faults
from ._servers import LoopbackServers

if TYPE_CHECKING:
    import grpc

    from ._dispatch import Dispatcher
    from ._http import App

_MAX_REQUEST = 4 * 1024 * 1024
"""Bytes: gRPC's default, which caikit has too."""


@exported_from("remote_client.testing")
class FakeRuntime(LoopbackServers):
    """A caikit runtime without caikit, on loopback, over gRPC and HTTP, for `with` or `async with`.

        with FakeRuntime({"foo": Greeter()}) as runtime:
            client = RemoteClient(runtime.grpc)

    The methods of the modules have bodies: functions, coroutine functions or generators. Their arguments arrive as the
    declared types. What a body raises is answered as caikit does: a `ValueError` or `TypeError` is INVALID_ARGUMENT, a
    `RemoteCallError` its own status, any other error INTERNAL.

    Args:
        models: model name -> a class declared with `remote_client.declare.module`, or an instance of it. An instance
            answers for its models only; a class is instantiated for each.
        library: the name of the caikit library that it plays, which is part of the names of its services.

    Attributes:
        calls: the calls of models' methods, in the order in which they came; those that failed too.

    Raises:
        ConfigurationError: a model is of no declared module, a type has no equal in gRPC; on entering, a library of
            the extra `testing` is not installed.
    """

    def __init__(self, models: Mapping[str, Any], *, library: str = "fake_lib") -> None:
        if not isinstance(models, Mapping) or not models:
            raise ConfigurationError(
                f"models: expected the modules by their models' names, such as {{'foo': Greeter()}}, not {models!r}"
            )
        self.calls: list[Call] = []
        self._faults = Faults()
        self._library = library
        self._app_made: App | None = None
        self._dispatcher = _dispatcher(models, library, self._faults, self.calls)
        super().__init__(self._handlers_of_runtime, self._app_of_runtime, aclosing(self._dispatcher), _MAX_REQUEST)

    def fail(self, error: RemoteCallError, times: int = 1) -> None:
        """Let the next calls of models' methods fail, whatever carries them. Retries are calls, too.

        Args:
            error: its status and details are answered, such as those of `UnavailableError("down")`.
            times: how many calls fail. Further errors come after these.

        Raises:
            InputError: it is no `RemoteCallError`, or the number is not positive.
        """
        self._faults.fail(error, times)

    def delay(self, seconds: float) -> None:
        """Delay all calls of models' methods from now on; 0 ends that.

        Raises:
            InputError: the number is negative.
        """
        self._faults.delay(seconds)

    def _handlers_of_runtime(self) -> Sequence[grpc.GenericRpcHandler[Any, Any]]:
        from ._grpc import handlers  # here, as the extra's libraries may be missing

        return handlers(self._dispatcher)

    async def _app_of_runtime(self, scope: Any, receive: Any, send: Any) -> None:
        if self._app_made is None:
            from ._http import App

            self._app_made = App(self._dispatcher, self._library)
        await self._app_made(scope, receive, send)

    def __repr__(self) -> str:
        where = f"at {self.grpc} and {self.http}" if self._ports else "which does not run"
        return f"<{type(self).__name__} {where}>"


def _dispatcher(models: Mapping[str, Any], library: str, faults: Faults, calls: list[Call]) -> Dispatcher:
    from ._dispatch import Dispatcher  # here, because it loads pydantic and protobuf
    from ._library import Library
    from ._models import Models

    served = Models(models)
    camel_case = "".join(word[:1].upper() + word[1:] for word in library.split("_"))
    return Dispatcher(Library(served.classes, camel_case), served, faults, calls)
