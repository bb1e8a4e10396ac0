"""`replay`: servers that answer from a cassette."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Sequence
from typing import TYPE_CHECKING, Any

from ..._objects.exports import exported_from
from .format import read_cassette
from .loopback import Loopback
from .matching import Shelf
from .messages import messages_of

if TYPE_CHECKING:
    from .grpc_calls import Context


@exported_from("remote_client.testing")
class Replay(Loopback):
    """A server that answers from a cassette; see `replay`."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        header, calls = read_cassette(path)
        self._shelf = Shelf(calls, messages_of(header), header.model_key)
        super().__init__(header.protocol, f"{os.fspath(path)} has calls of")

    def _handlers(self) -> Sequence[Any]:
        from .grpc_calls import AnyMethod

        return [AnyMethod(self._answer_grpc)]

    async def _answer_grpc(self, method: str, requests: AsyncIterator[bytes], context: Context) -> None:
        from .grpc_calls import answer

        await answer(self._shelf, method, requests, context)

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        from .http_calls import answer

        await answer(self._shelf, scope, receive, send)


@exported_from("remote_client.testing")
def replay(path: str | os.PathLike[str]) -> Replay:
    """Return a server that answers calls from a cassette, as `record` wrote it; no runtime is needed.

    It is a context manager and an async one. Its target is `grpc` or `http`, by the protocol that was recorded.

    A call is answered as a recorded one with the same method, model and arguments was: with its messages, status and
    metadata, without its delays. Calls that were recorded several times are answered in that order, and then with the
    last answer again. Metadata but the model's name plays no part. A call that was not recorded fails with
    FAILED_PRECONDITION (over HTTP status 412); the error names the nearest recorded call and the arguments that differ.
    A stream whose reader left early when it was recorded gives the items that were read, and then fails with DATA_LOSS
    (over HTTP status 500).

    Needs the extra `testing`: `pip install 'remote-client[testing]'`.

    Args:
        path: the cassette.

    Raises:
        ConfigurationError: the file is no cassette; on entering, a library of the extra is missing.
    """
    return Replay(path)
