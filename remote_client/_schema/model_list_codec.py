"""The codec of lists of models, of either protocol, which reads a list if it has changed."""

from __future__ import annotations

from typing import Any

from .._text.cleaning import type_name
from ..settings import Output, Protocol
from .codec import BaseCodec
from .listed_models import ListedModels
from .rpc import RemoteRPCDescriptor


class NoModelsError(Exception):
    """An answer is no list of models."""


class ListedModelsCodec(BaseCodec):
    """Decodes the lists of one server. A list that has not changed is not decoded again.

    Args:
        rpc: the server's method that lists models.
        protocol: the server's.
    """

    def __init__(self, rpc: RemoteRPCDescriptor, protocol: Protocol) -> None:
        super().__init__(rpc.name, rpc.signature)
        self.rpc = rpc
        self._protocol = protocol
        self._last: tuple[bytes, ListedModels] | None = None

    def encode(self, model: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        return self.rpc.codec.encode(model, args, kwargs)

    def decode(self, data: bytes, output: Output) -> ListedModels:
        """Return the models in an answer.

        Raises:
            NoModelsError: it is no list of models.
        """
        if self._last is None or self._last[0] != data:
            self._last = data, self._read(data)
        return self._last[1]

    def _read(self, data: bytes) -> ListedModels:
        if self._protocol == "grpc":
            from .protobuf.listed_models import listed_models

            models = listed_models(self.rpc.codec.decode(data, "proto"))
            if models is not None:
                return models
        answer = self.rpc.codec.decode(data, "dict")
        if not isinstance(answer, dict):
            raise NoModelsError(f"the answer is no object, but a {type_name(answer)}")
        from .runtime_info import read_models, validation_reason

        try:
            return read_models(answer["models"])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            reason = validation_reason(error)
        # Raised here: the error above holds the server's values, and would be this one's context.
        raise NoModelsError(f"GetModelsInfo did not answer with models: {reason}")
