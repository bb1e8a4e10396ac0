"""What a cassette keeps of metadata and of messages: nothing secret, and nothing that belongs to one connection."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import parse_qsl, urlencode

from ..._text.redaction import masked, redacted

Pairs = tuple[tuple[str, str | bytes], ...]
HIDDEN = "[redacted]"
"""The value of metadata that is left out."""

_SECRET = re.compile(r"auth|cookie|credential|jwt|key|passw|secret|session|signature|token")
"""Names of metadata with credentials."""
_SCHEME = re.compile(r"(basic|bearer|digest|negotiate|token|apikey) \S", re.IGNORECASE)
"""The start of credentials, whatever the name of their metadata is."""
_PLAIN = frozenset(["accept", "content-type"])
"""Metadata of requests that is kept, beside the model's name: all other may be secret."""
_OF_A_CONNECTION = frozenset(
    [
        "accept-encoding",
        "baggage",
        "connection",
        "content-length",
        "date",
        "host",
        "keep-alive",
        "proxy-connection",
        "server",
        "te",
        "trailer",
        "traceparent",
        "tracestate",
        "transfer-encoding",
        "upgrade",
        "user-agent",
        "x-request-id",
    ]
)
"""Metadata that differs from call to call, or says how one connection carried it: left out, and not secret."""
_OF_GRPC = frozenset(["grpc-retry-pushback-ms", "grpc-status-details-bin"])
"""What a server tells clients in names of gRPC."""
_IN_URL = re.compile(rb"(://[^\s/:@\"'\\]*:)([^\s/@\"'\\]+)(?=@)")
"""The password in a URL."""
_IN_JSON = re.compile(
    rb'("(?:access_?key|secret_?key|IAM_api_key|api_?key|password)"\s*:\s*")((?:[^"\\]|\\.)+)(?=")', re.IGNORECASE
)
"""The credentials for a bucket, as requests of trainings have them."""
SECRET_FIELD = re.compile(r"access_?key|secret_?key|IAM_api_key|api_?key|password", re.IGNORECASE)
"""The names of these fields over gRPC."""


class Secrets:
    """The secrets of one call.

    Args:
        metadata: the call's metadata as the client sent it.
        model_key: the metadata that names the model, which is not secret.
    """

    def __init__(self, metadata: Iterable[tuple[str, str | bytes]], model_key: str) -> None:
        named = [(name.lower(), value) for name, value in metadata]
        self._model_key = model_key
        self._metadata = [pair for pair in named if not _is_of_connection(pair[0])]
        self._private = [pair for pair in self._metadata if pair[0] not in _PLAIN and pair[0] != model_key]
        self._private += _cookies(self._private)
        # Other metadata, such as `x-team: blue`, may occur in any message.
        self._credentials = [pair for pair in self._private if _has_credentials(*pair)]

    @property
    def kept(self) -> Pairs:
        """The call's metadata for the cassette: of private metadata the names alone."""
        names = dict.fromkeys(name for name, _ in self._private)
        plain = [pair for pair in self._metadata if pair not in self._private]
        return (*plain, *((name, HIDDEN) for name in names))

    def of_answer(self, metadata: Iterable[tuple[str, str | bytes]]) -> Pairs:
        """Return the metadata of an answer without its own secrets, and without the call's."""
        named = [(name.lower(), value) for name, value in metadata]
        return tuple(
            (name, masked(value, self._private) if isinstance(value, bytes) else str(self.in_text(value)))
            for name, value in named
            if name == self._model_key or not (_is_of_connection(name) or _SECRET.search(name))
        )

    def in_text(self, text: str) -> str:
        """Return a server's text without the call's secrets."""
        return str(redacted(_in_urls(text.encode()).decode(), self._private))

    def in_request(self, data: bytes) -> bytes:
        """Return a client's message without the call's credentials and its own; of the same size."""
        return in_request(masked(data, self._credentials) if self._credentials else data)

    def in_answer(self, data: bytes) -> bytes:
        """Return a server's message without the call's credentials, and without those in its URLs; of the same size."""
        return _in_urls(masked(data, self._credentials) if self._credentials else data)


def in_request(data: bytes) -> bytes:
    """Return a client's message without the credentials in its URLs and its JSON; of the same size."""
    return _IN_JSON.sub(_asterisks, _in_urls(data))


def _in_urls(data: bytes) -> bytes:
    return _IN_URL.sub(_asterisks, data)


def _asterisks(found: re.Match[bytes]) -> bytes:
    return found[1] + b"*" * len(found[2])


def in_method(method: str) -> str:
    """Return a verb and route with its query in order and without credentials; a gRPC method as it is."""
    path, mark, query = method.partition("?")
    if not mark:
        return method
    pairs = sorted(parse_qsl(query, keep_blank_values=True))
    return f"{path}?{urlencode([(name, HIDDEN if _SECRET.search(name.lower()) else value) for name, value in pairs])}"


def _cookies(metadata: Iterable[tuple[str, str | bytes]]) -> list[tuple[str, str]]:
    """Return the values of cookies, which servers repeat without their names."""
    found = [value for name, value in metadata if name == "cookie" and isinstance(value, str)]
    return [("cookie", cookie.partition("=")[2].strip()) for value in found for cookie in value.split(";")]


def _is_of_connection(name: str) -> bool:
    return name in _OF_A_CONNECTION or (name.startswith((":", "grpc-")) and name not in _OF_GRPC)


def _has_credentials(name: str, value: str | bytes) -> bool:
    return bool(_SECRET.search(name)) or (isinstance(value, str) and bool(_SCHEME.match(value)))
