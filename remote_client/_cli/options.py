"""The options of all commands: which server is called, and how. A variable is the default of each."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from .._settings.variables import variable
from .usage import UsageError

if TYPE_CHECKING:
    from .._client.client import RemoteClient
    from ..auth import Metadata
    from ..settings import MetadataSource, Protocol

_SERVER = ("target", "tls", "ca_file", "cert_file", "key_file", "insecure", "token_file", "header", "proxy")
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


def _option(help: str, *, short: str | None = None, default: Any = None, is_file: bool = False) -> Any:
    return field(default=default, metadata={"help": help, "short": short, "is_file": is_file})


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of all commands. Their help texts say what they are.

    An option's name is that of its field, `--ca-file`, and its variable is `REMOTE_CLIENT_CA_FILE`.

    Attributes:
        given: the names of the options on the command line; the others are from variables, or defaults.
    """

    target: str = _option(
        "The runtime: host:port, http://host:port, ...; without it localhost:8085.",
        short="-t",
        default="localhost:8085",
    )
    tls: bool = _option("Use TLS; the options of its files imply it.", default=False)
    ca_file: str | None = _option(
        "Certificates of the authorities to trust (PEM); without it the system's.", is_file=True
    )
    cert_file: str | None = _option("The client's certificate (PEM), with --key-file.", is_file=True)
    key_file: str | None = _option("The key of the client's certificate (PEM).", is_file=True)
    insecure: bool = _option("Do not verify the server's certificate (HTTP only).", default=False)
    token_file: str | None = _option("A file with a bearer token, which is read again when it changes.", is_file=True)
    header: tuple[str, ...] = _option("NAME:VALUE, sent with every call; may be repeated.", default=())
    timeout: float | None = _option("Seconds for a call and between a stream's items, or inf; without it 60.")
    schema: str | None = _option("A schema file to read instead of asking the runtime.", is_file=True)
    proxy: str | None = _option('A proxy\'s URL, or "env" for the proxy that the environment variables name.')
    json: bool = _option("Print JSON instead of tables, as when the output is no terminal.", default=False)
    verbose: bool = _option("Print the whole traceback of an error.", short="-v", default=False)
    given: frozenset[str] = field(default=frozenset(), compare=False)

    @classmethod
    def of(cls, given: Mapping[str, Any]) -> Options:
        """Return the options on the command line, and the others from the environment.

        Args:
            given: option name -> value; None if it was not given.

        Raises:
            UsageError: a variable has no value of its type.
        """
        explicit: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value
            for name, value in given.items()
            if value is not None
        }
        return cls(**(_from_environment() | explicit), given=frozenset(explicit))

    @property
    def is_explicit(self) -> bool:
        """Whether the command line names the server, or how it is reached."""
        return not self.given.isdisjoint(_SERVER)

    @property
    def protocol(self) -> Protocol:
        """The protocol of the target. Raises a ConfigurationError for an invalid target."""
        from .._settings.connection import parse_target

        return parse_target(self.target)[1]

    def typed(self, name: str) -> str:
        """Return an option as the user gave it: the option, or its variable."""
        is_variable = name not in self.given and os.environ.get(variable(name))
        return variable(name) if is_variable else f"--{name.replace('_', '-')}"

    def client(self, **more: Any) -> RemoteClient:
        """Return a client of the server. Raises a ConfigurationError for an invalid option.

        Args:
            more: arguments of `RemoteClient` that are no options.
        """
        import logging  # here, so that `--help` stays quick

        from .._client.client import RemoteClient

        if not self.verbose:
            logging.getLogger("remote_client").addHandler(logging.NullHandler())  # else warnings go to standard error
        if self.insecure:  # whoever typed it knows what the warning says
            warnings.filterwarnings("ignore", "tls.insecure_verify is set", UserWarning)
        return RemoteClient(
            self.target,
            timeout=... if self.timeout is None else self.timeout,
            tls=self._tls,
            metadata=self._metadata,
            proxy=self.proxy,
            schema=self.schema,
            **more,
        )

    @property
    def _tls(self) -> dict[str, Any] | None:
        files = {name: getattr(self, name) for name in ("ca_file", "cert_file", "key_file")}
        if not (self.tls or self.insecure or any(files.values())):
            return None
        return {"enabled": True, "insecure_verify": self.insecure, **files}

    @property
    def _metadata(self) -> MetadataSource | None:
        headers = dict(map(_header, self.header))
        if self.token_file is None:
            return headers or None
        return _token_and_headers(self.token_file, headers)


OPTIONS = tuple(each for each in fields(Options) if each.metadata)
"""The fields of `Options` that are options."""
KINDS: dict[str, Any] = {
    name: next((each for each in get_args(kind) if each not in (type(None), ...)), kind)
    for name, kind in get_type_hints(Options).items()
    if name != "given"
}
"""Their types without None; of a tuple its items'."""


def flags(option: Field[Any]) -> list[str]:
    """Return an option as users type it."""
    names = f"--{option.name.replace('_', '-')}", option.metadata["short"]
    return [name for name in names if name]


def takes_several(option: Field[Any]) -> bool:
    """Return whether an option may be repeated."""
    return isinstance(option.default, tuple)


def _from_environment() -> dict[str, Any]:
    texts = {each.name: os.environ.get(variable(each.name), "").strip() for each in OPTIONS}
    return {name: _value(name, text) for name, text in texts.items() if text}


def _value(name: str, text: str) -> Any:
    if name == "header":
        return tuple(text.splitlines())
    kind = KINDS[name]
    try:
        return _boolean(text) if kind is bool else kind(text)
    except ValueError:
        expected = "1 or 0" if kind is bool else "seconds"
        raise UsageError(f"{variable(name)}: expected {expected}, got {text!r}") from None


def _boolean(text: str) -> bool:
    if text.lower() not in _TRUE + _FALSE:
        raise ValueError
    return text.lower() in _TRUE


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not (colon and name.strip()):
        raise UsageError("--header: expected NAME:VALUE")  # not repeated, as it may be a credential
    return name.strip(), value.strip()


def _token_and_headers(file: str, headers: dict[str, str]) -> MetadataSource:
    """Return the token's credentials, which send the headers too."""
    from ..auth import BearerToken, Credentials, Fetch

    token = BearerToken(file=file)
    if not headers:
        return token

    class TokenAndHeaders(Credentials):
        async def __call__(self, fetch: Fetch) -> Metadata:
            return {**headers, **await token(fetch)}

        def refused(self, metadata: Metadata) -> None:
            token.refused(metadata)

    return TokenAndHeaders()
