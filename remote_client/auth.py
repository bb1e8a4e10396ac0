"""Credentials that change: tokens from files, the environment or an OAuth server. Give one as `metadata=`.

    from remote_client.auth import BearerToken

    RemoteClient("grpcs://host:443", metadata=BearerToken(file="/var/run/secrets/tokens/runtime"))

The values stay in memory: `repr` and pickles have the file's path or the variable's name. A call that a server refuses
as unauthenticated is sent once more, outside of `retries`, if there are fresh credentials.
"""

from __future__ import annotations

import base64
import contextlib
import os
import re
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Mapping
from functools import partial
from time import monotonic
from typing import Any, NamedTuple, Protocol

from ._concurrency.shared_work import SharedWork
from ._text.redaction import redacted
from .errors import ConfigurationError, InvalidResponseError, RemoteCallError, UnauthenticatedError

__all__ = ["BearerToken", "Credentials", "Fetch", "Metadata", "OAuthClientCredentials"]

Metadata = Mapping[str, str | bytes]
"""gRPC metadata or HTTP headers: lower-case keys; values are printable ASCII, or bytes where the key ends in `-bin`."""

_HEADER = re.compile(r"(?!grpc-)[0-9a-z_.-]+(?<!-bin)")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_TOKEN = re.compile(r"[\x21-\x7e]+")
_LONGEST = 64 * 1024
"""The largest size of a token or a secret, in bytes."""
_LOST_TIME = 35.0
"""Seconds after which no caller waits for a request. It takes at most 30, unless its event loop stands still."""
_MARGIN, _SHARE = 60.0, 0.1
"""A token is replaced this many seconds before it expires, and at most this share of its life before."""
_PAUSE = 10.0
"""Seconds between attempts to replace a token that is still valid."""


class Fetch(Protocol):
    """A function that sends an HTTP request: POST with a body, GET without one."""

    def __call__(
        self,
        url: str,
        body: bytes | None = None,
        *,
        headers: Mapping[str, str] | None = None,
        ca_file: str | None = None,
    ) -> Awaitable[bytes]:
        """Return the body of the answer.

        Args:
            url: `https://` or `http://`; the server's certificate is verified.
            body: a form (`application/x-www-form-urlencoded`) unless `headers` have a `content-type`.
            headers: more headers.
            ca_file: certificates of the authorities to trust; the default is the system's.

        Raises:
            RemoteCallError: there was no answer within 30 seconds, or its status was not 200 to 299.
        """
        ...


class Credentials(ABC):
    """Metadata that authenticates calls. Subclass it for other schemes:

        class Signature(Credentials):
            async def __call__(self, fetch):
                return {"authorization": f"Sig {sign()}"}

    One object may serve clients of several event loops and threads.
    """

    @abstractmethod
    async def __call__(self, fetch: Fetch) -> Metadata:
        """Return the metadata of a call. It is awaited for every call, within the deadline: cache what is costly.

        Args:
            fetch: sends HTTP requests, for credentials that a server issues.
        """

    def refused(self, metadata: Metadata) -> None:  # noqa: B027  # most credentials have nothing to forget
        """Forget credentials that a server refused (UNAUTHENTICATED, 401).

        The client then asks for them again, and sends the call once more if they have changed. This includes calls that
        are never retried, as the server refused before it did anything.

        Args:
            metadata: the metadata that the server refused.
        """


class _Settled(Credentials):
    """Credentials that are compared, shown and pickled by their settings, which are no secrets."""

    def __init__(self, **settings: str | None) -> None:
        self._settings = {name: value for name, value in settings.items() if value is not None}

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self._settings.items())})"

    def __reduce__(self) -> Any:
        return partial(type(self), **self._settings), ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Settled) and type(other) is type(self) and other._settings == self._settings

    def __hash__(self) -> int:
        return hash((type(self), *self._settings.items()))


