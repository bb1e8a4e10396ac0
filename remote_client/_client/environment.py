"""The settings of a client in the environment, for `RemoteClient.from_env`."""

from __future__ import annotations

from collections.abc import Callable, Container, Mapping
from typing import Any

from .._settings.durations import limit
from .._settings.variables import variable
from ..auth import BearerToken
from ..errors import ConfigurationError
from ..settings import ConnectionTlsInfo


def settings_in(environment: Mapping[str, str], given: Container[str] = ()) -> dict[str, Any]:
    """Return the arguments of `RemoteClient` that the environment sets. Empty variables count as unset.

    Args:
        environment: the variables.
        given: arguments that are given, whose variables are ignored.

    Raises:
        ConfigurationError: a value is wrong; the message names its variable.
    """
    settings: dict[str, Any] = {}
    for name, (variables, read) in _SETTINGS.items():
        values = {each: value for each in variables if (value := environment.get(variable(each), "").strip())}
        if values and name not in given:
            settings[name] = read(**values)
    return settings


def with_variable(error: ConfigurationError, settings: Container[str]) -> ConfigurationError:
    """Return an error that names the variable, if it is about one of these settings of the environment."""
    name, _, problem = str(error).partition(": ")
    return ConfigurationError(f"{variable(name)}: {problem}") if name in settings else error


def _text(**value: str) -> str:
    return next(iter(value.values()))


def _token(token_file: str) -> BearerToken:
    return BearerToken(file=token_file)


def _seconds(timeout: str) -> float | None:
    name = variable("timeout")
    try:
        given = float(timeout)
    except ValueError:
        raise ConfigurationError(
            f"{name}: expected seconds, such as 30, or inf for no limit, not {timeout!r}"
        ) from None
    return limit(given, name)


def _tls(**files: str) -> ConnectionTlsInfo:
    # One kind of file after the other: so an error names the right variables.
    for names in ("ca_file",), ("cert_file", "key_file"):
        some = {name: file for name, file in files.items() if name in names}
        try:
            ConnectionTlsInfo.of({"enabled": True, **some})
        except ConfigurationError as error:
            problem = str(error).partition(": ")[2]
            raise ConfigurationError(f"{', '.join(map(variable, some))}: {problem}") from None
    return ConnectionTlsInfo.of({"enabled": True, **files})


_SETTINGS: dict[str, tuple[tuple[str, ...], Callable[..., Any]]] = {
    "target": (("target",), _text),
    "metadata": (("token_file",), _token),
    "tls": (("ca_file", "cert_file", "key_file"), _tls),
    "timeout": (("timeout",), _seconds),
    "schema": (("schema",), _text),
}
"""The arguments of `RemoteClient`: the variables that set one, and the function that reads them."""
