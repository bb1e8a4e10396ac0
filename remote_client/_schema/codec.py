"""The interface of codecs, and the codecs of methods that cannot be called as they are."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, Protocol

from .._text.cleaning import clean
from ..errors import InputError, UnsupportedError
from ..settings import Output

OUTPUT_PATH = "_output_path"
"""The argument of a training's codec that says where the trained model is saved."""
NO_STREAMED_INPUT = "HTTP has no streamed inputs; connect to the runtime's gRPC port"


class Codec(Protocol):
    """Encodes the arguments of one method, and decodes its answers."""

    @property
    def signature(self) -> inspect.Signature:
        """The parameters, and the type of the answer."""
        ...

    @property
    def wire_names(self) -> Mapping[str, str]:
        """The server's names of the parameters that are renamed: parameter -> name on the wire."""
        ...

    def encode(self, model: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        """Return the request of a method without streamed input. Raises InputError.

        `model` is the model's name, which HTTP has in the request; of a training, the name of the model to train.
        """
        ...

    def incomplete(self, model: str) -> bytes | None:
        """Return a request without its required inputs, which no model can run on; None if nothing is required."""
        ...

    def split(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
        """Return the encoded constants and the iterables of a method with streamed input. Raises InputError."""
        ...

    def frame(self, constants: bytes, items: dict[str, Any], index: int) -> bytes:
        """Return message number `index` of a streamed input. Raises InputError."""
        ...

    def decode(self, data: bytes, output: Output) -> Any:
        """Return an answer in a form of output. Raises InvalidResponseError."""
        ...


def server_codec(codec: Codec) -> Codec:
    """Return the codec of a server's description, below those of declarations."""
    while (inner := getattr(codec, "server_codec", None)) is not None:
        codec = inner
    return codec


class BaseCodec:
    """The base of codecs without streamed input, as over HTTP. By itself, the codec of unsupported methods."""

    def __init__(self, name: str, signature: inspect.Signature) -> None:
        self._name = name
        self.signature = signature
        self.wire_names: Mapping[str, str] = {}

    def encode(self, model: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
        raise NotImplementedError

    def incomplete(self, model: str) -> bytes | None:
        return None

    def split(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[bytes, dict[str, Any]]:
        raise UnsupportedError(f"{self._name}(): {NO_STREAMED_INPUT}")

    def frame(self, constants: bytes, items: dict[str, Any], index: int) -> bytes:
        raise UnsupportedError(f"{self._name}(): {NO_STREAMED_INPUT}")

    def decode(self, data: bytes, output: Output) -> Any:
        raise NotImplementedError


class UnboundCodec(BaseCodec):
    """Stands in for the server's codec until the server is asked. Checks the names of the arguments."""

    def check(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Raise an InputError for arguments that the signature does not have."""
        try:
            self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise InputError(f"{self._name}(): {error}") from None


class UnpickledCodec(UnboundCodec):
    """The codec of an unpickled method. Its parameters are only known by name: the server's codec checks arguments."""

    def check(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        return


class AmbiguousCodec(UnboundCodec):
    """Stands in for the codecs of methods that share a name, and refuses calls.

    Attributes:
        explanation: how to call the methods.
    """

    def __init__(self, name: str, signature: inspect.Signature, explanation: str) -> None:
        super().__init__(name, signature)
        self.explanation = clean(explanation)

    def check(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        raise InputError(self.explanation)