class BearerToken(_Settled):
    """A token in a file or an environment variable, sent as `<header>: Bearer <token>`.

    A file is read again when it changes, as when Kubernetes rotates the token of a service account; a variable is read
    for every call. Neither needs to exist before the first call.

    Args:
        file: the path of the file.
        env: the name of the variable.
        header: the metadata key.

    Raises:
        ConfigurationError: neither or both of `file` and `env` are given, or a name is invalid.
    """

    def __init__(
        self, *, file: str | os.PathLike[str] | None = None, env: str | None = None, header: str = "authorization"
    ) -> None:
        if (file is None) == (env is None):
            raise ConfigurationError("BearerToken: give either file=, a path, or env=, the name of a variable")
        if env is not None and not (isinstance(env, str) and _VARIABLE.fullmatch(env)):
            # Not repeated, as it may be the token itself.
            raise ConfigurationError("BearerToken: env: must be the name of an environment variable")
        if not (isinstance(header, str) and _HEADER.fullmatch(header)):
            raise ConfigurationError(f"BearerToken: header: {header!r} is no metadata key of lower-case letters")
        super().__init__(file=None if file is None else _path("BearerToken: file", file), env=env, header=header)
        self._header = header
        self._held: tuple[object, dict[str, str]] | None = None
        """The version of the file, and the metadata with its token."""

    async def __call__(self, fetch: Fetch) -> Metadata:
        """Return the metadata of a call.

        Raises:
            ConfigurationError: there is no token, or it is not printable ASCII.
        """
        file = self._settings.get("file")
        if file is None:
            env = self._settings["env"]
            return self._sent(_checked(os.environ.get(env, ""), f"BearerToken: the environment variable {env}"))
        held, version = self._held, _version(file)
        if held is None or (version is not None and version != held[0]):
            try:
                held = version, self._sent(_secret_in(file, "BearerToken: file"))
            except ConfigurationError:
                if held is None:
                    raise
                return held[1]  # the file is being written; the server decides how long the old token is valid
            self._held = held
        return held[1]

    def _sent(self, token: str) -> dict[str, str]:
        return {self._header: f"Bearer {token}"}

    def refused(self, metadata: Metadata) -> None:
        """Read the token again for the next call."""
        held = self._held
        if held is not None and metadata.get(self._header) == held[1][self._header]:
            self._held = None


class OAuthClientCredentials(_Settled):
    """Tokens of an OAuth 2.0 server, by the client credentials grant (RFC 6749, 4.4).

    A token is cached until shortly before it expires. Concurrent calls, in any number of event loops and threads, share
    one request. While the server fails, a token that is still valid is used.

    Args:
        url: the server's token endpoint, `https://` (`http://` on this machine only).
        client_id: the client's id.
        secret_file: the path of the file with the client's secret, read for every request.
        scope: the requested scope.
        audience: the requested audience, which some servers need.
        ca_file: certificates of the authorities to trust; the default is the system's.

    Raises:
        ConfigurationError: an argument is invalid.
    """

    def __init__(
        self,
        url: str,
        client_id: str,
        secret_file: str | os.PathLike[str],
        *,
        scope: str | None = None,
        audience: str | None = None,
        ca_file: str | os.PathLike[str] | None = None,
    ) -> None:
        _check_url(url)
        for name, value in (("client_id", client_id), ("scope", scope or "x"), ("audience", audience or "x")):
            if not (isinstance(value, str) and value):
                raise ConfigurationError(f"OAuthClientCredentials: {name}: must be text")
        super().__init__(
            url=url,
            client_id=client_id,
            secret_file=_path("OAuthClientCredentials: secret_file", secret_file),
            scope=scope,
            audience=audience,
            ca_file=None if ca_file is None else _path("OAuthClientCredentials: ca_file", ca_file),
        )
        self._token: _Token | None = None
        self._flight = SharedWork[_Token]()

    async def __call__(self, fetch: Fetch) -> Metadata:
        """Return the metadata of a call.

        Raises:
            UnauthenticatedError: the server refuses this client.
            RemoteCallError: the request failed, or the answer has no token.
            ConfigurationError: the file of the secret is missing or invalid.
        """
        token = self._token
        if token is None or monotonic() >= token.renewed_at:
            token = await self._flight.join(partial(self._renew, fetch), _LOST_TIME)
        return token.metadata

    def refused(self, metadata: Metadata) -> None:
        """Ask for another token for the next call."""
        token = self._token
        if token is not None and metadata.get("authorization") == token.metadata["authorization"]:
            self._token = None

    async def _renew(self, fetch: Fetch) -> _Token:
        try:
            token = self._token = await self._fetched(fetch)
            return token
        except RemoteCallError as error:
            failed = error.with_traceback(None)
        held, now = self._token, monotonic()
        if held is None or now >= held.expires_at:
            raise self._failure(failed)
        self._token = held._replace(renewed_at=min(now + _PAUSE, held.expires_at))
        return self._token

    async def _fetched(self, fetch: Fetch) -> _Token:
        from urllib.parse import urlencode  # here, as all clients import this module

        form = {"grant_type": "client_credentials"}
        form |= {name: self._settings[name] for name in ("scope", "audience") if name in self._settings}
        begun = monotonic()
        answer = await fetch(
            self._settings["url"],
            urlencode(form).encode(),
            headers={"authorization": self._basic()},
            ca_file=self._settings.get("ca_file"),
        )
        return _token_in(answer, begun)

    def _secret(self) -> str:
        return _secret_in(self._settings["secret_file"], "OAuthClientCredentials: secret_file")

    def _basic(self) -> str:
        """Return the value of the header with the client's id and secret (RFC 6749, 2.3.1)."""
        from urllib.parse import quote

        pair = f"{quote(self._settings['client_id'], safe='')}:{quote(self._secret(), safe='')}"
        return f"Basic {base64.b64encode(pair.encode()).decode()}"

    def _failure(self, error: RemoteCallError) -> RemoteCallError:
        """Return the error of a call that gets no token, without the secret, which the server may repeat."""
        refused = error.http_status is not None and 400 <= error.http_status < 500 and error.http_status != 429
        details = redacted(error.details, [("secret", self._secret()), ("authorization", self._basic())])
        failure = (UnauthenticatedError if refused else type(error))(
            f"no token for {self._settings['client_id']!r}: {details or 'the server gave no details'}",
            method=error.method,
            target=error.target,
            http_status=error.http_status,
        )
        failure.outcome_known = True
        return failure


class _Token(NamedTuple):
    """The metadata with a token, and the times of `time.monotonic` when it expires and is replaced."""

    metadata: Metadata
    expires_at: float
    renewed_at: float


def _token_in(answer: bytes, begun: float) -> _Token:
    """Return the token of an OAuth server's answer.

    Raises:
        InvalidResponseError: there is none.
    """
    import json

    fields = None
    try:
        fields = json.loads(answer)
        token, kind = fields["access_token"], fields.get("token_type", "bearer")
        life = float(fields.get("expires_in", "inf"))
    except (ValueError, TypeError, LookupError, AttributeError, RecursionError):
        token = kind = ""
        life = 0.0
    if not isinstance(token, str) or not _TOKEN.fullmatch(token) or str(kind).lower() != "bearer" or not life > 0:
        del answer, fields, token  # a traceback shows a frame's variables, where it is asked to
        raise InvalidResponseError("the answer has no bearer token")
    return _Token({"authorization": f"Bearer {token}"}, begun + life, begun + life - min(_MARGIN, _SHARE * life))


def _version(file: str) -> tuple[int, ...] | None:
    """Return a value that changes when a file is written or replaced; None if there is no file."""
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


def _path(where: str, path: str | os.PathLike[str]) -> str:
    found = os.fspath(path) if isinstance(path, (str, os.PathLike)) else ""
    if not isinstance(found, str) or not found:  # a path of bytes, too
        raise ConfigurationError(f"{where}: must be a path")
    return found


def _check_url(url: str) -> None:
    """Raise a ConfigurationError for an invalid URL, without repeating it: it may hold a password."""
    from urllib.parse import urlsplit

    scheme = host = None
    with contextlib.suppress(ValueError):  # its message has the URL, so it must not be the context of ours
        parts = urlsplit(url if isinstance(url, str) else "")
        if parts.port != 0 and "@" not in parts.netloc and not parts.fragment:
            scheme, host = parts.scheme, parts.hostname
    if not host or scheme not in ("http", "https"):
        raise ConfigurationError("OAuthClientCredentials: url: must be https://host/path, without a user")
    if scheme == "http" and host not in ("localhost", "127.0.0.1", "::1"):
        raise ConfigurationError("OAuthClientCredentials: url: the secret needs https:// to another machine")


def _secret_in(file: str, where: str) -> str:
    try:
        with open(file, "rb") as opened:
            data = opened.read(_LONGEST + 1)
    except OSError as error:
        why = error.strerror
    else:
        return _checked(data.decode("latin-1"), f"{where}: {file}")
    raise ConfigurationError(f"{where}: {file} cannot be read: {why}")


def _checked(text: str, where: str) -> str:
    """Return a token or secret without the white space around it, or raise a ConfigurationError."""
    found = text.strip()
    if not found:
        raise ConfigurationError(f"{where}: it is empty, or not set")
    if len(found) > _LONGEST or not _TOKEN.fullmatch(found):
        del text, found  # a traceback shows a frame's variables, where it is asked to
        raise ConfigurationError(f"{where}: it must hold one line of printable ASCII, without spaces")
    return found
